"""Exact attention against a reference that treats one query at a time with Python's own arithmetic."""

import math
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.exact import Result, Shape, attention, check_shapes

Array = npt.NDArray[np.float64]
NAN, INF = math.nan, math.inf


def random_problem(seed: int, shape: Shape) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    b, hq, hkv, queries, keys, e, f = shape
    return rng.normal(size=(b, hq, queries, e)), rng.normal(size=(b, hkv, keys, e)), rng.normal(size=(b, hkv, keys, f))


def one_query(
    q: list[float], k: list[list[float]], v: list[list[float]], width: int, scale: float
) -> tuple[Any, float]:
    """Output and lse of one query that sees exactly the rows given."""
    if not k:
        return [0.0] * width, -INF
    if not all(math.isfinite(x) for row in (q, *k, *v) for x in row):
        return [NAN] * width, NAN
    scores = [scale * math.fsum(x * y for x, y in zip(q, row, strict=True)) for row in k]
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = math.fsum(weights)
    out = [math.fsum(w * row[f] for w, row in zip(weights, v, strict=True)) / total for f in range(width)]
    return out, top + math.log(total)


def reference(
    q: Array,
    k: Array,
    v: Array,
    *,
    scale: float | None = None,
    causal: bool = False,
    offset: int = 0,
    key_lengths: Any = None,
) -> Result:
    shape = check_shapes(q, k, v)
    out, lse = np.empty((*q.shape[:3], shape.F)), np.empty(q.shape[:3])
    for b, h, i in np.ndindex(*q.shape[:3]):
        length = shape.S if key_lengths is None else key_lengths if isinstance(key_lengths, int) else key_lengths[b]
        seen = [j for j in range(shape.S) if j < length and (not causal or j <= i + offset)]
        g = h * shape.Hkv // shape.Hq
        rows = k[b, g, seen].tolist(), v[b, g, seen].tolist()
        factor = shape.E**-0.5 if scale is None else scale
        out[b, h, i], lse[b, h, i] = one_query(q[b, h, i].tolist(), *rows, shape.F, factor)
    return Result(out, lse)


def assert_close(got: Result, want: Result) -> None:
    """Equal but for the order of float64 sums; NaN, infinity and the zeros of empty queries exactly."""
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    empty = np.isneginf(want.lse)
    assert np.array_equal(np.isneginf(got.lse), empty)
    assert not got.out[empty].any()


def assert_same(got: Result, want: Result) -> None:
    """Equal bit for bit, NaN in the same places."""
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(got, want, strict=True))


SMALL = Shape(B=2, Hq=2, Hkv=2, L=5, S=7, E=4, F=3)


@pytest.mark.parametrize("seed", [1, 2, 3], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize(
    "shape",
    [
        SMALL,
        Shape(B=1, Hq=1, Hkv=1, L=1, S=1, E=1, F=1),
        Shape(B=1, Hq=6, Hkv=2, L=3, S=5, E=8, F=2),
        Shape(B=2, Hq=4, Hkv=1, L=4, S=3, E=2, F=5),
        Shape(B=1, Hq=1, Hkv=1, L=9, S=2, E=3, F=3),
    ],
    ids=str,
)
def test_random(shape: Shape, seed: int) -> None:
    q, k, v = random_problem(seed, shape)
    assert_close(attention(q, k, v), reference(q, k, v))


@pytest.mark.parametrize("offset", [-9, -5, -4, -1, 0, 1, 2, 6, 7, 30, 10**30, -(10**30)])
@pytest.mark.parametrize("lengths", [None, 3, [7, 2], [0, 5]], ids=str)
def test_causal_offsets_and_lengths(offset: int, lengths: Any) -> None:
    q, k, v = random_problem(4, SMALL)
    choice: dict[str, Any] = {"causal": True, "offset": offset, "key_lengths": lengths}
    assert_close(attention(q, k, v, **choice), reference(q, k, v, **choice))


def test_offset_without_causal_has_no_effect() -> None:
    q, k, v = random_problem(5, SMALL)
    assert_same(attention(q, k, v, offset=-3), attention(q, k, v))


def test_grouped_heads_repeat_and_do_not_tile() -> None:
    q, k, v = random_problem(6, Shape(B=2, Hq=6, Hkv=3, L=4, S=5, E=4, F=4))
    assert_same(attention(q, k, v), attention(q, np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1)))


@pytest.mark.parametrize("scale", [0.0, -0.5, 1.0, 40.0])
def test_scale(scale: float) -> None:
    q, k, v = random_problem(7, SMALL)
    assert_close(attention(q, k, v, scale=scale), reference(q, k, v, scale=scale))


