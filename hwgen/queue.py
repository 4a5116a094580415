"""Queues that keep what depends on their reader apart from what their writer sees."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.styles import APART
from hwgen.part import Part


class Queue(Part):
    """A queue of `depth` words (at least 2) of `width` bits, cycle by cycle that of `SyncFIFOBuffered`; but `w_rdy` and
    `empty` follow no comparison: how full the queue will be is known a cycle before.

    Latency 2 cycles; throughput 1. With `rests` the next word comes a cycle behind the one that was taken, throughput
    1/2: a register then enables all of the word's. If its places are `counted`, the writer knows of itself that there
    is one: it never writes without `w_rdy`, which is not looked at.

    Members: w_data, w_en, w_rdy; r_data, r_rdy, r_en; empty (holds no word).
    """

    def __init__(self, width: int, depth: int, rests: bool = False, counted: bool = False) -> None:
        if depth < 2:
            raise ValueError(f"a queue must have at least 2 places, not {depth!r}")
        self._width, self._depth, self._rests, self._counted = width, depth, rests, counted
        super().__init__(
            {"w_data": In(width), "w_en": In(1), "w_rdy": Out(1, init=1)}
            | {"r_data": Out(width), "r_en": In(1), "r_rdy": Out(1), "empty": Out(1)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        places = self._depth - 1
        m.submodules.memory = memory = Memory(shape=unsigned(self._width), depth=places, init=[], attrs=APART)
        write, read = memory.write_port(), memory.read_port()
        # Words in the memory, and whether there are any.
        level, some = Signal(range(places + 1)), Signal()
        reading = Signal()
        m.d.comb += [
            write.en.eq(self.w_en if self._counted else self.w_en & self.w_rdy),
            write.data.eq(self.w_data),
            read.en.eq(reading),
            self.r_data.eq(read.data),
            self.empty.eq(~some & ~self.r_rdy),
        ]
        offered = read.en | (self.r_rdy & ~self.r_en)
        m.d.sync += self.r_rdy.eq(offered)
        if self._rests:
            more = Mux(write.en != read.en, write.en | (level != 1), some)
            m.d.sync += reading.eq(more & ~offered)
        else:
            m.d.comb += reading.eq(some & (~self.r_rdy | self.r_en))
        with m.If(write.en != read.en):
            m.d.sync += [
                level.eq(Mux(write.en, level + 1, level - 1)),
                some.eq(write.en | (level != 1)),
                self.w_rdy.eq(read.en | (level != places - 1)),
            ]
        for enable, address in ((write.en, write.addr), (read.en, read.addr)):
            with m.If(enable):
                m.d.sync += address.eq(Mux(address == places - 1, 0, address + 1))
        return m


class Slice(Part):
    """Two registers between two streams of `width` bits, the second one for what comes before the writer knows that
    nothing is taken: `input.ready` is a register. The registers take turns, so that what is taken enables none of them:
    the next word is chosen from both; and what enables one of them is a register of its own.

    Latency LATENCY cycles; throughput 1.
    """

    LATENCY = 1

    def __init__(self, width: int) -> None:
        self._width = width
        payload = unsigned(width)
        super().__init__({"input": In(stream.Signature(payload)), "output": Out(stream.Signature(payload))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        source, output = self.input, self.output
        words = [Signal(self._width, name=f"word_{i}", reset_less=True) for i in range(2)]
        # Which register is next to be taken, and to be filled; whether one is free, and whether one is filled.
        head, tail, ready, some = Signal(), Signal(), Signal(init=1), Signal()
        fills = [Signal(init=1 - i, name=f"fill_{i}") for i in range(2)]
        enters, leaves = source.valid & ready, some & output.ready
        m.d.comb += [
            source.ready.eq(ready),
            output.valid.eq(some),
            output.payload.eq(Mux(head, words[1], words[0])),
        ]
        m.d.sync += [head.eq(head ^ leaves), tail.eq(tail ^ enters)]
        for i, (word, fill) in enumerate(zip(words, fills, strict=True)):
            with m.If(fill):
                m.d.sync += word.eq(source.payload)
            with m.If(enters):
                m.d.sync += fill.eq((tail != i) & (leaves | ~some))
            with m.Elif(leaves):
                m.d.sync += fill.eq(tail == i)
        with m.If(enters & ~leaves):
            m.d.sync += [ready.eq(~some), some.eq(1)]
        with m.Elif(leaves & ~enters):
            m.d.sync += [ready.eq(1), some.eq(~ready)]
        return m


class LandingQueue(Part):
    """For words of `width` bits that cannot be stopped on their way: `places` of them, on the way, in a small memory of
    lookup tables or in the register behind it. Whoever sends one off first asks whether there is `room`.

    Latency LATENCY cycles from `valid` to the output, 2 from a word that leaves to `room`; throughput 1 if a word is on
    its way for less than `places - LATENCY - 1` cycles.

    Members: room (a word may set out), begin (one does); valid, word (one arrives); output.
    """

    LATENCY = 2

    def __init__(self, width: int, places: int) -> None:
        self._width, self._places = width, 1 << ceil_log2(places)
        super().__init__(
            {"room": Out(1, init=1), "begin": In(1), "valid": In(1), "word": In(width)}
            | {"output": Out(stream.Signature(unsigned(width)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        output, count = self.output, self._places
        m.submodules.memory = memory = Memory(shape=unsigned(self._width), depth=count, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        used, some, move, moved = Signal(range(count + 1)), Signal(), Signal(), Signal()
        free = Signal(range(count + 1), init=count)
        offered = Signal(self._width, reset_less=True)
        m.d.comb += [
            write.en.eq(self.valid),
            write.data.eq(self.word),
            move.eq(some & (~output.valid | output.ready)),
            output.payload.eq(offered),
        ]
        m.d.sync += [write.addr.eq(write.addr + self.valid), read.addr.eq(read.addr + move), moved.eq(move)]
        with m.If(output.ready):
            m.d.sync += output.valid.eq(0)
        with m.If(move):
            m.d.sync += [offered.eq(read.data), output.valid.eq(1)]
        # How many words are in the memory, and whether any are; how many more may set out, and whether any may, a cycle
        # late: the reader decides late in its own.
        with m.If(self.valid != move):
            m.d.sync += [used.eq(Mux(move, used - 1, used + 1)), some.eq(self.valid | (used != 1))]
        with m.If(self.begin != moved):
            m.d.sync += [free.eq(Mux(moved, free + 1, free - 1)), self.room.eq(moved | (free != 1))]
        return m
