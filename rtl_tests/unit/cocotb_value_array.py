"""Runs in the simulator: visits as dense as the loop allows, results equal to integer arithmetic."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import cocotb
import numpy as np

from hwgen.array.feeder import FeederRow, value_address
from hwgen.array.value_array import FoldWalker, drain_latency
from hwgen.array.value_pe import ValuePE
from hwgen.array.value_row import weight_layout
from hwgen.control.tags import lane_tag_layout, visit_layout
from hwgen.params import Params
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import Inputs, bits_of, clocked, pack, signed
from rtl_tests.harness.streams import start

CYCLES = 800
LOOP = ValuePE.LOOP


class Plan:
    """Inputs of all cycles and everything that has to be seen, found by walking through the cycles once.

    Value rows that were used for the last time are written again as soon as they are freed; a slot's results are read
    as soon as they are done, and only then it may finish once more.
    """

    def __init__(self, rng: np.random.Generator, core: Params, folds: int, idle: float) -> None:
        c = core.config
        self.rng, self.core, self.folds, self.idle = rng, core, folds, idle
        self.tag, self.side, self.weight = lane_tag_layout(core), visit_layout(core), weight_layout(core)
        self.most = 2 ** (c.operand_bits - 1) - 1
        ring = 1 << (value_address(core).width - core.fold_f_bits)
        self.rows = np.zeros((ring, self.folds, c.rows_f), dtype=object)
        self.sums = np.zeros((c.slots, self.folds, c.rows_f, c.cols), dtype=object)
        self.writes: deque[tuple[int, int, int, int]] = deque()
        self.ready: set[int] = set()
        self.last_start = dict.fromkeys(range(c.slots), -LOOP)
        self.fresh, self.waiting = set(range(c.slots)), set[int]()
        self.reads: deque[tuple[int, int, int, int]] = deque()
        self.results: dict[int, np.ndarray] = {}
        self.events: dict[int, list[Any]] = {}
        self.freed: list[int] = []
        self.busy: set[int] = set()
        self.done: dict[int, int] = {}
        self.drained: dict[int, list[int]] = {}
        self.distances: list[int] = []
        self.weights: dict[int, dict[int, tuple[int, int]]] = {}
        self.now, self.free_at = 0, 0
        for place in range(ring):
            self.renew(place)
        self.inputs = [self.cycle() for _ in range(CYCLES)]

    def at(self, t: int, action: Any) -> None:
        self.events.setdefault(t, []).append(action)

    def draw(self, most: int) -> int:
        """0 .. most, the ends often."""
        return int(self.rng.choice([0, most, *self.rng.integers(most + 1, size=3)]))

    def renew(self, place: int) -> None:
        """New numbers for a row of the ring, to be written a beat at a time."""
        for index in np.ndindex(self.rows[place].shape):
            self.rows[place][index] = self.draw(self.most) * int(self.rng.choice([-1, 1]))
        groups = range(self.core.config.rows_f // self.core.config.beat)
        self.writes += [(place, fold, group) for fold in range(self.folds) for group in groups]

    def cycle(self) -> Inputs:
        """One cycle's inputs."""
        for action in self.events.pop(self.now, []):
            action()
        inputs = self.visit() | self.weights_now() | self.read() | self.write()
        self.now += 1
        return inputs

    def visit(self) -> Inputs:
        """The tag of a visit, of another column of the lane, or of nothing."""
        tag: dict[str, Any] = {"visit": self.random_tag()}
        if self.now < self.free_at:
            # Only the lane's first column starts a visit.
            tag |= {"valid": 1, "column": 1} if self.core.group > 1 else {"valid": 0}
            return {"visit": bits_of(self.tag, tag)}
        slot = self.choose_slot()
        if slot is not None and self.ready:
            tag |= {"valid": 1, "visit": tag["visit"] | self.begin(slot)}
        return {"visit": bits_of(self.tag, tag)}

    def random_tag(self) -> dict[str, int]:
        return {name: int(self.rng.integers(1 << field.width)) for name, field in self.side}

    def choose_slot(self) -> int | None:
        """Mostly the slot whose loop closes in this very cycle."""
        slots = [slot for slot, t in self.last_start.items() if self.now - t >= LOOP]
        exact = [slot for slot in slots if self.now - self.last_start[slot] == LOOP]
        if not slots or self.rng.random() < self.idle:
            return None
        return exact[0] if exact and self.rng.random() < 0.9 else int(self.rng.choice(slots))

    def begin(self, slot: int) -> dict[str, int]:
        """A visit starts: its effect on the model; gives what its tag says."""
        core, now, folds = self.core, self.now, self.folds
        place = int(self.rng.choice(sorted(self.ready)))
        first, key_last = slot in self.fresh, bool(self.rng.random() < 0.4)
        last = slot not in self.waiting and bool(self.rng.random() < 0.25)
        self.distances.append(now - self.last_start[slot])
        self.last_start[slot], self.free_at = now, now + max(folds, core.group)
        start = now + FoldWalker.LATENCY
        self.busy |= set(range(start, start + folds))
        self.accumulate(slot, place, first)
        if key_last:
            self.ready.remove(place)
            self.freed.append(start + folds - 1 + core.config.rows_f * FeederRow.SKEW)
            # A row buffer takes note of `freed` at the end of its cycle.
            self.at(self.freed[-1] + 1, lambda: self.renew(place))
        if last:
            self.finish(slot)
        (self.fresh.add if last else self.fresh.discard)(slot)
        return {"slot": slot, "row": place, "first": int(first), "last": int(last), "key_last": int(key_last)}

    def accumulate(self, slot: int, place: int, first: bool) -> None:
        drop, cols = self.core.numerics.drop, self.core.config.cols
        taken = self.now + FoldWalker.LATENCY + FeederRow.LATENCY
        for c in range(cols):
            weight = self.draw(2**self.core.config.weight_bits - 1)
            shift = int(self.rng.choice([0, 0, 0, 1, 2, 5, 63, self.rng.integers(64)]))
            for fold in range(self.folds):
                self.weights.setdefault(taken + fold + c, {})[c] = (weight, shift)
                for r, v in enumerate(self.rows[place, fold]):
                    before = 0 if first else self.sums[slot, fold, r, c] >> shift
                    self.sums[slot, fold, r, c] = before + (weight * v >> drop)

    def finish(self, slot: int) -> None:
        """The slot's results are there when the corner cell has written the last fold."""
        c = self.core.config
        last = self.now + FoldWalker.LATENCY + self.folds - 1
        corner = last + (c.rows_f - 1) * FeederRow.SKEW + FeederRow.LATENCY + c.cols
        t = corner + ValuePE.RESULT_LATENCY
        self.done[t] = slot
        self.waiting.add(slot)
        results = self.sums[slot].copy()
        sizes = self.folds, c.cols, c.rows_f // c.out_beat
        places = [(slot, *place) for place in np.ndindex(sizes)]

        def queue() -> None:
            self.results[slot] = results
            self.reads += places

        self.at(t, queue)

    def weights_now(self) -> Inputs:
        """Columns that are not in use at this moment see nonsense."""
        pairs = [
            self.weights.get(self.now, {}).get(c, tuple(int(n) for n in self.rng.integers(64, size=2)))
            for c in range(self.core.config.cols)
        ]
        words = [bits_of(self.weight, {"weight": weight, "shift": shift}) for weight, shift in pairs]
        return {"weights": pack(words, self.weight.size)}

    def read(self) -> Inputs:
        if not self.reads:
            return {"drain_columns": 0, "drain_address": int(self.rng.integers(self.core.acc_depth))}
        slot, fold, column, group = self.reads.popleft()
        width = self.core.config.out_beat
        rows = slice(group * width, (group + 1) * width)
        self.drained[self.now + drain_latency(self.core)] = list(self.results[slot][fold, rows, column])
        if (fold, column, rows.stop) == (self.folds - 1, self.core.config.cols - 1, self.core.config.rows_f):
            self.waiting.remove(slot)
        address = slot << self.core.fold_f_bits | fold
        return {"drain_columns": 1 << column, "drain_rows": 1 << group, "drain_address": address}

    def write(self) -> Inputs:
        if not self.writes:
            return {"write_rows": 0}
        place, fold, group = self.writes.popleft()
        beat, width = self.core.config.beat, self.core.config.operand_bits
        if not self.writes or self.writes[0][0] != place:
            # Read two cycles later, it is what is written in this one.
            self.at(self.now + 2, lambda: self.ready.add(place))
        data = self.rows[place, fold, group * beat : (group + 1) * beat]
        address = place << self.core.fold_f_bits | fold
        return {"write_rows": 1 << group, "write_address": address, "write_data": pack(data, width)}


