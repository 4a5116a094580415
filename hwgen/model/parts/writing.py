"""From the streams of O and LSE to memory."""

from __future__ import annotations

from collections import deque

from hwgen.memory.write_client import UNSEEN_WORDS, places
from hwgen.memory.write_engine import WORDS_UNDER_WAY
from hwgen.memory.write_engine import WriteEngine as Hardware
from hwgen.model.parts.draining import LAST
from hwgen.model.parts.queue import Fifo, Pair
from hwgen.model.parts.reading import BEAT_CREDIT, MOST_CREDIT, Splitter
from hwgen.model.parts.walker import BLOCK, JOB, ROW, Walker
from hwgen.params import Params

RESTING = (JOB, BLOCK, ROW)
"""States in which a walker may wait for others."""

SETTLING = 16
"""More cycles than a request that moves on its own takes to come to rest."""


class Packer:
    """`RowPacker`: rows of `elements` elements of `element_bits` bits, `beat` of them in a beat, become bus words.

    Members: values (behind the queue of them), walker; as in the hardware; offered (a word is).
    """

    def __init__(
        self, params: Params, element_bits: int, beat: int, elements: int, values: Fifo, walker: Walker
    ) -> None:
        self.lanes = params.config.bus_bits // element_bits
        self.element_bytes, self.elements = element_bits // 8, elements
        self.size = min(beat, self.lanes)
        self.chunks = -(-beat // self.size)
        self.rest = beat - (self.chunks - 1) * self.size
        self.values, self.walker = Pair(values), walker
        self.active = self.overhang = self.complete = self.turned = self.offered = False
        self.left = self.place = self.chunk = self.rows = 0

    def tick(self, ready: bool) -> None:
        """One cycle; `ready`: a word is taken if there is one."""
        self._move(ready)
        self.values.tick()

    def _move(self, ready: bool) -> None:
        if not ready:
            # Nothing moves but a run that may be taken.
            if not self.active:
                self._take_run()
            return
        self.offered, self.turned = self.turned, self.complete
        take = self.active and self.values.ready and not self.overhang
        self.complete, self.overhang = self.overhang, False
        ended = not self.active
        if take:
            ended = self._step()
        if ended:
            self._take_run()

    def _take_run(self) -> None:
        run = self.walker.run
        self.active = run is not None
        if run is not None:
            self.walker.run_taken = True
            self.place, self.rows = run[0] // self.element_bytes, run[1]
            self.left = self.elements

    def _step(self) -> bool:
        """A beat, or a word's worth of it; whether the run ends."""
        beat_end = self.chunk == self.chunks - 1
        size = self.rest if beat_end else self.size
        finish = beat_end and self.values.head & LAST == LAST
        final = self.rows == 1
        ends = self.left <= size
        run_end = ends and self.left != 0 and final
        following = self.place + (self.left if ends else size)
        self.overhang = run_end and following > self.lanes
        self.complete = run_end or following >= self.lanes
        self.left = 0 if ends else self.left - size
        self.place = following % self.lanes
        self.chunk = 0 if beat_end else self.chunk + 1
        if beat_end:
            self.values.taken = True
        if finish:
            self.left = self.elements
            self.rows -= 1
        return finish and final


class WriteClient:
    """`WriteClient`: a burst is offered once all its words are queued.

    Members: source, splitter; ready (words are taken), arrived (one was), level (words queued), leave, leaving (one is
    to leave; it does); spare (words of no burst that was offered); offered (a burst is), burst (its beats minus one),
    passed (it has left the splitter); words (all so far); asked (rows, all so far).
    """

    def __init__(self, params: Params, source: Packer) -> None:
        self.source, self.splitter = source, Splitter(params)
        self.most = places(params) - UNSEEN_WORDS
        self.level = self.spare = self.words = self.asked = self.burst = 0
        self.offered = self.passed = self.arrived = self.leave = self.leaving = False
        self.ready = True

    def empty(self) -> bool:
        return self.splitter.empty() and self.level == 0 and not self.arrived

    def tick(self, taken: bool) -> None:
        """One cycle; `taken`: the burst that is offered is."""
        source, splitter = self.source, self.splitter
        length, spare, ready = splitter.length, self.spare, self.ready
        self.ready = self.level <= self.most
        if self.passed:
            self.spare -= self.burst + 1
        if self.arrived:
            self.spare += 1
            self.words += 1
        self.level += self.arrived - self.leaving
        self.leaving, self.leave = self.leave, False
        self.arrived = source.offered and ready
        self.passed = not self.offered and 0 <= length < spare
        if self.passed:
            self.offered, self.burst = True, length
        elif taken:
            self.offered = False
        source.tick(ready)
        if splitter.request is not None or not splitter.empty():
            splitter.tick(self.passed)
        else:
            splitter.taken = False
        walker = source.walker
        if splitter.taken:
            self.asked += walker.asked
            walker.request_taken = True
        walker.tick()
        splitter.request = walker.request

    def quiet(self) -> bool:
        """Nothing moves unless something new comes."""
        source = self.source
        if self.offered or self.level or self.arrived or not source.values.quiet():
            return False
        if source.offered or source.turned or source.complete or source.overhang:
            return False
        return source.walker.state in RESTING and not source.walker.head.ready


class WriteEngine:
    """`WriteEngine` and the memory behind it.

    Members: clients; behind (the arbiter's turn); address (AW is offered); in_flight; orders (queue of owners and
    lengths); order, left (the burst that is sent: its owner, and words left, -1 if none is); free (words that may set
    out), moved (a word has left the landing queue, and one more may from the next cycle on), room (one may, in this
    cycle), setting_out (words of this and the next cycles' landings), landed, word (on W): None, or whether a word is
    its burst's last one; bursts (in memory: taken addresses whose last word has not come), answers (times of
    responses); credit; waits.
    """

    def __init__(self, params: Params, clients: list[WriteClient], latency: int, bandwidth: int) -> None:
        self.clients, self.latency, self.bandwidth = clients, latency, bandwidth
        self.outstanding = params.config.outstanding
        self.orders = Fifo(self.outstanding + 1)
        self.setting_out: deque[bool | None] = deque([None] * Hardware.WORD_LATENCY)
        self.landed: deque[bool] = deque()
        self.word: bool | None = None
        self.free = WORDS_UNDER_WAY
        self.answers: deque[int] = deque()
        self.behind = self.in_flight = self.bursts = self.waits = self.order = 0
        self.left, self.quiet = -1, 0
        self.address, self.moved, self.room = False, False, True
        self.credit = MOST_CREDIT

    def idle(self) -> bool:
        return self.in_flight == 0 and all(client.empty() for client in self.clients)

    def tick(self, now: int) -> None:
        if self.quiet > SETTLING:
            if all(client.quiet() for client in self.clients):
                if self.bandwidth != BEAT_CREDIT:
                    self.credit = min(self.credit + self.bandwidth, MOST_CREDIT)
                return
            self.quiet = 0
        busy = self.in_flight or self.address or self.left >= 0 or not self.orders.empty()
        self.quiet = self.quiet + 1 if not busy and all(client.quiet() for client in self.clients) else 0
        room = self.in_flight != self.outstanding
        self._land(self._memory(now))
        self._send()
        issued = self._issue(room)
        for i, client in enumerate(self.clients):
            client.tick(issued == i)

    def _memory(self, now: int) -> bool:
        """A word is taken, an address comes in, a response goes out; whether W is free."""
        word = self.word
        moves = word is not None and self.bursts > 0 and self.credit >= BEAT_CREDIT
        if word is not None and not moves:
            self.waits += 1
        if self.answers and self.answers[0] == now:
            self.answers.popleft()
            self.in_flight -= 1
        if self.address:
            self.bursts += 1
            self.address = False
        if moves and word:
            self.bursts -= 1
            before = self.answers[-1] if self.answers else 0
            self.answers.append(max(now + self.latency, before + 1))
        if self.bandwidth != BEAT_CREDIT:
            self.credit = min(self.credit - BEAT_CREDIT * moves + self.bandwidth, MOST_CREDIT)
        return moves or word is None

    def _land(self, free: bool) -> None:
        """The words that have landed; the next one goes on W if that is free."""
        self.room = self.free > 0
        self.free += self.moved
        self.moved = free and bool(self.landed)
        if free:
            self.word = self.landed.popleft() if self.landed else None
        word = self.setting_out.popleft()
        if word is not None:
            self.landed.append(word)

    def _send(self) -> None:
        """The next word, if there was a place for it when the cycle began."""
        ended, word = self.left < 0, None
        if self.left >= 0 and self.room:
            self.clients[self.order].leave = True
            word = ended = self.left == 0
            self.free -= 1
            self.left -= 1
        self.setting_out.append(word)
        if ended and self.orders.ready:
            self.order, self.left = self.orders.head
            self.orders.taken = True
        elif ended:
            self.order = 0

    def _issue(self, room: bool) -> int:
        """The address of the next client's burst; gives the client, or -1."""
        issued = -1
        if room:
            wanting = [i for i, client in enumerate(self.clients) if client.offered]
            if wanting:
                issued = next((i for i in wanting if i >= self.behind), wanting[0])
        if issued >= 0:
            self.behind = issued + 1
            self.address = True
            self.in_flight += 1
            self.orders.tick((issued, self.clients[issued].burst))
        else:
            self.orders.tick()
        return issued
