"""The left edge of an array: one memory a row, read and written one cycle later than in the row above."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Value, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.timing import key_rows, value_rows


def key_address(params: Params) -> Shape:
    """An address in the key buffer's banks: row above fold."""
    return unsigned(ceil_log2(key_rows(params)) + params.fold_e_bits)


def value_address(params: Params) -> Shape:
    """An address in the value buffer's banks: row above fold."""
    return unsigned(ceil_log2(value_rows(params)) + params.fold_f_bits)


class Relay(Part):
    """Hands a word of `width` bits on: `after` is `before`, so many cycles later.

    It has no reset: whatever is on its way when a job ends arrives before what the next one sends.
    """

    def __init__(self, width: int, cycles: int = 1) -> None:
        self._width, self._cycles = width, cycles
        super().__init__({"before": In(width), "after": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.after.eq(delayed(m, self.before, self._cycles, "after"))
        return m


def relayed(m: Module, name: str, fields: Mapping[str, Any], groups: int, rows: int) -> list[data.View]:
    """What each of so many groups of `rows` gets of a word of `fields` that goes down from one to the next: the first
    one a cycle later, each further one another cycle, or two. A wire from there to all rows of an array would be as
    long as the array is high, and row r has its turn r cycles behind the first one anyhow, so that a group may be as
    many cycles behind the one above as that has rows; two are enough for the way across."""
    layout = data.StructLayout({field: value.shape() for field, value in fields.items()})
    word: Value = Cat(*(Value.cast(value) for value in fields.values()))
    found = []
    for group in range(groups):
        relay = Relay(layout.size, min(2, rows) if group else 1)
        place(m, f"{name}_{group}", relay)
        m.d.comb += relay.before.eq(word)
        word = relay.after
        found.append(data.View(layout, word))
    return found


class FeederRow(Part):
    """One bank of the key or value buffer and the cell that reads it for its array row.

    `data` is the element at `address_in`, LATENCY cycles later, as a memory with a register at its output is quicker;
    `address_out` and `side_out` are the inputs, SKEW cycles later, for the row below. Skew between rows arises here and
    needs no registers for elements.

    Throughput 1 read and 1 write a cycle. A read returns what was written in earlier cycles; nobody reads a place in
    the cycle in which it is written.

    Members: write_enable, write_address, write_data; address_in, side_in; data, address_out, side_out.
    """

    SKEW = 1
    LATENCY = SKEW + 1

    def __init__(self, bits: int, depth: int, side: ShapeLike) -> None:
        self._bits, self._depth, self._side = bits, depth, Shape.cast(side).width
        address = unsigned(ceil_log2(depth))
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(address),
                "write_data": In(bits),
                "address_in": In(address),
                "side_in": In(self._side),
                "data": Out(bits),
                "address_out": Out(address),
                "side_out": Out(self._side),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A row is read after it was written and before its place is written again.
        m.submodules.bank = bank = Memory(
            shape=unsigned(self._bits), depth=self._depth, init=[], attrs={"no_rw_check": 1}
        )
        write = bank.write_port()
        read = bank.read_port(domain="sync")
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.address_in),
            read.en.eq(1),
            self.data.eq(delayed(m, read.data, self.LATENCY - self.SKEW, "element")),
        ]
        m.d.sync += [self.address_out.eq(self.address_in), self.side_out.eq(self.side_in)]
        return m
