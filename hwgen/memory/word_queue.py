"""A queue of bus words in block memory."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.memory.styles import APART, BLOCK
from hwgen.part import Part

MANY_WORDS = 32
"""From so many on they are worth block memory."""


class WordQueue(Part):
    """A queue of `depth` words of `width` bits, with two registers behind its memory: the output is one of them.

    Latency LATENCY cycles; throughput 1.

    Members
    -------
    input, output: words
    clear:         forgets all words, also the one that comes in this cycle; there is no reset but this
    freed:         a place has become free
    empty:         no word in the memory or in the registers
    """

    LATENCY = 3

    def __init__(self, width: int, depth: int) -> None:
        self._width, self._depth = width, depth
        super().__init__(
            {
                "input": In(stream.Signature(unsigned(width))),
                "output": Out(stream.Signature(unsigned(width))),
                "clear": In(1),
                "freed": Out(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        style = APART | BLOCK if self._depth >= MANY_WORDS else APART
        m.submodules.memory = memory = Memory(shape=unsigned(self._width), depth=self._depth, init=[], attrs=style)
        write, read = memory.write_port(), memory.read_port(domain="sync")
        head, tail = (Signal(range(self._depth), reset_less=True, name=name) for name in ("head", "tail"))
        # Words in the memory, and whether there are any.
        used, some = Signal(range(self._depth + 1), reset_less=True), Signal(reset_less=True)
        # The word that the memory has read, and the one that is offered.
        found, offered = Signal(reset_less=True), Signal(reset_less=True)
        word = Signal(self._width, reset_less=True)
        move = Signal()
        m.d.comb += [
            self.input.ready.eq(used != self._depth),
            write.en.eq(self.input.valid & self.input.ready),
            write.addr.eq(tail),
            write.data.eq(self.input.payload),
            move.eq(~offered | self.output.ready),
            read.en.eq(some & (~found | move)),
            read.addr.eq(head),
            self.freed.eq(read.en),
            self.output.valid.eq(offered),
            self.output.payload.eq(word),
            self.empty.eq(~some & ~found & ~offered),
        ]
        with m.If(move):
            m.d.sync += [offered.eq(found), word.eq(read.data)]
        m.d.sync += found.eq(read.en | (found & ~move))
        with m.If(write.en != read.en):
            m.d.sync += [used.eq(Mux(write.en, used + 1, used - 1)), some.eq(write.en | (used != 1))]
        for enable, address in ((write.en, tail), (read.en, head)):
            with m.If(enable):
                m.d.sync += address.eq(Mux(address == self._depth - 1, 0, address + 1))
        with m.If(self.clear):
            m.d.sync += [signal.eq(0) for signal in (used, some, head, tail, found, offered)]
        return m
