"""One client's side of the write engine: its requests as bursts, its words in a queue."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.memory.axi import burst_layout, request_layout, word_layout
from hwgen.memory.bursts import BurstSplitter
from hwgen.memory.styles import APART
from hwgen.params import Params
from hwgen.part import Part, place

LEAST_WORDS = 16
"""Words to hold at least, so that even the shortest bursts hide the cycles between a word and its way out."""

UNSEEN_WORDS = 3
"""Words that may still come behind a number of words that leaves no room for one more."""


def places(params: Params) -> int:
    """Words that a client's queue holds, a power of two."""
    return max(2 * params.config.burst_beats, LEAST_WORDS)


class WriteClient(Part):
    """Offers a burst once all its words are queued.

    Latency 3 cycles from a burst's last word to its offer, LEAVE_LATENCY from `leave` to `queued`; throughput 1 word a
    cycle and a burst in 2 cycles. What goes to all bits of a word is always enabled, or a register is behind it.

    Members: request; words (exactly those that the requests touch; `ready` is a register); burst; queued; leave (the
    next word of the taken bursts, which is there, is to be queued); flush (from the next cycle on, and in the first
    one: forget all requests and all words of bursts not taken; take no request, swallow words); drop (with flush: the
    words of taken bursts have left, forget the others from the next cycle on); empty (no request is held, and no word
    that has not left); room (`words.ready` of the next cycle).
    """

    LEAVE_LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "request": In(stream.Signature(request_layout(params))),
                "words": In(stream.Signature(word_layout(params))),
                "burst": Out(stream.Signature(burst_layout(params))),
                "queued": Out(word_layout(params)),
                "leave": In(1),
                "flush": In(1),
                "drop": In(1),
                "empty": Out(1),
                "room": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        burst, some = self.burst, Signal()
        splitter = BurstSplitter(self._params)
        place(m, "splitter", splitter)
        connect(m, flipped(self.request), splitter.input)
        found, fits, passed = splitter.output, Signal(), Signal()
        # Words in the queue that belong to no burst that was offered.
        spare, arrived = Signal(range(places(self._params) + 1)), Signal()
        # Registers of the client's own: what starts in the engine is far from some client.
        flushed = Signal(init=1)
        m.d.sync += [flushed.eq(self.flush), arrived.eq(self.words.valid & self.words.ready & ~flushed)]
        self._queue(m, arrived, some)
        m.d.comb += [
            # A burst that is offered leaves the splitter, whether it is taken or not.
            fits.eq(found.valid & (spare > found.payload.length)),
            found.ready.eq(fits & ~burst.valid),
            splitter.clear.eq(flushed),
            self.empty.eq(splitter.empty & ~some & ~arrived),
        ]
        m.d.sync += spare.eq(spare + arrived - Mux(passed, burst.payload.length + 1, 0))
        m.d.sync += passed.eq(fits & ~burst.valid)
        with m.If(~burst.valid):
            m.d.sync += burst.valid.eq(fits)
            m.d.sync += [
                burst.payload.address.eq(found.payload.address),
                burst.payload.length.eq(found.payload.length),
            ]
        with m.Elif(burst.ready):
            m.d.sync += burst.valid.eq(0)
        with m.If(flushed):
            m.d.sync += [spare.eq(0), burst.valid.eq(0), passed.eq(0)]
        return m

    def _queue(self, m: Module, arrived: Signal, some: Signal) -> None:
        """Keep words; `some` says that there are any."""
        words, depth = self.words, places(self._params)
        m.submodules.memory = memory = Memory(
            shape=unsigned(word_layout(self._params).size), depth=depth, init=[], attrs=APART
        )
        write, read = memory.write_port(), memory.read_port()
        # Places have no reset: the first thing that happens is that all words are dropped.
        head, tail = Signal(range(depth), reset_less=True), Signal(range(depth), reset_less=True)
        level, word = Signal(range(depth + 1)), Signal.like(self.queued, reset_less=True)
        leaving, dropped, ready, most = Signal(), Signal(init=1), Signal(), depth - UNSEEN_WORDS
        m.d.sync += [
            leaving.eq(self.leave),
            dropped.eq(self.drop),
            word.eq(words.payload),
            ready.eq(self.room),
            tail.eq(tail + arrived),
            head.eq(Mux(dropped, tail, head + leaving)),
        ]
        with m.If(dropped):
            m.d.sync += [level.eq(0), some.eq(0), self.room.eq(1)]
        with m.Elif(arrived != leaving):
            m.d.sync += [
                level.eq(Mux(arrived, level + 1, level - 1)),
                some.eq(arrived | (level != 1)),
                self.room.eq(Mux(arrived, self.room & (level != most), self.room | (level == most + 1))),
            ]
        m.d.comb += [
            words.ready.eq(ready),
            write.en.eq(arrived),
            write.addr.eq(tail),
            write.data.eq(word),
            read.en.eq(1),
            read.addr.eq(head),
            self.queued.eq(read.data),
        ]
