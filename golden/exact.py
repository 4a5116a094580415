"""Attention in float64: the answer that every rounded result is measured against.

Shapes carry the letters B batch, Hq query heads, Hkv key/value heads, L queries, S keys, E query/key head dimension
and F value head dimension. Query head h reads key/value head h // (Hq // Hkv).
"""

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Of one head: score (n, S), b, h, positions of queries (n, 1) and of keys (1, S); what they give broadcasts to (n, S),
# a sink to (n, 1).
ScoreMod = Callable[[FloatArray, int, int, IntArray, IntArray], npt.ArrayLike]
MaskMod = Callable[[int, int, IntArray, IntArray], npt.ArrayLike]
Sink = Callable[[int, int, IntArray], npt.ArrayLike]

# Queries worked on at once, and a bound on their number times S: a block of scores takes at most 32 MiB.
BLOCK_QUERIES = 1024
BLOCK_SCORES = 1 << 22


class Shape(NamedTuple):
    """Sizes of one attention problem, see the module for the letters."""

    B: int
    Hq: int
    Hkv: int
    L: int
    S: int
    E: int
    F: int


class Result(NamedTuple):
    """`out` (B, Hq, L, F) and `lse` (B, Hq, L), the natural log of each query's sum of exponentials; both float64."""

    out: FloatArray
    lse: FloatArray


def check_shapes(q: npt.NDArray[Any], k: npt.NDArray[Any], v: npt.NDArray[Any]) -> Shape:
    """Sizes of q (B, Hq, L, E), k (B, Hkv, S, E) and v (B, Hkv, S, F), which may hold codes or numbers.

    Raises
    ------
    ValueError
        If a rank is not 4, sizes that must agree do not, Hq is not a multiple of Hkv, or a size that must be at least
        one (Hq, Hkv, E, F) is zero. B, L and S may be zero.
    """
    for name, array in (("q", q), ("k", k), ("v", v)):
        if array.ndim != 4:
            raise ValueError(f"{name} must have 4 dimensions (batch, head, row, element), got shape {array.shape}")
        if 0 in (array.shape[1], array.shape[3]):
            raise ValueError(f"{name} must have at least one head and one element a row, got shape {array.shape}")
    if k.shape[:3] != v.shape[:3]:
        raise ValueError(f"k and v must agree in batch, heads and keys, got {k.shape} and {v.shape}")
    if q.shape[0] != k.shape[0]:
        raise ValueError(f"q and k must have the same batch size, got {q.shape[0]} and {k.shape[0]}")
    if q.shape[3] != k.shape[3]:
        raise ValueError(f"q and k must have the same head dimension, got {q.shape[3]} and {k.shape[3]}")
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"query heads must be a multiple of key/value heads, got {q.shape[1]} and {k.shape[1]}")
    return Shape(q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3])


