"""Queues that keep what depends on their reader apart from what their writer sees."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.memory.styles import APART
from hwgen.part import Part


class Queue(Part):
    """A queue of `depth` words (at least 2) of `width` bits, cycle by cycle that of `SyncFIFOBuffered`; but `w_rdy` and
    `empty` follow no comparison: how full the queue will be is known a cycle before.

    Latency 2 cycles; throughput 1.

    Members: w_data, w_en, w_rdy; r_data, r_rdy, r_en; empty (holds no word).
    """

    def __init__(self, width: int, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"a queue must have at least 2 places, not {depth!r}")
        self._width, self._depth = width, depth
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
        m.d.comb += [
            write.en.eq(self.w_en & self.w_rdy),
            write.data.eq(self.w_data),
            read.en.eq(some & (~self.r_rdy | self.r_en)),
            self.r_data.eq(read.data),
            self.empty.eq(~some & ~self.r_rdy),
        ]
        m.d.sync += self.r_rdy.eq(read.en | (self.r_rdy & ~self.r_en))
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
    """A register between two streams of `width` bits, and a second one behind it for what comes before the writer knows
    that nothing is taken: `input.ready` is a register.

    Latency 1 cycle; throughput 1.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        payload = unsigned(width)
        super().__init__({"input": In(stream.Signature(payload)), "output": Out(stream.Signature(payload))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        source, output = self.input, self.output
        waiting = Signal()
        offered, following = Signal(self._width, reset_less=True), Signal(self._width, reset_less=True)
        m.d.comb += [source.ready.eq(~waiting), output.payload.eq(offered)]
        with m.If(~waiting):
            m.d.sync += following.eq(source.payload)
        with m.If(~output.valid | output.ready):
            m.d.sync += [output.valid.eq(source.valid | waiting), waiting.eq(0)]
            m.d.sync += offered.eq(Mux(waiting, following, source.payload))
        with m.Elif(source.valid):
            m.d.sync += waiting.eq(1)
        return m
