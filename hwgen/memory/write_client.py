"""One client's side of the write engine: its requests as bursts, its words in a queue."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.memory.axi import burst_layout, request_layout, word_layout
from hwgen.memory.bursts import BurstSplitter
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.queue import Queue

LEAST_WORDS = 16
"""Words to hold at least, so that even the shortest bursts hide the cycles between a word and its way out."""


class WriteClient(Part):
    """Offers a burst once all its words are queued.

    Latency 2 cycles from a burst's last word to its offer; throughput 1 word a cycle and a burst in 2 cycles.

    Members: request; words (exactly those that the requests touch; `ready` is a register); burst; queued (the next
    word of the taken bursts, always there); leave (it is taken in the next cycle); flush (from the next cycle on:
    forget all requests and all words of bursts not taken; new ones are swallowed); drop (with flush: the words of
    taken bursts have left, forget the others from the next cycle on); empty (no request and no word is held).
    """

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
            }
        )

    def elaborate(self, platform):
        m = Module()
        words, burst = self.words, self.burst
        depth = max(2 * self._params.config.burst_beats, LEAST_WORDS)
        # One more than the memory holds waits in its output.
        queue = Queue(width=len(Cat(words.payload)), depth=depth + 1)
        place(m, "queue", queue)
        splitter = BurstSplitter(self._params)
        place(m, "splitter", splitter)
        connect(m, flipped(self.request), splitter.input)
        found, fits, passed = splitter.output, Signal(), Signal()
        # Words in the queue that belong to no burst that was offered.
        spare, written = Signal(range(depth + 2)), Signal()
        # Registers of the client's own: what starts in the engine is far from some client.
        flushed, dropped, leaving = Signal(), Signal(), Signal()
        m.d.sync += [flushed.eq(self.flush), dropped.eq(self.drop), leaving.eq(self.leave)]
        m.d.comb += [
            queue.w_data.eq(words.payload),
            words.ready.eq(queue.ample),
            written.eq(words.valid & words.ready & ~flushed),
            queue.w_en.eq(written),
            self.queued.eq(queue.r_data),
            queue.r_en.eq(leaving | dropped),
            # A burst that is offered for the first time leaves the splitter, whether it is taken or not.
            found.ready.eq(passed),
            fits.eq(found.valid & (spare > found.payload.length) & ~passed),
            splitter.clear.eq(flushed),
            self.empty.eq(splitter.empty & queue.empty),
        ]
        m.d.sync += [spare.eq(spare + written - Mux(passed, burst.payload.length + 1, 0)), passed.eq(0)]
        with m.If(~burst.valid | burst.ready):
            m.d.sync += [burst.valid.eq(fits), passed.eq(fits)]
            m.d.sync += [
                burst.payload.address.eq(found.payload.address),
                burst.payload.length.eq(found.payload.length),
            ]
        with m.If(flushed):
            m.d.sync += [spare.eq(0), burst.valid.eq(0), passed.eq(0)]
        return m
