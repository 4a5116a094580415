"""The descriptor: 256 bytes in memory that say what to do. Its fields are written down here and nowhere else.

`pack` makes the bytes, `c_struct` and `markdown` tell others; `descriptor_rules` says what the hardware accepts.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from itertools import groupby
from typing import Any

from hwgen.control.record import c_records
from hwgen.errors import InputError
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS

MAGIC = 0x48574101
"""'HWA' and the version of this layout."""

DESCRIPTOR_BYTES = 256
TENSORS = ("q", "k", "v", "o", "lse")
STRIDES = ("batch", "head", "row")
"""What has an address and strides, and the order of those."""

LSE_BYTES = 8
KEY_LENGTH_BYTES = 4
MAX_COUNT = 65535

FORMAT_CODES = {"bf16": 0, "fp16": 1, "fp32": 2}


@dataclass(frozen=True)
class Place:
    """Where a field lies: `count` values of `bits` bits from byte `offset` on, or `bits` bits of a word shared with
    others, from bit `low` on."""

    offset: int
    meaning: str
    bits: int = 32
    low: int = 0
    signed: bool = False
    count: int = 1
    word: str = ""

    @property
    def allowed(self) -> range:
        """What can be encoded."""
        return range(-(1 << (self.bits - 1)), 1 << (self.bits - 1)) if self.signed else range(1 << self.bits)


def _at(offset: int, meaning: str, *, default: Any = MISSING, **place: Any) -> Any:
    return field(default=default, metadata={"place": Place(offset, meaning, **place)})


def _flag(low: int, meaning: str, **place: Any) -> Any:
    return _at(0x04, meaning, **{"bits": 1, "low": low, "word": "flags", "default": 0, **place})


def _strides(offset: int, tensor: str, **place: Any) -> Any:
    return _at(offset, f"bytes from one batch, head and row of {tensor} to the next", bits=64, count=3, **place)


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """The values of all fields; `PLACES` says what they mean."""

    magic: int = _at(0x00, f"{MAGIC:#x}: 'HWA' and the version, 1", default=MAGIC)
    causal: int = _flag(0, "position i sees key j only if j <= i + offset")
    write_lse: int = _flag(1, "write LSE")
    key_lengths: int = _flag(2, "each batch has a number of keys of its own, in memory")
    listed: int = _flag(3, "blocks of queries have their keys listed in memory; zero if the machine reads no lists")
    reserved_flags: int = _flag(4, "zero", bits=28)
    in_format: int = _at(0x08, "of Q, K and V: 0 bf16, 1 fp16, 2 fp32; the machine's", bits=8, word="formats")
    out_format: int = _at(0x08, "of O, likewise", bits=8, low=8, word="formats")
    reserved_formats: int = _at(0x08, "zero", bits=16, low=16, word="formats", default=0)
    batches: int = _at(0x0C, f"B, 1 .. {MAX_COUNT}")
    query_heads: int = _at(0x10, f"Hq, 1 .. {MAX_COUNT}")
    kv_heads: int = _at(0x14, f"Hkv, 1 .. {MAX_COUNT}; G = Hq / Hkv is a whole number up to 2^{GROUP_BITS - 1}")
    queries: int = _at(0x18, f"L, 1 .. 2^{LENGTH_BITS - 1}; L G is at most 2^{QUERY_BITS - 1}")
    keys: int = _at(0x1C, "S, 1 .. 2^key_bits of the machine, one less where a query may have a sink")
    head_e: int = _at(0x20, "E, 1 .. the machine's head_e")
    head_f: int = _at(0x24, "F, 1 .. the machine's head_f")
    scale_mantissa: int = _at(0x28, "of scale log2(e), magnitude less than 2^scale_bits", signed=True)
    scale_exponent: int = _at(0x2C, "of scale log2(e) = mantissa 2^exponent, -128 .. 127", signed=True)
    offset: int = _at(0x30, f"causal offset, magnitude at most 2^{LENGTH_BITS - 1}", signed=True, default=0)
    reserved: int = _at(0x34, "zero", default=0)
    q_address: int = _at(0x38, "Q[0, 0, 0, 0]", bits=64)
    k_address: int = _at(0x40, "K[0, 0, 0, 0]", bits=64)
    v_address: int = _at(0x48, "V[0, 0, 0, 0]", bits=64)
    o_address: int = _at(0x50, "O[0, 0, 0, 0]", bits=64)
    lse_address: int = _at(0x58, "LSE[0, 0, 0]; looked at only with write_lse", bits=64, default=0)
    key_lengths_address: int = _at(
        0x60, "a 32-bit number, 0 .. S, for each batch; looked at only with key_lengths", bits=64, default=0
    )
    q_strides: tuple[int, int, int] = _strides(0x68, "Q")
    k_strides: tuple[int, int, int] = _strides(0x80, "K")
    v_strides: tuple[int, int, int] = _strides(0x98, "V")
    o_strides: tuple[int, int, int] = _strides(0xB0, "O")
    lse_strides: tuple[int, int, int] = _strides(0xC8, "LSE", default=(0, 0, 0))
    score_address: int = _at(0xE0, "the score record, see below; zero if the machine has none", bits=64, default=0)
    tail: tuple[int, ...] = _at(0xE8, "zero", count=6, default=(0,) * 6)


PLACES: dict[str, Place] = {entry.name: entry.metadata["place"] for entry in fields(Descriptor)}


def pack(values: Descriptor) -> bytes:
    """The descriptor as it lies in memory. Raises InputError for what its field cannot hold; whatever can be written
    is, whether the hardware accepts it or not."""
    code = 0
    for name, place in PLACES.items():
        value = getattr(values, name)
        items = [value] if place.count == 1 else list(value)
        if len(items) != place.count:
            raise InputError(f"{name} needs {place.count} values, not {len(items)}")
        for i, item in enumerate(items):
            number, allowed = operator.index(item), place.allowed
            if number not in allowed:
                full = name if place.count == 1 else f"{name}[{i}]"
                raise InputError(f"{full} must lie in {allowed.start} .. {allowed.stop - 1}, not {number}")
            code |= (number & ((1 << place.bits) - 1)) << (8 * place.offset + place.low + i * place.bits)
    return code.to_bytes(DESCRIPTOR_BYTES, "little")


def unpack(raw: bytes) -> Descriptor:
    """What `pack` made the bytes from. Raises InputError if their number is wrong."""
    if len(raw) != DESCRIPTOR_BYTES:
        raise InputError(f"a descriptor has {DESCRIPTOR_BYTES} bytes, not {len(raw)}")
    code = int.from_bytes(raw, "little")
    values: dict[str, Any] = {}
    for name, place in PLACES.items():
        start = 8 * place.offset + place.low
        items = [code >> (start + i * place.bits) & ((1 << place.bits) - 1) for i in range(place.count)]
        if place.signed:
            items = [item - (item >> (place.bits - 1) << place.bits) for item in items]
        values[name] = items[0] if place.count == 1 else tuple(items)
    return Descriptor(**values)


def words() -> Iterator[tuple[str, list[tuple[str, Place]]]]:
    """The members of the C structure in order: name, and the fields that share it."""
    for name, group in groupby(PLACES.items(), lambda entry: entry[1].word or entry[0]):
        yield name, list(group)


def c_type(place: Place) -> str:
    """A field's type in C; that of the whole word if others share it."""
    return f"{'' if place.signed else 'u'}int{max(place.bits, 32)}_t"


