"""Takes narrow words out of bus words, one after the other."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.axi import BYTE_COUNT_BITS
from hwgen.params import Params
from hwgen.part import Part


class WordLanes(Part):
    """`count` words of `width` bits that lie one behind the other, the first of them in lane `lane` of the first bus
    word; what comes behind the last one in its bus word is dropped.

    Latency 1 cycle; throughput 1 narrow word a cycle. A bus word is taken with its last narrow word.

    Members: start (a pulse, when nothing is left of what was started before), lane, count (at `start`; at least 1);
    words (exactly the bus words that are touched); output.
    """

    def __init__(self, params: Params, width: int) -> None:
        self._lanes = params.config.bus_bits // width
        self._width = width
        super().__init__(
            {
                "start": In(1),
                "lane": In(ceil_log2(self._lanes)),
                "count": In(BYTE_COUNT_BITS),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "output": Out(stream.Signature(unsigned(width))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lane, left = Signal.like(self.lane), Signal.like(self.count)
        free, move, final = Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.output.valid | self.output.ready),
            move.eq(free & self.words.valid & (left != 0)),
            final.eq(left == 1),
            self.words.ready.eq(free & (left != 0) & (final | (lane == self._lanes - 1))),
        ]
        with m.If(free):
            m.d.sync += [
                self.output.valid.eq(move),
                self.output.payload.eq(self.words.payload.word_select(lane, self._width)),
            ]
        with m.If(self.start):
            m.d.sync += [lane.eq(self.lane), left.eq(self.count)]
        with m.Elif(move):
            m.d.sync += [lane.eq(Mux(final, 0, lane + 1)), left.eq(left - 1)]
        return m
