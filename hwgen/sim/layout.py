"""Where tensors lie in the accelerator's memory: any strides and alignments, with bytes around them that must not
change."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray

from golden.bitexact import Numerics, Result, ScaleCode
from golden.formats import CodeArray
from hwgen.control.descriptor import DESCRIPTOR_BYTES, FORMAT_CODES, KEY_LENGTH_BYTES, LSE_BYTES, Descriptor
from hwgen.control.record import RECORD_ALIGNMENT, SEGMENT_BYTES, RecordHeader, always_read, pack_record
from hwgen.errors import InputError, SimulationError
from hwgen.memory.lse_record import LSE_RECORD
from hwgen.params import PAGE_BYTES, Params

ALIGNMENT = 64
"""Every tensor begins at a multiple of so many bytes unless it is shifted."""

GUARD = 192
"""Least number of bytes between two tensors."""

ARRANGED = ("q", "k", "v", "o", "lse", "bias", "score", "segments")

Strides = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """How a tensor's rows lie, lengths in elements (of LSE: in records).

    order:  dimensions from the outermost to the innermost: b batch, h head, l row
    gaps:   room behind each row, behind all rows of the second dimension from the right, behind all of the third
    shift:  of the first element against an aligned address
    shared: dimensions of stride 0: all their entries, which must be equal, are one
    """

    order: str = "bhl"
    gaps: tuple[int, int, int] = (0, 0, 0)
    shift: int = 0
    shared: str = ""

    def __post_init__(self) -> None:
        if sorted(self.order) != ["b", "h", "l"]:
            raise InputError(f"order must have each of b, h and l once, not {self.order!r}")
        if min(*self.gaps, self.shift) < 0:
            raise InputError(f"gaps and shift must not be negative, not {self.gaps} and {self.shift}")

    def strides(self, shape: Sequence[int], row_bytes: int, element: int) -> tuple[Strides, int]:
        """Bytes from one batch, head and row to the next, and of the whole; shape (B, H, L)."""
        sizes = dict(zip("bhl", shape, strict=True))
        strides, reach = {}, row_bytes
        for name, gap in zip(reversed(self.order), self.gaps, strict=True):
            strides[name] = 0 if name in self.shared else reach + gap * element
            reach = reach if name in self.shared else strides[name] * sizes[name]
        extent = row_bytes + sum(strides[name] * (sizes[name] - 1) for name in sizes)
        return (strides["b"], strides["h"], strides["l"]), extent


@dataclass(frozen=True)
class Piece:
    """A tensor in memory: its first byte's address, shape (B, H, L), bytes a row, strides in bytes."""

    address: int
    shape: tuple[int, int, int]
    row_bytes: int
    strides: Strides

    @property
    def end(self) -> int:
        """The address behind its last byte."""
        return self.address + self.row_bytes + sum(s * (n - 1) for s, n in zip(self.strides, self.shape, strict=True))

    def rows(self, memory: NDArray[np.uint8], base: int) -> NDArray[np.uint8]:
        """The bytes (B, H, L, row_bytes) where they lie in the memory that begins at `base`."""
        start = memory[self.address - base :]
        return as_strided(start, (*self.shape, self.row_bytes), (*self.strides, 1), writeable=memory.flags.writeable)


class Outputs(NamedTuple):
    """What the accelerator wrote: out codes (B, Hq, L, F); the rest (B, Hq, L), or None if LSE was not asked for."""

    out: CodeArray
    rm: NDArray[np.int64] | None
    rd: NDArray[np.int64] | None
    empty: NDArray[np.bool_] | None
    poisoned: NDArray[np.bool_] | None

    def natural_lse(self, numerics: Numerics) -> NDArray[np.float64]:
        """Natural log-sum-exp; -inf for an empty query, NaN for a poisoned one."""
        nothing = np.zeros(self.out.shape[:3], dtype=bool)
        return Result(*self, nothing).lse(numerics)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Placed:
    """One attention problem in memory, and the descriptor that names its places.

    places: of q, k, v, o and, if asked for, lse the first byte and the one behind the last, counted from `base`
    """

    params: Params
    base: int
    descriptor: Descriptor
    o: Piece
    lse: Piece | None
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def outputs(self, memory: NDArray[np.uint8]) -> Outputs:
        """O and the LSE records."""
        rows = np.ascontiguousarray(self.o.rows(memory, self.base))
        native = np.dtype(self.params.output.dtype)
        out: CodeArray = rows.view(native.newbyteorder("<")).astype(native)
        if self.lse is None:
            return Outputs(out, None, None, None, None)
        records = np.ascontiguousarray(self.lse.rows(memory, self.base)).view("<u8")[..., 0].astype(np.uint64)
        return Outputs(out, *read_records(records))


