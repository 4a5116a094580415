"""Which descriptors the machine accepts, and what it reports about the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hwgen.control.descriptor import FORMAT_CODES, KEY_LENGTH_BYTES, LSE_BYTES, MAGIC, MAX_COUNT, PLACES, Descriptor
from hwgen.control.faults import Fault
from hwgen.control.record import RECORD_ALIGNMENT, always_read, has_record, record_bytes
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params

MAX_LENGTH = 1 << (LENGTH_BITS - 1)
MAX_OFFSET = MAX_LENGTH
MAX_GROUP = 1 << (GROUP_BITS - 1)
MAX_QUERIES = 1 << (QUERY_BITS - 1)
SCALE_EXPONENTS = range(-128, 128)


class Finding(NamedTuple):
    """What is wrong, and the byte offset of the field that shows it."""

    fault: Fault
    offset: int


class Tensor(NamedTuple):
    """What of a tensor matters for its place in memory."""

    name: str
    address: int
    strides: tuple[int, int, int]
    counts: tuple[int, int, int]
    element: int
    row_bytes: int


def tensors(d: Descriptor, params: Params) -> list[Tensor]:
    """The tensors of a descriptor in memory; LSE only if it is written."""
    read, written = params.input.bits // 8, params.output.bits // 8
    of_queries, of_keys = (d.batches, d.query_heads, d.queries), (d.batches, d.kv_heads, d.keys)
    found = [
        Tensor("q", d.q_address, d.q_strides, of_queries, read, d.head_e * read),
        Tensor("k", d.k_address, d.k_strides, of_keys, read, d.head_e * read),
        Tensor("v", d.v_address, d.v_strides, of_keys, read, d.head_f * read),
        Tensor("o", d.o_address, d.o_strides, of_queries, written, d.head_f * written),
    ]
    if d.write_lse:
        found.append(Tensor("lse", d.lse_address, d.lse_strides, of_queries, LSE_BYTES, LSE_BYTES))
    return found


def record_used(d: Descriptor, params: Params) -> bool:
    """Whether the machine reads a score record for this descriptor."""
    return has_record(params) and (always_read(params) or bool(d.listed))


def check(values: Descriptor, params: Params) -> Finding | None:
    """The fault that the machine reports for a descriptor, None if it accepts it.

    First it looks at every field by itself, then at what follows from several; of each the first in the order of
    fields counts.
    """
    for rules in (_fields, _alignment), (_heads, _extents):
        found = [finding for rule in rules for finding in rule(values, params)]
        if found:
            return min(found, key=lambda finding: finding.offset)
    return None


def _fields(d: Descriptor, params: Params) -> Iterator[Finding]:
    c = params.config
    formats = (FORMAT_CODES[c.in_format], FORMAT_CODES[c.out_format], 0)
    good = {
        "magic": (Fault.VERSION, d.magic == MAGIC),
        "listed": (Fault.RESERVED, c.block_list or d.listed == 0),
        "reserved_flags": (Fault.RESERVED, d.reserved_flags == 0),
        "in_format": (Fault.FORMAT, (d.in_format, d.out_format, d.reserved_formats) == formats),
        "batches": (Fault.DIMENSION, 1 <= d.batches <= MAX_COUNT),
        "query_heads": (Fault.DIMENSION, 1 <= d.query_heads <= MAX_COUNT),
        "kv_heads": (Fault.DIMENSION, 1 <= d.kv_heads <= MAX_COUNT),
        "queries": (Fault.DIMENSION, 1 <= d.queries <= MAX_LENGTH),
        "keys": (Fault.DIMENSION, 1 <= d.keys <= params.most_keys),
        "head_e": (Fault.DIMENSION, 1 <= d.head_e <= c.head_e),
        "head_f": (Fault.DIMENSION, 1 <= d.head_f <= c.head_f),
        "scale_mantissa": (Fault.SCALE, abs(d.scale_mantissa) < 1 << c.scale_bits),
        "scale_exponent": (Fault.SCALE, d.scale_exponent in SCALE_EXPONENTS),
        "offset": (Fault.OFFSET, abs(d.offset) <= MAX_OFFSET),
        "reserved": (Fault.RESERVED, d.reserved == 0),
    }
    yield from (Finding(fault, PLACES[name].offset) for name, (fault, fine) in good.items() if not fine)
    if not has_record(params):
        halves = (d.score_address & 0xFFFFFFFF, d.score_address >> 32)
        yield from (Finding(Fault.RESERVED, PLACES["score_address"].offset + 4 * i) for i in (0, 1) if halves[i])
    yield from (Finding(Fault.RESERVED, PLACES["tail"].offset + 4 * i) for i, word in enumerate(d.tail) if word)


def _alignment(d: Descriptor, params: Params) -> Iterator[Finding]:
    for tensor in tensors(d, params):
        if tensor.address % tensor.element:
            yield Finding(Fault.ALIGNMENT, PLACES[f"{tensor.name}_address"].offset)
        for i, (stride, count) in enumerate(zip(tensor.strides, tensor.counts, strict=True)):
            # Where there is only one, nobody steps to the next.
            if count != 1 and stride % tensor.element:
                yield Finding(Fault.ALIGNMENT, PLACES[f"{tensor.name}_strides"].offset + 8 * i)
    if d.key_lengths and d.key_lengths_address % KEY_LENGTH_BYTES:
        yield Finding(Fault.ALIGNMENT, PLACES["key_lengths_address"].offset)
    if record_used(d, params) and d.score_address % RECORD_ALIGNMENT:
        yield Finding(Fault.ALIGNMENT, PLACES["score_address"].offset)


def _heads(d: Descriptor, params: Params) -> Iterator[Finding]:
    group, rest = divmod(d.query_heads, d.kv_heads)
    if rest or group > MAX_GROUP:
        yield Finding(Fault.GROUP, PLACES["kv_heads"].offset)
    if group * d.queries > MAX_QUERIES:
        yield Finding(Fault.DIMENSION, PLACES["queries"].offset)


def _extents(d: Descriptor, params: Params) -> Iterator[Finding]:
    space = 1 << params.config.address_bits
    for tensor in tensors(d, params):
        place = PLACES[f"{tensor.name}_address"].offset
        steps = sorted((s, n) for s, n in zip(tensor.strides, tensor.counts, strict=True) if n > 1)
        extent, apart = tensor.row_bytes, True
        for stride, count in steps:
            apart &= stride >= extent
            extent += stride * (count - 1)
        if tensor.address + extent > space:
            yield Finding(Fault.OVERFLOW, place)
        if tensor.name in ("o", "lse") and not apart:
            yield Finding(Fault.OVERLAP, place)
    if d.key_lengths and d.key_lengths_address + KEY_LENGTH_BYTES * d.batches > space:
        yield Finding(Fault.OVERFLOW, PLACES["key_lengths_address"].offset)
    if record_used(d, params) and d.score_address + record_bytes(params) > space:
        yield Finding(Fault.OVERFLOW, PLACES["score_address"].offset)
