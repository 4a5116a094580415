"""Brings what its clients ask for from memory."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.control.faults import Fault
from hwgen.errors import ConfigError
from hwgen.memory.arbiter import RoundRobin
from hwgen.memory.axi import Response, burst_layout, fault_layout, read_layout, request_layout
from hwgen.memory.read_client import ReadClient
from hwgen.memory.read_tracker import ReadTracker
from hwgen.params import Params
from hwgen.part import Part, place


class ReadEngine(Part):
    """`words[i]` = every bus word that `requests[i]` touch, in order, for clients with queues of `depths[i]` words.

    A burst is issued when its client's queue has room for all of it and fewer than `outstanding` bursts are in flight,
    one client after the other. So R is always ready. All reads have one ID and are answered in order.

    Latency REQUEST_LATENCY cycles from a request to its AR, WORD_LATENCY from R to `words`; throughput 1 burst and
    1 word a cycle, a burst in 2 cycles of each client.

    Members
    -------
    requests, words: of each client
    prefer:  clients that are served before all others: while one of them asks for something, nobody else is chosen; it
             takes 4 cycles to see so
    ar, r:   the bus
    flush:   from the next cycle on issues nothing more (an AR that is offered stays), and takes no word; another one
             later forgets requests and words, and takes no request; goes on by itself until the words that are in
             flight have come. Behind a reset no request is taken for a cycle
    idle:    a cycle ago nothing was asked for, in flight or waiting to be taken, and no flush began
    fault:   READ_RESPONSE or READ_LAST, a cycle behind the beat; not while words are being forgotten. A burst ends with
             RLAST; words that come too many are dropped
    taken:   a word came for this client, a cycle ago
    waiting: a cycle ago a burst was in flight and no word came
    """

    REQUEST_LATENCY = 5
    WORD_LATENCY = 4

    def __init__(self, params: Params, depths: tuple[int, ...]) -> None:
        if min(depths) < params.config.burst_beats:
            raise ConfigError(f"a queue must hold a burst of {params.config.burst_beats} words, not {min(depths)!r}")
        self._params, self._depths = params, depths
        clients, word = len(depths), unsigned(params.config.bus_bits)
        super().__init__(
            {
                "requests": In(stream.Signature(request_layout(params))).array(clients),
                "words": Out(stream.Signature(word)).array(clients),
                "prefer": In(clients),
                "ar": Out(stream.Signature(burst_layout(params))),
                "r": In(stream.Signature(read_layout(params))),
                "flush": In(1),
                "idle": Out(1),
                "fault": Out(fault_layout(params)),
                "taken": Out(clients),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._clients = [ReadClient(self._params, depth) for depth in self._depths]
        self._tracker = tracker = ReadTracker(self._params, len(self._depths))
        for i, client in enumerate(self._clients):
            place(m, f"client_{i}", client)
        place(m, "tracker", tracker)
        # A flush lasts until nothing is in flight.
        drop, empty, still = Signal(), Signal(len(self._clients)), Signal()
        # A flush has begun, and clients do not know yet.
        dropped, begins = Signal(), Signal()
        m.d.comb += [begins.eq(drop & ~dropped), self.idle.eq(empty.all() & still & ~begins)]
        m.d.sync += [
            drop.eq(self.flush | (drop & tracker.busy)),
            dropped.eq(drop),
            empty.eq(Cat(client.empty for client in self._clients)),
            still.eq(~self.taken.any() & ~tracker.busy & ~begins),
        ]
        self._issue(m, drop)
        self._receive(m, drop)
        for i, client in enumerate(self._clients):
            connect(m, flipped(self.requests[i]), client.request)
            m.d.comb += [
                client.clear.eq(drop),
                self.words[i].valid.eq(client.words.valid),
                self.words[i].payload.eq(client.words.payload),
                client.words.ready.eq(self.words[i].ready),
            ]
        return m

    def _issue(self, m: Module, drop: Signal) -> None:
        """From the clients' offers to AR: one is chosen in a cycle, and moved in the next."""
        tracker, clients = self._tracker, self._clients
        arbiter = RoundRobin(len(clients))
        place(m, "arbiter", arbiter)
        layout = burst_layout(self._params)
        prefer, chosen, closed = (Signal.like(self.prefer, name=name) for name in ("prefer", "chosen", "closed"))
        offers = Signal.like(self.prefer)
        offered, burst = Signal(), Signal(layout, reset_less=True)
        free, issue, moved, some = Signal(), Signal(), Signal(layout), Signal()
        # Whether one of those who are preferred asks for something is known in the midst of it.
        held, others = Signal(), Signal.like(prefer)
        bursts = [Mux(bit, client.burst.as_value(), 0) for bit, client in zip(chosen, clients, strict=True)]
        m.d.sync += [
            prefer.eq(self.prefer),
            held.eq((prefer & Cat(client.asking for client in clients)).any()),
            others.eq(~prefer),
            closed.eq(Mux(held, others, 0)),
        ]
        m.d.comb += [
            arbiter.request.eq(offers),
            arbiter.advance.eq(issue | ~some),
            free.eq(~offered | self.ar.ready),
            issue.eq(some & free & tracker.room & ~drop),
            moved.as_value().eq(reduce(or_, bursts)),
            tracker.issue.eq(issue),
            tracker.burst.eq(moved),
            tracker.client.eq(reduce(or_, (Mux(bit, i, 0) for i, bit in enumerate(chosen)))),
            self.ar.valid.eq(offered),
            self.ar.payload.eq(burst),
        ]
        for i, client in enumerate(clients):
            m.d.comb += [
                client.closed.eq(closed[i]),
                client.claimed.eq(arbiter.grant[i] & arbiter.advance),
                client.issued.eq(chosen[i] & issue),
            ]
            # Here, so that the arbiter, which decides last, is behind all else.
            m.d.sync += offers[i].eq(Mux(arbiter.grant[i] & arbiter.advance, client.several, client.some))
        with m.If(free):
            m.d.sync += [offered.eq(issue), burst.eq(moved)]
        with m.If(drop):
            m.d.sync += [chosen.eq(0), some.eq(0), offers.eq(0)]
        with m.Elif(arbiter.advance):
            m.d.sync += [chosen.eq(arbiter.grant), some.eq(arbiter.request.any())]

    def _receive(self, m: Module, drop: Signal) -> None:
        """From R to the queues, with all that is counted and checked on the way."""
        tracker, r = self._tracker, self.r.payload
        beat, bad, wrong = Signal(), Signal(), Signal()
        m.d.comb += [
            self.r.ready.eq(1),
            tracker.beat.eq(self.r.valid),
            tracker.last.eq(r.last),
            beat.eq(self.r.valid & tracker.known & ~drop),
            bad.eq(r.response >= Response.SLVERR),
            wrong.eq((r.last != tracker.final) & ~tracker.extra),
        ]
        word = Signal.like(r.data, reset_less=True)
        owners = Cat(tracker.owner == i for i in range(len(self._clients)))
        m.d.sync += [
            word.eq(r.data),
            self.taken.eq(Mux(beat & ~tracker.extra, owners, 0)),
            self.waiting.eq(tracker.busy & ~self.r.valid),
            self.fault.valid.eq(beat & (bad | wrong)),
            self.fault.code.eq(Mux(bad, Fault.READ_RESPONSE, Fault.READ_LAST)),
            self.fault.address.eq(tracker.address),
        ]
        for taken, client in zip(self.taken, self._clients, strict=True):
            m.d.comb += [client.write.eq(taken), client.data.eq(word)]
