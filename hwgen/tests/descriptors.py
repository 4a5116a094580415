"""Descriptors for tests: plain ones, random good ones, and good ones with a few fields changed for the worse."""

import dataclasses
from itertools import permutations
from typing import Any

import numpy as np

from hwgen.control.descriptor import FORMAT_CODES, LSE_BYTES, TENSORS, Descriptor, pack, unpack
from hwgen.control.descriptor_rules import tensors
from hwgen.control.record import has_record, record_bytes
from hwgen.params import Params

ROWS = {"q": ("batches", "query_heads", "queries"), "k": ("batches", "kv_heads", "keys")}
ROWS |= {"v": ROWS["k"], "o": ROWS["q"], "lse": ROWS["q"]}


def row_bytes(values: dict[str, Any], params: Params) -> dict[str, int]:
    read, written = params.input.bits // 8, params.output.bits // 8
    e, f = values["head_e"], values["head_f"]
    return {"q": e * read, "k": e * read, "v": f * read, "o": f * written, "lse": LSE_BYTES}


def packed_strides(counts: tuple[int, int, int], size: int, order: tuple[int, ...] = (2, 1, 0)) -> tuple[int, ...]:
    """Strides of rows without gaps, the dimension `order[0]` the innermost."""
    strides = [0, 0, 0]
    for dimension in order:
        strides[dimension] = size
        size *= counts[dimension]
    return tuple(strides)


def plain(params: Params, **changes: Any) -> Descriptor:
    """A good descriptor: tensors lie packed one after the other unless changed."""
    c = params.config
    values: dict[str, Any] = {"in_format": FORMAT_CODES[c.in_format], "out_format": FORMAT_CODES[c.out_format]}
    values |= {"batches": 1, "query_heads": 1, "kv_heads": 1, "queries": 5, "keys": 7}
    values |= {"head_e": c.head_e, "head_f": c.head_f, "scale_mantissa": 3, "scale_exponent": -5}
    values |= {name: value for name, value in changes.items() if name in values}
    address = 0x1000
    for name, size in row_bytes(values, params).items():
        counts = tuple(values[rank] for rank in ROWS[name])
        values[f"{name}_strides"] = packed_strides(counts, size)
        values[f"{name}_address"] = address
        address += 0x1000 + int(np.prod(counts)) * size
    return Descriptor(**{**values, "key_lengths_address": address, **changes})


