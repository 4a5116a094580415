"""The arguments of `hwgen.attention`, checked: nothing is built before they make sense."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from golden.exact import Shape, check_shapes
from golden.formats import BF16, FP16, FP32, CodeArray, FloatFormat
from hwgen.config import did_you_mean
from hwgen.control.descriptor import MAX_COUNT
from hwgen.control.descriptor_rules import MAX_GROUP, MAX_LENGTH, MAX_QUERIES
from hwgen.errors import InputError
from hwgen.scoremod.block_list import BlockMask

FloatArray = NDArray[Any]
"""Of type float16, float32 or ml_dtypes.bfloat16."""

IntArray = NDArray[np.int64]

TYPES: dict[np.dtype[Any], FloatFormat] = {
    np.dtype(ml_dtypes.bfloat16): BF16,
    np.dtype(np.float16): FP16,
    np.dtype(np.float32): FP32,
}

ALIGNMENTS = ("top_left", "bottom_right")
"""Where the diagonal of a causal mask begins or ends."""

UNBOUNDED = -1

MAX_SEED = 2**31 - 1

SINK_LIMIT = 1000.0
"""Largest magnitude of a sink; a score is at most 2^11 ln(2) = 1419."""


@dataclass(frozen=True)
class Pages:
    """Keys and values in pages: pools (pages, Hkv, page size, E or F); table (B, pages a batch entry has) of page
    numbers, 0 where no key lies."""

    k: FloatArray
    v: FloatArray
    table: IntArray

    @property
    def page_size(self) -> int:
        return self.k.shape[2]

    @property
    def rows(self) -> int:
        """Rows of a head in the pool."""
        return self.k.shape[0] * self.k.shape[2]

    def codes(self) -> tuple[CodeArray, CodeArray]:
        """The pools as bit patterns."""
        return bit_patterns(self.k), bit_patterns(self.v)

    def gathered(self) -> tuple[FloatArray, FloatArray]:
        """(B, Hkv, S, E) and (B, Hkv, S, F), the rows one behind the other."""

        def one(pool: FloatArray) -> FloatArray:
            pages = pool[self.table].swapaxes(1, 2)  # (B, Hkv, pages, page size, elements)
            return pages.reshape(*pages.shape[:2], -1, pool.shape[3])

        return one(self.k), one(self.v)


@dataclass(frozen=True)
class Positions:
    """What causal rule and window leave: batch entry b's query i stands at key `offset[b] + i` and sees keys
    `first[b] + i <= j <= last[b] + i`; either bound is None if it hides nothing."""

    offset: IntArray
    first: IntArray | None
    last: IntArray | None

    def seen(self, length: int, keys: int) -> NDArray[np.bool_]:
        """(B, 1, L, S): what both bounds leave."""
        i, j = np.arange(length)[:, None], np.arange(keys)
        seen = np.ones((len(self.offset), 1, length, keys), dtype=bool)
        if self.first is not None:
            seen &= j >= i + self.first[:, None, None, None]
        if self.last is not None:
            seen &= j <= i + self.last[:, None, None, None]
        return seen

    @property
    def uniform_last(self) -> int | None:
        """`last`, if it is the same for all batch entries: the causal rule that every machine has."""
        if self.last is None or (self.last != self.last[0]).any():
            return None
        return int(self.last[0])


@dataclass(frozen=True, kw_only=True)
class ScoreArguments:
    """What is done to scores beyond scale, causal rule and key lengths; None or 0 for nothing.

    attn_mask (B, Hq, L, S) or what broadcasts to it;  slopes (Hq,) or (B, Hq) and sink (Hq,) float64
    """

    softcap: float
    score_mod: Callable[..., Any] | None
    slopes: NDArray[np.float64] | None
    attn_mask: NDArray[Any] | None
    mask_mod: Callable[..., Any] | None
    block_mask: BlockMask | None
    sink: NDArray[np.float64] | None
    dropout: tuple[float, int] | None
    overrides: dict[str, Any]

    @classmethod
    def checked(cls, options: dict[str, Any], shape: Shape, dtype: np.dtype[Any]) -> ScoreArguments:
        """From the arguments of `hwgen.attention` by name. Raises InputError."""
        mask, slopes = options["attn_mask"], options["alibi_slopes"]
        sizes = (shape.B, shape.Hq, shape.L, shape.S)
        return cls(
            softcap=_checked_softcap(options["softcap"]),
            score_mod=_function("score_mod", options["score_mod"], "(score, b, h, q_idx, kv_idx)"),
            slopes=None if slopes is None else _checked_slopes(slopes, shape),
            attn_mask=None if mask is None else checked_mask("attn_mask", mask, dtype, sizes),
            mask_mod=_function("mask_mod", options["mask_mod"], "(b, h, q_idx, kv_idx)"),
            block_mask=_checked_block_mask(options["block_mask"], sizes),
            sink=_checked_sink(options["sink"], shape),
            dropout=_checked_dropout(options["dropout_p"], options["dropout_seed"]),
            overrides=_checked_overrides(options["score_arguments"]),
        )


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Checked arguments; arrays in native byte order, `lengths` (B,) only if there were any.

    k and v are (B, Hkv, S, E) and (B, Hkv, S, F), gathered if they come in `pages`.
    """

    q: FloatArray
    k: FloatArray
    v: FloatArray
    shape: Shape
    fmt: FloatFormat
    scale: float
    lengths: IntArray | None
    positions: Positions
    scores: ScoreArguments
    pages: Pages | None = None

    @classmethod
    def checked(cls, q: Any, k: Any, v: Any, options: dict[str, Any]) -> Problem:
        """From the arguments of `hwgen.attention` by name. Raises InputError for whatever the accelerator does not
        take, but for what depends on its configuration."""
        fmt = _format_of({"q": q, "k": k, "v": v})
        q, k, v = (array.astype(array.dtype.newbyteorder("="), copy=False) for array in (q, k, v))
        pages, lengths = None, None
        if options["block_table"] is not None:
            pages, lengths = _checked_pages(q, k, v, options["block_table"], options["kv_lengths"])
            k, v = pages.gathered()
        try:
            shape = check_shapes(q, k, v)
        except ValueError as error:
            raise InputError(str(error)) from None
        _check_sizes(shape)
        factor = _checked_scale(options["scale"], shape)
        if pages is None:
            lengths = _checked_lengths(options["kv_lengths"], shape)
        return cls(
            q=q,
            k=k,
            v=v,
            shape=shape,
            fmt=fmt,
            scale=factor,
            lengths=lengths,
            positions=_checked_positions(options, shape, lengths),
            scores=ScoreArguments.checked(options, shape, q.dtype),
            pages=pages,
        )

    def codes(self) -> tuple[CodeArray, CodeArray, CodeArray]:
        """q, k and v as bit patterns."""
        return bit_patterns(self.q), bit_patterns(self.k), bit_patterns(self.v)

    def numbers(self, codes: CodeArray) -> FloatArray:
        """Bit patterns as numbers of the inputs' type."""
        return codes.view(self.q.dtype)