def read_records(
    records: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """RM, RD, empty and poisoned of LSE records of any shape."""
    values, low = {}, 0
    for name, width in LSE_RECORD.items():
        values[name] = (records >> np.uint64(low) & np.uint64((1 << width) - 1)).astype(np.int64)
        low += width
    sign = LSE_RECORD["rm"] - 1
    rm = values["rm"] - (values["rm"] >> sign << (sign + 1))
    return rm, values["rd"], values["empty"].astype(bool), values["poisoned"].astype(bool)


def default_base(params: Params) -> int:
    """Where the memory begins if nobody says: high enough for the highest address bit to matter."""
    half = 1 << (params.config.address_bits - 1)
    return half + 0x5A5 * PAGE_BYTES % half


@dataclass
class Image:
    """Bytes from `base` on, a multiple of 4096, random wherever nothing is placed, so that whatever is read beside a
    tensor is seen in the result."""

    params: Params
    base: int = -1
    seed: int = 1
    _size: int = 0
    _tensors: list[tuple[Piece, NDArray[np.uint8]]] = field(default_factory=list)
    _results: list[Piece] = field(default_factory=list)
    _raw: list[tuple[int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.base == -1:
            self.base = default_base(self.params)
        if self.base % PAGE_BYTES:
            raise InputError(f"the memory must begin at a multiple of {PAGE_BYTES}, not at {self.base:#x}")

    def add(
        self,
        q: CodeArray,
        k: CodeArray,
        v: CodeArray,
        *,
        scale: ScaleCode,
        causal: bool = False,
        offset: int = 0,
        key_lengths: NDArray[np.integer] | None = None,
        lse: bool = True,
        words: ArrayLike | None = None,
        bias: CodeArray | None = None,
        segments: bytes | None = None,
        arrange: Mapping[str, Arrangement] | None = None,
    ) -> Placed:
        """Place a problem: codes q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F) of the input format; room for O.

        key_lengths: (B,), all keys if not given
        words:       (argument_words,) of the score program, integers of 32 bits
        bias:        codes of the input format of a shape that broadcasts to (B, Hq, L, S)
        segments:    the list of segments as it lies in memory, if there is one
        arrange:     of q, k, v, o, lse and of the bias with its keys for rows, row major and packed if not named; of
                     the score record and the segments only the shift counts, in units of 8 bytes

        Raises InputError if the machine's score program needs something else.
        """
        how = {name: Arrangement() for name in ARRANGED} | dict(arrange or {})
        pieces = {name: self._place(codes, how[name]) for name, codes in (("q", q), ("k", k), ("v", v))}
        element = self.params.output.dtype().itemsize
        pieces["o"] = self._reserve(q.shape[:3], v.shape[3] * element, element, how["o"])
        if lse:
            pieces["lse"] = self._reserve(q.shape[:3], LSE_BYTES, LSE_BYTES, how["lse"])
        facts: dict[str, Any] = {f"{name}_address": piece.address for name, piece in pieces.items()}
        facts |= {f"{name}_strides": piece.strides for name, piece in pieces.items()}
        facts |= {"write_lse": int(lse), "causal": int(causal), "offset": offset}
        facts |= {"scale_mantissa": scale.mantissa, "scale_exponent": scale.exponent}
        if key_lengths is not None:
            facts |= {"key_lengths": 1, "key_lengths_address": self._place_lengths(key_lengths)}
        facts |= self._place_record(q.shape[:3], k.shape[1:3], words, bias, segments, how)
        descriptor = Descriptor(**self._sizes(q, k, v), **facts)
        places = {name: (piece.address - self.base, piece.end - self.base) for name, piece in pieces.items()}
        return Placed(self.params, self.base, descriptor, pieces["o"], pieces.get("lse"), places)

    def _sizes(self, q: CodeArray, k: CodeArray, v: CodeArray) -> dict[str, Any]:
        """The descriptor's fields that follow from shapes and types."""
        names = ("batches", "query_heads", "queries", "head_e")
        sizes: dict[str, Any] = dict(zip(names, q.shape, strict=True)) | {"kv_heads": k.shape[1], "keys": k.shape[2]}
        formats = FORMAT_CODES[self.params.input.name], FORMAT_CODES[self.params.output.name]
        return sizes | {"head_f": v.shape[3], "in_format": formats[0], "out_format": formats[1]}

    def _place_lengths(self, key_lengths: NDArray[np.integer]) -> int:
        address = self._allot(KEY_LENGTH_BYTES * len(key_lengths), 0)
        self._raw.append((address, np.asarray(key_lengths).astype("<u4").tobytes()))
        return address

    def _place_record(
        self,
        queries: tuple[int, ...],
        keys: tuple[int, ...],
        words: ArrayLike | None,
        bias: CodeArray | None,
        segments: bytes | None,
        how: Mapping[str, Arrangement],
    ) -> dict[str, Any]:
        """The score record and what it names, if there has to be one; gives the descriptor's fields. Shapes (B, Hq, L)
        and (Hkv, S)."""
        params = self.params
        codes = np.asarray(() if words is None else words, dtype=np.int64).reshape(-1)
        if len(codes) != params.argument_words:
            raise InputError(f"the score program needs {params.argument_words} argument words, not {len(codes)}")
        if params.has_bias != (bias is not None):
            raise InputError("the score program needs a bias" if params.has_bias else "the machine takes no bias")
        if segments is not None and not params.config.block_list:
            raise InputError("the machine takes no list of segments")
        if not always_read(params) and segments is None:
            return {}
        header: dict[str, Any] = {}
        if bias is not None:
            piece = self._place(key_major(bias, queries, keys), how["bias"])
            strides = (s if n > 1 else 0 for s, n in zip(piece.strides, piece.shape, strict=True))
            header |= {"bias_address": piece.address, "bias_strides": tuple(strides)}
        if segments is not None:
            place = self._place_bytes(segments, how["segments"])
            header |= {"segments_address": place, "segments": len(segments) // SEGMENT_BYTES}
        address = self._place_bytes(pack_record(RecordHeader(**header), codes), how["score"])
        return {"score_address": address, "listed": int(segments is not None)}

    def _place_bytes(self, raw: bytes, how: Arrangement) -> int:
        address = self._allot(len(raw), RECORD_ALIGNMENT * how.shift)
        self._raw.append((address, raw))
        return address

    def _allot(self, size: int, shift: int) -> int:
        """The address of so many free bytes."""
        begin = -(-(self._size + GUARD) // ALIGNMENT) * ALIGNMENT + shift
        self._size = begin + size
        return self.base + begin

    def _place(self, codes: CodeArray, how: Arrangement) -> Piece:
        element = codes.dtype.itemsize
        rows = np.ascontiguousarray(codes.astype(codes.dtype.newbyteorder("<"))).view(np.uint8)
        strides, extent = how.strides(codes.shape[:3], rows.shape[3], element)
        for axis, name in enumerate("bhl"):
            if name in how.shared and (rows != rows.take([0], axis)).any():
                raise InputError(f"dimension {name} has entries that differ and cannot be shared")
        piece = Piece(self._allot(extent, how.shift * element), codes.shape[:3], rows.shape[3], strides)
        self._tensors.append((piece, rows))
        return piece

    def _reserve(self, shape: tuple[int, ...], row_bytes: int, element: int, how: Arrangement) -> Piece:
        strides, extent = how.strides(shape, row_bytes, element)
        piece = Piece(self._allot(extent, how.shift * element), shape, row_bytes, strides)  # type: ignore[arg-type]
        self._results.append(piece)
        return piece

    @property
    def size(self) -> int:
        """Bytes it takes with a ring of one descriptor."""
        return self._size + GUARD + 2 * DESCRIPTOR_BYTES

    def content(self) -> NDArray[np.uint8]:
        """The bytes from `base` on; the same every time."""
        memory = np.random.default_rng(self.seed).integers(0, 256, self._size + GUARD, dtype=np.uint8)
        for piece, rows in self._tensors:
            piece.rows(memory, self.base)[...] = rows
        for address, raw in self._raw:
            memory[address - self.base :][: len(raw)] = np.frombuffer(raw, dtype=np.uint8)
        return memory

    def inputs(self) -> list[tuple[int, bytes]]:
        """Addresses and bytes of all that a machine reads but descriptors."""
        content = self.content()
        places = [(piece.address, piece.end) for piece, _ in self._tensors]
        places += [(address, address + len(raw)) for address, raw in self._raw]
        return [(first, content[first - self.base : last - self.base].tobytes()) for first, last in places]

    def ring(self, descriptors: Sequence[bytes]) -> tuple[int, bytes]:
        """The address of a ring of descriptors behind everything else, and its bytes."""
        start = -(-(self._size + GUARD) // DESCRIPTOR_BYTES) * DESCRIPTOR_BYTES
        return self.base + start, b"".join(descriptors)

    def with_ring(self, descriptors: Sequence[bytes]) -> tuple[NDArray[np.uint8], int]:
        """The bytes with a ring of descriptors behind them, and its address."""
        before = self.content()
        address, ring = self.ring(descriptors)
        gap = address - self.base - len(before)
        return np.concatenate([np.pad(before, (0, gap)), np.frombuffer(ring, dtype=np.uint8)]), address

    def require_untouched(self, memory: NDArray[np.uint8]) -> None:
        """Raises SimulationError if a byte has changed that belongs to no O and no LSE."""
        before = self.content()
        mine = memory[: len(before)]
        free = np.ones(len(before), dtype=bool)
        for piece in self._results:
            # Element by element where rows interleave: the view writes each byte where it lies.
            piece.rows(free.view(np.uint8), self.base)[...] = 0
        changed = np.flatnonzero(free & (mine != before))
        if len(changed):
            first = int(changed[0])
            what = f"{len(changed)} bytes outside of O and LSE have changed, the first at {self.base + first:#x}"
            raise SimulationError(f"{what}: {before[first]:#04x} to {mine[first]:#04x}")


def key_major(bias: CodeArray, queries: Sequence[int], keys: Sequence[int]) -> CodeArray:
    """The bias as the machine reads it: (B, Hkv, S, L G) with query p of head g of a group at p G + g, a dimension of
    which all entries are one being 1 still.

    bias: of a shape that broadcasts to (B, Hq, L, S);  queries: B, Hq, L;  keys: Hkv, S
    """
    (batches, heads, length), (kv_heads, count) = queries, keys
    group, wanted = heads // kv_heads, (batches, heads, length, count)
    shape = (1,) * (4 - bias.ndim) + bias.shape
    if len(shape) != 4 or any(n not in (1, most) for n, most in zip(shape, wanted, strict=True)):
        raise InputError(f"a bias of shape {bias.shape} does not broadcast to {wanted}")
    b, h, _, s = shape
    full = np.broadcast_to(bias.reshape(shape), (b, h, length, s))
    # One head for all is one group of equal heads.
    shared = np.broadcast_to(full[:, :, None], (b, 1, group, length, s)) if h == 1 else full
    split = shared.reshape(b, -1, group, length, s)
    return np.ascontiguousarray(split.transpose(0, 1, 4, 3, 2)).reshape(b, split.shape[1], s, length * group)


def arrangements(seed: int, element_gap: int = 5) -> dict[str, Arrangement]:
    """For every tensor another order of dimensions, odd gaps and an odd shift; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    orders = ["".join(order) for order in itertools.permutations("bhl")]

    def one() -> Arrangement:
        gaps = tuple(int(gap) for gap in rng.integers(0, element_gap + 1, 3))
        order, shift = orders[rng.integers(len(orders))], int(rng.integers(0, 64))
        return Arrangement(order=order, gaps=gaps, shift=shift)  # type: ignore[arg-type]

    return {name: one() for name in ARRANGED}
