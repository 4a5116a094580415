"""The sequencer, and everything that follows a visit after a fixed time."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from hwgen.array.feeder import FeederRow
from hwgen.array.value_pe import ValuePE
from hwgen.control.causes import BUSY, Cause
from hwgen.control.job import geometry
from hwgen.control.visit_queue import ahead
from hwgen.model.parts.loading import Loader, RowBuffer
from hwgen.model.parts.queue import Fifo
from hwgen.model.parts.records import Block
from hwgen.params import Params
from hwgen.softmax.fold_sum import FoldSum
from hwgen.softmax.lane import lane_latency
from hwgen.timing import hazard_distance, issue_latency, key_latency, score_latency


class Delays(NamedTuple):
    """Cycles from a visit's start.

    key_freed, value_freed: until its rows are read; released: until the last column's weight has left its lane;
    done: until its results are in the result memories
    """

    key_freed: int
    value_freed: int
    released: int
    done: int

    @staticmethod
    def of(params: Params, last_fold_e: int, last_fold_f: int) -> Delays:
        c, issue = params.config, issue_latency()
        weight = issue + last_fold_e + score_latency(params) + FoldSum.LATENCY + lane_latency(params)
        # The weight has one more cycle to its column, the value row so many to its own.
        freed = weight + 1 - FeederRow.LATENCY + last_fold_f + c.rows_f
        corner = freed + FeederRow.LATENCY - FeederRow.SKEW + c.cols
        return Delays(
            issue + last_fold_e + key_latency(params) + c.rows_e,
            freed,
            weight + c.cols - 1,
            corner + ValuePE.RESULT_LATENCY,
        )


NO_BLOCK = Block(0, 0, 0, 0, False, False, False, True, 1, 0, 0, 0)
"""Before the first one."""


class Visit(NamedTuple):
    """One that is described, as in `planned_layout`; block_last: the block's last one, or nothing to visit in it."""

    slot: int
    bank: int
    last: bool
    row_end: bool
    block_last: bool
    keep: bool
    nothing: bool


