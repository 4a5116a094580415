"""From jobs to blocks, and who is told of them."""

from __future__ import annotations

from hwgen.control import block_fork
from hwgen.memory import fetch_fork
from hwgen.model.parts.queue import Bell, Fifo
from hwgen.model.parts.records import Block, Job, Rows
from hwgen.params import Params
from hwgen.timing import resident_rows

IDLE, NEXT, START, ADD, KEYS, COUNT, OFFER = range(7)

BEGIN, GO_ON = 2, 3
"""Cycles until a job's first block is begun, and one behind another: how many queries it has is known step by step."""


class BlockWalker:
    """`BlockWalker` and the `BlockFork` behind it.

    Members: state, wait; job; left, end, positions, part, brought (as in the hardware); queries, keys (of the block at
    hand); outputs (queues of blocks for loader, issuer, drain and fetch), there (a block on its way to them), room
    (they had some a cycle ago).
    """

    def __init__(self, params: Params, bell: Bell) -> None:
        self.size, self.cols, self.slots = params.block, params.config.cols, params.config.slots
        self.resident = resident_rows(params)
        self.bell = bell
        self.outputs = [Fifo(block_fork.DEPTH, bell, rests=True) for _ in range(4)]
        self.there: Block | None = None
        self.room = True
        self.state, self.wait = IDLE, 0
        self.job: Job | None = None
        self.left = self.end = self.positions = self.part = self.brought = self.queries = self.keys = 0
        self.block: Block | None = None

    def tick(self, job: Job | None) -> bool:
        """One cycle; `job` is on offer. Whether a block is handed on."""
        state, block = self.state, None
        if (state != IDLE and state != OFFER) or job is not None:
            self.bell.rung = True
        if state == OFFER:
            block = self._offer()
        elif state == IDLE:
            if job is not None:
                self.job, self.left = job, job.queries
                self.state, self.wait = NEXT, BEGIN
                self.end = self.positions = self.part = self.brought = 0
        elif state == START:
            self._start()
        elif state == KEYS:
            self._bound()
        else:
            self.wait -= 1
            if self.wait == 0:
                self.state = {NEXT: START, ADD: KEYS, COUNT: OFFER}[state]
        there, self.there = self.there, block
        room = block is None and there is None and all(output.room() for output in self.outputs)
        if room != self.room or block is not None:
            self.room, self.bell.rung = room, True
        for output in self.outputs:
            if output.tick(there):
                self.bell.rung = True
        return block is not None

    def _offer(self) -> Block | None:
        if not self.room:
            return None
        assert self.block is not None
        self.left -= self.queries
        self.brought = self.keys
        self.state, self.wait = (IDLE, 0) if self.block.last else (NEXT, GO_ON)
        return self.block

    def _start(self) -> None:
        job = self.job
        assert job is not None
        self.queries = queries = min(self.left, self.size)
        self.end += queries
        # Queries are added up a cycle later, then divided if need be.
        self.state, self.wait = ADD, 1
        if job.causal and job.group != 1:
            self.positions += (self.part + queries) // job.group
            self.wait += (self.part + queries) // job.group + 2
            self.part = (self.part + queries) % job.group
        elif job.causal:
            self.positions = self.end

    def _bound(self) -> None:
        """Keys of the block, and how long the choice of their number and the counting of its slots take."""
        job = self.job
        assert job is not None
        self.keys, edge, void = job.keys, 0, 0
        if job.causal:
            bound = self.positions + (self.part != 0) + job.offset
            self.keys = min(job.keys, max(bound, 0))
            edge = -job.offset * job.group - (self.end - self.queries)
            void = min(max(edge // self.cols, 0), self.slots)
        slots = (self.queries - 1) // self.cols
        resident, last = job.keys <= self.resident, self.left == self.queries
        self.block = Block(
            self.queries,
            slots,
            self.queries - slots * self.cols,
            void,
            job.causal,
            not resident,
            resident and not last,
            last,
            job.group,
            self.keys,
            self.keys - self.brought if resident else self.keys,
            edge - void * self.cols,
        )
        self.state, self.wait = COUNT, max(slots, void) + 2


class FetchFork:
    """`FetchFork`: rows for the readers of Q, K and V.

    Members: blocks (queue), queues, there (a block on its way to them); room (a block may be taken); ahead, offered,
    closed (of the gate in front of Q).
    """

    def __init__(self, blocks: Fifo, bell: Bell) -> None:
        self.blocks, self.bell = blocks, bell
        self.queues = {name: Fifo(fetch_fork.DEPTH, bell, rests=True) for name in ("q", "k", "v")}
        self.list = list(self.queues.values())
        self.there: Block | None = None
        self.ahead, self.offered, self.closed, self.room = 0, False, False, False

    def gate(self) -> bool:
        """Queries may be asked for."""
        return self.offered or not self.closed

    def tick(self, hungry: bool, loaded: bool) -> None:
        gate = self.gate()
        q, k, v = self.list
        if loaded or self.offered != (q.ready and gate and not q.taken):
            self.bell.rung = True
        self.ahead += q.taken - loaded
        closed = (hungry and self.ahead != 0) or self.ahead == fetch_fork.AHEAD
        if closed != self.closed:
            self.closed, self.bell.rung = closed, True
        self.offered = q.ready and gate and not q.taken
        taken = self.blocks.head if self.blocks.ready and self.room else None
        there, self.there = self.there, taken
        room = taken is None and there is None and q.room() and k.room() and v.room()
        if room != self.room or taken is not None:
            self.room, self.bell.rung = room, True
        if taken is not None:
            self.blocks.take()
        if there is not None:
            self.bell.rung = True
            rows = Rows(there.rewind, there.last, there.fresh)
            q.tick(Rows(False, there.last, there.queries))
            k.tick(rows)
            v.tick(rows)
        else:
            for queue in self.list:
                if queue.tick():
                    self.bell.rung = True