@cocotb.test()
async def results_are_exact(dut) -> None:
    core = params(os.environ["CORE"])
    folds = int(os.environ["FOLDS"])
    plan = Plan(np.random.default_rng(int(os.environ["SEED"])), core, folds, float(os.environ["IDLE"]))
    if core.fold_f_bits:
        # Else there is no such port.
        plan.inputs[0]["last_fold"] = folds - 1
    width, latency = core.config.out_beat, drain_latency(core)
    await start(dut)
    outputs = ["busy", "freed", "done", "done_slot", *(f"drain__{i}" for i in range(width))]
    seen = await clocked(dut, plan.inputs, outputs)
    assert [t for t, cycle in enumerate(seen) if cycle[0]] == sorted(t for t in plan.busy if t < CYCLES)
    assert [t for t, cycle in enumerate(seen) if cycle[1]] == [t for t in plan.freed if t < CYCLES]
    assert {t: cycle[3] for t, cycle in enumerate(seen) if cycle[2]} == {
        t: slot for t, slot in plan.done.items() if t < CYCLES
    }
    for t, cycle in enumerate(seen[latency:], latency):
        got = [signed(value, core.config.accumulator_bits) for value in cycle[4:]]
        # Where nothing is read zeros leave.
        assert got == plan.drained.get(t, [0] * width), f"cycle {t}"
    results = {value for values in plan.drained.values() for value in values}
    assert len(results) > 100 and min(results) < 0 < max(results)
    # Most loops are closed as early as they may be.
    assert plan.distances.count(LOOP) > len(plan.distances) / 2 and min(plan.distances) == LOOP