class Issuer:
    """`Issuer` with `PendingSlots`: for each block, for each key, for each live slot a visit.

    Members: as in the hardware; left (keys of the block that are not wholly described); queue (visits described),
    may (the first one may start, or end its empty block); starts (times and slots of the last visits); drained (times
    and slots), done (times and slots of results, for the drain); idle (cycles by cause), visits; in this cycle:
    block_done, visiting, row_end (of a key that is described), began (a block, which job_begins with).
    """

    def __init__(
        self, params: Params, shape: tuple[int, int], block: Fifo, loader: Loader, keys: RowBuffer, values: RowBuffer
    ) -> None:
        g = geometry(params, *shape)
        self.last_step, self.last_fold_e = g["last_step"], g["last_fold_e"]
        self.delays = Delays.of(params, g["last_fold_e"], g["last_fold_f"])
        self.group = params.group
        self.cols, self.hazard, self.ahead = params.config.cols, hazard_distance(params), ahead(params)
        self.block_queue, self.loader, self.keys, self.values = block, loader, keys, values
        self.queue: deque[Visit] = deque()
        self.starts: deque[tuple[int, int]] = deque()
        self.drained: deque[tuple[int, int]] = deque()
        self.done: deque[tuple[int, int]] = deque()
        self.pending = [False] * params.config.slots
        self.idle = [0] * (BUSY + 1)
        self.visits = self.step = self.bank = self.left = self.slot = self.low = 0
        self.edge = self.next_edge = self.next_low = self.low_edge = 0
        self.staying = self.active = self.block_done = self.visiting = self.row_end = False
        self.may = self.began = self.job_begins = False
        self.block = NO_BLOCK

    def tick(self, now: int, busy: bool, running: bool, more: bool) -> int:
        """One cycle; gives its cause. more: blocks or jobs are waiting."""
        self.block_done = self.row_end = self.began = False
        queue = self.queue
        head = queue[0] if queue else None
        starting = self.may and head is not None and not head.nothing and self._rows()
        passes = self.may and head is not None and head.nothing
        if starting or self.step:
            cause = BUSY if self.step <= self.last_fold_e else Cause.PAD
        else:
            cause = self._lack(now, head, busy, running, more)
        self.visiting = cause == BUSY
        end = (starting or self.step != 0) and self.step == self.last_step
        self.may = self._look(now, head, starting, end or passes)
        room = len(queue) < self.ahead
        if starting:
            self._start(now, queue[0])
        if end:
            self.step = 0
            self._end(queue[0])
        elif starting or self.step:
            self.step += 1
        if passes:
            self.loader.empty = True
            self._end_block(queue[0])
        if end or passes:
            queue.popleft()
        if not self.active:
            self._take()
        elif room:
            self._describe()
        if self.drained and self.drained[0][0] == now:
            self.pending[self.drained.popleft()[1]] = False
        return cause

    def _rows(self) -> bool:
        return self.keys.complete != 0 and self.values.complete != 0

    def _lack(self, now: int, head: Visit | None, busy: bool, running: bool, more: bool) -> int:
        """The first thing that is missing."""
        if not busy:
            return Cause.NO_JOB
        if not running:
            return Cause.FILL
        if head is None:
            return Cause.SETUP if self.active or self.block_queue.ready or more else Cause.DRAIN
        if not self.loader.loaded[head.bank]:
            return Cause.WAIT_Q
        if head.nothing:
            return Cause.SETUP
        if self.keys.complete == 0:
            return Cause.WAIT_K
        if self.values.complete == 0:
            return Cause.WAIT_V
        if self._met(now, head.slot):
            return Cause.HAZARD
        return Cause.WAIT_OUT if head.last and self.pending[head.slot] else Cause.SETUP

    def _met(self, time: int, slot: int) -> bool:
        """The slot was visited a short while before a time."""
        starts = self.starts
        while starts and starts[0][0] <= time - self.hazard:
            starts.popleft()
        return any(other == slot for _, other in starts)

    def _look(self, now: int, head: Visit | None, starting: bool, turn: bool) -> bool:
        """Whether the visit that is first in the next cycle may start then, or the block end that has none."""
        if not turn:
            return head is not None and self.step == 0 and not starting and self._free(now, head)
        if len(self.queue) < 2:
            return False
        # A visit of a single cycle is not among the starts yet.
        second = self.queue[1]
        again = starting and head is not None and head.slot == second.slot and self.hazard > 1
        return self._free(now, second) and (second.nothing or not again)

    def _free(self, now: int, visit: Visit) -> bool:
        if not self.loader.loaded[visit.bank]:
            return False
        if visit.nothing:
            return True
        return not (self._met(now + 1, visit.slot) or (visit.last and self.pending[visit.slot]))

    def _start(self, now: int, visit: Visit) -> None:
        delays, slot = self.delays, visit.slot
        self.visits += 1
        if self.last_step + 1 < self.hazard:
            self.starts.append((now, slot))
        if visit.row_end and not visit.keep:
            self.keys.freed.append(now + delays.key_freed)
            self.values.freed.append(now + delays.value_freed)
        if visit.last:
            self.pending[slot] = True
            self.done.append((now + delays.done, slot))
        if visit.block_last:
            self.loader.released.append((now + delays.released, visit.bank))

    def _end(self, visit: Visit) -> None:
        """The visit's last cycle."""
        if visit.row_end:
            for buffer in (self.keys, self.values):
                buffer.advance, buffer.block_last, buffer.keep = True, visit.block_last, visit.keep
        if visit.block_last:
            self._end_block(visit)

    def _end_block(self, visit: Visit) -> None:
        self.loader.issued, self.loader.issued_bank = True, visit.bank
        self.block_done = True

    def _leaves(self) -> bool:
        return self.block.causal and self.next_edge >= self.cols

    def _describe(self) -> None:
        """Hand the next visit to the queue, and go on to the one behind it."""
        block, slot = self.block, self.slot
        if self.left == 0:
            self.queue.append(Visit(0, self.bank, False, False, True, False, True))
            self._next_block()
            return
        row_end, last_key = slot == block.slots, self.left == 1
        last = last_key or self._leaves()
        self.queue.append(Visit(slot, self.bank, last, row_end, last_key and row_end, block.keep, False))
        if row_end:
            self._next_key()
            return
        low, edge = (self.next_low, self.low_edge) if self.staying else (slot, self.next_edge)
        self.staying = not self._leaves()
        self.next_low, self.low_edge = low, edge
        self.slot += 1
        self.next_edge -= self.cols * block.causal

    def _next_key(self) -> None:
        block = self.block
        if self.staying:
            self.low, self.edge = self.next_low, self.low_edge
        else:
            self.low, self.edge = self.slot, self.next_edge
        self.slot, self.next_edge = self.low, self.edge + block.group * block.causal
        self.staying, self.next_low, self.low_edge = False, 0, 0
        self.row_end = True
        self.left -= 1
        if self.left == 0:
            self._next_block()

    def _next_block(self) -> None:
        self.bank ^= 1
        if self.group > 1:
            self.active = False
        else:
            self._take()

    def _take(self) -> None:
        """The next block, if there is one."""
        queue = self.block_queue
        self.active = queue.ready
        if queue.ready:
            self.began, self.job_begins = True, self.block.last
            block = self.block = queue.head
            queue.take()
            self.left, self.slot, self.low = block.keys, block.void_slots, block.void_slots
            self.edge = block.edge
            self.next_edge = block.edge + block.group * block.causal
            self.staying, self.next_low, self.low_edge = False, 0, 0