def bit_patterns(array: FloatArray) -> CodeArray:
    """The numbers' codes."""
    return np.ascontiguousarray(array).view(np.dtype(TYPES[array.dtype].dtype))


def whole_number(name: str, value: Any) -> int:
    """Raises InputError if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be a whole number, not {value!r}") from None


def number(name: str, value: Any) -> float:
    """Raises InputError if it is none or not finite."""
    try:
        factor = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number, not {value!r}") from None
    if not math.isfinite(factor):
        raise InputError(f"{name} must be finite, not {factor!r}")
    return factor


def checked_mask(name: str, mask: Any, dtype: np.dtype[Any], sizes: tuple[int, int, int, int]) -> NDArray[Any]:
    """A mask of four dimensions, boolean or of the inputs' type, that broadcasts to sizes (B, Hq, L, S)."""
    if not isinstance(mask, np.ndarray):
        raise InputError(f"{name} must be a NumPy array, not {type(mask).__name__}")
    native = mask.dtype.newbyteorder("=")
    if native not in (np.dtype(bool), dtype.newbyteorder("=")):
        convert = "mask.astype(bool)" if native.kind in "iu" else f"mask.astype({dtype.name!r})"
        raise InputError(f"{name} must be boolean or of q's type {dtype}, not {mask.dtype}; {convert} converts it")
    wanted = f"must broadcast to (B, Hq, L, S) = {sizes}, not have shape {mask.shape}"
    if mask.ndim and 1 < mask.shape[-1] < sizes[3]:
        raise InputError(
            f"{name} {wanted}: it covers {mask.shape[-1]} of {sizes[3]} keys; kv_lengths={mask.shape[-1]} hides the "
            "others, or pad it with False or -inf"
        )
    try:
        if mask.ndim > 4 or np.broadcast_shapes(mask.shape, sizes) != sizes:
            raise ValueError
    except ValueError:
        raise InputError(f"{name} {wanted}") from None
    return mask.astype(native, copy=False).reshape((1,) * (4 - mask.ndim) + mask.shape)


