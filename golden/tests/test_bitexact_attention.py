"""Attention in integers against the scalar reference, query by query, and the properties the contract promises."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.bitexact import Job, Numerics, Result, ScaleCode, attend, attention
from golden.bitexact.attention import QUERY_CHUNK
from golden.bitexact.numerics import SHIFT_LIMIT
from golden.formats import FORMATS, decode, encode, quantise
from golden.tests.reference import attend_query, convert_row

Codes = npt.NDArray[Any]
ALL_NUMERICS = {
    "default": Numerics(),
    "Pw18": Numerics(weight_bits=18),
    "fp16": Numerics(in_format="fp16", out_format="fp16"),
    "fp32-to-bf16": Numerics(in_format="fp32", operand_bits=16, score_frac=10, exp_segments=8),
    "bf16-to-fp32": Numerics(out_format="fp32", operand_bits=9, weight_bits=12, accumulator_bits=36),
    "fp16-to-bf16": Numerics(in_format="fp16", score_frac=16, exp_segments=64, key_bits=4),
}
NUMERICS = [pytest.param(numerics, id=name) for name, numerics in ALL_NUMERICS.items()]
SEEDS = pytest.mark.parametrize("seed", range(2))


def tensors(seed: int, numerics: Numerics, shape: tuple[int, int, int, int], spread: int = 0) -> list[Codes]:
    """Codes of normal q (L, E), k (S, E), v (S, F); rows of v are scaled by 2^-spread .. 2^spread."""
    length, keys, head_e, head_f = shape
    rng = np.random.default_rng(seed)
    scales = np.exp2(rng.integers(-spread, spread + 1, (keys, 1)))
    values = (
        rng.normal(size=(length, head_e)),
        rng.normal(size=(keys, head_e)),
        rng.normal(size=(keys, head_f)) * scales,
    )
    return [encode(value, numerics.input) for value in values]


def job_of(numerics: Numerics, keys: int, scale: float = 0.4, **choices: Any) -> Job:
    """A job with an encoded scale."""
    return Job(scale=numerics.encode_scale(scale), keys=keys, **choices)


def assert_attended(q: Codes, k: Codes, v: Codes, job: Job, numerics: Numerics) -> Result:
    """All of `attend` equals the reference."""
    got = attend(q, k, v, job, numerics)
    rows = [[convert_row(row, numerics) for row in tensor.tolist()] for tensor in (q, k, v)]
    want = [attend_query(i, query, rows[1], rows[2], job, numerics) for i, query in enumerate(rows[0])]
    for name, values in got._asdict().items():
        assert values.tolist() == [getattr(outcome, name) for outcome in want], name
    assert got.out.dtype == numerics.output.dtype
    return got


def same(a: Result, b: Result) -> bool:
    """Equal in every part."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("numerics", NUMERICS)
@SEEDS
def test_plain(seed: int, numerics: Numerics) -> None:
    q, k, v = tensors(seed, numerics, (5, 16, 8, 6))
    got = assert_attended(q, k, v, job_of(numerics, 16), numerics)
    assert not (got.empty.any() or got.poisoned.any() or got.saturated.any())


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("offset", [-9, -3, 0, 2, 40])
def test_causal(offset: int, numerics: Numerics) -> None:
    q, k, v = tensors(7, numerics, (8, 10, 5, 3))
    got = assert_attended(q, k, v, job_of(numerics, 10, causal=True, offset=offset), numerics)
    assert got.empty.tolist() == [i + offset < 0 for i in range(8)]
    assert not got.out[got.empty].any() and not got.rd[got.empty].any()
    assert np.isneginf(got.lse(numerics)[got.empty]).all()


@pytest.mark.parametrize("shape", [(3, 7, 1, 1), (1, 1, 4, 2), (4, 9, 3, 12), (4, 9, 12, 3)], ids=str)
@SEEDS
def test_shapes(seed: int, shape: tuple[int, int, int, int]) -> None:
    numerics = Numerics()
    assert_attended(*tensors(seed, numerics, shape), job_of(numerics, shape[1], 1.0), numerics)


