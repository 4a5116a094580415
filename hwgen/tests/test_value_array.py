"""The value array: accumulators of all rows and columns, and when their results may be read."""

from typing import Any

import numpy as np
import pytest

from hwgen.array.feeder import FeederRow, value_address
from hwgen.array.value_array import FoldWalker, ValueArray, drain_latency
from hwgen.array.value_pe import ValuePE
from hwgen.params import Params
from hwgen.tests.bench import clocked, tiny

KEYS = 7

SHAPES = [
    pytest.param(tiny(), id="4x2-two-folds"),
    pytest.param(tiny(rows_f=2, cols=3, lanes=1, slots=3, head_f=6, beat=1), id="2x3-three-folds"),
    pytest.param(tiny(cols=2, lanes=2, slots=ValuePE.LOOP, head_f=4), id="4x2-one-fold-at-the-loop"),
]


def filling(values: Any, params: Params) -> list[dict[str, Any]]:
    """Cycles that write the value buffer (rows, addresses), a beat a cycle."""
    beat = params.config.beat
    cycles: list[dict[str, Any]] = []
    for group in range(params.config.rows_f // beat):
        rows = slice(group * beat, (group + 1) * beat)
        for address in range(values.shape[1]):
            write = {"write_rows": 1 << group, "write_address": address, "write_data": values[rows, address].tolist()}
            cycles.append(write)
    return [*cycles, {"write_rows": 0}]


class Block:
    """Every key shown to every slot in turn: tags, weights (keys, slots, columns) and shifts, and the results.

    With fewer folds than there may be visits are as short as they can be.
    """

    def __init__(self, seed: int, params: Params, folds: int) -> None:
        c, rng = params.config, np.random.default_rng(seed)
        self.params, self.folds = params, folds
        self.visit = params.visit if folds == params.folds_f else max(folds, params.group)
        most = 2 ** (c.operand_bits - 1) - 1
        self.values = rng.integers(-most, most + 1, (c.rows_f, 1 << value_address(params).width))
        shape = (KEYS, c.slots, c.cols)
        self.weights = rng.integers(0, 1 << c.weight_bits, shape)
        self.shifts = rng.choice([0, 0, 1, 5, 40], shape)
        self.rows = rng.integers(0, 1 << (value_address(params).width - params.fold_f_bits), KEYS)
        # A lane's first column comes at the first cycle of a visit; visits follow each other without a gap.
        self.order = [(m, s) for m in range(KEYS) for s in range(c.slots)]

    def cycles(self) -> list[dict[str, Any]]:
        """Inputs of all visits; a column's weight changes a cycle after its left neighbour's."""
        p = self.params
        cycles: list[dict[str, Any]] = [{} for _ in range(len(self.order) * self.visit + p.config.cols + 4)]
        cycles[0]["last_fold"] = self.folds - 1
        for i, (m, s) in enumerate(self.order):
            visit = {
                "slot": s,
                "first": int(m == 0),
                "last": int(m == KEYS - 1),
                "key_last": int(s == p.config.slots - 1),
                "row": int(self.rows[m]),
            }
            start = i * self.visit
            cycles[start]["visit"] = {"valid": 1, "column": 0, "visit": visit}
            if self.visit > 1:
                # Other columns of the group pass behind the first one.
                other = {"valid": int(p.group > 1), "column": 1} if p.group > 1 else {"valid": 0}
                cycles[start + 1]["visit"] = {**other, "visit": {**visit, "slot": 0, "row": 0}}
            for c in range(p.config.cols):
                pair = {"weight": int(self.weights[m, s, c]), "shift": int(self.shifts[m, s, c])}
                cycles[start + FoldWalker.LATENCY + FeederRow.LATENCY + c][f"weights.{c}"] = pair
        cycles[len(self.order) * self.visit].setdefault("visit", {"valid": 0})
        return cycles

    def result(self, slot: int, fold: int, column: int) -> list[int]:
        """RNV of all rows."""
        p, totals = self.params, []
        for row in self.values.tolist():
            total = 0
            for m in range(KEYS):
                element = row[int(self.rows[m]) << p.fold_f_bits | fold]
                weight, shift = int(self.weights[m, slot, column]), int(self.shifts[m, slot, column])
                total = (total >> shift) + (weight * element >> p.numerics.drop)
            totals.append(total)
        return totals


def last_folds(block: Block) -> dict[int, int]:
    """The cycle in which each slot's last fold is issued."""
    late = FoldWalker.LATENCY + block.folds - 1
    return {s: i * block.visit + late for i, (m, s) in enumerate(block.order) if m == KEYS - 1}


def done_latency(params: Params) -> int:
    """From a fold's issue: the last row's feeder, the last column, that cell's first register, its result."""
    c = params.config
    return (c.rows_f - 1) * FeederRow.SKEW + FeederRow.LATENCY + (c.cols - 1) + 1 + ValuePE.RESULT_LATENCY


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_results(seed: int, params: Params) -> None:
    check(Block(seed, params, params.folds_f))


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_fewer_folds(folds: int) -> None:
    params = tiny(rows_f=2, cols=2, lanes=2, slots=ValuePE.LOOP, head_e=4, head_f=6, beat=1)
    assert (params.folds_f, params.group) == (3, 1)
    check(Block(2, params, folds))


def check(block: Block) -> None:
    """Results of all slots, folds and columns, and when they may be read."""
    params, last = block.params, last_folds(block)
    c = params.config
    groups = c.rows_f // c.out_beat
    places = list(np.ndindex(c.slots, block.folds, c.cols, groups))
    finished = last[c.slots - 1] + done_latency(params)
    # The corner is written last: it is read in the very cycle in which its slot is done. The rest follows at the end.
    reads = {last[0] + done_latency(params): (0, block.folds - 1, c.cols - 1, groups - 1)}
    reads |= {finished + i: place for i, place in enumerate(places)}
    fill, cycles = filling(block.values, params), block.cycles()
    cycles += [{} for _ in range(max(reads) + 1 - len(cycles))]
    for t, (slot, fold, column, group) in reads.items():
        cycles[t] |= {"drain_columns": 1 << column, "drain_rows": 1 << group}
        cycles[t] |= {"drain_address": slot << params.fold_f_bits | fold}
    names = [*(f"drain.{i}" for i in range(c.out_beat)), "done", "done_slot", "busy", "freed"]
    latency = drain_latency(params)
    seen = clocked(ValueArray(params), [*fill, *cycles], names, latency + 1)[len(fill) :]
    for t, (*place, group) in reads.items():
        first = group * c.out_beat
        assert list(seen[t + latency][: c.out_beat]) == block.result(*place)[first : first + c.out_beat]
    check_pulses(block, seen)


def check_pulses(block: Block, seen: list[tuple[Any, ...]]) -> None:
    """What is told in single cycles: a slot is done, a fold is issued, the lowest bank has read a key's last fold."""
    p = block.params
    done = {t: slot for t, (*_, done, slot, _, _) in enumerate(seen) if done}
    assert done == {t + done_latency(p): slot for slot, t in last_folds(block).items()}
    folds = [i * block.visit + FoldWalker.LATENCY + f for i in range(len(block.order)) for f in range(block.folds)]
    assert [t for t, cycle in enumerate(seen) if cycle[-2]] == folds
    keys = [i for i, (_, s) in enumerate(block.order) if s == p.config.slots - 1]
    lag = FoldWalker.LATENCY + block.folds - 1 + p.config.rows_f * FeederRow.SKEW
    assert [t for t, cycle in enumerate(seen) if cycle[-1]] == [i * block.visit + lag for i in keys]
