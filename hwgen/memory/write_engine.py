"""The AXI write master."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.control.faults import Fault
from hwgen.memory.arbiter import RoundRobin
from hwgen.memory.axi import Response, burst_layout, fault_layout, request_layout, word_layout, write_layout
from hwgen.memory.write_client import WriteClient
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.queue import LandingQueue, Queue

WORDS_UNDER_WAY = 8
"""Words between the clients and the bus: more than are on their way, so that one can begin in every cycle."""


class WriteEngine(Part):
    """Writes the words of each client's requests in bursts; one AXI ID, clients take turns burst by burst.

    A burst's address is offered when all its words are queued, and before its first word is: words follow without a
    pause, and whatever has begun on the bus ends without any help of a client. At most `outstanding` bursts wait for
    their response. Latency LATENCY cycles from a burst's last word to its first one on the bus; throughput 1 word a
    cycle; a client gets a burst in 2 cycles.

    Members
    -------
    requests, words: a pair a client; the words are exactly those that its requests touch, in order
    rooms:           a bit a client, the `ready` of its words in the next cycle
    aw, w, b:        the bus; a response is always taken
    flush:           forget what has not been offered, take no request and swallow words, from the next cycle on; goes
                     on by itself until `idle`
    idle:            no request and no word is held, all responses have come and their faults are told
    fault:           pulse 3 cycles behind a response that is an error; the address is that of its burst
    taken:           pulse for each word of a client that the bus takes
    waiting:         the bus does not take what it is offered
    """

    WORD_LATENCY = 1 + WriteClient.LEAVE_LATENCY
    """From the cycle in which a word sets out until it lands."""
    LATENCY = 6 + WORD_LATENCY + LandingQueue.LATENCY

    def __init__(self, params: Params, clients: int) -> None:
        self._params, self._count = params, clients
        super().__init__(
            {
                "requests": In(stream.Signature(request_layout(params))).array(clients),
                "words": In(stream.Signature(word_layout(params))).array(clients),
                "rooms": Out(clients),
                "aw": Out(stream.Signature(burst_layout(params))),
                "w": Out(stream.Signature(write_layout(params))),
                "b": In(stream.Signature(data.StructLayout({"response": 2}))),
                "flush": In(1),
                "idle": Out(1),
                "fault": Out(fault_layout(params)),
                "taken": Out(clients),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        self._clients = [WriteClient(p) for _ in range(self._count)]
        self._order = data.StructLayout({"owner": unsigned(self._count), "length": unsigned(8)})
        # A place more than bursts in flight: the one in a queue's output.
        depth = p.config.outstanding + 1
        self._orders = Queue(width=self._order.size, depth=depth)
        self._addresses = Queue(width=p.config.address_bits, depth=depth)
        place(m, "orders", self._orders)
        place(m, "addresses", self._addresses)
        # A flush begins a cycle late and lasts until nothing is left, as it was a cycle ago: what comes is swallowed.
        drop, dropping, rested = Signal(), Signal(), Signal()
        # Bursts in flight, whether there may be one more, and whether there may and nothing is dropped.
        self._in_flight = Signal(range(p.config.outstanding + 1))
        self._room, self._open = Signal(init=1), Signal(init=1)
        # Of the responses that came a cycle ago and two cycles ago, whether they were errors: that fault is told next.
        self._wrong = Signal(2)
        empty = Cat(client.empty for client in self._clients).all()
        m.d.comb += [
            self.idle.eq((self._in_flight == 0) & empty & ~self._wrong.any() & ~self.fault.valid),
            self.waiting.eq((self.aw.valid & ~self.aw.ready) | (self.w.valid & ~self.w.ready)),
        ]
        m.d.comb += dropping.eq(self.flush | (drop & ~rested))
        m.d.sync += [drop.eq(dropping), rested.eq(drop & self.idle)]
        for i, client in enumerate(self._clients):
            place(m, f"client_{i}", client)
            connect(m, flipped(self.requests[i]), client.request)
            connect(m, flipped(self.words[i]), client.words)
            m.d.comb += [client.flush.eq(dropping), self.rooms[i].eq(client.room)]
        issue = self._issue(m)
        self._send(m, drop)
        self._record(m, issue)
        room = Signal()
        m.d.comb += room.eq(self._room)
        with m.If(issue != self._answer(m)):
            m.d.sync += self._in_flight.eq(Mux(issue, self._in_flight + 1, self._in_flight - 1))
            m.d.comb += room.eq(~issue | (self._in_flight != p.config.outstanding - 1))
        m.d.sync += [self._room.eq(room), self._open.eq(room & ~dropping)]
        return m

    def _issue(self, m: Module) -> Signal:
        """Offer the address of the next client's burst; note what has to follow it."""
        aw, arbiter = self.aw, RoundRobin(self._count)
        place(m, "arbiter", arbiter)
        issue, free, vacant = Signal(), Signal(), Signal()
        bursts = [client.burst for client in self._clients]
        burst, order = Signal(burst_layout(self._params)), Signal(self._order)
        m.d.comb += [
            arbiter.request.eq(Cat(offer.valid for offer in bursts)),
            arbiter.advance.eq(issue),
            vacant.eq(~aw.valid | aw.ready),
            free.eq(self._open & vacant),
            issue.eq(free & arbiter.request.any()),
            burst.as_value().eq(select(arbiter.grant, [offer.payload for offer in bursts])),
            order.owner.eq(arbiter.grant),
            order.length.eq(burst.length),
            self._orders.w_data.eq(order),
            self._orders.w_en.eq(issue),
        ]
        for grant, offer in zip(arbiter.grant, bursts, strict=True):
            m.d.comb += offer.ready.eq(grant & free)
        with m.If(aw.ready):
            m.d.sync += aw.valid.eq(0)
        with m.If(issue):
            m.d.sync += aw.valid.eq(1)
        # Whose burst it is comes late: it does not enable the address's registers, too.
        with m.If(vacant):
            m.d.sync += aw.payload.eq(burst)
        return issue

    def _record(self, m: Module, issue: Signal) -> None:
        """The address, for its response: known late, and in no hurry."""
        issued = Signal()
        m.d.sync += issued.eq(issue)
        m.d.comb += [self._addresses.w_data.eq(self.aw.payload.address), self._addresses.w_en.eq(issued)]

    def _send(self, m: Module, drop: Signal) -> None:
        """The words of the bursts, in the order of their addresses: they set out while there is room where they land,
        and nothing stops them on their way."""
        order, orders, following = Signal(self._order), self._orders, Signal(self._order)
        sending, step, last = Signal(), Signal(), Signal()
        width = word_layout(self._params).size + 1 + self._count
        self._landing = landing = LandingQueue(width, WORDS_UNDER_WAY)
        place(m, "landing", landing)
        m.d.comb += [
            following.eq(orders.r_data),
            step.eq(sending & landing.room),
            landing.begin.eq(step),
            orders.r_en.eq(~sending | (step & last)),
        ]
        with m.If(step):
            m.d.sync += [order.length.eq(order.length - 1), last.eq(order.length == 1)]
        with m.If(orders.r_en):
            m.d.sync += [sending.eq(orders.r_rdy), order.eq(following), last.eq(following.length == 0)]
        for owned, client in zip(order.owner, self._clients, strict=True):
            m.d.comb += [
                client.leave.eq(owned & step),
                client.drop.eq(drop & ~sending & orders.empty),
            ]
        self._land(m, step, Cat(last, order.owner))

    def _land(self, m: Module, step: Signal, facts) -> None:
        """What is known of a word (whether it is its burst's last one, and whose it is) goes beside it."""
        landing, w = self._landing, self.w
        word, source = Signal(word_layout(self._params), reset_less=True), Signal(self._count)
        # Of those that set out one, two and three cycles ago, whether there are any.
        way, known = Signal(self.WORD_LATENCY), [facts]
        m.d.sync += way.eq(Cat(step, way))
        for i in range(self.WORD_LATENCY):
            known.append(Signal(len(facts), name=f"known_{i + 1}", reset_less=True))
            m.d.sync += known[i + 1].eq(known[i])
        owners = known[WriteClient.LEAVE_LATENCY][1:]
        m.d.sync += word.as_value().eq(select(owners, [client.queued for client in self._clients]))
        m.d.comb += [
            landing.valid.eq(way[-1]),
            landing.word.eq(Cat(word.data, word.strobe, known[-1])),
            w.valid.eq(landing.output.valid),
            Cat(w.payload.data, w.payload.strobe, w.payload.last, source).eq(landing.output.payload),
            landing.output.ready.eq(w.ready),
            self.taken.eq(source & (w.valid & w.ready).replicate(self._count)),
        ]

    def _answer(self, m: Module) -> Signal:
        """Responses come in the order of the addresses; gives their pulse. Addresses are far off and in no hurry: one
        more register is on the way to them."""
        response, answered, told = Signal(), Signal(), Signal()
        m.d.comb += [
            self.b.ready.eq(1),
            response.eq(self.b.valid & (self._in_flight != 0)),
            self._addresses.r_en.eq(told),
        ]
        m.d.sync += [
            answered.eq(response),
            told.eq(answered),
            self._wrong.eq(Cat(response & (self.b.payload.response >= Response.SLVERR), self._wrong)),
            self.fault.valid.eq(self._wrong[-1]),
            self.fault.code.eq(Fault.WRITE_RESPONSE),
            self.fault.address.eq(self._addresses.r_data),
        ]
        return response


def select(one_hot, payloads: list):
    """The payload whose bit is set, as a plain value."""
    return reduce(or_, (Mux(bit, payload.as_value(), 0) for bit, payload in zip(one_hot, payloads, strict=True)))