def _format_of(arrays: dict[str, Any]) -> FloatFormat:
    """The number format that all arrays have."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{name} must be a NumPy array, not {type(array).__name__}")
        if array.dtype.newbyteorder("=") not in TYPES:
            raise InputError(f"{name} must be of type bfloat16 (of ml_dtypes), float16 or float32, not {array.dtype}")
    types = [array.dtype.newbyteorder("=") for array in arrays.values()]
    if len(set(types)) > 1:
        raise InputError(f"q, k and v must have the same type, not {', '.join(map(str, types))}")
    return TYPES[types[0]]


def _check_sizes(shape: Shape) -> None:
    group = shape.Hq // shape.Hkv
    named = (("batch entry", "B", shape.B), ("query", "L", shape.L), ("key", "S", shape.S))
    for what, letter, size in named:
        if size == 0:
            raise InputError(f"there must be at least one {what}, got {letter}=0")
    limits = (("B", shape.B, MAX_COUNT), ("Hq", shape.Hq, MAX_COUNT), ("L", shape.L, MAX_LENGTH))
    for name, size, limit in (*limits, ("S", shape.S, MAX_LENGTH), ("Hq / Hkv", group, MAX_GROUP)):
        if size > limit:
            raise InputError(f"{name} can be up to {limit}, not {size}")
    if shape.L * group > MAX_QUERIES:
        raise InputError(f"L times Hq / Hkv can be up to {MAX_QUERIES}, not {shape.L * group}")


def _checked_scale(scale: Any, shape: Shape) -> float:
    return 1 / math.sqrt(shape.E) if scale is None else number("scale", scale)


def _checked_lengths(kv_lengths: Any, shape: Shape) -> IntArray | None:
    """(B,), or None if there are none."""
    return None if kv_lengths is None else _lengths(kv_lengths, shape.B, shape.S, "the rows of k")


def _lengths(kv_lengths: Any, batches: int, limit: int, what: str) -> IntArray:
    lengths = np.asarray(kv_lengths)
    if lengths.dtype.kind not in "iu" or lengths.shape not in ((), (batches,)):
        got = f"{lengths.dtype} of shape {lengths.shape}"
        raise InputError(f"kv_lengths must be a whole number or one for each of {batches} batch entries, got {got}")
    outside = lengths[(lengths < 0) | (lengths > limit)]
    if outside.size:
        raise InputError(f"kv_lengths must lie in 0 .. {limit} ({what}), not {int(outside.flat[0])}")
    return np.broadcast_to(lengths.astype(np.int64), (batches,))


def _checked_pages(
    q: FloatArray, k: FloatArray, v: FloatArray, block_table: Any, kv_lengths: Any
) -> tuple[Pages, IntArray]:
    """Pools, table and key lengths (B,)."""
    for name, pool in (("k", k), ("v", v)):
        if pool.ndim != 4 or 0 in pool.shape:
            raise InputError(
                f"with a block_table {name} must be a pool (pages, Hkv, page size, elements), not of shape {pool.shape}"
            )
    if k.shape[:3] != v.shape[:3]:
        raise InputError(f"the pools k and v must agree in pages, heads and page size, got {k.shape} and {v.shape}")
    table, batches = np.asarray(block_table), q.shape[0] if q.ndim else 0
    if table.dtype.kind not in "iu" or table.ndim != 2 or table.shape[0] != batches or table.shape[1] == 0:
        got = f"{table.dtype} of shape {table.shape}"
        raise InputError(f"block_table must hold page numbers of shape (B, pages) = ({batches}, at least 1), got {got}")
    if kv_lengths is None:
        raise InputError("a block_table needs kv_lengths: how many keys each batch entry has")
    page = k.shape[2]
    lengths = _lengths(kv_lengths, batches, table.shape[1] * page, f"{table.shape[1]} pages of {page} rows")
    used = np.arange(table.shape[1]) * page < lengths[:, None]
    wrong = np.argwhere(used & ((table < 0) | (table >= len(k))))
    if len(wrong):
        b, i = (int(x) for x in wrong[0])
        raise InputError(f"block_table[{b}, {i}] must lie in 0 .. {len(k) - 1} (the pages of k), not {table[b, i]}")
    return Pages(k, v, np.where(used, table, 0).astype(np.int64)), lengths


def _checked_positions(options: dict[str, Any], shape: Shape, lengths: IntArray | None) -> Positions:
    causal, is_causal, causal_offset = options["causal"], bool(options["is_causal"]), options["causal_offset"]
    left, right = _checked_window(options["window"])
    keys = np.full(shape.B, shape.S) if lengths is None else lengths
    if causal is not None and (is_causal or causal_offset is not None):
        other = "is_causal=True" if is_causal else f"causal_offset={causal_offset}"
        raise InputError(f"causal={causal!r} and {other} say the same thing twice; causal alone is enough")
    placed = is_causal or (left, right) != (UNBOUNDED, UNBOUNDED) or options["alibi_slopes"] is not None
    if causal is not None:
        offset, is_causal = _checked_causal(causal, shape, keys), True
    elif causal_offset is not None:
        offset = _offsets("causal_offset", causal_offset, shape)
        if offset.any() and not placed:
            raise InputError(
                f"causal_offset={causal_offset} has no effect without is_causal=True, a window or alibi_slopes"
            )
    else:
        offset = np.zeros(shape.B, dtype=np.int64) if is_causal else keys - shape.L
    bounds = [0] if is_causal else []
    bounds += [right] if right != UNBOUNDED else []
    last = np.minimum(offset + min(bounds), MAX_LENGTH) if bounds else None
    if last is not None and not is_causal and (last >= shape.S - 1).all():
        last = None
    first = None if left == UNBOUNDED else np.maximum(offset - left, -MAX_LENGTH)
    if first is not None and (first + shape.L - 1 <= 0).all():
        first = None
    return Positions(offset, first, last)


def _checked_causal(causal: Any, shape: Shape, keys: IntArray) -> IntArray:
    if isinstance(causal, str):
        if causal not in ALIGNMENTS:
            raise InputError(f"unknown causal alignment {causal!r}{did_you_mean(causal, ALIGNMENTS)}")
        return np.zeros(shape.B, dtype=np.int64) if causal == "top_left" else keys - shape.L
    if isinstance(causal, bool | np.bool_):
        raise InputError(
            f"causal must be 'top_left', 'bottom_right' or an offset, not {causal}; is_causal={causal} is 'top_left'"
        )
    return _offsets("causal", causal, shape)


def _offsets(name: str, value: Any, shape: Shape) -> IntArray:
    """(B,) of one number or one for each batch entry."""
    if not isinstance(value, np.ndarray | list | tuple):
        value = whole_number(name, value)
    offset = np.asarray(value)
    if offset.dtype.kind not in "iu" or offset.shape not in ((), (shape.B,)):
        got = f"{offset.dtype} of shape {offset.shape}"
        raise InputError(f"{name} must be a whole number or one for each of {shape.B} batch entries, got {got}")
    outside = offset[(offset < -MAX_LENGTH) | (offset > MAX_LENGTH)]
    if outside.size:
        raise InputError(f"{name} must lie in -{MAX_LENGTH} .. {MAX_LENGTH}, not {int(outside.flat[0])}")
    return np.broadcast_to(offset.astype(np.int64), (shape.B,))


def _checked_window(window: Any) -> tuple[int, int]:
    if window is None:
        return UNBOUNDED, UNBOUNDED
    if not isinstance(window, tuple | list) or len(window) != 2:
        both = f"; ({window}, {window}) is {window} keys to both sides" if isinstance(window, int) else ""
        raise InputError(f"window must be a pair (left, right) of whole numbers, not {window!r}{both}")
    left, right = (whole_number(f"window's {side}", size) for side, size in zip(("left", "right"), window, strict=True))
    for side, size in (("left", left), ("right", right)):
        if size < UNBOUNDED:
            raise InputError(f"window's {side} must be -1 for no bound, or at least 0, not {size}")
    return left, right


def _checked_softcap(softcap: Any) -> float:
    """0 for none."""
    if softcap is None:
        return 0.0
    cap = number("softcap", softcap)
    if cap < 0:
        raise InputError(f"softcap must be positive, or 0 or None for none, not {softcap!r}")
    return cap


def _function(name: str, function: Any, arguments: str) -> Callable[..., Any] | None:
    if function is not None and not callable(function):
        raise InputError(f"{name} must be a function of {arguments}, not {function!r}")
    return function


def _per_head(name: str, values: Any, shapes: list[tuple[int, ...]]) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.newbyteorder("=") not in TYPES and array.dtype.kind not in "iuf":
        raise InputError(f"{name} must hold numbers, not {array.dtype}")
    if array.shape not in shapes:
        names = {1: "(Hq,)", 2: "(B, Hq)"}
        wanted = " or ".join(f"{names[len(shape)]} = {shape}" for shape in shapes)
        raise InputError(f"{name} must have shape {wanted}, not {array.shape}")
    return array.astype(np.float64)


def _checked_slopes(slopes: Any, shape: Shape) -> NDArray[np.float64]:
    array = _per_head("alibi_slopes", slopes, [(shape.Hq,), (shape.B, shape.Hq)])
    if not np.isfinite(array).all():
        raise InputError(f"alibi_slopes must be finite, not {array[~np.isfinite(array)][0]}")
    return array


def _checked_sink(sink: Any, shape: Shape) -> NDArray[np.float64] | None:
    """None if there is none: a sink of -inf takes no weight."""
    if sink is None:
        return None
    array = _per_head("sink", sink, [(shape.Hq,)])
    if (array == -np.inf).all():
        return None
    if not np.isfinite(array).all():
        odd = int(np.flatnonzero(~np.isfinite(array))[0])
        hint = f"; heads without a sink beside heads with one can take {-SINK_LIMIT:g}" if array[odd] == -np.inf else ""
        raise InputError(f"sink must be finite, or -inf for all heads, not {array[odd]} for head {odd}{hint}")
    if np.abs(array).max() > SINK_LIMIT:
        raise InputError(f"sink must lie in {-SINK_LIMIT:g} .. {SINK_LIMIT:g}, not {array[np.abs(array).argmax()]:g}")
    return array


def _checked_dropout(probability: Any, seed: Any) -> tuple[float, int] | None:
    dropped, start = number("dropout_p", probability), whole_number("dropout_seed", seed)
    if not 0 <= dropped < 1:
        raise InputError(f"dropout_p must lie in 0 .. 1, 1 not included, not {dropped!r}")
    if not 0 <= start <= MAX_SEED:
        raise InputError(f"dropout_seed must lie in 0 .. {MAX_SEED}, not {start}")
    if start and not dropped:
        raise InputError(f"dropout_seed={start} has no effect without dropout_p")
    return (dropped, start) if dropped else None


def _checked_overrides(arguments: Any) -> dict[str, Any]:
    if arguments is None:
        return {}
    if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
        raise InputError(f"score_arguments must map names to numbers, not be {arguments!r}")
    return dict(arguments)


def _checked_block_mask(block_mask: Any, sizes: tuple[int, int, int, int]) -> BlockMask | None:
    if block_mask is None:
        return None
    if not isinstance(block_mask, BlockMask):
        raise InputError(
            f"block_mask must be of hwgen.scoremod.block_list.create_block_mask, not {type(block_mask).__name__}"
        )
    one = tuple(size if own == 1 else own for own, size in zip(block_mask.shape[:2], sizes[:2], strict=True))
    if (*one, *block_mask.shape[2:]) != sizes:
        raise InputError(f"block_mask must be for (B, Hq, L, S) = {sizes}, B and Hq 1 for all, not {block_mask.shape}")
    return block_mask