def test_default_scale_is_one_over_root_of_e() -> None:
    q, k, v = random_problem(8, Shape(B=1, Hq=1, Hkv=1, L=3, S=4, E=16, F=2))
    assert_same(attention(q, k, v), attention(q, k, v, scale=0.25))


def test_scores_beyond_the_range_of_exp() -> None:
    q, k, v = random_problem(9, SMALL)
    assert_close(attention(1e3 * q, 1e3 * k, v), reference(1e3 * q, 1e3 * k, v))


def test_equal_scores_average_the_values() -> None:
    v = np.arange(8.0).reshape(1, 1, 8, 1)
    out, lse = attention(np.zeros((1, 1, 2, 3)), np.ones((1, 1, 8, 3)), v)
    assert np.all(out == 3.5)
    assert np.all(lse == math.log(8))


def test_no_keys_at_all() -> None:
    q, k, v = random_problem(10, SMALL._replace(S=0))
    q[0, 0, 0, 0] = NAN
    assert_same(attention(q, k, v), Result(np.zeros((2, 2, 5, 3)), np.full((2, 2, 5), -INF)))
    assert_same(attention(q, k, v, causal=True, key_lengths=0), attention(q, k, v))


@pytest.mark.parametrize("shape", [SMALL._replace(B=0), SMALL._replace(L=0)], ids=str)
def test_nothing_to_do(shape: Shape) -> None:
    result = attention(*random_problem(11, shape))
    assert result.out.shape == (shape.B, shape.Hq, shape.L, shape.F)
    assert result.lse.shape == (shape.B, shape.Hq, shape.L)


@pytest.mark.parametrize("poison", [NAN, INF, -INF], ids=str)
@pytest.mark.parametrize("tensor", ["k", "v"])
def test_a_poisoned_row_reaches_every_query_that_sees_it(tensor: str, poison: float) -> None:
    q, k, v = random_problem(12, SMALL)
    {"k": k, "v": v}[tensor][0, 1, 3, 2] = poison
    got = attention(q, k, v, causal=True, offset=1)
    assert_close(got, reference(q, k, v, causal=True, offset=1))
    # Key 3 is seen from query 2 on, by the one head that reads it.
    hit = np.zeros((2, 2, 5), bool)
    hit[0, 1, 2:] = True
    assert np.array_equal(np.isnan(got.lse), hit)
    assert np.array_equal(np.isnan(got.out), np.broadcast_to(hit[..., None], got.out.shape))


@pytest.mark.parametrize("garbage", [NAN, INF, -INF, 1.7e308], ids=str)
def test_masked_rows_are_never_looked_at(garbage: float) -> None:
    q, k, v = random_problem(13, SMALL)
    clean = attention(q, k, v, key_lengths=[4, 6])
    for b, length in enumerate((4, 6)):
        k[b, :, length:] = garbage
        v[b, :, length:] = garbage
    assert_same(attention(q, k, v, key_lengths=[4, 6]), clean)


@pytest.mark.parametrize("garbage", [NAN, INF, 1e300], ids=str)
def test_a_row_masked_for_some_queries_leaves_those_alone(garbage: float) -> None:
    q, k, v = random_problem(14, SMALL)
    clean = attention(q, k, v, causal=True)
    k[:, :, 4] = garbage
    v[:, :, 4] = garbage
    got = attention(q, k, v, causal=True)
    assert_same(Result(got.out[:, :, :4], got.lse[:, :, :4]), Result(clean.out[:, :, :4], clean.lse[:, :, :4]))


def test_the_first_of_several_poisoned_rows_counts() -> None:
    q, k, v = random_problem(15, SMALL)
    k[0, 0, 5, 0] = v[0, 0, 2, 0] = NAN
    assert_close(attention(q, k, v, causal=True), reference(q, k, v, causal=True))


@pytest.mark.parametrize("poison", [NAN, INF, -INF], ids=str)
def test_a_poisoned_query_is_nan_unless_it_sees_nothing(poison: float) -> None:
    q, k, v = random_problem(16, SMALL)
    q[:, :, 1:3, 0] = poison
    got = attention(q, k, v, causal=True, offset=-2)
    assert_close(got, reference(q, k, v, causal=True, offset=-2))
    assert np.all(got.out[:, :, 1] == 0.0)
    assert np.isnan(got.out[:, :, 2]).all()
    assert np.isnan(got.lse[:, :, 2]).all()


