"""From requests for bytes to words: clients, arbitration, bus and memory."""

from __future__ import annotations

from collections import deque
from typing import Any

from hwgen.memory.read_client import ReadClient
from hwgen.model.parts.records import Request, Split
from hwgen.params import Params


class Splitter:
    """`BurstSplitter`: requests (address within a chunk, bytes) become bursts.

    Members: request (offered, or None), taken (it was taken in this cycle), counted; word, end, left (of the one that
    is cut), length (beats minus one of the burst that is offered, -1 if none is), done (nothing is left to be cut).
    """

    __slots__ = (
        "chunk",
        "counted",
        "done",
        "end",
        "left",
        "length",
        "longest",
        "request",
        "taken",
        "word",
        "word_bytes",
    )

    def __init__(self, params: Params) -> None:
        self.word_bytes = params.bus_bytes
        self.longest = params.config.burst_beats - 1
        self.chunk = params.bus_bytes * params.config.burst_beats
        self.request: Request | None = None
        self.counted: Split | None = None
        self.taken = False
        self.done = True
        self.word = self.left = self.end = 0
        self.length = -1

    def tick(self, ready: bool) -> None:
        """One cycle; `ready`: the burst that is offered is taken."""
        counted = self.counted
        self.taken = False
        if counted is None:
            self._count()
        if self.length >= 0:
            if ready:
                self.length = -1
                self.done = self.left == 0
        elif not self.done:
            self.left -= 1
            self.word = 0
            self.length = self.longest if self.left else self.end
        elif counted is not None:
            self.counted, self.done = None, False
            self.word, self.end, self.left = counted
            self.length = (self.longest if self.left else self.end) - self.word

    def _count(self) -> None:
        request = self.request
        if request is not None:
            address, size = request
            last = address - 1 + size
            end = last % self.chunk // self.word_bytes
            self.counted = Split(address // self.word_bytes, end, last // self.chunk)
            self.taken = True

    def empty(self) -> bool:
        return self.counted is None and self.done


class Client:
    """`ReadClient` with its `WordQueue`.

    Sleeps while nothing can change (`calm`): until a word comes, one is taken, a burst is issued, or there is another
    request than the one `seen`.

    Members: splitter; room, bursts (lengths of those that are not issued), claimed (how many of them are), fits; used,
    found, present (the queue's words in memory, in its first and its last register), freed (a place was, a cycle ago),
    taken (the word that is present); words (all so far).
    """

    __slots__ = (
        "ample",
        "bursts",
        "calm",
        "claimed",
        "fits",
        "found",
        "freed",
        "present",
        "room",
        "seen",
        "splitter",
        "taken",
        "used",
        "words",
    )

    def __init__(self, params: Params, depth: int) -> None:
        self.splitter = Splitter(params)
        self.room, self.ample = depth, 2 * params.config.burst_beats
        self.bursts: deque[int] = deque()
        self.claimed = 0
        self.fits = self.found = self.present = self.freed = self.taken = self.calm = False
        self.seen: Request | None = None
        self.used = self.words = 0

    def offers(self) -> bool:
        """There is a burst that is not claimed."""
        return len(self.bursts) > self.claimed

    def asking(self) -> bool:
        return bool(self.bursts) or not self.splitter.empty()

    def empty(self) -> bool:
        return not (self.used or self.found or self.present or self.asking())

    def tick(self, write: bool, issued: bool) -> None:
        """One cycle; `write`: a word comes; `issued`: the oldest burst is."""
        splitter, room = self.splitter, self.room
        before = self._registers()
        freed = self._move_words(write)
        following = splitter.length
        ready = self.fits and len(self.bursts) < ReadClient.PLACES - 1
        reserve = ready and following >= 0
        if splitter.request is not None or not splitter.empty():
            splitter.tick(ready)
        else:
            splitter.taken = False
        self.fits = room >= self.ample or (following >= 0 and not reserve and room > following)
        if self.freed:
            self.room += 1
        self.freed = freed
        if reserve:
            self.room -= following + 1
        if issued:
            self.bursts.popleft()
            self.claimed -= 1
        if reserve:
            self.bursts.append(following)
        self.seen = splitter.request
        self.calm = not splitter.taken and self._registers() == before

    def _registers(self) -> tuple[Any, ...]:
        """All that a cycle may change."""
        splitter = self.splitter
        words = self.used, self.found, self.present
        bursts = self.fits, len(self.bursts), self.claimed, self.room, self.freed
        return words, bursts, splitter.length, splitter.left, splitter.done, splitter.counted

    def _move_words(self, write: bool) -> bool:
        """The word queue; whether one of its places has become free."""
        move = self.taken or not self.present
        self.taken = False
        read = self.used != 0 and (move or not self.found)
        if move:
            self.present = self.found
            self.found = read
        elif read:
            self.found = True
        if write:
            self.used += 1
            self.words += 1
        if read:
            self.used -= 1
        return read


class ReadEngine:
    """`ReadEngine` with its tracker, and the memory behind it.

    Members: clients; chosen (a client, -1 for none), behind (the arbiter's turn: the first client behind the one
    granted last), prefer (a cycle behind), held, alone and open (who alone may be chosen, -1 for all: another cycle
    behind each), offered (AR); flying (bursts); bursts (in memory: time when due, owner, words); beat (the owner of
    the word on R, -1 for none), last; taken (the owner of the word a cycle ago); credit; waits.
    """

    __slots__ = (
        "alone",
        "bandwidth",
        "beat",
        "behind",
        "bursts",
        "chosen",
        "clients",
        "credit",
        "flying",
        "held",
        "last",
        "latency",
        "offered",
        "open",
        "outstanding",
        "prefer",
        "sent",
        "taken",
        "waits",
    )

    def __init__(self, params: Params, depths: tuple[int, ...], latency: int, bandwidth: int) -> None:
        self.clients = [Client(params, depth) for depth in depths]
        self.latency, self.bandwidth = latency, bandwidth
        self.outstanding = params.config.outstanding
        self.chosen, self.behind = -1, 0
        self.prefer = self.held = self.alone = self.open = -1
        self.offered: tuple[int, int] | None = None
        self.bursts: deque[tuple[int, int, int]] = deque()
        self.flying = self.sent = self.waits = 0
        self.beat = self.taken = -1
        self.last = False
        self.credit = MOST_CREDIT

    def idle(self) -> bool:
        return self.flying == 0 and self.taken < 0 and all(client.empty() for client in self.clients)

    def tick(self, now: int, prefer: int) -> None:
        """One cycle; `prefer`: the client that goes first, -1 for none."""
        if self.flying and self.beat < 0:
            self.waits += 1
        room = self.flying != self.outstanding
        if self.last:
            self.flying -= 1
        write, self.taken = self.taken, self.beat
        self._memory(now)
        issued = self._issue(room, prefer)
        for i, client in enumerate(self.clients):
            if (
                not client.calm
                or write == i
                or issued == i
                or client.taken
                or client.splitter.request is not client.seen
            ):
                client.tick(write == i, issued == i)

    def _issue(self, room: bool, prefer: int) -> int:
        """Choose a burst, and move the one chosen before; gives its client, or -1."""
        chosen, clients = self.chosen, self.clients
        issued = chosen if chosen >= 0 and room else -1
        self.offered = None
        if issued >= 0:
            self.offered = (issued, clients[issued].bursts[0] + 1)
            self.flying += 1
        if issued >= 0 or chosen < 0:
            self.chosen = self._choose()
            if self.chosen >= 0:
                self.behind = self.chosen + 1
                clients[self.chosen].claimed += 1
        self.open = self.alone
        self.alone = self.held
        self.held = self.prefer if self.prefer >= 0 and clients[self.prefer].asking() else -1
        self.prefer = prefer
        return issued

    def _choose(self) -> int:
        clients = self.clients
        if self.open >= 0:
            return self.open if clients[self.open].offers() else -1
        first = -1
        for i, client in enumerate(clients):
            if client.offers():
                if i >= self.behind:
                    return i
                if first < 0:
                    first = i
        return first

    def _memory(self, now: int) -> None:
        """Beats of the bursts that are due; a burst on AR comes in."""
        bursts = self.bursts
        moves = False
        if bursts and now >= bursts[0][0] and self.credit >= BEAT_CREDIT:
            _, self.beat, words = bursts[0]
            self.sent += 1
            moves = True
            self.last = self.sent == words
            if self.last:
                bursts.popleft()
                self.sent = 0
        else:
            self.beat, self.last = -1, False
        if self.bandwidth != BEAT_CREDIT:
            self.credit = min(self.credit - BEAT_CREDIT * moves + self.bandwidth, MOST_CREDIT)
        if self.offered is not None:
            # Known in memory a cycle later, so never due before that.
            bursts.append((max(now + self.latency - 1, now + 1), *self.offered))


BEAT_CREDIT, MOST_CREDIT = 256, 511
"""Of `axi_memory.sv`: what a beat costs, and what a channel that rests has saved."""
