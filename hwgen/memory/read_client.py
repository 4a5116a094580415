"""What the read engine has for each of its clients."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.memory.axi import burst_layout, request_layout
from hwgen.memory.bursts import BurstSplitter
from hwgen.memory.word_queue import WordQueue
from hwgen.params import Params
from hwgen.part import Part, place


class ReadClient(Part):
    """Cuts requests into bursts, offers those for whose words its queue of `depth` words has room, keeps the words.

    Places are reserved when a burst is offered, so words are never refused. A burst is first claimed, then issued, and
    in between another one may be claimed: what is offered is always known from the cycle before. Latency
    BurstSplitter.LATENCY + 1 from request to burst (1 more if there is no room for two bursts), WordQueue.LATENCY from
    a word that comes to `words`; throughput a burst in 2 cycles and 1 word a cycle.

    Members
    -------
    request: bytes wanted
    some:    in the next cycle there will be a burst that is not claimed, unless one is now or this client is `closed`
    several: likewise if one is claimed now
    claimed: one is
    burst:   the oldest one that is not issued; issued: it is
    write:   `data` is the next word that was asked for
    words:   every word that the requests touch
    clear:   from the next cycle on: takes no request and forgets all of it, as behind a reset
    empty:   there is no request, no burst and no word
    asking:  there is a request or a burst that is not issued
    """

    PLACES = 4
    """For bursts, one of which stays free."""

    def __init__(self, params: Params, depth: int) -> None:
        self._params, self._depth = params, depth
        word = unsigned(params.config.bus_bits)
        super().__init__(
            {
                "request": In(stream.Signature(request_layout(params))),
                "some": Out(1),
                "several": Out(1),
                "closed": In(1),
                "claimed": In(1),
                "burst": Out(burst_layout(params)),
                "issued": In(1),
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
        room = Signal(range(self._depth + 1), init=self._depth, reset_less=True)
        # What clears and resets all comes from the engine: here it is a register, and the only one with a reset.
        self._cleared = cleared = Signal(init=1)
        freed = Signal(reset_less=True)
        m.d.sync += [cleared.eq(self.clear), freed.eq(queue.freed)]
        fits, reserve, next_burst = Signal(reset_less=True), Signal(), splitter.output.payload
        # Whatever the next bursts are, there is room for two of them.
        ample, some = Signal(), self._offer(m, reserve, next_burst)
        m.d.comb += [
            ample.eq(room >= 2 * self._params.config.burst_beats),
            splitter.output.ready.eq(fits & self._place),
            reserve.eq(splitter.output.valid & splitter.output.ready),
            queue.input.valid.eq(self.write),
            queue.input.payload.eq(self.data),
            splitter.clear.eq(cleared),
            queue.clear.eq(cleared),
            self.asking.eq(~splitter.empty | some),
            self.empty.eq(~self.asking & queue.empty),
        ]
        m.d.sync += fits.eq(ample | (splitter.output.valid & ~reserve & (room > next_burst.length)))
        # The complement is -length - 1; a place that is freed comes in as a carry.
        change = Signal.like(room)
        m.d.comb += change.eq(Mux(reserve, ~Cat(next_burst.length, Const(0, len(room))), 0))
        m.d.sync += room.eq((Cat(Const(1, 1), room) + Cat(freed, change))[1:])
        with m.If(cleared):
            m.d.sync += [fits.eq(0), freed.eq(0), room.eq(self._depth)]
        return m

    def _offer(self, m: Module, reserve: Signal, next_burst) -> Value:
        """Keep bursts until they are issued; gives whether there are any."""
        layout = burst_layout(self._params)
        m.submodules.bursts = bursts = Memory(shape=layout, depth=self.PLACES, init=[])
        write, read = bursts.write_port(), bursts.read_port(domain="comb")
        # The next one to be claimed; how many there are, whether there are any and whether there may be one more.
        claim, held = (Signal(range(self.PLACES), reset_less=True, name=name) for name in ("claim", "held"))
        any_held, self._place = Signal(reset_less=True), Signal(init=1, reset_less=True)
        newest, oldest = (Signal(range(self.PLACES), reset_less=True, name=name) for name in ("newest", "oldest"))
        m.d.comb += [
            write.en.eq(reserve),
            write.addr.eq(newest),
            read.addr.eq(oldest),
            write.data.address.eq(next_burst.address),
            write.data.length.eq(next_burst.length),
            self.burst.eq(read.data),
        ]
        may = ~self.closed & ~self._cleared
        m.d.comb += [
            self.some.eq(may & (reserve | (newest != claim))),
            self.several.eq(may & (reserve | (newest != (claim + 1)[: len(claim)]))),
        ]
        m.d.sync += [
            newest.eq(newest + reserve),
            claim.eq(claim + self.claimed),
            oldest.eq(oldest + self.issued),
        ]
        with m.If(reserve != self.issued):
            m.d.sync += [
                held.eq(Mux(reserve, held + 1, held - 1)),
                any_held.eq(reserve | (held != 1)),
                self._place.eq(~reserve | (held != self.PLACES - 2)),
            ]
        with m.If(self._cleared):
            m.d.sync += [signal.eq(0) for signal in (newest, claim, oldest, held, any_held)]
            m.d.sync += self._place.eq(1)
        return any_held
