"""Where a problem's tensors lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.control.descriptor import DESCRIPTOR_BYTES, KEY_LENGTH_BYTES, LSE_BYTES
from hwgen.model.parts.records import Place, Tensor
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.sim.layout import ALIGNMENT, GUARD


@dataclass(frozen=True)
class Layout:
    """Tensors row major and packed, one behind the other, as `hwgen.sim.layout.Image` puts them into memory.

    tensors: where each begins;  shapes: how their rows lie
    lengths, ring: addresses of the key lengths and of the ring of descriptors
    """

    tensors: dict[str, Place]
    shapes: dict[str, Tensor]
    lengths: int
    ring: int


def places(params: Params, work: Work) -> Layout:
    """Addresses behind the memory's first byte, which is at a multiple of a page."""
    s = work.shape
    read, written = params.input.bits // 8, params.output.bits // 8
    tensors = {
        "q": (s.Hq, s.L, s.E * read),
        "k": (s.Hkv, s.S, s.E * read),
        "v": (s.Hkv, s.S, s.F * read),
        "o": (s.Hq, s.L, s.F * written),
    }
    if work.lse:
        tensors["lse"] = (s.Hq, s.L, LSE_BYTES)
    found, shapes, end = {}, {}, 0
    for name, (heads, rows, row_bytes) in tensors.items():
        group = heads // s.Hkv
        address = _allot(end)
        found[name] = Place(address, heads * rows * row_bytes, group * rows * row_bytes)
        shapes[name] = Tensor(row_bytes, row_bytes, rows * row_bytes, group, group == 1)
        end = address + s.B * heads * rows * row_bytes
    lengths = _allot(end)
    if work.key_lengths is not None:
        end = lengths + KEY_LENGTH_BYTES * s.B
    ring = -(-(end + GUARD) // DESCRIPTOR_BYTES) * DESCRIPTOR_BYTES
    return Layout(found, shapes, lengths, ring)


def _allot(end: int) -> int:
    return -(-(end + GUARD) // ALIGNMENT) * ALIGNMENT