class RandomDescriptors:
    """Random good descriptors; `spoil` changes one to three fields to values that are bad or at a limit."""

    def __init__(self, seed: int, params: Params) -> None:
        self.params, self.rng = params, np.random.default_rng(seed)

    def pick(self, *options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def number(self, low: int, high: int) -> int:
        """From low to high, short and long numbers alike."""
        bits = int(self.rng.integers(high.bit_length() + 1))
        return max(low, min(high, int(self.rng.integers(1 << 62)) & ((1 << bits) - 1)))

    def good(self) -> Descriptor:
        while (placed := self.placed(self.shaped())) is None:
            pass
        return placed

    def shaped(self) -> Descriptor:
        """Any shape, scale, offset and flags."""
        c, number = self.params.config, self.number
        kv_heads, group = number(1, 40), number(1, 40)
        shape = {
            "batches": self.pick(1, number(1, 300)),
            "query_heads": kv_heads * group,
            "kv_heads": kv_heads,
            "queries": self.pick(1, number(1, 1 << 20)),
            "keys": self.pick(1, number(1, 1 << 20)),
            "head_e": number(1, c.head_e),
            "head_f": number(1, c.head_f),
        }
        limit = (1 << c.scale_bits) - 1
        others = {
            "scale_mantissa": self.pick(-limit, limit, int(self.rng.integers(-limit, limit + 1))),
            "scale_exponent": int(self.rng.integers(-128, 128)),
            "offset": self.pick(-(1 << 20), 1 << 20, int(self.rng.integers(-1000, 1000))),
        }
        flags = {name: int(self.rng.integers(2)) for name in ("causal", "write_lse", "key_lengths")}
        if c.block_list:
            flags["listed"] = int(self.rng.integers(2))
        return plain(self.params, **shape, **others, **flags)

    def placed(self, base: Descriptor) -> Descriptor | None:
        """The descriptor with its tensors somewhere else, in some order of dimensions, with gaps; None if one does
        not fit the address space."""
        changes: dict[str, Any] = {}
        always = dataclasses.replace(base, write_lse=1)
        for tensor in tensors(always, self.params):
            order = self.pick(*permutations(range(3)))
            gap = tensor.element * self.pick(0, 0, self.number(0, 100))
            strides = packed_strides(tensor.counts, tensor.row_bytes + gap, order)
            end = sum(s * (n - 1) for s, n in zip(strides, tensor.counts, strict=True)) + tensor.row_bytes
            room = ((1 << self.params.config.address_bits) - end) // tensor.element
            if room < 0:
                return None
            # Where there is only one, anything will do.
            loose = self.pick(0, 3, (1 << 64) - 1)
            strides = tuple(loose if n == 1 else s for s, n in zip(strides, tensor.counts, strict=True))
            place = room if self.rng.random() < 0.3 else self.number(0, room)
            changes[f"{tensor.name}_strides"] = strides
            changes[f"{tensor.name}_address"] = place * tensor.element
        room = (1 << self.params.config.address_bits - 2) - base.batches
        changes["key_lengths_address"] = 4 * self.pick(room, self.number(0, room))
        # What is not used may hold anything.
        if not base.write_lse:
            changes["lse_address"] = self.number(0, (1 << 64) - 1)
        if not base.key_lengths:
            changes["key_lengths_address"] = self.number(0, (1 << 64) - 1)
        if has_record(self.params):
            room = (1 << self.params.config.address_bits - 3) - -(-record_bytes(self.params) // 8)
            changes["score_address"] = 8 * self.pick(room, self.number(0, room))
        return dataclasses.replace(base, **changes)

    def spoil(self, values: Descriptor) -> Descriptor:
        for _ in range(self.rng.integers(1, 4)):
            values = self.pick(self.nudge, self.nudge, self.flip, self.limit, self.heads)(values)
        return values

    def nudge(self, values: Descriptor) -> Descriptor:
        """An address or stride a little larger or smaller, doubled or halved."""
        fields = [f"{name}_{what}" for name in TENSORS for what in ("address", "strides", "strides")]
        fields += ["score_address"] * 3 * has_record(self.params)
        field = self.pick(*fields, "key_lengths_address", "key_lengths_address")
        change = self.pick(
            lambda x: x + 1,
            lambda x: x + 8,
            lambda x: x + (1 << 63),
            lambda x: x - 8,
            lambda x: x * 2,
            lambda x: x // 2,
        )
        value = getattr(values, field)
        top = (1 << 64) - 1
        if isinstance(value, int):
            return dataclasses.replace(values, **{field: max(0, min(top, change(value)))})
        which = self.rng.integers(3)
        new = tuple(max(0, min(top, change(s))) if i == which else s for i, s in enumerate(value))
        return dataclasses.replace(values, **{field: new})

    def heads(self, values: Descriptor) -> Descriptor:
        """Other numbers of heads."""
        which = self.pick("query_heads", "kv_heads")
        return dataclasses.replace(values, **{which: self.pick(1, self.number(1, 65535), getattr(values, which) + 1)})

    def flip(self, values: Descriptor) -> Descriptor:
        """One bit of the descriptor."""
        bit = int(self.rng.integers(8 * 256))
        return unpack((int.from_bytes(pack(values), "little") ^ 1 << bit).to_bytes(256, "little"))

    def limit(self, values: Descriptor) -> Descriptor:
        """A number at or just beyond a limit."""
        c = self.params.config
        limits = {"batches": (0, 1, 65535, 65536), "query_heads": (0, 1, 65535, 65536), "kv_heads": (0, 1, 2, 65535)}
        limits |= {"queries": (0, 1 << 20, (1 << 20) + 1), "keys": (0, 1 << 20, (1 << 20) + 1)}
        limits |= {"head_e": (0, c.head_e + 1, 1 << 20), "head_f": (0, c.head_f + 1, 1 << 20)}
        limits |= {"offset": (1 << 20, (1 << 20) + 1, -(1 << 20), -(1 << 20) - 1)}
        limits |= {"scale_mantissa": (1 << c.scale_bits, -(1 << c.scale_bits)), "scale_exponent": (127, 128, -129)}
        name = self.pick(*limits)
        return dataclasses.replace(values, **{name: self.pick(*limits[name])})
