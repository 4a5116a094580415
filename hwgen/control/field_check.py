"""What a descriptor's fields show without arithmetic."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Const

from hwgen.control.descriptor import KEY_LENGTH_BYTES, LSE_BYTES, MAX_COUNT, STRIDES, TENSORS
from hwgen.control.descriptor_rules import MAX_LENGTH, MAX_OFFSET
from hwgen.control.descriptor_store import WORDS, word_of
from hwgen.control.faults import Fault
from hwgen.control.record import RECORD_ALIGNMENT, always_read, has_record
from hwgen.params import Params


def field_rules(params: Params, d, stray, known: Callable[[Any], Any]):
    """(fault, byte offset, condition) in the order of fields, of a kept descriptor and its stray words. `known` gives a
    condition a cycle later: for those of numbers, which are there before the descriptor's last bus word."""
    numbers = _numbers(params, d)
    rules = {
        word_of(name): (fault, stray[word_of(name)] | (known(w) if w is not None else 0)) for name, fault, w in numbers
    }
    for i in range(word_of("score_address"), WORDS):
        rules[i] = (Fault.RESERVED, stray[i])
    if has_record(params):
        del rules[word_of("score_address") + 1]
    for index, wrong in _misaligned(params, d, known):
        rules[index] = (Fault.ALIGNMENT, wrong)
    assert all(0 <= index < WORDS for index in rules)
    return [(fault, 4 * index, wrong) for index, (fault, wrong) in sorted(rules.items())]


def _numbers(params: Params, d):
    """Name of a one-word field, its fault, and what may be wrong with it besides its stray bits."""
    c = params.config
    yield "magic", Fault.VERSION, None
    yield "causal", Fault.RESERVED, None
    yield "in_format", Fault.FORMAT, None
    limits = {"batches": MAX_COUNT, "query_heads": MAX_COUNT, "kv_heads": MAX_COUNT}
    limits |= {"queries": MAX_LENGTH, "keys": params.most_keys, "head_e": c.head_e, "head_f": c.head_f}
    for name, limit in limits.items():
        full = limit == (1 << len(d[name])) - 1
        yield name, Fault.DIMENSION, (d[name] == 0) | (0 if full else d[name] > limit)
    yield "scale_mantissa", Fault.SCALE, d.scale_mantissa == -(1 << c.scale_bits)
    yield "scale_exponent", Fault.SCALE, None
    yield "offset", Fault.OFFSET, (d.offset > MAX_OFFSET) | (d.offset < -MAX_OFFSET)
    yield "reserved", Fault.RESERVED, None


def _misaligned(params: Params, d, known: Callable[[Any], Any]):
    """First word of an address or stride, and whether it is used and no multiple of its element."""
    read, written = params.input.bits // 8, params.output.bits // 8
    sizes = dict(zip(TENSORS, (read, read, read, written, LSE_BYTES), strict=True))
    several = {name: known(d[name] != 1) for name in ("batches", "query_heads", "kv_heads", "queries", "keys")}
    for name, size in sizes.items():
        used = d.write_lse if name == "lse" else 1
        tensor = d[name]
        yield word_of(f"{name}_address"), used & low_bits(tensor.address, size)
        for i, (dimension, count) in enumerate(zip(STRIDES, ("batches", *counts_of(name)), strict=True)):
            yield (
                word_of(f"{name}_strides", i),
                used & several[count] & low_bits(tensor[f"{dimension}_stride"], size),
            )
    yield word_of("key_lengths_address"), d.key_lengths & low_bits(d.key_lengths_address, KEY_LENGTH_BYTES)
    if has_record(params):
        yield word_of("score_address"), record_used(params, d) & low_bits(d.score_address, RECORD_ALIGNMENT)


def record_used(params: Params, d):
    """Whether the machine, one that reads score records, reads one for this descriptor."""
    return Const(1, 1) if always_read(params) else d.listed


def low_bits(value, size: int):
    """Whether a number is no multiple of `size`, a power of two."""
    return value[: size.bit_length() - 1].any()


def counts_of(name: str) -> tuple[str, str]:
    """Heads and rows of a tensor."""
    return ("kv_heads", "keys") if name in ("k", "v") else ("query_heads", "queries")