def test_keys_beyond_the_end_do_not_count() -> None:
    numerics = Numerics()
    q, k, v = tensors(3, numerics, (4, 9, 4, 4))
    for keys in range(10):
        got = assert_attended(q, k, v, job_of(numerics, keys), numerics)
        assert same(got, attend(q, k[:keys], v[:keys], job_of(numerics, keys), numerics))
        assert got.empty.all() == (keys == 0)


def test_no_queries() -> None:
    numerics = Numerics()
    q, k, v = tensors(3, numerics, (0, 4, 4, 3))
    assert [part.shape for part in attend(q, k, v, job_of(numerics, 4), numerics)] == [(0, 3), *[(0,)] * 5]


@pytest.mark.parametrize("seed", range(4))
def test_value_rows_of_very_different_sizes(seed: int) -> None:
    numerics = Numerics()
    q, k, v = tensors(seed, numerics, (4, 12, 4, 4), spread=90)
    assert_attended(q, k, v, job_of(numerics, 12, 1.5), numerics)


@pytest.mark.parametrize("step", [1.0, 1.3, 9.0, 70.0, 400.0])
@pytest.mark.parametrize("direction", [1, -1], ids=["rising", "falling"])
def test_maxima(direction: int, step: float) -> None:
    numerics = Numerics()
    _, _, v = tensors(1, numerics, (1, 8, 1, 5), spread=3)
    q = encode(np.array([[1.0], [-0.5]]), numerics.input)
    k = encode(direction * step * np.arange(-4.0, 4.0)[:, None], numerics.input)
    # The scale undoes log2(e): the first query's scores are the keys themselves.
    job = job_of(numerics, 8, math.log(2))
    got = assert_attended(q, k, v, job, numerics)
    scores = decode(k[:, 0], numerics.input)
    assert got.rm[0] == math.ceil(scores.max())
    if step > SHIFT_LIMIT:
        # Of the others nothing is left.
        top = int(scores.argmax())
        alone = attend(q[:1], k[top:], v[top:], dataclasses.replace(job, keys=1), numerics)
        assert got.rd[0] == alone.rd[0]


@pytest.mark.parametrize("numerics", NUMERICS)
def test_saturating_scores(numerics: Numerics) -> None:
    rng = np.random.default_rng(2)
    q, k = (encode(rng.normal(size=(n, 6)) * 40, numerics.input) for n in (6, 9))
    v = encode(rng.normal(size=(9, 4)), numerics.input)
    got = assert_attended(q, k, v, job_of(numerics, 9, 1.0, causal=True, offset=-1), numerics)
    assert got.saturated.any() and not got.saturated.all()
    assert not got.saturated[got.empty].any()


@pytest.mark.parametrize("scale", [0.0, -0.7, 2.0**-60, 2.0**60])
def test_scales(scale: float) -> None:
    numerics = Numerics()
    q, k, v = tensors(4, numerics, (4, 6, 4, 4))
    got = assert_attended(q, k, v, job_of(numerics, 6, scale), numerics)
    assert got.saturated.all() == got.saturated.any() == (scale > 1)


def test_scores_beyond_the_precision_of_float64() -> None:
    numerics = Numerics(operand_bits=24, scale_bits=8, accumulator_bits=60, in_format="fp32")
    assert numerics.qk_bits(256) > 53
    # In units of 2^-23. The score is 2293 * 2^42 + 1: it needs 54 bits, and without its last one it is a tie.
    q = np.array([[1, 7 << 20, *[3 << 21] * 254]])
    k = np.array([[1, 1 << 22, *[3 << 21] * 254]])
    assert int(q[0] @ k[0]) == (2293 << 42) + 1
    codes = [encode(np.ldexp(tensor.astype(np.float64), -23), numerics.input) for tensor in (q, k, np.ones((1, 2)))]
    # Half a unit of x is worth 2^42.
    power = 2 * (numerics.operand_bits - 1) - numerics.score_frac
    assert_attended(*codes, Job(scale=ScaleCode(128, power - 43 - 7), keys=1), numerics)


SPECIAL = [pytest.param(value, id=str(value)) for value in (math.nan, math.inf, -math.inf)]