def c_struct() -> str:
    """C declarations: the structure, its constants, and a macro for every field that shares a word with others; the
    structures of `hwgen.control.record`."""
    lines = ["#include <stdint.h>", "", f"#define HWGEN_DESCRIPTOR_MAGIC {MAGIC:#x}u"]
    lines += [f"#define HWGEN_FORMAT_{name.upper()} {code}u" for name, code in FORMAT_CODES.items()]
    for name, place in PLACES.items():
        if place.word and "reserved" not in name:
            lines.append(f"#define HWGEN_DESCRIPTOR_{name.upper()}(value) ((uint32_t)(value) << {place.low})")
    lines += ["", "struct hwgen_descriptor {"]
    for name, group in words():
        place = group[0][1]
        many = f"[{place.count}]" if place.count > 1 else ""
        meaning = ", ".join(member for member, _ in group) if place.word else place.meaning
        lines.append(f"    {c_type(place)} {name}{many}; /* {place.offset:#04x}: {meaning} */")
    return "\n".join([*lines, "};", "", c_records()])


PAGE = """\
# The descriptor

{bytes} bytes, little endian, for attention of all batches and heads at once: with G = Hq / Hkv,
`O[b, h] = softmax(scale Q[b, h] K[b, h // G]^T) V[b, h // G]`. `hwgen.control.descriptor.pack` writes one.

| byte | field | type | meaning |
|---|---|---|---|
{rows}

A row (E or F numbers, or one {lse}-byte record of LSE) is contiguous; everything else is where the strides say.
Addresses and strides are multiples of the size of an element, not of the bus. The stride of a dimension of 1 is never
looked at; strides of Q, K and V may be 0, so that batches or heads share them.

## What is refused

A descriptor is checked before anything is read or written. First every field is looked at by itself, then what follows
from several; of each the first in the order of fields is reported, with its byte offset.

| fault | by itself |
|---|---|
| VERSION | `magic` is another |
| RESERVED | a flag, field or word that has to be zero is not |
| FORMAT | number formats are not the machine's |
| DIMENSION | a dimension is 0 or larger than its limit |
| SCALE, OFFSET | out of range |
| ALIGNMENT | an address or stride in use is no multiple of its element's size (LSE 8, key lengths 4, score record 8) |

| fault | from several fields |
|---|---|
| GROUP | Hq is no multiple of Hkv, or G is too large (`kv_heads`) |
| DIMENSION | L G is too large (`queries`) |
| OVERFLOW | a tensor, the key lengths or the score record end beyond the machine's address space (its address) |
| OVERLAP | rows of O or LSE overlap (its address): of the dimensions larger than 1, in ascending order of strides, \
each must have a stride at least as long as what those before it reach |

A key length larger than S is found while the machine works, as fault KEY_LENGTH with the length's address.

## The score record

A machine with a score program that has parameters, tables or a bias reads one for every descriptor, at
`score_address`; one that only takes lists of segments reads it with `listed`, and looks at `score_address` only then.
All others have none. It is read before the first job starts: a header of 64 bytes, then the argument words.
`hwgen.control.record.pack_record` writes one.

| byte | field | type | meaning |
|---|---|---|---|
| 0x00 | `bias_address` | uint64_t | bias of batch 0, key/value head 0, key 0, query 0 |
| 0x08 | `bias_strides` | uint64_t[3] | bytes from one batch, key/value head and key to the next, each may be 0 |
| 0x20 | `segments_address` | uint64_t | the list of segments |
| 0x28 | `segments` | uint32_t | how many there are; 0 without `listed` |
| 0x2c | | uint32_t[5] | zero |
| 0x40 | | int32_t[] | parameters and tables in the order of the program |

The bias has a row of L G numbers of the input format for every key, that of query p of head g of a group at p G + g.
Fields that the machine has no use for are zero. Fault SCORE_RECORD with the address of the first 32-bit word that is
wrong: one that has to be zero is not, the bias is not aligned to its numbers or the list to 8 bytes, an address or
stride is beyond the address space, a list is empty. Where the bias and the list end is not looked at: addresses are
taken modulo the address space.

## Lists of segments

With `listed`, the keys that a block of `cols x slots` queries is shown come from a list, 32 bytes a segment: those of
all blocks in the order of batches, key/value heads, blocks. A block has one segment at least, its last one is marked.

| byte | field | type | meaning |
|---|---|---|---|
| 0x00 | `first` | uint32_t | first key |
| 0x04, bit 0 .. 20 | `keys` | uint32_t | how many; 0 only in the one segment of a block that is shown nothing |
| 0x04, bit 30 | `sink` | uint32_t | no key but the score program's sink; `keys` is 1 |
| 0x04, bit 31 | `block_last` | uint32_t | no segment of the block follows |
| 0x08 | `live` | uint64_t | slots (`cols` queries each) that are shown these keys |
| 0x10 | `last` | uint64_t | slots of `live` that are shown no more keys behind these |
| 0x18 | `row` | uint32_t | row of K and V where the first key lies, the others behind it; `first` if not paged |
| 0x1c | | uint32_t | zero |

Fault SEGMENT with the segment's address: bits that have to be zero are not, `first + keys` is larger than S, `keys`
is 0 otherwise than above, a slot is not there, none is live, `last` has one that is not live, a sink comes where the
program has none, the last segment of the list does not end its block, the list is too short (the address behind it)
or too long (the first segment that nobody needs).

What is not looked at, and left to the host: keys behind a batch's key length; slots without queries in a job's last
block; that every slot is `last` once, in the last of the segments in which it is live; the order of segments in a
block, in which keys must rise; rows outside of K and V, which are read wherever they lie. A slot that is never `last`
keeps the machine waiting until the host aborts. Where a slot has no queries or was `last` before, `last` does nothing;
whatever a list holds, the next descriptor's results are right.
"""


def markdown() -> str:
    """The page docs/descriptor.md."""
    rows = []
    for name, place in PLACES.items():
        many = f"[{place.count}]" if place.count > 1 else ""
        end = f" .. {place.low + place.bits - 1}" if place.bits > 1 else ""
        bits = f", bit {place.low}{end}" if place.word else ""
        rows.append(f"| {place.offset:#04x}{bits} | `{name}` | {c_type(place)}{many} | {place.meaning} |")
    return PAGE.format(bytes=DESCRIPTOR_BYTES, rows="\n".join(rows), lse=LSE_BYTES)
