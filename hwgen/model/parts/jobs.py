"""From a descriptor to its jobs."""

from __future__ import annotations

from hwgen.control import head_fork, key_lengths
from hwgen.control.descriptor import KEY_LENGTH_BYTES
from hwgen.control.job_walker import REPEATED
from hwgen.model.parts.queue import Bell, Fifo
from hwgen.model.parts.reading import Client
from hwgen.model.parts.records import Job, Place, Request, Rows
from hwgen.params import Params

IDLE, LENGTH, COMPARE, CHECK, OFFER, PASS = range(6)

TURNS = 5
"""Tensors, to each of which a stride is added in a pass."""


class KeyLengths:
    """`KeyLengths`: asks for one number of keys after the other, up to AHEAD of them."""

    __slots__ = ("address", "ahead", "chunk", "client", "left", "took")

    def __init__(self, params: Params, client: Client, address: int) -> None:
        self.client, self.address = client, address
        self.chunk = params.bus_bytes * params.config.burst_beats
        self.left = self.ahead = 0
        self.took = False

    def take(self) -> None:
        """Take a length if one is there."""
        self.took = self.client.taken = self.client.present

    def tick(self) -> None:
        """Behind the read engine's tick."""
        splitter = self.client.splitter
        if splitter.taken:
            self.address = (self.address + KEY_LENGTH_BYTES) % self.chunk
            self.left -= 1
            self.ahead += 1
        if self.took:
            self.ahead -= 1
            self.took = False
        wanted = self.left != 0 and self.ahead != key_lengths.AHEAD
        splitter.request = Request(self.address, KEY_LENGTH_BYTES) if wanted else None


class JobWalker:
    """`JobWalker` with the `HeadFork` behind it.

    Members: keys (of each batch entry); lengths (None if the descriptor's holds for all); places (of the tensors);
    queues (of addresses within a chunk, by tensor), rows (of numbers of rows, by written tensor); state, wait; number
    (of the job at hand); offering (it is on offer); heads_taken; there (its heads are on their way to the forks);
    finished; room (the forks have some, a cycle late).
    """

    def __init__(
        self, params: Params, job: Job, keys: tuple[int, ...], heads: int, places: dict[str, Place], bell: Bell
    ) -> None:
        self.job, self.keys, self.heads, self.places = job, keys, heads, places
        self.lengths: KeyLengths | None = None
        self.chunk = params.bus_bytes * params.config.burst_beats
        self.queues = {name: Fifo(head_fork.DEPTH, bell) for name in places}
        self.rows = {name: Fifo(head_fork.DEPTH, bell) for name in head_fork.WRITTEN if name in places}
        self.forks = [*self.queues.values(), *self.rows.values()]
        self.bell = bell
        self.state, self.wait, self.number = IDLE, 0, 0
        self.offering = self.heads_taken = self.there = self.finished = self.room = False

    def start(self) -> None:
        """The descriptor is known to be good."""
        self.bell.rung = True
        self.state, self.wait, self.number = PASS, TURNS + 2, -1
        if self.lengths is not None:
            self.lengths.left = len(self.keys)

    def tick(self, job_taken: bool) -> None:
        pushed = False
        if job_taken or self.state == PASS:
            self.bell.rung = True
        if self.state == OFFER:
            pushed = self._offer(job_taken)
        elif self.state == PASS:
            self.wait -= 1
            if self.wait == 0:
                self._passed()
        elif self.state == LENGTH:
            self.bell.rung = True
            if self.lengths is not None and self.lengths.took:
                self.state = COMPARE
        elif self.state == COMPARE:
            self.bell.rung = True
            self.state = CHECK
        elif self.state == CHECK:
            self.bell.rung = True
            self.state, self.offering = OFFER, True
        room = not pushed and not self.there and all(fork.room() for fork in self.forks)
        self._fork(self.there)
        if room != self.room or pushed:
            self.bell.rung = True
        self.room, self.there = room, pushed

    def await_length(self) -> None:
        """Take the batch's number of keys if it is there; before the read engine's cycle."""
        if self.state == LENGTH and self.lengths is not None:
            self.lengths.take()

    def _offer(self, job_taken: bool) -> bool:
        # That both are gone is known a cycle later.
        gone = self.heads_taken and not self.offering
        pushed = not self.heads_taken and self.room
        self.heads_taken |= pushed
        if job_taken:
            self.offering = False
        if gone:
            self.bell.rung = True
            self.heads_taken = False
            self.state, self.wait = PASS, TURNS + 2
            if self.number + 1 == self.heads * len(self.keys):
                self.state, self.wait, self.finished = IDLE, 0, True
            elif (self.number + 1) % self.heads:
                # Once more for every other head of the group.
                self.wait += REPEATED * (self.job.group - 1)
        return pushed

    def _passed(self) -> None:
        self.number += 1
        begins = self.number % self.heads == 0
        self.state = LENGTH if begins and self.lengths is not None else OFFER
        self.offering = self.state == OFFER

    def _fork(self, there: bool) -> None:
        """Addresses within a chunk, and numbers of rows."""
        if not there:
            for fork in self.forks:
                if fork.tick():
                    self.bell.rung = True
            return
        self.bell.rung = True
        batch, head = divmod(self.number, self.heads)
        for name, fork in self.queues.items():
            place = self.places[name]
            fork.tick((place.address + batch * place.batch_stride + head * place.head_stride) % self.chunk)
        for fork in self.rows.values():
            fork.tick(Rows(False, True, self.job.queries))

    def current(self) -> Job:
        """The job on offer."""
        return self.job._replace(keys=self.keys[self.number // self.heads])

    def last_numbers(self) -> tuple[tuple[int, int], ...]:
        """The numbers that the walker does something special at: with lengths in memory a batch entry begins like no
        other job does."""
        end = self.heads * len(self.keys)
        if self.lengths is not None:
            end = (self.number // self.heads + 1) * self.heads
        return ((end, 1 << 62),)