def attention(
    q: npt.NDArray[np.floating[Any]],
    k: npt.NDArray[np.floating[Any]],
    v: npt.NDArray[np.floating[Any]],
    *,
    scale: float | None = None,
    causal: bool = False,
    offset: int = 0,
    key_lengths: npt.ArrayLike | None = None,
    score_mod: ScoreMod | None = None,
    mask_mod: MaskMod | None = None,
    sink: Sink | None = None,
    keep: MaskMod | None = None,
    keep_probability: float = 1.0,
) -> Result:
    """softmax(scale * q k^T) v over the keys each query sees, in float64.

    Parameters
    ----------
    q, k, v
        (B, Hq, L, E), (B, Hkv, S, E), (B, Hkv, S, F), of a float type.
    scale
        Factor on the scores, 1/sqrt(E) by default.
    causal, offset
        If causal, query i sees key j only if j <= i + offset; the offset may be negative. Otherwise it has no effect.
    key_lengths
        Integer or integers (B,): keys from there on are masked. S by default.
    score_mod
        `score_mod(score, b, h, q, kv)` gives the scores in place of the scaled ones, for n queries of one head: score
        (n, S) float64, b and h integers, q (n, 1) and kv (1, S) int64. -inf hides the key.
    mask_mod
        `mask_mod(b, h, q, kv)`: false hides the key.
    sink
        `sink(b, h, q)`, a number or (n, 1): a score that takes part in the sum of exponentials and gives no value; -inf
        is none.
    keep, keep_probability
        `keep(b, h, q, kv)`: where false, the key's value does not take part; the weights of the others, not the sum
        of exponentials, are divided by keep_probability.

    What hides a key by one rule need not make sense where another one hides it.

    A query that sees no key gives 0 and an lse of -inf, or its sink. A key or value row holding NaN or infinity is
    poisoned and turns every query that sees it into NaN, lse included; a query row holding either becomes NaN if it
    sees any key. What a masked row holds has no influence. The score of a poisoned pair is NaN before score_mod, and a
    score of NaN or infinity behind it turns a query that sees the key into NaN. Scores must stay in the range of
    float64, as those of fp32 inputs do.

    Raises
    ------
    ValueError
        If shapes do not fit (see `check_shapes`), an input is not of a float type, `scale` is not finite,
        `key_lengths` has a wrong type or shape or leaves 0..S, or `keep_probability` is not above 0 and at most 1.
    TypeError
        If `offset` is not an integer.
    """
    shape = check_shapes(q, k, v)
    scale = _checked_scale(q, k, v, scale)
    limits = _key_limits(shape, causal, operator.index(offset), key_lengths)
    if not 0.0 < keep_probability <= 1.0:
        raise ValueError(f"keep_probability must lie above 0 and not above 1, got {keep_probability!r}")
    rules = _Rules(score_mod, mask_mod, sink, keep, keep_probability)
    out = np.zeros((shape.B, shape.Hq, shape.L, shape.F))
    lse = np.full((shape.B, shape.Hq, shape.L), -np.inf)
    for b in range(shape.B):
        for g in range(shape.Hkv):
            head = _KeyValueHead.read(k[b, g], v[b, g])
            group = shape.Hq // shape.Hkv
            for h in range(g * group, (g + 1) * group):
                for rows in _query_blocks(shape):
                    if rules == _Rules():
                        part = _attend(q[b, h, rows], head, scale, limits[b, rows])
                    else:
                        part = _attend_ruled(q[b, h, rows], head, scale, limits[b, rows], rules, (b, h, rows.start))
                    out[b, h, rows], lse[b, h, rows] = part
    return Result(out, lse)


class _Rules(NamedTuple):
    """What callers may choose for single pairs, see `attention`; by default nothing."""

    score_mod: ScoreMod | None = None
    mask_mod: MaskMod | None = None
    sink: Sink | None = None
    keep: MaskMod | None = None
    keep_probability: float = 1.0


class _KeyValueHead(NamedTuple):
    """keys (S, E) as read, values (S, F) with poisoned rows zeroed, which rows are poisoned (S,), the first (or S)."""

    keys: FloatArray
    values: FloatArray
    poisoned: BoolArray
    first_poison: int

    @classmethod
    def read(cls, k: npt.NDArray[Any], v: npt.NDArray[Any]) -> "_KeyValueHead":
        keys, values = k.astype(np.float64), v.astype(np.float64)
        poisoned = np.logical_not(np.isfinite(keys).all(axis=-1) & np.isfinite(values).all(axis=-1))
        # A masked score is replaced whatever it is, but 0 times NaN would carry a masked value into the output.
        values[poisoned] = 0.0
        return cls(keys, values, poisoned, int(np.argmax(poisoned)) if poisoned.any() else len(keys))


def _checked_scale(q: npt.NDArray[Any], k: npt.NDArray[Any], v: npt.NDArray[Any], scale: float | None) -> float:
    """The scale to use, after refusing what is not of a float type or not finite."""
    for name, array in (("q", q), ("k", k), ("v", v)):
        if array.dtype.kind != "f":
            raise ValueError(f"{name} must be of a float type, got {array.dtype}")
    if scale is None:
        return 1.0 / math.sqrt(q.shape[3])
    if not math.isfinite(scale):
        raise ValueError(f"scale must be finite, got {scale!r}")
    return scale


def _key_limits(shape: Shape, causal: bool, offset: int, key_lengths: npt.ArrayLike | None) -> IntArray:
    """How many leading keys each query sees, (B, L): every mask offered here leaves a prefix of the keys."""
    lengths = np.asarray(shape.S if key_lengths is None else key_lengths)
    if lengths.dtype.kind not in "iu" or lengths.shape not in ((), (shape.B,)):
        raise ValueError(
            f"key_lengths must be an integer or {shape.B} integers, got {lengths.dtype} of shape {lengths.shape}"
        )
    if np.any((lengths < 0) | (lengths > shape.S)):
        raise ValueError(f"key_lengths must be 0 to {shape.S}, got {lengths.tolist()}")
    limits = np.broadcast_to(lengths.astype(np.int64).reshape(-1, 1), (shape.B, shape.L))
    if not causal:
        return limits
    # Further out an offset changes nothing, and clamped it cannot overflow.
    offset = max(-shape.L, min(offset, shape.S))
    return np.clip(np.arange(shape.L) + offset + 1, 0, limits)


