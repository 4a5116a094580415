"""Banks of block RAM: a power of two of bus words each, in lanes of two bytes of all words."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.part import Part, place

BLOCK_BITS = 16384
"""Of a block RAM of ECP5 and of Gowin, which can be as deep as that, a bit wide."""

BYTE_BITS = 8

LANE_BYTES = 2
"""Of a word in one lane: a bank of few words takes half as many blocks as with one byte, others as many."""

LANE_BITS = LANE_BYTES * BYTE_BITS


def bank_words(memory_bytes: int, bus_bytes: int) -> tuple[int, ...]:
    """Words of each bank, the largest first, so that each begins at a multiple of its own size.

    No bank is deeper than a block RAM: what is in several of them would have to be chosen from right behind them.
    """
    words, banks = memory_bytes // bus_bytes, []
    while words:
        banks.append(min(BLOCK_BITS, 1 << (words.bit_length() - 1)))
        words -= banks[-1]
    return tuple(banks)


def chosen(index: Any, depths: tuple[int, ...]) -> Any:
    """One bit a bank: whether a word is in it."""
    bits, start = [], 0
    for depth in depths:
        low = ceil_log2(depth)
        bits.append(index[low:] == start >> low)
        start += depth
    return Cat(bits)


def _register(value: Signal) -> Signal:
    """A register for it, without a reset: one would reach all over the device for nothing."""
    return Signal(len(value), reset_less=True)


class Bank(Part):
    """A lane's bytes of `depth` words, registers in front of the blocks and behind them.

    Latency 3 cycles; what is written in the cycle of an address is not there yet or is anything.

    Members
    -------
    address, read:                read
    write_address, data, strobe:  written, byte by byte
    """

    LATENCY = 3

    def __init__(self, depth: int) -> None:
        self._depth = depth
        super().__init__(
            {"address": In(range(depth)), "read": Out(LANE_BITS)}
            | {"write_address": In(range(depth)), "data": In(LANE_BITS), "strobe": In(LANE_BYTES)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        memory = Memory(shape=unsigned(LANE_BITS), depth=self._depth, init=[], attrs={"no_rw_check": 1})
        m.submodules.memory = memory
        write, read = memory.write_port(granularity=BYTE_BITS), memory.read_port()
        behind = _register(self.read)
        address, write_address = _register(self.address), _register(self.write_address)
        data, strobe = _register(self.data), _register(self.strobe)
        m.d.sync += [address.eq(self.address), write_address.eq(self.write_address), behind.eq(read.data)]
        m.d.sync += [data.eq(self.data), strobe.eq(self.strobe)]
        m.d.comb += [write.addr.eq(write_address), write.data.eq(data), write.en.eq(strobe)]
        m.d.comb += [read.addr.eq(address), read.en.eq(1), self.read.eq(behind)]
        return m


class Lane(Part):
    """Two bytes of all words, in banks of `depths` words, with two registers before and two behind those of the banks:
    lanes lie far from each other, their banks too, and nothing of a block's cycle is left for the way. Between a lane
    and the rest go its bytes and the index, whatever the number of banks.

    Latency LATENCY cycles from an index to its word. A word that is written is read by an index of any later cycle.

    Members
    -------
    index, read:                read
    write_index, data, strobe:  written, byte by byte
    fill, byte:                 from a cycle before on, this byte is written instead of `data`
    """

    LATENCY = 2 + Bank.LATENCY + 2

    def __init__(self, depths: tuple[int, ...]) -> None:
        self._depths = depths
        words = sum(depths)
        super().__init__(
            {"index": In(range(words)), "read": Out(LANE_BITS)}
            | {"write_index": In(range(words)), "data": In(LANE_BITS), "strobe": In(LANE_BYTES)}
            | {"fill": In(1), "byte": In(BYTE_BITS)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        index, write_index = _register(self.index), _register(self.write_index)
        data, strobe, behind = _register(self.data), _register(self.strobe), _register(self.read)
        # A register of each lane's own, so that it is near.
        fill, written = Signal(reset_less=True), Signal(LANE_BITS)
        m.d.sync += fill.eq(self.fill)
        m.d.comb += written.eq(Mux(fill, self.byte.replicate(LANE_BYTES), self.data))
        pairs = (index, self.index), (write_index, self.write_index), (data, written), (strobe, self.strobe)
        for register, value in pairs:
            before = _register(register)
            m.d.sync += [before.eq(value), register.eq(before)]
        choice, write_choice = chosen(index, self._depths), chosen(write_index, self._depths)
        for _ in range(Bank.LATENCY):
            choice, before = Signal(len(self._depths), reset_less=True), choice
            m.d.sync += choice.eq(before)
        words = []
        for number, depth in enumerate(self._depths):
            bank = Bank(depth)
            place(m, f"bank{number}", bank)
            m.d.comb += [
                bank.address.eq(index),
                bank.write_address.eq(write_index),
                bank.data.eq(data),
                bank.strobe.eq(Mux(write_choice[number], strobe, 0)),
            ]
            word = _register(self.read)
            m.d.sync += word.eq(Mux(choice[number], bank.read, 0))
            words.append(word)
        m.d.sync += behind.eq(reduce(or_, words))
        m.d.comb += self.read.eq(behind)
        return m
