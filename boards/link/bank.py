"""Banks of block RAM: a power of two of bus words each."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.part import Part, place

BLOCK_BITS = 16384
"""Of a block RAM of ECP5 and of Gowin, which can be as deep as that, a bit wide."""

BYTE_BITS = 8


def bank_words(memory_bytes: int, bus_bytes: int) -> tuple[int, ...]:
    """Words of each bank, the largest first, so that each begins at a multiple of its own size.

    No bank is deeper than a block RAM: what is in several of them would have to be chosen from right behind them.
    """
    words, banks = memory_bytes // bus_bytes, []
    while words:
        banks.append(min(BLOCK_BITS, 1 << (words.bit_length() - 1)))
        words -= banks[-1]
    return tuple(banks)


def lane_bytes(depth: int) -> int:
    """Bytes of a word in one lane: two if no block need be deeper than it is then, which takes half as many."""
    return 1 if depth > BLOCK_BITS // (2 * BYTE_BITS) else 2


def _register(value: Signal) -> Signal:
    """A register for it, without a reset."""
    return Signal(len(value), reset_less=True)


class Lane(Part):
    """Memory of `depth` words of a byte or two, registers in front of it and behind it.

    Latency 3 cycles; what is written in the cycle of an address is not there yet or is anything.

    Members
    -------
    address, read:                read
    write_address, data, strobe:  written, byte by byte
    """

    LATENCY = 3

    def __init__(self, width: int, depth: int) -> None:
        self._width, self._depth = width, depth
        super().__init__(
            {"address": In(range(depth)), "read": Out(width)}
            | {"write_address": In(range(depth)), "data": In(width), "strobe": In(width // BYTE_BITS)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        memory = Memory(shape=unsigned(self._width), depth=self._depth, init=[], attrs={"no_rw_check": 1})
        m.submodules.memory = memory
        write, read = memory.write_port(granularity=BYTE_BITS), memory.read_port()
        behind = Signal(self._width, reset_less=True)
        # A reset of what only goes with a strobe would reach all over the device for nothing.
        address, write_address = _register(self.address), _register(self.write_address)
        data, strobe = _register(self.data), Signal.like(self.strobe)
        m.d.sync += [address.eq(self.address), write_address.eq(self.write_address), behind.eq(read.data)]
        m.d.sync += [data.eq(self.data), strobe.eq(self.strobe)]
        m.d.comb += [write.addr.eq(write_address), write.data.eq(data), write.en.eq(strobe)]
        m.d.comb += [read.addr.eq(address), read.en.eq(1), self.read.eq(behind)]
        return m


class Bank(Part):
    """Bus words in lanes, with registers before and behind those of the lanes: the blocks lie far apart on the device,
    and nothing of their own cycle is left for the way.

    Latency 5 cycles from an index to its word. A word that is written is read by an index of any later cycle.
    """

    LATENCY = 1 + Lane.LATENCY + 1

    def __init__(self, width: int, depth: int) -> None:
        self._width, self._depth = width, depth
        super().__init__(
            {"index": In(range(depth)), "read": Out(width), "write_index": In(range(depth))}
            | {"data": In(width), "strobe": In(width // BYTE_BITS)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = BYTE_BITS * lane_bytes(self._depth)
        index, write_index = _register(self.index), _register(self.write_index)
        data, strobe = _register(self.data), Signal.like(self.strobe)
        behind = Signal(self._width, reset_less=True)
        m.d.comb += self.read.eq(behind)
        pairs = (index, self.index), (write_index, self.write_index), (data, self.data), (strobe, self.strobe)
        m.d.sync += [register.eq(value) for register, value in pairs]
        for number in range(self._width // width):
            lane = Lane(width, self._depth)
            place(m, f"lane{number}", lane)
            bits = slice(number * width, (number + 1) * width)
            m.d.comb += [
                lane.address.eq(index),
                lane.write_address.eq(write_index),
                lane.data.eq(data[bits]),
                lane.strobe.eq(strobe.word_select(number, width // BYTE_BITS)),
            ]
            m.d.sync += behind[bits].eq(lane.read)
        return m