def test_inputs_are_left_as_they_were() -> None:
    q, k, v = random_problem(17, SMALL)
    q[0, 0, 0, 0] = k[0, 0, 1, 0] = v[0, 0, 2, 0] = NAN
    copies = q.copy(), k.copy(), v.copy()
    attention(q, k, v, causal=True)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip((q, k, v), copies, strict=True))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_inputs_are_widened_first(dtype: type[np.floating[Any]]) -> None:
    q, k, v = (x.astype(dtype) for x in random_problem(18, SMALL))
    assert_same(attention(q, k, v), attention(*(x.astype(np.float64) for x in (q, k, v))))


@pytest.mark.parametrize(("queries", "scores"), [(2, 1 << 22), (1024, 15), (1, 1), (1024, 1)])
def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, queries: int, scores: int) -> None:
    q, k, v = random_problem(19, SMALL)
    q[0, 0, 4, 0] = k[1, 1, 3, 0] = NAN
    choice: dict[str, Any] = {"causal": True, "offset": 1, "key_lengths": [7, 5]}
    want = attention(q, k, v, **choice)
    monkeypatch.setattr(exact, "BLOCK_QUERIES", queries)
    monkeypatch.setattr(exact, "BLOCK_SCORES", scores)
    assert_close(attention(q, k, v, **choice), want)


def test_long_sequences_fit_in_memory() -> None:
    q, k, v = random_problem(20, Shape(B=1, Hq=1, Hkv=1, L=1024, S=16384, E=2, F=1))
    tracemalloc.start()
    try:
        attention(q, k, v, causal=True, offset=16384 - 1024)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_check_shapes_names_the_sizes() -> None:
    shape = check_shapes(np.zeros((2, 6, 5, 4)), np.zeros((2, 3, 7, 4)), np.zeros((2, 3, 7, 9)))
    assert shape == Shape(B=2, Hq=6, Hkv=3, L=5, S=7, E=4, F=9)


@pytest.mark.parametrize(
    ("q", "k", "v", "message"),
    [
        ((1, 2, 3), (1, 1, 2, 3), (1, 1, 2, 3), r"q must have 4 dimensions .*, got shape \(1, 2, 3\)"),
        ((1, 1, 2, 3), (1, 1, 2, 3), (1, 1, 2, 3, 1), r"v must have 4 dimensions"),
        ((1, 1, 2, 0), (1, 1, 2, 0), (1, 1, 2, 3), r"q must have at least one head and one element"),
        ((1, 1, 2, 3), (1, 0, 2, 3), (1, 0, 2, 3), r"k must have at least one head and one element"),
        ((1, 1, 2, 3), (1, 1, 2, 3), (1, 1, 4, 3), r"k and v must agree in batch, heads and keys"),
        ((2, 1, 2, 3), (1, 1, 2, 3), (1, 1, 2, 3), r"same batch size, got 2 and 1"),
        ((1, 1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 3), r"same head dimension, got 3 and 4"),
        ((1, 3, 2, 3), (1, 2, 2, 3), (1, 2, 2, 3), r"query heads must be a multiple of key/value heads, got 3 and 2"),
        ((1, 1, 2, 3), (1, 2, 2, 3), (1, 2, 2, 3), r"query heads must be a multiple of key/value heads, got 1 and 2"),
    ],
)
def test_bad_shapes(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention(np.zeros(q), np.zeros(k), np.zeros(v))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (8, r"must be 0 to 7, got 8"),
        (-1, r"must be 0 to 7, got -1"),
        ([3, 8], r"must be 0 to 7, got \[3, 8\]"),
        ([1, 2, 3], r"an integer or 2 integers, got int64 of shape \(3,\)"),
        ([[1, 2]], r"an integer or 2 integers, got int64 of shape \(1, 2\)"),
        (3.0, r"an integer or 2 integers, got float64 of shape \(\)"),
        (True, r"an integer or 2 integers, got bool of shape \(\)"),
    ],
)
def test_bad_lengths(lengths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention(*random_problem(21, SMALL), key_lengths=lengths)


def test_other_bad_arguments() -> None:
    q, k, v = random_problem(22, SMALL)
    with pytest.raises(ValueError, match="k must be of a float type, got uint16"):
        attention(q, k.astype(np.uint16), v)
    with pytest.raises(ValueError, match="scale must be finite, got inf"):
        attention(q, k, v, scale=INF)
    with pytest.raises(TypeError, match="float"):
        attention(q, k, v, causal=True, offset=1.5)  # type: ignore[arg-type]
