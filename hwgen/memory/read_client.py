"""What the read engine has for each of its clients."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.memory.axi import burst_layout, request_layout
from hwgen.memory.bursts import BurstSplitter
from hwgen.memory.word_queue import WordQueue
from hwgen.params import Params
from hwgen.part import Part, place


class ReadClient(Part):
    """Cuts requests into bursts, offers those for whose words its queue of `depth` words has room, keeps the words.

    Places are reserved when a burst is offered, so words are never refused. Latency BurstSplitter.LATENCY + 1 from
    request to burst (1 more if there is no room for two bursts), WordQueue.LATENCY from a word that comes to `words`;
    throughput 1 burst and 1 word a cycle.

    Members
    -------
    request: bytes wanted
    burst:   may be issued
    more:    another burst will be offered in the cycle after this one is taken
    write:   `data` is the next word that was asked for
    words:   every word that the requests touch
    clear:   forgets all of it
    empty:   there is no request, no burst and no word
    asking:  there is a request or a burst that is not issued
    """

    def __init__(self, params: Params, depth: int) -> None:
        self._params, self._depth = params, depth
        word = unsigned(params.config.bus_bits)
        super().__init__(
            {
                "request": In(stream.Signature(request_layout(params))),
                "burst": Out(stream.Signature(burst_layout(params))),
                "more": Out(1),
                "write": In(1),
                "data": In(word),
                "words": Out(stream.Signature(word)),
                "clear": In(1),
                "empty": Out(1),
                "asking": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        splitter, queue = BurstSplitter(self._params), WordQueue(self._params.config.bus_bits, self._depth)
        place(m, "splitter", splitter)
        place(m, "queue", queue)
        connect(m, flipped(self.request), splitter.input)
        connect(m, queue.output, flipped(self.words))
        room = Signal(range(self._depth + 1), init=self._depth)
        layout = burst_layout(self._params)
        # The burst that is offered, and one more so that nothing behind depends on whether it is taken.
        offered, burst = Signal(), Signal(layout, reset_less=True)
        waiting, following = Signal(), Signal(layout, reset_less=True)
        fits, reserve, next_burst = Signal(), Signal(), splitter.output.payload
        # Whatever the next bursts are, there is room for two of them.
        ample, incoming = Signal(), Signal(layout)
        m.d.comb += [
            ample.eq(room >= 2 * self._params.config.burst_beats),
            splitter.output.ready.eq(~waiting & fits),
            reserve.eq(splitter.output.valid & splitter.output.ready),
            incoming.address.eq(next_burst.address),
            incoming.length.eq(next_burst.length),
            self.more.eq(waiting | reserve),
            self.burst.valid.eq(offered),
            self.burst.payload.eq(burst),
            queue.input.valid.eq(self.write),
            queue.input.payload.eq(self.data),
            splitter.clear.eq(self.clear),
            queue.clear.eq(self.clear),
            self.asking.eq(~splitter.empty | offered),
            self.empty.eq(~self.asking & queue.empty),
        ]
        with m.If(~waiting):
            m.d.sync += following.eq(incoming)
        with m.If(~offered | self.burst.ready):
            m.d.sync += [offered.eq(self.more), waiting.eq(0), burst.eq(Mux(waiting, following, incoming))]
        with m.Elif(reserve):
            m.d.sync += waiting.eq(1)
        m.d.sync += fits.eq(ample | (splitter.output.valid & ~reserve & (room > next_burst.length)))
        # The complement is -length - 1; a place that is freed comes in as a carry.
        change = Signal.like(room)
        m.d.comb += change.eq(Mux(reserve, ~Cat(next_burst.length, Const(0, len(room))), 0))
        m.d.sync += room.eq((Cat(Const(1, 1), room) + Cat(queue.freed, change))[1:])
        with m.If(self.clear):
            m.d.sync += [offered.eq(0), waiting.eq(0), fits.eq(0), room.eq(self._depth)]
        return m
