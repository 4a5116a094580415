"""The score record: what a machine with a score program reads besides the descriptor. Its words are written down here
and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import unsigned
from amaranth.lib import data
from numpy.typing import ArrayLike

from hwgen.errors import InputError
from hwgen.params import Params

HEADER_BYTES = 64
ARGUMENT_BYTES = 4
SEGMENT_BYTES = 32
RECORD_ALIGNMENT = 8
"""Of score records and of lists of segments."""

HEADER = {"bias_address": 0x00, "bias_strides": 0x08, "segments_address": 0x20, "segments": 0x28}
"""Byte offsets of the header's fields; what is not named is zero."""

COUNT_BITS = 26
"""Width of a number of segments in a list, whose length in bytes has 32 bits."""


@dataclass(frozen=True, kw_only=True)
class RecordHeader:
    """Fields of the header, all unsigned: 64 bits each, `segments` 32.

    bias_address, bias_strides: of the bias of batch 0, kv head 0, key 0; bytes from one batch, kv head, key to the next
    segments_address, segments: the list of segments, and how many there are; 0 if the descriptor has no list
    """

    bias_address: int = 0
    bias_strides: tuple[int, int, int] = (0, 0, 0)
    segments_address: int = 0
    segments: int = 0


def has_record(params: Params) -> bool:
    """Whether descriptors may name a score record."""
    return bool(params.argument_words or params.has_bias or params.config.block_list)


def always_read(params: Params) -> bool:
    """Whether every descriptor has one; else only those with a list of segments."""
    return bool(params.argument_words or params.has_bias)


def record_bytes(params: Params) -> int:
    """Header and argument words."""
    return HEADER_BYTES + ARGUMENT_BYTES * params.argument_words


def pack_record(header: RecordHeader, words: ArrayLike = ()) -> bytes:
    """A score record as it lies in memory; argument words are 32-bit integers of either sign.

    Raises InputError for what its field cannot hold; whatever can be written is, accepted by the hardware or not.
    """
    values = (header.bias_address, *header.bias_strides, header.segments_address, header.segments)
    for value, bits in zip(values, (64,) * 5 + (32,), strict=True):
        if not 0 <= value < 1 << bits:
            raise InputError(f"a field of the score record must lie in 0 .. {(1 << bits) - 1}, not {value}")
    low = b"".join(int(value).to_bytes(8, "little") for value in values)
    codes = np.asarray(words, dtype=np.int64).reshape(-1)
    if codes.size and not (codes.min() >= -(1 << 31) and codes.max() < 1 << 31):
        raise InputError("an argument word of the score record does not fit 32 bits")
    return low.ljust(HEADER_BYTES, b"\0") + codes.astype("<i4").tobytes()


def c_records() -> str:
    """C declarations of the score record's header, behind which the argument words lie, and of a segment."""
    return """\
#define HWGEN_SEGMENT_SINK (UINT32_C(1) << 30)
#define HWGEN_SEGMENT_BLOCK_LAST (UINT32_C(1) << 31)

struct hwgen_score_record {
    uint64_t bias_address; /* 0x00: bias of batch 0, key/value head 0, key 0, query 0 */
    uint64_t bias_strides[3]; /* 0x08: bytes from one batch, key/value head and key to the next */
    uint64_t segments_address; /* 0x20: list of segments */
    uint32_t segments; /* 0x28: how many, 0 if there is no list */
    uint32_t reserved[5]; /* 0x2c: zero */
};

struct hwgen_segment {
    uint32_t first; /* 0x00: first key */
    uint32_t keys; /* 0x04: how many, and flags */
    uint64_t live; /* 0x08: slots that are shown the keys */
    uint64_t last; /* 0x10: slots that are shown no more behind them */
    uint32_t row; /* 0x18: row of K and V in which the first key lies */
    uint32_t reserved; /* 0x1c: zero */
};
"""


def list_layout(params: Params) -> data.StructLayout:
    """Where a list of segments lies, and how many it has."""
    return data.StructLayout({"address": unsigned(params.config.address_bits), "count": unsigned(COUNT_BITS)})
