"""Runs in the simulator: folds through the score array, sums equal to exact dot products in every cycle and column."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from hwgen.array.feeder import FeederRow, key_address
from hwgen.control.tags import score_tag_layout, visit_layout
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.timing import score_latency
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import Inputs, bits_of, clocked, pack, signed
from rtl_tests.harness.streams import start

PHASES, VISITS = 4, 60
IDLE: Inputs = {"tag": 0}
STILL: Inputs = {"load_rows": 0, "load_columns": 0, "write_rows": 0}
Fields = dict[str, Any]


class Contents:
    """Random queries and key rows, and the cycles that bring them into the array, a bank and half the ring at a time.

    queries: (bank, slot, fold, row, column);  keys: (place in the ring, fold, row)
    """

    def __init__(self, rng: np.random.Generator, core: Params) -> None:
        c = core.config
        self.core, self.rng = core, rng
        self.ring = 1 << (key_address(core).width - core.fold_e_bits)
        self.queries = np.zeros((2, c.slots, core.folds_e, c.rows_e, c.cols), dtype=np.int64)
        self.keys = np.zeros((self.ring, core.folds_e, c.rows_e), dtype=np.int64)

    def half(self, phase: int) -> range:
        """Places in the ring that a phase reads."""
        middle = self.ring // 2
        return range(middle) if phase % 2 == 0 else range(middle, self.ring)

    def renew(self, phase: int) -> list[Inputs]:
        """New random contents for a phase."""
        bank, half = phase % 2, self.half(phase)
        most = 2 ** (self.core.config.operand_bits - 1) - 1
        for part in (self.queries[bank], self.keys[half.start : half.stop]):
            part[...] = self.rng.integers(-most, most + 1, part.shape)
            kind = self.rng.integers(0, 8, part.shape)
            part[kind == 0], part[kind == 1], part[kind == 2] = most, -most, 0
        return self._cycles(bank, half)

    def _cycles(self, bank: int, half: range) -> list[Inputs]:
        """A beat of a query row and one of a key row each cycle, until both are through."""
        c, width = self.core.config, self.core.config.operand_bits
        loads, writes = [], []
        for slot, fold, group, column in np.ndindex(c.slots, self.core.folds_e, c.rows_e // c.beat, c.cols):
            rows = slice(group * c.beat, (group + 1) * c.beat)
            loads.append(
                {
                    "load_rows": 1 << group,
                    "load_columns": 1 << column,
                    "load_operand": (bank << self.core.slot_bits | slot) << self.core.fold_e_bits | fold,
                    "load_data": pack(self.queries[bank, slot, fold, rows, column], width),
                }
            )
        for place, fold, group in np.ndindex(len(half), self.core.folds_e, c.rows_e // c.beat):
            beat = self.keys[half[place], fold, group * c.beat : (group + 1) * c.beat]
            address = half[place] << self.core.fold_e_bits | fold
            writes.append({"write_rows": 1 << group, "write_address": address, "write_data": pack(beat, width)})
        length = max(len(loads), len(writes)) + 1
        return [
            STILL | (loads[i] if i < len(loads) else {}) | (writes[i] if i < len(writes) else {}) for i in range(length)
        ]

    def sums(self, tag: Fields, place: int) -> list[int]:
        """What the fold is worth in every column."""
        fold, visit = tag["fold"], tag["visit"]
        queries = self.queries[visit["bank"], visit["slot"], fold].astype(object)
        return [int(total) for total in self.keys[place, fold].astype(object) @ queries]


class Plan:
    """Inputs of all cycles, and what has to be seen at column 0 (an entry a cycle with a fold)."""

    def __init__(self, rng: np.random.Generator, core: Params, idle: float) -> None:
        self.rng, self.core, self.idle = rng, core, idle
        self.contents = Contents(rng, core)
        self.inputs = [IDLE | cycle for cycle in self.contents.renew(0)]
        self.folds: dict[int, tuple[Fields, list[int]]] = {}
        for phase in range(PHASES):
            self._phase(phase)

    def _phase(self, phase: int) -> None:
        """Visits of one bank and half of the ring; the others are renewed behind the phase before."""
        first = len(self.inputs)
        for _ in range(VISITS):
            while self.rng.random() < self.idle:
                self.inputs.append(dict(IDLE))
            self._visit(phase)
        # The phase before is in the array for so long.
        begin = first + score_latency(self.core) + self.core.config.cols
        for t, cycle in enumerate(self.contents.renew(phase + 1), begin):
            assert t < len(self.inputs), "a phase is too short to renew the other half"
            self.inputs[t] = self.inputs[t] | cycle

    def _visit(self, phase: int) -> None:
        c, half = self.core.config, self.contents.half(phase)
        place = int(self.rng.choice(half))
        visit = {name: int(self.rng.integers(1 << field.width)) for name, field in visit_layout(self.core)}
        counts = self.rng.integers(0, c.cols + 1, 2)
        visit |= {"slot": int(self.rng.integers(c.slots)), "bank": phase % 2}
        visit |= {"skip": int(counts[0]), "width": int(counts[1])}
        folds = self.core.folds_e
        for fold in range(folds):
            first, last = int(fold == 0), int(fold == folds - 1)
            tag = {"valid": 1, "fold": fold, "first_fold": first, "last_fold": last, "visit": visit}
            self.folds[len(self.inputs)] = (tag, self.contents.sums(tag, place))
            address = place << self.core.fold_e_bits | fold
            self.inputs.append({"tag": bits_of(score_tag_layout(self.core), tag), "address": address})


def tag_at(tag: Fields, column: int) -> Fields:
    """The tag beside a column: what is skipped and what is used, counted from there."""
    visit = tag["visit"]
    rest = {name: max(visit[name] - column, 0) for name in ("skip", "width")}
    return tag | {"visit": visit | rest}


@cocotb.test()
async def sums_are_exact(dut) -> None:
    core = params(os.environ["CORE"])
    rng = np.random.default_rng(int(os.environ["SEED"]))
    plan = Plan(rng, core, float(os.environ["IDLE"]))
    columns = range(core.config.cols)
    outputs = [*(f"sum__{c}" for c in columns), *(f"tag_out__{c}" for c in columns), "freed"]
    await start(dut)
    late = score_latency(core) + core.config.cols
    seen = await clocked(dut, [*plan.inputs, IDLE | STILL], outputs, late)
    layout = score_tag_layout(core)
    for c in columns:
        arrived = {t: unpack(layout, cycle[len(columns) + c]) for t, cycle in enumerate(seen)}
        # A tag at every cycle in which one is due, and at no other.
        due = {t + score_latency(core) + c: fold for t, fold in plan.folds.items()}
        assert [t for t, tag in arrived.items() if tag["valid"]] == sorted(due)
        for t, (tag, sums) in due.items():
            visit = unpack(visit_layout(core), arrived[t]["visit"])
            assert arrived[t] | {"visit": visit} == tag_at(tag, c)
            assert signed(seen[t][c], core.sum_bits) == sums[c]
    last = [t for t, (tag, _) in plan.folds.items() if tag["last_fold"] and tag["visit"]["key_last"]]
    # The last row has read its element when the fold has gone down all feeders.
    read = [t + core.config.rows_e * FeederRow.SKEW for t in last]
    assert [t for t, cycle in enumerate(seen) if cycle[-1]] == read
    assert len(plan.folds) == PHASES * VISITS * core.folds_e and len(last) > VISITS


@cocotb.test()
async def the_sum_leaves_at_the_foot(dut) -> None:
    """The stated latency holds for data, not only for tags: one product in an array of zeros."""
    core = params(os.environ["CORE"])
    c = core.config
    width, groups, columns = c.operand_bits, c.rows_e // c.beat, (1 << c.cols) - 1
    await start(dut)
    zero = {"load_rows": (1 << groups) - 1, "load_columns": columns, "load_data": 0}
    clear = [STILL | IDLE | zero | {"load_operand": operand} for operand in range(core.q_depth)]
    # Fold 1 of slot 0, in the last row.
    three = pack([0] * (c.beat - 1) + [3], width)
    one = {"load_rows": 1 << groups - 1, "load_columns": columns, "load_operand": 1, "load_data": three}
    key = {"write_rows": 1 << groups - 1, "write_address": 0, "write_data": pack([-5] * c.beat, width)}
    issue = {"tag": bits_of(score_tag_layout(core), {"valid": 1, "fold": 1}), "address": 0}
    # Until the last fold with old operands has left.
    fill = [*clear, STILL | one | key, *[STILL] * (score_latency(core) + c.cols)]
    seen = await clocked(dut, [*fill, issue, IDLE], [f"sum__{i}" for i in range(c.cols)], 3 * score_latency(core))
    for column in range(c.cols):
        nonzero = [t for t, sums in enumerate(seen[len(fill) :]) if sums[column]]
        assert nonzero == [score_latency(core) + column]
        assert signed(seen[len(fill) + nonzero[0]][column], core.sum_bits) == -15