@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("tensor", ["k", "v"])
@pytest.mark.parametrize("numerics", NUMERICS)
def test_poisoned_row(numerics: Numerics, tensor: str, value: float) -> None:
    q, k, v = tensors(8, numerics, (6, 8, 4, 4))
    clean = attend(q, k, v, job_of(numerics, 8, causal=True, offset=1), numerics)
    (k if tensor == "k" else v)[3, 1] = encode(np.array(value), numerics.input)
    got = assert_attended(q, k, v, job_of(numerics, 8, causal=True, offset=1), numerics)
    # Row 3 is seen by query 2 and all behind it; the others must not notice.
    assert got.poisoned.tolist() == [False, False, True, True, True, True]
    assert np.array_equal(got.out[:2], clean.out[:2])
    assert np.isnan(decode(got.out[2:], numerics.output)).all() and np.isnan(got.lse(numerics)[2:]).all()
    assert not got.saturated.any()


@pytest.mark.parametrize("value", SPECIAL)
def test_poisoned_query(value: float) -> None:
    numerics = Numerics()
    q, k, v = tensors(9, numerics, (4, 5, 4, 4))
    q[[0, 2], 3] = encode(np.array(value), numerics.input)
    got = assert_attended(q, k, v, job_of(numerics, 5, causal=True, offset=-1), numerics)
    # Query 0 sees no key: what it holds does not matter.
    assert got.poisoned.tolist() == [False, False, True, False]
    assert got.empty.tolist() == [True, False, False, False]
    assert not got.out[0].any() and not got.saturated.any()


def test_masked_rows_are_never_looked_at() -> None:
    numerics = Numerics()
    q, k, v = tensors(10, numerics, (4, 9, 4, 4))
    want = attend(q, k, v, job_of(numerics, 6), numerics)
    k[6:], v[7:] = encode(np.array(math.nan), numerics.input), encode(np.array(math.inf), numerics.input)
    assert same(assert_attended(q, k, v, job_of(numerics, 6), numerics), want)


@pytest.mark.parametrize("name", list(FORMATS))
@SEEDS
def test_one_visible_key_gives_its_value(seed: int, name: str) -> None:
    # Values of fp32 have more digits than an element; those of the 16-bit formats are kept within a row.
    numerics = Numerics(in_format=name, out_format="bf16" if name == "fp32" else name)
    rng = np.random.default_rng(seed)
    q, k, _ = tensors(seed, numerics, (7, 7, 4, 1))
    values = quantise(rng.choice([-1, 1], (7, 5)) * rng.uniform(0.1, 3.0, (7, 5)), numerics.output)
    v = encode(values * np.exp2(rng.integers(-9, 9, (7, 1))), numerics.input)
    single = [attend(q[i : i + 1], k[i:], v[i:], job_of(numerics, 1), numerics) for i in range(7)]
    want = encode(decode(v, numerics.input), numerics.output)
    assert np.array_equal(np.concatenate([result.out for result in single]), want)


@SEEDS
def test_order_of_elements_does_not_matter(seed: int) -> None:
    numerics = Numerics()
    q, k, v = tensors(seed, numerics, (5, 9, 16, 6), spread=8)
    rng = np.random.default_rng(seed)
    elements, features = rng.permutation(16), rng.permutation(6)
    job = job_of(numerics, 9)
    want = attend(q, k, v, job, numerics)
    got = attend(q[:, elements], k[:, elements], v[:, features], job, numerics)
    assert same(got, want._replace(out=want.out[:, features]))
    assert not np.array_equal(elements, np.arange(16)) and not np.array_equal(features, np.arange(6))


def test_queries_do_not_matter_to_each_other() -> None:
    numerics = Numerics()
    length = QUERY_CHUNK + 5
    q, k, v = tensors(12, numerics, (length, 4, 2, 2))
    job = job_of(numerics, 4, causal=True, offset=-QUERY_CHUNK)
    got = attend(q, k, v, job, numerics)
    assert got.empty.tolist() == [True] * QUERY_CHUNK + [False] * 5
    for i in range(QUERY_CHUNK - 2, length):
        alone = attend(q[i : i + 1], k, v, job_of(numerics, 4, causal=True, offset=i - QUERY_CHUNK), numerics)
        assert same(alone, Result(*(part[i : i + 1] for part in got)))


