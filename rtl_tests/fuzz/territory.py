"""Which bytes a descriptor lets the machine write, and what it has to write there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden import bitexact
from golden.bitexact.attention import Result, attend
from hwgen.control.descriptor import KEY_LENGTH_BYTES, Descriptor
from hwgen.control.descriptor_rules import Tensor, tensors
from hwgen.params import Params
from hwgen.sim.layout import Image, Piece, Placed

Addresses = NDArray[np.uint64]


def written(d: Descriptor, params: Params) -> list[Tensor]:
    """The tensors that the machine writes for an accepted descriptor."""
    return [tensor for tensor in tensors(d, params) if tensor.name in ("o", "lse")]


def covers(tensor: Tensor, addresses: Addresses) -> NDArray[np.bool_]:
    """Which addresses belong to a row of a tensor whose rows do not overlap.

    Exact without looking at every row: a dimension's stride reaches beyond all that those of smaller strides reach, so
    that its index is the quotient.
    """
    rest = addresses - np.uint64(tensor.address)
    steps = sorted((s, n) for s, n in zip(tensor.strides, tensor.counts, strict=True) if n > 1)
    for stride, count in reversed(steps):
        step = np.uint64(stride)
        rest = rest - np.minimum(rest // step, np.uint64(count - 1)) * step
    # What lies before the tensor has wrapped to far behind it.
    return (addresses >= np.uint64(tensor.address)) & (rest < np.uint64(tensor.row_bytes))


def may_write(d: Descriptor, params: Params, addresses: Addresses) -> NDArray[np.bool_]:
    """Which addresses belong to O or LSE of an accepted descriptor."""
    found = np.zeros(len(addresses), dtype=bool)
    for tensor in written(d, params):
        found |= covers(tensor, addresses)
    return found


MOST_ROWS = 500
"""Of a tensor whose results are worked out."""


def piece_of(tensor: Tensor, image: Image, size: int) -> Piece | None:
    """A tensor's place in an image of so many bytes; None if it is not in there, or is large."""
    if np.prod(tensor.counts, dtype=float) > MOST_ROWS:
        return None
    strides = [s if n > 1 else 0 for s, n in zip(tensor.strides, tensor.counts, strict=True)]
    piece = Piece(tensor.address, tensor.counts, tensor.row_bytes, (strides[0], strides[1], strides[2]))
    return piece if image.base <= piece.address and piece.end <= image.base + size else None


def foresee(
    d: Descriptor, image: Image, memory: NDArray[np.uint8], moving: NDArray[np.bool_]
) -> tuple[Placed, Result] | tuple[None, None]:
    """What a machine without a score program makes of an accepted descriptor, and where; nothing if that is not known:
    if something lies outside of the memory, is large, or may change meanwhile."""
    params = image.params
    pieces = {tensor.name: piece_of(tensor, image, len(memory)) for tensor in tensors(d, params)}
    lengths = _lengths(d, image, memory, moving)
    read = {name: pieces[name] for name in ("q", "k", "v")}
    if None in pieces.values() or lengths is None:
        return None, None
    if any(piece.rows(moving.view(np.uint8), image.base).any() for piece in read.values()):
        return None, None
    q, k, v = (_codes(piece, image, memory) for piece in read.values())
    group = d.query_heads // d.kv_heads
    scale = bitexact.ScaleCode(d.scale_mantissa, d.scale_exponent)
    results = []
    for b, h in np.ndindex(d.batches, d.query_heads):
        job = bitexact.Job(scale=scale, keys=int(lengths[b]), causal=bool(d.causal), offset=d.offset)
        results.append(attend(q[b, h], k[b, h // group], v[b, h // group], job, params.numerics))
    parts = (np.stack(part) for part in zip(*results, strict=True))
    want = Result(*(part.reshape(d.batches, d.query_heads, *part.shape[1:]) for part in parts))
    return Placed(params, image.base, d, pieces["o"], pieces.get("lse")), want


def _codes(piece: Piece, image: Image, memory: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
    native = np.dtype(image.params.input.dtype)
    rows = np.ascontiguousarray(piece.rows(memory, image.base))
    return rows.view(native.newbyteorder("<")).astype(native)


def _lengths(
    d: Descriptor, image: Image, memory: NDArray[np.uint8], moving: NDArray[np.bool_]
) -> NDArray[np.integer] | None:
    """Keys of each batch; None if they cannot be known or are too many."""
    if not d.key_lengths:
        return np.full(min(d.batches, MOST_ROWS), d.keys)
    first, size = d.key_lengths_address - image.base, KEY_LENGTH_BYTES * d.batches
    if not 0 <= first <= len(memory) - size or moving[first : first + size].any():
        return None
    lengths = memory[first : first + size].view("<u4")
    return lengths if (lengths <= d.keys).all() else None
