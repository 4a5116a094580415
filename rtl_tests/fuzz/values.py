"""What tensors hold: each recipe is a way in which numbers can be nasty to an online softmax.

A recipe gives q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F) as values or as codes; `tensors` makes codes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from golden.formats import CodeArray, FloatFormat, encode

if TYPE_CHECKING:
    from rtl_tests.fuzz.cases import Job

Tensors = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
Recipe = Callable[[np.random.Generator, FloatFormat, list[tuple[int, ...]]], list[NDArray[Any]]]

POISON = ("none", "seen", "masked", "anywhere")
"""Where NaN and infinities are put: in a key that some query may see, in keys behind every mask, in any row."""


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.choice([-1.0, 1.0], shape)


def normal(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    return [rng.standard_normal(shape) for shape in shapes]


def rising(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Every key is the largest so far by more than a factor of two: each rescales all before it."""
    q, k, v = normal(rng, fmt, shapes)
    k = np.zeros(shapes[1])
    k[..., 0] = np.arange(shapes[1][2])
    q[..., 0] = rng.uniform(1, 3, shapes[0][:3])
    return [q, k, v]


def falling(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """The first key is the largest, those behind it vanish step by step."""
    q, k, v = rising(rng, fmt, shapes)
    return [q, -k, v]


def ties(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Few different keys, with whole numbers: many scores are the same, and on the edge of a rescale."""
    q, k = (rng.integers(-1, 2, shape).astype(float) for shape in shapes[:2])
    k = k[:, :, rng.integers(0, min(2, k.shape[2]), k.shape[2])]
    return [q, k, rng.standard_normal(shapes[2])]


def zeros(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Zeros of both signs."""
    return [np.copysign(0.0, _signs(rng, shape)) for shape in shapes]


def sinks(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """One key draws nearly all weight, wherever it stands."""
    q, k, v = normal(rng, fmt, shapes)
    q = np.abs(q)
    k[:, :, int(rng.integers(shapes[1][2]))] = 12.0
    return [q, k, v]


def equal(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """One number everywhere."""
    return [np.full(shape, float(rng.normal())) for shape in shapes]


def one_hot(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """One number a row."""
    arrays = [np.zeros(shape) for shape in shapes]
    for array in arrays:
        place = rng.integers(0, array.shape[3], (*array.shape[:3], 1))
        np.put_along_axis(array, place, rng.choice([1.0, -1.0, 8.0], place.shape), axis=3)
    return arrays


def outliers(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """A channel and some rows are far larger than all others."""
    arrays = normal(rng, fmt, shapes)
    for array in arrays:
        array *= 2.0 ** rng.integers(-8, 9, (*array.shape[:3], 1))
        array[..., int(rng.integers(array.shape[3]))] *= 64
    return arrays


def unlike(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Rows of all sizes the format has."""
    span = fmt.bias - 1
    return [rng.standard_normal(s) * 2.0 ** rng.integers(-span, span - 2, (*s[:3], 1)) for s in shapes]


def _codes(
    rng: np.random.Generator, fmt: FloatFormat, shape: tuple[int, ...], low: int, high: int
) -> NDArray[np.unsignedinteger]:
    """Magnitudes low .. high - 1 of either sign."""
    return (rng.integers(low, high, shape) | rng.integers(0, 2, shape) << (fmt.bits - 1)).astype(fmt.dtype)


def subnormal(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Smaller than the smallest normal number, some queries excepted so that scores are not all zero."""
    q, k, v = (_codes(rng, fmt, shape, 0, 1 << fmt.mantissa_bits) for shape in shapes)
    loud = rng.random(q.shape[:3]) < 0.5
    q[loud] = _codes(rng, fmt, q[loud].shape, fmt.infinity - (1 << fmt.mantissa_bits), fmt.infinity)
    return [q, k, v]


def largest(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """The largest finite number, of either sign."""
    return [_codes(rng, fmt, shape, fmt.infinity - 1, fmt.infinity) for shape in shapes]


def finite(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Any code but NaN and infinity."""
    return [_codes(rng, fmt, shape, 0, fmt.infinity) for shape in shapes]


def bits(rng: np.random.Generator, fmt: FloatFormat, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Any code."""
    return [_codes(rng, fmt, shape, 0, 1 << (fmt.bits - 1)) for shape in shapes]


_ALL: tuple[Recipe, ...] = (
    *(normal, rising, falling, ties, zeros, sinks, equal, one_hot, outliers, unlike),
    *(subnormal, largest, finite, bits),
)
RECIPES = tuple(recipe.__name__ for recipe in _ALL)


def tensors(job: Job, fmt: FloatFormat) -> tuple[CodeArray, CodeArray, CodeArray]:
    """Codes q, k and v of a job."""
    rng = np.random.default_rng([job.seed, 1])
    heads = job.kv_heads * job.group
    shapes = [(job.batches, heads, job.queries, job.head_e)]
    shapes += [(job.batches, job.kv_heads, job.keys, width) for width in (job.head_e, job.head_f)]
    arrays = [
        array if array.dtype.kind == "u" else encode(array, fmt)
        for array in _ALL[RECIPES.index(job.values)](rng, fmt, shapes)
    ]
    if job.layout == "shared":
        # What is shared has to be the same.
        arrays[1:] = [np.broadcast_to(array[:, :1], array.shape).copy() for array in arrays[1:]]
    poison(job, fmt, arrays)
    return arrays[0], arrays[1], arrays[2]


def seen_keys(job: Job) -> NDArray[np.bool_]:
    """(B, S): keys that lengths and the causal mask show to some query."""
    lengths = np.array(job.lengths or (job.keys,) * job.batches)
    last = np.arange(job.keys) <= (job.queries - 1 + job.offset if job.causal else job.keys)
    return last & (np.arange(job.keys) < lengths[:, None])


def poison(job: Job, fmt: FloatFormat, arrays: list[CodeArray]) -> None:
    """Put NaN and infinities where the job says, as far as there are such places."""
    rng = np.random.default_rng([job.seed, 2])
    bad = np.array([fmt.infinity, fmt.infinity | 1 << (fmt.bits - 1), fmt.quiet_nan, fmt.infinity | 1], fmt.dtype)
    seen = seen_keys(job)
    places = {"none": np.zeros_like(seen), "seen": seen, "masked": ~seen, "anywhere": np.ones_like(seen)}[job.poison]
    rows = np.argwhere(places)
    if len(rows) == 0:
        return
    # Behind masks nobody looks: there all may be poisoned.
    chosen = rows if job.poison == "masked" else rows[rng.integers(len(rows), size=1 + len(rows) // 16)]
    heads = range(job.kv_heads) if job.layout == "shared" else (int(rng.integers(job.kv_heads)),)
    target = arrays[int(rng.integers(1, 3))]
    for b, row in chosen:
        column, code = int(rng.integers(target.shape[3])), rng.choice(bad)
        for head in heads:
            target[b, head, row, column] = code
    if job.poison == "anywhere":
        q = arrays[0].reshape(-1)
        q[rng.integers(q.size)] = rng.choice(bad)
