"""The output unit between dictionaries that play the lanes' results and the value array, and two streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from golden.bitexact.normalise import normalise
from hwgen.array.value_array import drain_latency
from hwgen.params import Params
from hwgen.softmax.output import (
    LSE_DEPTH,
    RECORD_LATENCY,
    OutputUnit,
    lse_beat,
    output_beat,
    output_latency,
    queue_depth,
)
from hwgen.tests.bench import STALLS, receiver, run, tiny
from hwgen.tests.jobs import Fields, drain_steps, job

SHAPES = [
    pytest.param(tiny(), id="bf16"),
    pytest.param(tiny(cols=4, lanes=2, slots=2, head_f=4, out_format="fp16"), id="two-lanes-fp16"),
    pytest.param(tiny(cols=3, lanes=1, slots=2, head_e=12, out_beat=1, out_format="fp32"), id="three-a-lane-fp32"),
]


class Machine:
    """A result for every slot and column, accumulators for all their elements, and steps sent while there is room."""

    def __init__(self, params: Params, jobs: list[Fields], seed: int | None = None) -> None:
        self.dut, self.params, self.steps = OutputUnit(params), params, drain_steps(jobs, params)
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.sent: list[int] = []
        self.log: list[dict[str, Any]] = []
        rng, n = np.random.default_rng(7), params.numerics
        places = [(s, c) for s in range(params.config.slots) for c in range(params.config.cols)]
        self.results: dict[tuple[int, int], Fields] = {}
        for place in places:
            empty = int(rng.random() < 0.2)
            rm, rmv = rng.integers(-20, 20, 2).tolist()
            rd = 0 if empty else int(rng.integers(1, 1 << int(rng.integers(2, n.denominator_bits))))
            self.results[place] = {"rm": rm, "rmv": rmv, "rd": rd, "empty": empty, "poisoned": int(rng.random() < 0.2)}
        limit = 1 << (n.accumulator_bits - 2)
        shape = (params.folds_f, params.config.rows_f)
        self.values = {place: rng.integers(-limit, limit, shape) for place in places}

    def result_at(self, lane: int, address: int) -> Fields:
        """What a lane reads; a place that no column has holds anything."""
        slot, place = address >> self.params.group_bits, address & ((1 << self.params.group_bits) - 1)
        column = lane * self.params.group + min(place, self.params.group - 1)
        return self.results[min(slot, self.params.config.slots - 1), column]

    def values_at(self, columns: int, rows: int, address: int) -> list[int]:
        """What the value array reads for one selected column and group of rows, zeros for none."""
        width = self.params.config.out_beat
        if not columns:
            return [0] * width
        slot, fold = address >> self.params.fold_f_bits, address & ((1 << self.params.fold_f_bits) - 1)
        assert columns.bit_count() == rows.bit_count() == 1
        first = (rows.bit_length() - 1) * width
        return self.values[slot, columns.bit_length() - 1][fold, first : first + width].tolist()

    async def drive(self, ctx: Any) -> None:
        dut, lanes = self.dut, range(self.params.lanes)
        reads = [(0, 0, 0)] * drain_latency(self.params)
        address, quiet = 0, 0
        # The last step, or a queue that nobody empties, ends it.
        while quiet < output_latency(self.params) + 40:
            for lane in lanes:
                ctx.set(dut.result[lane], self.result_at(lane, address))
            for r, value in enumerate(self.values_at(*reads[0])):
                ctx.set(dut.drain[r], value)
            more = len(self.sent) < len(self.steps) and (self.rng is None or bool(self.rng.random() < 0.7))
            send = bool(more and ctx.get(dut.room))
            step = {k: v for k, v in self.steps[len(self.sent)].items() if k != "block"} if send else {}
            ctx.set(dut.step, {"valid": int(send), **step})
            address = ctx.get(dut.result_address)
            reads = [*reads[1:], (ctx.get(dut.drain_columns), ctx.get(dut.drain_rows), ctx.get(dut.drain_address))]
            names = ("room", "drained", "drained_slot", "poisoned")
            cycle = {name: ctx.get(getattr(dut, name)) for name in names}
            cycle |= {"o": ctx.get(dut.o.valid), "lse": ctx.get(dut.lse.valid)}
            self.sent += [len(self.log)] if send else []
            self.log.append(cycle)
            quiet = 0 if send else quiet + 1
            await ctx.tick()

    def blank(self, step: Fields) -> bool:
        return bool(step["void"] or self.results[step["slot"], step["column"]]["empty"])

    def o_beats(self) -> list[int]:
        """All beats of O by the golden model."""
        width, layout, made = self.params.config.out_beat, output_beat(self.params), []
        for step in self.steps:
            result = self.results[step["slot"], step["column"]]
            rows = slice(step["group"] * width, (step["group"] + 1) * width)
            rnv = self.values[step["slot"], step["column"]][step["fold"], rows][None]
            state = (np.array([max(result["rd"], 1)]), np.array([result["rm"]]), np.array([result["rmv"]]))
            codes = normalise(rnv, *state, self.params.numerics)[0].tolist()
            if self.blank(step):
                codes = [0] * width
            elif result["poisoned"]:
                codes = [self.params.output.quiet_nan] * width
            made.append(layout.const({"data": codes, "last": step["last"], "job_last": step["job_last"]}).as_bits())
        return made

    def lse_beats(self) -> list[int]:
        """RM and RD of every query."""
        made = []
        for step in self.steps:
            if step["first"]:
                result = self.results[step["slot"], step["column"]]
                blank = self.blank(step)
                numbers = {name: 0 if blank else result[name] for name in ("rm", "rd")}
                flags = {"empty": int(blank), "poisoned": int(not step["void"] and result["poisoned"])}
                made.append(lse_beat(self.params).const(numbers | flags).as_bits())
        return made


def simulate(machine: Machine, pressure: int | None) -> tuple[list[int], list[int]]:
    """Beats of O and of LSE, each taken by a consumer of its own."""
    o, lse = list[int](), list[int]()
    counts = (len(machine.o_beats()), len(machine.lse_beats()))
    run(
        machine.dut,
        machine.drive,
        receiver(machine.dut.o, counts[0], o, pressure),
        receiver(machine.dut.lse, counts[1], lse, pressure and pressure + 1),
    )
    return o, lse


def jobs(params: Params) -> list[Fields]:
    """A full block, one whose first slot is void, and one that sees nothing."""
    return [job(params.block, 3), job(params.block, 3, 1, -params.config.cols), job(3, 0)]


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_o_and_lse(params: Params, idle: int | None, pressure: int | None) -> None:
    machine = Machine(params, jobs(params), idle)
    assert simulate(machine, pressure) == (machine.o_beats(), machine.lse_beats())
    steps = [step for step in machine.steps if step["slot_last"] and not step["void"]]
    drained = [cycle["drained_slot"] for cycle in machine.log if cycle["drained"]]
    assert drained == [step["slot"] for step in steps]
    poisoned = sum(bool(lse_beat(params).from_bits(bits).poisoned) for bits in machine.lse_beats())
    assert sum(cycle["poisoned"] for cycle in machine.log) == poisoned > 0


@pytest.mark.parametrize("params", SHAPES)
def test_latency_and_throughput(params: Params) -> None:
    machine = Machine(params, jobs(params))
    simulate(machine, None)
    assert machine.sent == list(range(len(machine.steps)))
    late = output_latency(machine.params)
    assert [t for t, cycle in enumerate(machine.log) if cycle["o"]] == [t + late for t in machine.sent]
    first = [t for t, step in zip(machine.sent, machine.steps, strict=True) if step["first"]]
    assert [t for t, cycle in enumerate(machine.log) if cycle["lse"]] == [t + RECORD_LATENCY + 2 for t in first]


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("blocked", ["o", "lse"])
def test_room_for_what_the_queues_hold(blocked: str, params: Params) -> None:
    machine = Machine(params, jobs(params) * 20)
    flowing = machine.dut.lse if blocked == "o" else machine.dut.o

    async def take(ctx: Any) -> None:
        ctx.set(flowing.ready, 1)
        await ctx.tick()

    run(machine.dut, take, machine.drive)
    # Every step takes a place for O, the first one of a query one for its LSE.
    sent = [step for step in machine.steps[: len(machine.sent)] if blocked == "o" or step["first"]]
    # One place is kept for what may be on its way, and used where one step that needs a place follows another at once.
    crowded = blocked == "o" or all(step["first"] for step in machine.steps)
    assert len(sent) == (queue_depth(machine.params) if blocked == "o" else LSE_DEPTH) - (not crowded)
    assert queue_depth(machine.params) >= output_latency(machine.params)
    assert len(machine.sent) < len(machine.steps)
