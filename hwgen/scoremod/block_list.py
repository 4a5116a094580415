"""Which keys a machine shows to which slots of a block of queries, as lists of segments; block masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwgen.params import Params

Bools = NDArray[np.bool_]
MaskMod = Callable[[Any, Any, Any, Any], Any]

RECORD = np.dtype(
    [("first", "<u4"), ("keys", "<u4"), ("live", "<u8"), ("last", "<u8"), ("row", "<u4"), ("zero", "<u4")]
)
"""A segment in memory; `keys` has the flags at its upper end."""

BLOCK_LAST, SINK = 1 << 31, 1 << 30

EMPTY, PARTIAL, FULL = 0, 1, 2
"""What of a block of a mask is seen: nothing, something, everything."""


@dataclass(frozen=True)
class Segment:
    """Consecutive keys shown to the same slots; see `hwgen.control.segments.segment_layout`."""

    first: int
    keys: int
    row: int
    live: int
    last: int
    sink: int = 0
    block_last: int = 0


@dataclass(frozen=True)
class Pages:
    """Rows of K and V in pages: key j lies in row `table[j // size] * stride + j % size`."""

    table: tuple[int, ...]
    size: int
    stride: int

    def row(self, key: int) -> int:
        return self.table[key // self.size] * self.stride + key % self.size


def segments_of(intervals: Sequence[tuple[int, int]], sink: bool = False) -> list[Segment]:
    """Segments of a block whose slot i sees keys low .. high, (low, high) = intervals[i]; none if low > high.

    The machine finds the same segments if low and high never fall from slot to slot.
    """
    shown = [(max(low, 0), high) for low, high in intervals]
    cuts = sorted({low for low, high in shown if low <= high} | {high + 1 for low, high in shown if low <= high})
    found = []
    for first, end in zip(cuts, cuts[1:], strict=False):
        live = mask_of(low <= first <= high for low, high in shown)
        last = mask_of(low <= first <= high and high + 1 == end for low, high in shown)
        if live:
            found.append(Segment(first, end - first, first, live, last))
    return closed(found, len(shown), sink)


def list_segments(
    seen: ArrayLike, params: Params, pages: Pages | None = None, sink: bool | None = None
) -> list[Segment]:
    """The fewest segments of a block that show each slot every key that one of its queries sees, and no other.

    seen: booleans (queries of the block in job order, keys). sink: whether the score program has one; by default as
    the machine's. Raises ValueError for more queries than a block holds.
    """
    allowed = np.asarray(seen, dtype=bool)
    queries, keys = allowed.shape
    if not 1 <= queries <= params.block:
        raise ValueError(f"a block holds 1 .. {params.block} queries, not {queries}")
    cols = params.config.cols
    slots = -(-queries // cols)
    by_slot = np.stack([allowed[i * cols : (i + 1) * cols].any(axis=0) for i in range(slots)])
    found = []
    if by_slot.any():
        # Where the set of slots changes, and where a page begins.
        change = np.flatnonzero((by_slot[:, 1:] != by_slot[:, :-1]).any(axis=0)) + 1
        cuts = {0, keys, *(int(i) for i in change)}
        if pages is not None:
            cuts |= set(range(0, keys, pages.size))
        order = sorted(cuts)
        ends = np.where(by_slot.any(axis=1), keys - np.argmax(by_slot[:, ::-1], axis=1), -1)
        for first, end in zip(order, order[1:], strict=False):
            live = mask_of(by_slot[:, first])
            if live:
                row = first if pages is None else pages.row(first)
                found.append(Segment(first, end - first, row, live, mask_of(ends == end)))
    return closed(found, slots, params.has_sink if sink is None else sink)


def closed(found: list[Segment], slots: int, sink: bool) -> list[Segment]:
    """With the sink's segment, or one that shows nothing if there is no other, and with the end marked."""
    if sink:
        seeing = 0
        for segment in found:
            seeing |= segment.live
        every = (1 << slots) - 1
        found = [Segment(0, 1, 0, every, every & ~seeing, sink=1), *found]
    if not found:
        found = [Segment(0, 0, 0, 0, 0)]
    return [*found[:-1], replace(found[-1], block_last=1)]


def mask_of(bits: Iterable[Any]) -> int:
    """The number with these bits, the lowest one first."""
    return sum(int(bool(b)) << i for i, b in enumerate(bits))


