"""`hwgen.attention` with masks, windows, biases, sinks, dropout and functions: both models against plain NumPy."""

from __future__ import annotations

import math
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import hwgen
from golden.error import rounding_ratio
from golden.formats import FORMATS
from hwgen import functional
from hwgen.backends import segments
from hwgen.errors import InputError
from hwgen.scoremod import BiasTensor, Parameter, Table, maximum, tanh, where
from hwgen.scoremod.block_list import RECORD, create_block_mask, encode_list, machine_list
from hwgen.sim import layout, system

Arrays = dict[str, NDArray[Any]]
BF16 = ml_dtypes.bfloat16
INF = np.inf
B, HQ, HKV, L, S, E, F = 2, 4, 2, 5, 7, 8, 6
SIZES = (B, HQ, L, S)


def tensors(dtype: Any = np.float32, length: int = L, keys: int = S, seed: int = 5) -> Arrays:
    rng = np.random.default_rng(seed)
    shapes = {"q": (B, HQ, length, E), "k": (B, HKV, keys, E), "v": (B, HKV, keys, F)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def attention(arrays: Arrays | None = None, **options: Any) -> Any:
    arrays = tensors() if arrays is None else arrays
    return hwgen.attention(arrays["q"], arrays["k"], arrays["v"], **{"preset": "tiny", "backend": "bitexact"} | options)


def numpy_attention(arrays: Arrays, seen: Any = True, bias: Any = 0.0, softcap: float = 0.0, sink: Any = -INF) -> Any:
    """out and lse in float64; seen and bias broadcast to (B, Hq, L, S), sink to (Hq,)."""
    q, k, v = (arrays[name].astype(np.float64) for name in "qkv")
    k, v = (np.repeat(array, q.shape[1] // array.shape[1], axis=1) for array in (k, v))
    scores = q @ k.swapaxes(2, 3) / math.sqrt(q.shape[3])
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    weights = np.where(seen, np.exp(scores + bias), 0.0)
    total = weights.sum(axis=-1, keepdims=True) + np.exp(np.broadcast_to(sink, (HQ,)))[:, None, None]
    with np.errstate(divide="ignore"):
        return weights @ v / np.where(total == 0, 1, total), np.log(total[..., 0])


def require_both(options: dict[str, Any], want: Any, arrays: Arrays | None = None) -> None:
    """Both models give this out and lse, within what the integers resolve."""
    for backend, tolerance in (("exact", 1e-6), ("bitexact", 1e-3)):
        out, lse = attention(arrays, backend=backend, return_lse=True, **options)
        np.testing.assert_allclose(out, want[0], rtol=tolerance, atol=tolerance / 4)
        np.testing.assert_allclose(lse, want[1], rtol=tolerance, atol=tolerance / 4)


QUERY, KEY = np.arange(L)[:, None], np.arange(S)
RNG = np.random.default_rng(8)
BOOLEAN = RNG.random(SIZES) < 0.7
ADDITIVE = np.where(RNG.random(SIZES) < 0.2, -INF, RNG.standard_normal(SIZES)).astype(np.float32)
SLOPES = RNG.random((B, HQ))
LENGTHS = np.array([3, 6])
OFFSETS = np.array([-1, 2])


def by_batch(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None, None, None]


SEEN: dict[str, tuple[dict[str, Any], Any]] = {
    "top left": ({"causal": "top_left"}, KEY <= QUERY),
    "bottom right": ({"causal": "bottom_right"}, KEY <= QUERY + S - L),
    "offset": ({"causal": -2}, KEY <= QUERY - 2),
    "bottom right of lengths": (
        {"causal": "bottom_right", "kv_lengths": LENGTHS},
        (by_batch(LENGTHS) > KEY) & (by_batch(LENGTHS) - L + QUERY >= KEY),
    ),
    "offsets": ({"causal": OFFSETS}, by_batch(OFFSETS) + QUERY >= KEY),
    "causal offsets": ({"is_causal": True, "causal_offset": OFFSETS}, by_batch(OFFSETS) + QUERY >= KEY),
    "window": ({"window": (1, 2)}, (QUERY + S - L - 1 <= KEY) & (QUERY + S - L + 2 >= KEY)),
    "window of one": ({"window": (0, 0)}, QUERY + S - L == KEY),
    "left": ({"window": (2, -1)}, QUERY + S - L - 2 <= KEY),
    "right": ({"window": (-1, 1)}, QUERY + S - L + 1 >= KEY),
    "all but one": ({"window": (-1, S - 2), "causal_offset": 0}, QUERY + S - 2 >= KEY),
    "wide window": ({"window": (90, 90)}, True),
    "no window": ({"window": (-1, -1)}, True),
    "window and causal": ({"window": (2, 2), "is_causal": True}, (QUERY - 2 <= KEY) & (QUERY >= KEY)),
    "window and bottom right": (
        {"window": (1, 9), "causal": "bottom_right"},
        (QUERY + S - L - 1 <= KEY) & (QUERY + S - L >= KEY),
    ),
    "placed window": ({"window": (1, 1), "causal_offset": 1}, (QUERY <= KEY) & (QUERY + 2 >= KEY)),
    "window of lengths": (
        {"window": (1, 1), "kv_lengths": LENGTHS},
        (abs(by_batch(LENGTHS) - L + QUERY - KEY) <= 1) & (by_batch(LENGTHS) > KEY),
    ),
    "boolean": ({"attn_mask": BOOLEAN}, BOOLEAN),
    "keys": ({"attn_mask": BOOLEAN[0, 0, 0]}, BOOLEAN[0, 0, 0]),
    "heads": ({"attn_mask": BOOLEAN[0]}, BOOLEAN[0]),
    "batches": ({"attn_mask": BOOLEAN[:, :1, :1]}, BOOLEAN[:, :1, :1]),
    "queries": ({"attn_mask": BOOLEAN[0, 0, :, :1]}, BOOLEAN[0, 0, :, :1]),
    "mask_mod": (
        {"mask_mod": lambda b, h, q, kv: (q + kv + h) % 2 == b},
        (QUERY + KEY + np.arange(HQ)[:, None, None]) % 2 == by_batch(np.arange(B)),
    ),
    "all": (
        {"attn_mask": BOOLEAN, "window": (3, 1), "is_causal": True, "kv_lengths": 6},
        BOOLEAN & (KEY <= QUERY) & (KEY >= QUERY - 3),
    ),
}


@pytest.mark.parametrize("case", SEEN)
def test_seen(case: str) -> None:
    options, seen = SEEN[case]
    require_both(options, numpy_attention(tensors(), seen=seen))


BIASED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "additive": ({"attn_mask": ADDITIVE}, {"bias": ADDITIVE}),
    "additive, of keys": ({"attn_mask": ADDITIVE[1, 1, 1]}, {"bias": ADDITIVE[1, 1, 1]}),
    "alibi": ({"alibi_slopes": SLOPES[0]}, {"bias": -SLOPES[0][:, None, None] * abs(QUERY + S - L - KEY)}),
    "alibi of batches": ({"alibi_slopes": SLOPES}, {"bias": -SLOPES[:, :, None, None] * abs(QUERY + S - L - KEY)}),
    "alibi, causal": (
        {"alibi_slopes": SLOPES[1], "is_causal": True},
        {"bias": -SLOPES[1][:, None, None] * abs(QUERY - KEY), "seen": KEY <= QUERY},
    ),
    "alibi of lengths": (
        {"alibi_slopes": SLOPES[1], "kv_lengths": LENGTHS},
        {
            "bias": -SLOPES[1][:, None, None] * abs(by_batch(LENGTHS) - L + QUERY - KEY),
            "seen": by_batch(LENGTHS) > KEY,
        },
    ),
    "softcap": ({"softcap": 0.7}, {"softcap": 0.7}),
    "no softcap": ({"softcap": 0}, {}),
    "softcap before the mask": ({"softcap": 0.5, "attn_mask": ADDITIVE}, {"softcap": 0.5, "bias": ADDITIVE}),
    "sink": ({"sink": np.array([0.5, -1, 2, 0])}, {"sink": np.array([0.5, -1, 2, 0])}),
    "no sink": ({"sink": np.full(HQ, -INF)}, {}),
    "sink of nothing": ({"sink": np.ones(HQ), "kv_lengths": 0}, {"sink": np.ones(HQ), "seen": False}),
    "score_mod": ({"score_mod": lambda s, b, h, q, kv: s + 0.25 * (q - kv)}, {"bias": 0.25 * (QUERY - KEY)}),
    "hiding score_mod": ({"score_mod": lambda s, b, h, q, kv: where(q < kv, -INF, s)}, {"seen": KEY <= QUERY}),
    "everything": (
        {"softcap": 2.0, "attn_mask": ADDITIVE, "alibi_slopes": SLOPES[0], "is_causal": True, "sink": np.zeros(HQ)},
        {
            "softcap": 2.0,
            "bias": ADDITIVE - SLOPES[0][:, None, None] * abs(QUERY - KEY),
            "seen": KEY <= QUERY,
            "sink": np.zeros(HQ),
        },
    ),
}


@pytest.mark.parametrize("case", BIASED)
def test_biased(case: str) -> None:
    options, changes = BIASED[case]
    require_both(options, numpy_attention(tensors(), **changes))


def test_softcap_comes_before_score_mod_and_score_mod_before_the_mask() -> None:
    """A function of what it sees: it doubles, which only shows a softcap that came before it."""
    mask = np.where(KEY == 3, np.float32(-INF), np.ones((L, S), np.float32))
    want = attention(backend="exact", softcap=0.5, scale=1.0, score_mod=lambda s, *_: 2 * s)
    np.testing.assert_allclose(
        want, attention(backend="exact", scale=1.0, score_mod=lambda s, *_: tanh(2 * s)), rtol=1e-6
    )
    # A constant added behind the function is the same for all keys and changes nothing; added before it would.
    cut, want = (
        attention(backend="exact", score_mod=lambda s, *_: maximum(s, 0.0), attn_mask=both) for both in (mask, KEY != 3)
    )
    np.testing.assert_allclose(cut, want, rtol=1e-6)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_as_good_as_rounding(name: str) -> None:
    arrays = tensors({"bf16": BF16, "fp16": np.float16}[name], length=60, keys=80)
    dtype = arrays["q"].dtype
    bias = np.random.default_rng(2).standard_normal((HQ, 60, 80)).astype(dtype)
    options = {"attn_mask": bias, "softcap": 3.0, "window": (40, 10), "sink": np.linspace(-1, 1, HQ)}
    i, j = np.arange(60)[:, None] + 20, np.arange(80)
    seen = (i - 40 <= j) & (j <= i + 10)
    want = numpy_attention(arrays, seen, bias.astype(np.float64), 3.0, options["sink"])[0]
    got = attention(arrays, **options).astype(np.float64)
    assert rounding_ratio(got, want, FORMATS[name]) <= {"bf16": 1.02, "fp16": 1.05}[name]


def test_dropout() -> None:
    """The models drop the same pairs, about as many as asked for; the sum of weights and the lse know nothing of it."""
    arrays = tensors(length=40, keys=40)
    arrays["v"] = np.ones_like(arrays["v"])
    exact_out, exact_lse = attention(arrays, backend="exact", dropout_p=0.25, dropout_seed=3, return_lse=True)
    out, lse = attention(arrays, dropout_p=0.25, dropout_seed=3, return_lse=True)
    np.testing.assert_allclose(out, exact_out, rtol=1e-3)
    np.testing.assert_array_equal(lse, attention(arrays, return_lse=True)[1])
    np.testing.assert_allclose(exact_lse, attention(arrays, backend="exact", return_lse=True)[1], rtol=1e-6)
    assert abs(float(exact_out.mean()) - 1) < 0.02 and float(exact_out.std()) > 0.02
    assert (attention(arrays, dropout_p=0.25, dropout_seed=4) != out).any()
    np.testing.assert_array_equal(attention(arrays, dropout_p=0.0), attention(arrays))


def test_score_arguments() -> None:
    """Parameters and tables take other numbers by name, in both models."""
    slope = Parameter("slope", 0.5, -4.0, 4.0)
    first = Table(np.array([0, 1, 2, 3]), "first")

    def score_mod(s: Any, b: Any, h: Any, q: Any, kv: Any) -> Any:
        return s + slope * (kv - q)

    def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return kv >= first[h]

    functions = {"score_mod": score_mod, "mask_mod": mask_mod}
    heads = np.arange(HQ)[:, None, None]
    require_both(functions, numpy_attention(tensors(), seen=heads <= KEY, bias=0.5 * (KEY - QUERY)))
    other = {"slope": -1.25, "first": np.array([3, 2, 1, 0])}
    want = numpy_attention(tensors(), seen=3 - heads <= KEY, bias=-1.25 * (KEY - QUERY))
    require_both(functions | {"score_arguments": other}, want)
    # What was set for one call is not there at the next.
    require_both(functions, numpy_attention(tensors(), seen=heads <= KEY, bias=0.5 * (KEY - QUERY)))


def test_a_bias_tensor_of_a_score_mod() -> None:
    tensor = BiasTensor(ADDITIVE)
    got = attention(score_mod=lambda s, b, h, q, kv: s + tensor[b, h, q, kv])
    np.testing.assert_array_equal(got, attention(attn_mask=ADDITIVE))


def paged(arrays: Arrays, page: int, lengths: NDArray[Any], seed: int = 4) -> tuple[Arrays, NDArray[Any]]:
    """The same keys in shuffled pages of a pool, whose other rows hold NaN; and the table."""
    count = -(-S // page)
    order = np.random.default_rng(seed).permutation(B * count + 2)[: B * count].reshape(B, count)
    pools = {"q": arrays["q"]}
    for name in "kv":
        rows = np.full((B, HKV, count * page, arrays[name].shape[3]), np.nan, arrays[name].dtype)
        rows[:, :, :S] = arrays[name]
        for b in range(B):
            rows[b, :, lengths[b] :] = np.nan
        pool = np.full((B * count + 2, HKV, page, rows.shape[3]), np.nan, rows.dtype)
        pool[order] = rows.reshape(B, HKV, count, page, -1).swapaxes(1, 2)
        pools[name] = pool
    return pools, np.where(np.arange(count) * page < lengths[:, None], order, -99)


@pytest.mark.parametrize("page", [1, 2, 3, 8])
@pytest.mark.parametrize("backend", ["bitexact", "exact"])
def test_pages(backend: str, page: int) -> None:
    """What pages hold is found, and nothing else is looked at; entries behind the last key may be anything."""
    arrays = tensors()
    pools, table = paged(arrays, page, LENGTHS)
    for options in ({}, {"causal": "bottom_right"}, {"window": (2, 1), "softcap": 2.0}):
        got = attention(pools, block_table=table, kv_lengths=LENGTHS, backend=backend, **options)
        np.testing.assert_array_equal(got, attention(arrays, kv_lengths=LENGTHS, backend=backend, **options))


def test_a_block_mask_is_its_mask() -> None:
    def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return (kv <= q + 1) & ((q + kv) % 4 != 0)

    for backend in ("bitexact", "exact"):
        for block in (2, (3, 4)):
            mask = create_block_mask(mask_mod, None, None, L, S, block)
            got = attention(block_mask=mask, backend=backend)
            np.testing.assert_array_equal(got, attention(mask_mod=mask_mod, backend=backend))
    got = attention(block_mask=mask, mask_mod=lambda b, h, q, kv: kv != 1, kv_lengths=6, softcap=3.0)
    seen = (KEY <= QUERY + 1) & ((QUERY + KEY) % 4 != 0) & (KEY != 1) & (KEY < 6)
    np.testing.assert_array_equal(got, attention(attn_mask=seen, softcap=3.0))


def test_the_list_of_segments() -> None:
    """Every key that a query of a slot sees is shown, and none that no query may see by block mask or causal rule."""
    mask = create_block_mask(lambda b, h, q, kv: (q // 2 == kv // 2) | (kv == h), None, HQ, L, S, 2)
    for options in ({}, {"causal": "top_left"}, {"kv_lengths": LENGTHS}, {"window": (1, 1)}):
        made = task(block_mask=mask, **options)
        assert made.params.config.block_list
        seen = made.problem.positions.seen(L, S) & mask.seen
        seen = np.broadcast_to(seen, SIZES)
        want = machine_list(seen, made.params, HQ // HKV, lengths=made.problem.lengths)
        assert segments(made) == encode_list(want)
    pools, table = paged(tensors(), 3, LENGTHS)
    made = task(pools, block_table=table, kv_lengths=LENGTHS)
    records = np.frombuffer(segments(made), dtype=RECORD)
    # All blocks of batch entry 0 see one page of 3 keys, those of batch entry 1 two.
    blocks = len(records) // 3
    want = [table[0, 0] * 3] * blocks + [table[1, 0] * 3, table[1, 1] * 3] * blocks
    np.testing.assert_array_equal(records["row"], want)


def test_what_is_masked_has_no_influence() -> None:
    for options in (
        {"attn_mask": KEY != 2},
        {"attn_mask": np.where(KEY == 2, np.float32(-INF), np.float32(0))},
        {"mask_mod": lambda b, h, q, kv: kv != 2},
        {"score_mod": lambda s, b, h, q, kv: where(kv != 2, s, -INF)},
        {"dropout_p": 0.5, "attn_mask": KEY != 2},
    ):
        for backend in ("bitexact", "exact"):
            arrays = tensors()
            want = attention(arrays, backend=backend, return_lse=True, **options)
            arrays["k"][:, :, 2], arrays["v"][:, :, 2] = np.nan, INF
            got = attention(arrays, backend=backend, return_lse=True, **options)
            for part, same in zip(got, want, strict=True):
                np.testing.assert_array_equal(part, same)


def test_poison() -> None:
    """NaN and +inf in a bias, NaN in a query: only queries that see them, and only if they see a key."""
    bias = np.zeros((L, S), np.float32)
    bias[1, 2], bias[3, 6], bias[4, 6] = np.nan, INF, np.nan
    for backend in ("bitexact", "exact"):
        out, lse = attention(attn_mask=bias, kv_lengths=6, backend=backend, return_lse=True)
        np.testing.assert_array_equal(np.isnan(out).all(axis=-1)[0, 0], np.arange(L) == 1)
        np.testing.assert_array_equal(np.isnan(lse)[0, 0], np.arange(L) == 1)
        arrays = tensors()
        arrays["q"][:, :, 2] = np.nan
        out = attention(arrays, causal=-2, softcap=1.0, backend=backend)
        assert np.isnan(out[:, :, 2]).all() and np.isfinite(out[:, :, 3:]).all() and (out[:, :, :2] == 0).all()
        assert (attention(arrays, causal=-3, softcap=1.0, backend=backend)[:, :, 2] == 0).all()


def test_rows_without_a_key() -> None:
    """0 and -inf, whatever hides the keys."""
    for options in (
        {"attn_mask": np.zeros((L, S), bool)},
        {"attn_mask": np.full((L, S), -INF, np.float32)},
        {"mask_mod": lambda b, h, q, kv: q < 0},
        {"score_mod": lambda s, b, h, q, kv: where(q < 0, s, -INF)},
        {"window": (0, 0), "causal_offset": S},
        {"causal": -L},
    ):
        for backend in ("bitexact", "exact"):
            out, lse = attention(backend=backend, return_lse=True, **options)
            assert (out == 0).all() and (lse == -INF).all()


def test_a_plain_problem_needs_no_program() -> None:
    """What every machine can do is left to it."""
    for options in (
        {},
        {"causal": "bottom_right", "scale": 0.5, "kv_lengths": 6},
        {"window": (-1, 0)},
        {"window": (90, 3)},
        {"softcap": 0, "sink": np.full(HQ, -INF), "dropout_p": 0},
    ):
        assert task(**options).params.score is None
    assert task(window=(-1, 0)).masks == task(causal="bottom_right").masks
    assert task(window=(1, 0)).params.score is not None


def test_other_numbers_need_no_other_machine() -> None:
    """Slopes, offsets, lengths of windows, sinks and masks are arguments."""
    for one, other in (
        ({"window": (1, 2)}, {"window": (2, 1)}),
        ({"window": (1, -1), "kv_lengths": [3, 5]}, {"window": (2, -1), "kv_lengths": [1, 6]}),
        ({"causal": [1, 2]}, {"causal": [-4, 0]}),
        ({"alibi_slopes": SLOPES[0]}, {"alibi_slopes": -SLOPES[1] / 9}),
        ({"sink": np.zeros(HQ)}, {"sink": np.ones(HQ)}),
        ({"attn_mask": BOOLEAN}, {"attn_mask": ~BOOLEAN[0, 0]}),
    ):
        assert task(**one).params.config == task(**other).params.config


def task(arrays: Arrays | None = None, **options: Any) -> Any:
    """What a backend gets."""
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:

        def keep(task: Any, lse: bool) -> Any:
            seen.append(task)
            return np.zeros(1), np.zeros(1), {}

        patch.setattr(functional, "BACKENDS", {"bitexact": keep})
        attention(arrays, **options)
    return seen[0]


class Stop(Exception):
    """The simulator would be built now."""


def placed(arrays: Arrays | None = None, **options: Any) -> dict[str, Any]:
    """What the accelerator's memory is asked to hold."""
    found: dict[str, Any] = {}
    add = layout.Image.add

    def keep(image: layout.Image, *tensors: Any, **facts: Any) -> Any:
        placed = add(image, *tensors, **facts)
        found.update(facts, tensors=tensors, descriptor=placed.descriptor, params=image.params)
        return placed

    def stop(*_: Any, **__: Any) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout.Image, "add", keep)
        patch.setattr(system, "build_system", stop)
        with pytest.raises(Stop):
            attention(arrays, **options, backend="rtl")
    return found


def test_the_accelerator_gets_the_same_problem() -> None:
    """Words, bias and list of segments are those of the models; the memory takes them."""
    for options in (
        {"softcap": 2.0, "alibi_slopes": SLOPES[0], "attn_mask": ADDITIVE},
        {"attn_mask": BOOLEAN[0], "sink": np.ones(HQ), "dropout_p": 0.5},
        {"causal": OFFSETS, "window": (2, 1)},
    ):
        found, made = placed(**options), task(**options)
        assert found["params"] == made.params
        codes = made.traced.codes()
        want = np.concatenate([codes[argument.name] for argument in made.traced.program.arguments])
        np.testing.assert_array_equal(found["words"], want)
        if "attn_mask" in options:
            np.testing.assert_array_equal(found["bias"], made.bias)
        assert "segments" not in found
    plain = placed(causal="bottom_right", kv_lengths=6)
    assert plain["causal"] and plain["offset"] == S - L - 1 and "words" not in plain
    mask = create_block_mask(lambda b, h, q, kv: q // 2 == kv // 2, None, None, L, S, 2)
    assert placed(block_mask=mask)["segments"] == segments(task(block_mask=mask))


def test_the_accelerator_reads_pools_in_place() -> None:
    """Row and page of every segment lead to the key; a bias is as long as there are rows."""
    pools, table = paged(tensors(), 2, LENGTHS)
    for options in ({}, {"attn_mask": ADDITIVE[:, :, :, :1]}, {"attn_mask": np.zeros((L, 8), np.float32)}):
        found = placed(pools, block_table=table, kv_lengths=LENGTHS, **options)
        k = found["tensors"][1]
        gathered = task(pools, block_table=table, kv_lengths=LENGTHS, **options).problem.k
        records = np.frombuffer(found["segments"], dtype=RECORD)
        for record in records[: len(records) // B // HKV]:
            count = int(record["keys"]) & 0xFFFF
            rows = k[0, 0, record["row"] :][:count].view(np.float32)
            np.testing.assert_array_equal(rows, gathered[0, 0, record["first"] :][:count])


def test_pages_may_be_shared() -> None:
    """All keys of all batch entries in one page: the pool has fewer rows than there are keys."""
    pools, _ = paged(tensors(), 8, np.array([S, S]))
    pools |= {name: np.nan_to_num(pools[name][:1]) for name in "kv"}
    table, lengths = np.zeros((B, 3), int), np.array([20, 24])
    flat = {name: np.tile(pools[name], (B, 1, 3, 1)) for name in "kv"} | {"q": pools["q"]}
    np.testing.assert_array_equal(
        attention(pools, block_table=table, kv_lengths=lengths), attention(flat, kv_lengths=lengths)
    )
    found = placed(pools, block_table=table, kv_lengths=lengths)
    assert found["descriptor"].keys == 24 and found["tensors"][1].shape == (B, HKV, 24, E)


def bad(name: str, text: str, **options: Any) -> Any:
    return pytest.param(options, text, id=name)


MASK = "must broadcast to (B, Hq, L, S) = (2, 4, 5, 7), not have shape"
REFUSED = [
    bad("mask list", "attn_mask must be a NumPy array, not list", attn_mask=[[True]]),
    bad("mask type", "attn_mask must be boolean or of q's type float32, not float64; mask.astype('float32') converts "
        "it", attn_mask=np.zeros((L, S))),
    bad("mask of integers", "not int64; mask.astype(bool) converts it", attn_mask=np.zeros((L, S), int)),
    bad("short mask", f"attn_mask {MASK} (5, 6): it covers 6 of 7 keys; kv_lengths=6 hides the others, or pad it with "
        "False or -inf", attn_mask=np.ones((L, 6), bool)),
    bad("long mask", f"attn_mask {MASK} (5, 8)", attn_mask=np.ones((L, 8), bool)),
    bad("mask of rows", f"attn_mask {MASK} (4, 7)", attn_mask=np.ones((4, S), bool)),
    bad("mask of five", f"attn_mask {MASK} (1, 1, 1, 1, 7)", attn_mask=np.ones((1, 1, 1, 1, S), bool)),
    bad("window of one", "window must be a pair (left, right) of whole numbers, not 3; (3, 3) is 3 keys to both sides",
        window=3),
    bad("window of three", "window must be a pair (left, right) of whole numbers, not (1, 2, 3)", window=(1, 2, 3)),
    bad("window -2", "window's right must be -1 for no bound, or at least 0, not -2", window=(1, -2)),
    bad("window 1.5", "window's left must be a whole number, not 1.5", window=(1.5, 1)),
    bad("softcap -1", "softcap must be positive, or 0 or None for none, not -1", softcap=-1),
    bad("softcap nan", "softcap must be finite, not nan", softcap=math.nan),
    bad("softcap text", "softcap must be a number, not 'x'", softcap="x"),
    bad("slopes", "alibi_slopes must have shape (Hq,) = (4,) or (B, Hq) = (2, 4), not (2,)", alibi_slopes=[1.0, 2.0]),
    bad("slopes text", "alibi_slopes must hold numbers, not <U1", alibi_slopes=["a"] * HQ),
    bad("slopes inf", "alibi_slopes must be finite, not inf", alibi_slopes=[0, 0, 0, INF]),
    bad("sink", "sink must have shape (Hq,) = (4,), not (2, 4)", sink=np.zeros((B, HQ))),
    bad("sink nan", "sink must be finite, or -inf for all heads, not nan for head 1", sink=[0, math.nan, 0, 0]),
    bad("sink -inf", "sink must be finite, or -inf for all heads, not -inf for head 2; heads without a sink beside "
        "heads with one can take -1000", sink=[0, 0, -INF, 0]),
    bad("sink far", "sink must lie in -1000 .. 1000, not -1001", sink=[0, -1001, 0, 7]),
    bad("dropout 1", "dropout_p must lie in 0 .. 1, 1 not included, not 1.0", dropout_p=1),
    bad("dropout -1", "dropout_p must lie in 0 .. 1, 1 not included, not -0.5", dropout_p=-0.5),
    bad("seed", "dropout_seed must lie in 0 .. 2147483647, not -1", dropout_p=0.5, dropout_seed=-1),
    bad("seed 0.5", "dropout_seed must be a whole number, not 0.5", dropout_p=0.5, dropout_seed=0.5),
    bad("seed alone", "dropout_seed=3 has no effect without dropout_p", dropout_seed=3),
    bad("causal twice", "causal='top_left' and is_causal=True say the same thing twice", causal="top_left",
        is_causal=True),
    bad("causal and offset", "causal=1 and causal_offset=1 say the same thing twice", causal=1, causal_offset=1),
    bad("causal text", "unknown causal alignment 'topleft'; did you mean 'top_left'? allowed: bottom_right, top_left",
        causal="topleft"),
    bad("causal True", "causal must be 'top_left', 'bottom_right' or an offset, not True; is_causal=True is 'top_left'",
        causal=True),
    bad("causal 0.5", "causal must be a whole number, not 0.5", causal=0.5),
    bad("causal of three", "causal must be a whole number or one for each of 2 batch entries, got int64 of shape (3,)",
        causal=[1, 2, 3]),
    bad("causal far", "causal must lie in -1048576 .. 1048576, not 1048577", causal=[0, 2**20 + 1]),
    bad("score_mod", "score_mod must be a function of (score, b, h, q_idx, kv_idx), not 3", score_mod=3),
    bad("mask_mod", "mask_mod must be a function of (b, h, q_idx, kv_idx), not 'causal'", mask_mod="causal"),
    bad("arguments", "score_arguments must map names to numbers, not be [1]", score_arguments=[1]),
    bad("arguments of nothing", "score_arguments gives slope, but no score function is used that has arguments",
        score_arguments={"slope": 1}),
    bad("table", "block_table must hold page numbers of shape (B, pages) = (2, at least 1), got int64 of shape (3,)",
        block_table=[1, 2, 3]),
    bad("table without lengths", "a block_table needs kv_lengths", block_table=[[0], [1]]),
    bad("page", "block_table[1, 0] must lie in 0 .. 1 (the pages of k), not 2", block_table=[[0], [2]], kv_lengths=5),
    bad("page -1", "block_table[0, 1] must lie in 0 .. 1 (the pages of k), not -1", block_table=[[0, -1], [1, 0]],
        kv_lengths=8),
    bad("long", "kv_lengths must lie in 0 .. 14 (2 pages of 7 rows), not 15", block_table=[[0, 1], [1, 0]],
        kv_lengths=15),
    bad("block mask", "block_mask must be of hwgen.scoremod.block_list.create_block_mask, not ndarray",
        block_mask=np.ones((1, 1))),
    bad("block mask of others", "block_mask must be for (B, Hq, L, S) = (2, 4, 5, 7), B and Hq 1 for all, not (1, 1, "
        "5, 6)", block_mask=create_block_mask(lambda b, h, q, kv: q >= kv, None, None, L, S - 1, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("options", "text"), REFUSED)
def test_refused(options: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> None:
        raise AssertionError("a backend was called")

    monkeypatch.setattr(functional, "BACKENDS", dict.fromkeys(functional.BACKENDS, nothing))
    with pytest.raises(InputError, match=re.escape(text)):
        attention(**options)


@pytest.mark.parametrize(
    ("k", "v", "text"),
    [
        ((2, 3, 8), (2, 2, 3, 6), "with a block_table k must be a pool (pages, Hkv, page size, elements), not"),
        ((2, 2, 3, 8), (0, 2, 3, 6), "with a block_table v must be a pool (pages, Hkv, page size, elements), not"),
        ((2, 2, 3, 8), (2, 2, 4, 6), "the pools k and v must agree in pages, heads and page size, got (2, 2, 3, 8)"),
    ],
)
def test_pools_that_are_none(k: tuple[int, ...], v: tuple[int, ...], text: str) -> None:
    pools = {"q": tensors()["q"], "k": np.zeros(k, np.float32), "v": np.zeros(v, np.float32)}
    with pytest.raises(InputError, match=re.escape(text)):
        attention(pools, block_table=[[0], [1]], kv_lengths=2)
