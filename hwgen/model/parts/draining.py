"""From results in the arrays to the streams of O and LSE."""

from __future__ import annotations

from collections import deque

from hwgen.array.value_array import drain_latency
from hwgen.control.drain import PendingSlots
from hwgen.model.parts.issuing import Issuer
from hwgen.model.parts.queue import Fifo
from hwgen.params import Params
from hwgen.softmax.normaliser import NormaliserLane
from hwgen.softmax.output import LSE_DEPTH, RECORD_LATENCY, queue_depth, read_latency

LAST, JOB_LAST = 1, 2
"""Bits of a beat of O."""


class Drain:
    """`DrainWalker` and `OutputUnit`: walks the queries of every block, a step a cycle.

    Members: block (queue); results (slots that are done); slot, column, beat (where it is); credits, lse_credits
    (places that are taken), given (those that got free in the cycle before), room (for what may be on its way, and one
    more); steps (times and flags of beats on their way to `o`), records (times of those to `lse`); known (a block is
    looked at), gone (its last step is taken: it is given back in the next cycle).
    """

    def __init__(self, params: Params, head_f: int, block: Fifo, issuer: Issuer) -> None:
        c = params.config
        self.block, self.issuer, self.cols = block, issuer, c.cols
        self.row_beats = -(-head_f // c.out_beat)
        self.depth = queue_depth(params)
        self.o, self.lse = Fifo(self.depth), Fifo(LSE_DEPTH, rests=True)
        # Until a slot's values are read, as PendingSlots knows of it.
        self.read_latency = read_latency(params) + PendingSlots.LATENCY - 1
        self.latency = read_latency(params) + drain_latency(params) + NormaliserLane.LATENCY
        self.results = [False] * c.slots
        self.steps: deque[tuple[int, int]] = deque()
        self.records: deque[int] = deque()
        self.slot = self.column = self.beat = self.credits = self.lse_credits = 0
        self.given = (False, False)
        self.room, self.known, self.gone = True, False, False

    def tick(self, now: int) -> None:
        """Behind those that take beats of `o` and `lse`."""
        if self._calm(now):
            return
        room, gone = self.room, self.gone
        self.gone = False
        if gone:
            self.block.take()
        self.credits -= self.given[0]
        self.lse_credits -= self.given[1]
        self.given = (self.o.taken, self.lse.taken)
        self.room = self.credits < self.depth - 1 and self.lse_credits < LSE_DEPTH - 1
        if room and self.known:
            block = self.block.head
            void = block.keys == 0 or self.slot < block.void_slots
            if void or self.results[self.slot]:
                self._step(now, void)
        done = self.issuer.done
        if done and done[0][0] == now:
            self.results[done.popleft()[1]] = True
        self.known = self.block.ready and not (gone or self.gone)
        self._queue(now)

    def _calm(self, now: int) -> bool:
        """Nothing happens in this cycle."""
        if self.steps or self.records or self.o.taken or self.lse.taken or self.o.items or self.lse.items:
            return False
        done = self.issuer.done
        if any(self.given) or (done and done[0][0] == now):
            return False
        if self.known != self.block.ready:
            return False
        if not self.known:
            return True
        block = self.block.head
        return not (self.results[self.slot] or block.keys == 0 or self.slot < block.void_slots)

    def _step(self, now: int, void: bool) -> None:
        block = self.block.head
        self.credits += 1
        if self.beat == 0:
            self.lse_credits += 1
            self.records.append(now + RECORD_LATENCY)
        row_end = self.beat == self.row_beats - 1
        last_slot = self.slot == block.slots
        slot_end = row_end and self.column == (block.width if last_slot else self.cols) - 1
        flags = LAST * row_end + JOB_LAST * (slot_end and last_slot and block.last)
        self.steps.append((now + self.latency, flags))
        if slot_end and not void:
            self.results[self.slot] = False
            self.issuer.drained.append((now + self.read_latency, self.slot))
        if not row_end:
            self.beat += 1
            return
        self.beat = 0
        self.column = 0 if slot_end else self.column + 1
        if slot_end:
            self.slot = 0 if last_slot else self.slot + 1
            self.gone = last_slot

    def _queue(self, now: int) -> None:
        """What arrives in the two queues."""
        beat = record = None
        if self.steps and self.steps[0][0] == now:
            beat = self.steps.popleft()[1]
        if self.records and self.records[0] == now:
            self.records.popleft()
            record = LAST
        self.o.tick(beat)
        self.lse.tick(record)