def job_rows(seen: ArrayLike, group: int) -> Bools:
    """Booleans (B, Hq, L, S) as those of jobs, (B, Hq / group, L * group, S): the heads of a position side by side."""
    array = np.asarray(seen, dtype=bool)
    batches, heads, positions, keys = array.shape
    grouped = array.reshape(batches, heads // group, group, positions, keys).swapaxes(2, 3)
    return grouped.reshape(batches, heads // group, positions * group, keys)


def machine_list(
    seen: ArrayLike, params: Params, group: int, pages: Sequence[Pages] | None = None, lengths: ArrayLike | None = None
) -> list[Segment]:
    """All segments of a layer in the order in which the machine needs them: batches, key/value heads, blocks.

    seen (B, Hq, L, S), or what broadcasts to it in the first two; group = Hq / Hkv; pages, one a batch; lengths (B,):
    keys behind are left out.
    """
    jobs = job_rows(seen, group)
    found = []
    for b, heads in enumerate(jobs):
        keys = jobs.shape[3] if lengths is None else int(np.asarray(lengths).reshape(-1)[b])
        for rows in heads:
            for first in range(0, len(rows), params.block):
                part = rows[first : first + params.block, :keys]
                found += list_segments(part, params, None if pages is None else pages[b])
    return found


def alike_in_slots(seen: ArrayLike, params: Params, group: int) -> bool:
    """Whether the queries of every slot see the same keys: then a list of segments says all of a mask (B, Hq, L, S)."""
    cols = params.config.cols
    # Blocks hold whole slots, so that slots are counted through a job.
    return all(
        (part == part[:1]).all()
        for heads in job_rows(seen, group)
        for rows in heads
        for part in (rows[first : first + cols] for first in range(0, len(rows), cols))
    )


def encode_list(segments: Iterable[Segment]) -> bytes:
    """The list as it lies in memory, 32 bytes a segment."""
    records = [
        (s.first, s.keys | s.block_last * BLOCK_LAST | s.sink * SINK, s.live, s.last, s.row, 0) for s in segments
    ]
    return np.array(records, dtype=RECORD).tobytes()


@dataclass(frozen=True, eq=False)
class BlockMask:
    """A mask by blocks of queries and keys: kinds (B, H, query blocks, key blocks), each EMPTY, PARTIAL or FULL.

    B and H are 1 if the mask is the same for all. `mask_mod` says what is seen in PARTIAL blocks.
    """

    kinds: NDArray[np.int8]
    queries: int
    keys: int
    block_size: tuple[int, int]
    mask_mod: MaskMod

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, H, L, S)."""
        return (*self.kinds.shape[:2], self.queries, self.keys)

    @property
    def sparsity(self) -> float:
        """Share of blocks that are EMPTY."""
        return float((self.kinds == EMPTY).mean()) if self.kinds.size else 0.0

    @cached_property
    def seen(self) -> Bools:
        """(B, H, L, S): which query sees which key."""
        seen = self._spread(self.kinds == FULL)
        for place in np.argwhere(self.kinds == PARTIAL):
            b, h, rows, columns = self._indices(*(int(i) for i in place))
            seen[b, h, rows, columns] = evaluated(self.mask_mod, b, h, rows, columns)
        return seen

    def _spread(self, blocks: Bools) -> Bools:
        """The same for every query and key of a block."""
        high, wide = self.block_size
        rows = np.repeat(blocks, high, axis=2)[:, :, : self.queries]
        return np.repeat(rows, wide, axis=3)[..., : self.keys]

    def _indices(self, b: int, h: int, i: int, j: int) -> tuple[Any, ...]:
        high, wide = self.block_size
        rows = np.arange(i * high, min((i + 1) * high, self.queries))[:, None]
        columns = np.arange(j * wide, min((j + 1) * wide, self.keys))[None, :]
        return b, h, rows, columns


def create_block_mask(
    mask_mod: MaskMod,
    B: int | None,
    H: int | None,
    L: int,
    S: int,
    block_size: int | tuple[int, int] = 128,
) -> BlockMask:
    """The block mask of `mask_mod(b, h, q_idx, kv_idx)`, a function of NumPy integers, for L queries and S keys.

    B and H: batch entries and query heads, None if the mask does not depend on them. Raises ValueError for sizes below
    1.
    """
    high, wide = (block_size, block_size) if isinstance(block_size, int) else block_size
    sizes = (1 if B is None else B, 1 if H is None else H, L, S)
    for name, size in zip(("B", "H", "L", "S", "block_size", "block_size"), (*sizes, high, wide), strict=True):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, not {size}")
    batches, heads, queries, keys = sizes
    kinds = np.zeros((batches, heads, -(-queries // high), -(-keys // wide)), dtype=np.int8)
    columns = np.arange(keys)[None, :]
    key_blocks = np.arange(0, keys, wide)
    for b, h, i in np.ndindex(kinds.shape[:3]):
        rows = np.arange(i * high, min((i + 1) * high, queries))[:, None]
        seen = evaluated(mask_mod, b, h, rows, columns)
        some = np.logical_or.reduceat(seen.any(axis=0), key_blocks)
        every = np.logical_and.reduceat(seen.all(axis=0), key_blocks)
        kinds[b, h, i] = np.where(every, FULL, np.where(some, PARTIAL, EMPTY))
    return BlockMask(kinds, queries, keys, (high, wide), mask_mod)


def evaluated(mask_mod: MaskMod, b: int, h: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Bools:
    """Booleans (rows, columns) of a mask function, which may leave out an axis."""
    seen = np.asarray(mask_mod(np.int64(b), np.int64(h), rows, columns), dtype=bool)
    return np.broadcast_to(seen, (len(rows), columns.shape[1]))