def _query_blocks(shape: Shape) -> Iterator[slice]:
    """Slices that cover the L queries, each short enough for its scores to fit `BLOCK_SCORES`."""
    step = max(1, min(BLOCK_QUERIES, BLOCK_SCORES // max(1, shape.S)))
    return (slice(start, start + step) for start in range(0, shape.L, step))


def _attend(q: npt.NDArray[Any], head: _KeyValueHead, scale: float, limits: IntArray) -> tuple[FloatArray, FloatArray]:
    """Outputs (n, F) and lse (n,) of n queries (n, E), each over the first `limits` (n,) keys of one head."""
    queries = q.astype(np.float64)
    poisoned = (limits > head.first_poison) | ((limits > 0) & ~np.isfinite(queries).all(axis=-1))
    queries[poisoned] = 0.0
    longest = int(limits.max())
    # Rows that are masked, or seen by poisoned queries only, may overflow here or meet 0 times infinity.
    with np.errstate(over="ignore", invalid="ignore"):
        qk = queries @ head.keys[:longest].T
        qk *= scale
    qk[np.arange(longest) >= limits[:, None]] = -np.inf
    empty = limits == 0
    rm = np.where(empty, 0.0, qk.max(axis=-1, initial=-np.inf))
    qk -= rm[:, None]
    sln = np.exp(qk, out=qk)
    # An empty query divides 0 by 1; every other sum is at least 1, the weight of its own maximum.
    rd = np.where(empty, 1.0, sln.sum(axis=-1))
    av = sln @ head.values[:longest] / rd[:, None]
    lse = np.where(empty, -np.inf, rm + np.log(rd))
    av[poisoned] = np.nan
    lse[poisoned] = np.nan
    return av, lse


def _attend_ruled(
    q: npt.NDArray[Any],
    head: _KeyValueHead,
    scale: float,
    limits: IntArray,
    rules: _Rules,
    place: tuple[int, int, int],
) -> tuple[FloatArray, FloatArray]:
    """As `_attend`, with rules; `place` is batch, query head and position of the first query."""
    b, h, first = place
    n, keys = len(q), len(head.keys)
    queries = q.astype(np.float64)
    i, j = first + np.arange(n)[:, None], np.arange(keys)[None, :]
    poisoned_pairs = head.poisoned[None, :] | ~np.isfinite(queries).all(axis=-1, keepdims=True)
    # Pairs that are not seen may overflow wherever a number is made of them.
    with np.errstate(all="ignore"):
        qk = np.where(poisoned_pairs, np.nan, queries @ head.keys.T * scale)
        if rules.score_mod is not None:
            qk = np.broadcast_to(np.asarray(rules.score_mod(qk, b, h, i, j), dtype=np.float64), qk.shape)
        seen = (j < limits[:, None]) & ~np.isneginf(qk)
        if rules.mask_mod is not None:
            seen = seen & np.asarray(rules.mask_mod(b, h, i, j), dtype=bool)
        kept = seen
        if rules.keep is not None:
            kept = seen & np.asarray(rules.keep(b, h, i, j), dtype=bool)
        sink = np.full(n, -np.inf)
        if rules.sink is not None:
            sink = np.broadcast_to(np.asarray(rules.sink(b, h, i), dtype=np.float64), (n, 1))[:, 0]
    poisoned = (seen & (poisoned_pairs | ~np.isfinite(qk))).any(axis=-1) | np.isnan(sink) | np.isposinf(sink)
    qk = np.where(seen & ~poisoned[:, None], qk, -np.inf)
    rm = np.maximum(qk.max(axis=-1, initial=-np.inf), np.where(poisoned, -np.inf, sink))
    nothing = np.isneginf(rm)
    rm = np.where(nothing, 0.0, rm)
    sln = np.exp(qk - rm[:, None])
    rd = np.where(nothing, 1.0, sln.sum(axis=-1) + np.exp(np.where(poisoned, -np.inf, sink) - rm))
    av = np.where(kept, sln, 0.0) @ head.values / (rd[:, None] * rules.keep_probability)
    lse = np.where(nothing, -np.inf, rm + np.log(rd))
    av[poisoned] = np.nan
    lse[poisoned] = np.nan
    return av, lse
