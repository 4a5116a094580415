"""Attention in float64: the answer that every rounded result is measured against.

Shapes carry the letters B batch, Hq query heads, Hkv key/value heads, L queries, S keys, E query/key head dimension
and F value head dimension. Query head h reads key/value head h // (Hq // Hkv).
"""

import math
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

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

    A query that sees no key gives 0 and an lse of -inf. A key or value row holding NaN or infinity is poisoned and
    turns every query that sees it into NaN, lse included; a query row holding either becomes NaN if it sees any key.
    What a masked row holds has no influence. Scores must stay in the range of float64, as those of fp32 inputs do.

    Raises
    ------
    ValueError
        If shapes do not fit (see `check_shapes`), an input is not of a float type, `scale` is not finite, or
        `key_lengths` has a wrong type or shape or leaves 0..S.
    TypeError
        If `offset` is not an integer.
    """
    shape = check_shapes(q, k, v)
    scale = _checked_scale(q, k, v, scale)
    limits = _key_limits(shape, causal, operator.index(offset), key_lengths)
    out = np.zeros((shape.B, shape.Hq, shape.L, shape.F))
    lse = np.full((shape.B, shape.Hq, shape.L), -np.inf)
    for b in range(shape.B):
        for g in range(shape.Hkv):
            head = _KeyValueHead.read(k[b, g], v[b, g])
            group = shape.Hq // shape.Hkv
            for h in range(g * group, (g + 1) * group):
                for rows in _query_blocks(shape):
                    out[b, h, rows], lse[b, h, rows] = _attend(q[b, h, rows], head, scale, limits[b, rows])
    return Result(out, lse)


class _KeyValueHead(NamedTuple):
    """keys (S, E) as read, values (S, F) with poisoned rows zeroed, index of the first poisoned row (S if none)."""

    keys: FloatArray
    values: FloatArray
    first_poison: int

    @classmethod
    def read(cls, k: npt.NDArray[Any], v: npt.NDArray[Any]) -> "_KeyValueHead":
        keys, values = k.astype(np.float64), v.astype(np.float64)
        poisoned = ~(np.isfinite(keys).all(axis=-1) & np.isfinite(values).all(axis=-1))
        # A masked score is replaced whatever it is, but 0 times NaN would carry a masked value into the output.
        values[poisoned] = 0.0
        return cls(keys, values, int(np.argmax(poisoned)) if poisoned.any() else len(keys))


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