@pytest.mark.parametrize("causal", [False, True])
def test_heads_share_keys_and_values(causal: bool) -> None:
    numerics = Numerics()
    rng = np.random.default_rng(13)
    shapes = ((2, 6, 4, 8), (2, 3, 7, 8), (2, 3, 7, 5))
    q, k, v = (encode(rng.normal(size=shape), numerics.input) for shape in shapes)
    lengths = np.array([7, 4])
    got = attention(q, k, v, numerics, causal=causal, offset=1, key_lengths=lengths)
    assert got.out.shape == (2, 6, 4, 5) and got.rm.shape == (2, 6, 4)
    for b, h in np.ndindex(2, 6):
        job = job_of(numerics, int(lengths[b]), 1 / math.sqrt(8), causal=causal, offset=1)
        want = attend(q[b, h], k[b, h // 2], v[b, h // 2], job, numerics)
        assert same(Result(*(part[b, h] for part in got)), want)


def test_attention_takes_all_keys_and_a_scale() -> None:
    numerics = Numerics()
    rng = np.random.default_rng(14)
    q, k, v = (encode(rng.normal(size=(1, 1, 5, 4)), numerics.input) for _ in range(3))
    for scale in (None, 0.3):
        job = job_of(numerics, 5, 0.5 if scale is None else scale)
        want = attend(q[0, 0], k[0, 0], v[0, 0], job, numerics)
        got = attention(q, k, v, numerics, scale=scale)
        assert same(Result(*(part[0, 0] for part in got)), want)
        assert same(attention(q, k, v, numerics, scale=scale, key_lengths=5), got)


@pytest.mark.parametrize("numerics", [NUMERICS[0], NUMERICS[1]])
@pytest.mark.parametrize("factor", [1, 4])
def test_lse(factor: int, numerics: Numerics) -> None:
    # Multiples of 1/8 up to 4 are exact as elements, which leaves the score's and the weights' own errors.
    rng = np.random.default_rng(15)
    q, k = (rng.integers(-32, 33, (1, 1, n, 16)) / 8 for n in (20, 200))
    v = np.ones((1, 1, 200, 1))
    scale = factor / 16
    got = attention(*(encode(t, numerics.input) for t in (q, k, v)), numerics, scale=scale, causal=True, offset=180)
    want = exact.attention(q, k, v, scale=scale, causal=True, offset=180).lse
    largest = np.abs(np.einsum("bhle,bhse->bhls", q, k)).max() * scale
    # A score is off by its rounding and by that of the scale's mantissa.
    off = math.log(2) * 2.0 ** -(numerics.score_frac + 1) + largest * 2.0**-numerics.scale_bits
    # RD is off by the chords' gap and roundings, at most 6 units of a weight above a half, and by a unit for each shift
    # of a weight and of itself.
    unit = 2.0**-numerics.weight_bits
    chord = (math.log(2) / numerics.exp_segments) ** 2 / 16 + 12 * unit
    bound = off - math.log1p(-(chord + 2 * 2 * 200 * unit))
    assert np.abs(got.lse(numerics) - want).max() <= bound < 1e-2


def test_refusals() -> None:
    numerics = Numerics(key_bits=3, accumulator_bits=40)
    q, k, v = tensors(16, numerics, (2, 12, 4, 4))
    for tensor_keys, keys, most in ((12, 9, 8), (12, -1, 8), (5, 6, 5)):
        with pytest.raises(ValueError, match=rf"^keys must lie in 0 \.\. {most}, not {keys}$"):
            attend(q, k[:tensor_keys], v[:tensor_keys], job_of(numerics, keys), numerics)
    wide = np.zeros((1, 513), dtype=np.uint16)
    with pytest.raises(ValueError, match="head dimension 513 .* at most 63 are supported"):
        attend(wide, wide, wide, job_of(numerics, 1), numerics)
