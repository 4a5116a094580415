"""The sequencer, and everything that follows a visit after a fixed time."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from hwgen.array.value_pe import ValuePE
from hwgen.control.causes import BUSY, Cause
from hwgen.control.job import geometry
from hwgen.model.parts.loading import Loader, RowBuffer
from hwgen.model.parts.queue import Fifo
from hwgen.model.parts.records import Block
from hwgen.params import Params
from hwgen.softmax.fold_sum import FoldSum
from hwgen.softmax.lane import lane_latency
from hwgen.timing import hazard_distance, key_latency, score_latency


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
        c = params.config
        value = last_fold_e + score_latency(params) + FoldSum.LATENCY + lane_latency(params)
        freed = value + last_fold_f + c.rows_f
        return Delays(
            last_fold_e + key_latency(params) + c.rows_e,
            freed,
            value + c.cols - 1,
            freed + c.cols + ValuePE.RESULT_LATENCY,
        )


NO_BLOCK = Block(0, 0, 0, 0, False, False, False, True, 1, 0, 0, 0)
"""Before the first one."""


class Issuer:
    """`Issuer` with `PendingSlots`: for each block, for each key, for each live slot a visit.

    Members: as in the hardware; left (keys of the block that are not wholly issued); starts (times and slots of the
    last visits); drained (times and slots), done (times and slots of results, for the drain); idle (cycles by cause),
    visits; in this cycle: block_done, visiting, row_end (of a key), began (a block, which job_begins with).
    """

    def __init__(
        self, params: Params, shape: tuple[int, int], block: Fifo, loader: Loader, keys: RowBuffer, values: RowBuffer
    ) -> None:
        g = geometry(params, *shape)
        self.last_step, self.last_fold_e = g["last_step"], g["last_fold_e"]
        self.delays = Delays.of(params, g["last_fold_e"], g["last_fold_f"])
        self.cols, self.hazard = params.config.cols, hazard_distance(params)
        self.block_queue, self.loader, self.keys, self.values = block, loader, keys, values
        self.starts: deque[tuple[int, int]] = deque()
        self.drained: deque[tuple[int, int]] = deque()
        self.done: deque[tuple[int, int]] = deque()
        self.pending = [False] * params.config.slots
        self.idle = [0] * (BUSY + 1)
        self.visits = self.step = self.bank = self.left = self.slot = self.low = 0
        self.edge = self.next_edge = self.next_low = self.low_edge = 0
        self.staying = self.active = self.block_done = self.visiting = self.row_end = False
        self.began = self.job_begins = False
        self.block = NO_BLOCK

    def tick(self, now: int, busy: bool, running: bool, more: bool) -> int:
        """One cycle; gives its cause. more: blocks or jobs are waiting."""
        self.block_done = self.row_end = self.began = False
        if self.step == 0:
            cause = self._try(now, busy, running, more)
        else:
            cause = BUSY if self.step <= self.last_fold_e else Cause.PAD
        self.visiting = cause == BUSY
        if cause == BUSY or cause == Cause.PAD:
            if self.step == self.last_step:
                self.step = 0
                self._end()
            else:
                self.step += 1
        elif self.active and self.left == 0 and self.loader.loaded[self.bank]:
            self.loader.empty = True
            self._end_block()
        elif not self.active:
            self._take()
        if self.drained and self.drained[0][0] == now:
            self.pending[self.drained.popleft()[1]] = False
        return cause

    def _try(self, now: int, busy: bool, running: bool, more: bool) -> int:
        """Start the next visit, or the first thing that is missing."""
        cause = self._lack(now)
        if cause is None:
            self._start(now)
            return BUSY
        if not busy:
            return Cause.NO_JOB
        if not running:
            return Cause.FILL
        if not self.active:
            return Cause.SETUP if self.block_queue.ready or more else Cause.DRAIN
        return cause

    def _lack(self, now: int) -> int | None:
        if not self.active:
            return Cause.SETUP
        if not self.loader.loaded[self.bank]:
            return Cause.WAIT_Q
        if self.left == 0:
            return Cause.SETUP
        if self.keys.complete == 0:
            return Cause.WAIT_K
        if self.values.complete == 0:
            return Cause.WAIT_V
        starts, slot = self.starts, self.slot
        while starts and starts[0][0] <= now - self.hazard:
            starts.popleft()
        for _, other in starts:
            if other == slot:
                return Cause.HAZARD
        if self.pending[slot] and self._is_last():
            return Cause.WAIT_OUT
        return None

    def _leaves(self) -> bool:
        return self.block.causal and self.next_edge >= self.cols

    def _is_last(self) -> bool:
        """The slot sees no key behind this one."""
        return self.left == 1 or self._leaves()

    def _start(self, now: int) -> None:
        delays, block, slot = self.delays, self.block, self.slot
        last_slot = slot == block.slots
        self.visits += 1
        if self.last_step + 1 < self.hazard:
            self.starts.append((now, slot))
        if last_slot and not block.keep:
            self.keys.freed.append(now + delays.key_freed)
            self.values.freed.append(now + delays.value_freed)
        if self._is_last():
            self.pending[slot] = True
            self.done.append((now + delays.done, slot))
        if self.left == 1 and last_slot:
            self.loader.released.append((now + delays.released, self.bank))

    def _end(self) -> None:
        """The visit's last cycle: what comes next."""
        block = self.block
        if self.slot != block.slots:
            low, edge = (self.next_low, self.low_edge) if self.staying else (self.slot, self.next_edge)
            self.staying = not self._leaves()
            self.next_low, self.low_edge = low, edge
            self.slot += 1
            self.next_edge -= self.cols * block.causal
            return
        if self.staying:
            self.low, self.edge = self.next_low, self.low_edge
        else:
            self.low, self.edge = self.slot, self.next_edge
        self.slot, self.next_edge = self.low, self.edge + block.group * block.causal
        self.staying, self.next_low, self.low_edge = False, 0, 0
        self.row_end = True
        self.left -= 1
        for buffer in (self.keys, self.values):
            buffer.advance, buffer.block_last, buffer.keep = True, self.left == 0, block.keep
        if self.left == 0:
            self._end_block()

    def _end_block(self) -> None:
        self.loader.issued, self.loader.issued_bank = True, self.bank
        self.block_done = True
        self.bank ^= 1
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
