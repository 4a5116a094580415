"""Distances in cycles seen in a whole core, and its counters, which rely on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.lib import data

from golden.formats import encode
from hwgen.control.causes import BUSY, Cause
from hwgen.control.counters import CORE_COUNTERS, COUNTER_BITS, CoreEvents, counters_layout, events_layout
from hwgen.control.job import geometry
from hwgen.core import Core
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.tests.bench import run, sender, tiny
from hwgen.tests.jobs import Fields, blocks, job
from hwgen.tests.pairs import PROGRAMS
from hwgen.timing import issue_latency, resident_rows, value_latency

THREE_FOLDS = tiny(rows_e=2, rows_f=4, cols=1, slots=2, head_e=6, head_f=8)

SHAPES = [
    pytest.param(tiny(), (8, 8), id="4x2"),
    pytest.param(THREE_FOLDS, (6, 8), id="2x1-three-folds"),
    pytest.param(THREE_FOLDS, (3, 7), id="2x1-two-folds"),
    pytest.param(tiny(score=PROGRAMS["dropout"]), (8, 8), id="4x2-program"),
]
REST = 5


class Machine:
    """A core that does one job of all-visible keys; `log` has (cause, value_busy, counts, hungry) of every cycle.

    Streams bring just the rows that the blocks ask for. An `active` machine counts before and after the job too.
    """

    def __init__(self, work: Fields, params: Params, head: tuple[int, int], active: bool = False) -> None:
        self.dut, self.work, self.params, self.active = Core(params), work, params, active
        self.head, self.geometry = head, geometry(params, *head)
        self.folds_e, self.folds_f = self.geometry["last_fold_e"] + 1, self.geometry["last_fold_f"] + 1
        self.latency = issue_latency() + value_latency(params) - (params.folds_e - self.folds_e)
        self.log: list[tuple[int, int, int, int]] = []
        self.poisoned_rows = 0
        self.counts = dict.fromkeys(CORE_COUNTERS, 0)
        self.queries = np.random.default_rng(1).normal(size=(work["queries"], head[0]))

    def beats(self, values: Any, rows: int) -> list[dict[str, Any]]:
        """Rows, padded with zeros to whole folds, in beats."""
        beat, width = self.params.config.beat, -(-values.shape[1] // rows) * rows
        codes = np.pad(encode(values, self.params.input), ((0, 0), (0, width - values.shape[1]))).tolist()
        return [
            {"elements": row[i : i + beat], "last": int(i + beat == width)}
            for row in codes
            for i in range(0, width, beat)
        ]

    async def offer(self, ctx: Any) -> None:
        await ctx.tick().repeat(REST)
        await sender(self.dut.job, [self.work])(ctx)

    async def watch(self, ctx: Any) -> None:
        """Take everything until the machine has been busy and is not any more."""
        dut, started, rest = self.dut, False, REST
        for port in (dut.fetch, dut.o, dut.lse):
            ctx.set(port.ready, 1)
        ctx.set(dut.active, int(self.active))
        ctx.set(dut.geometry, self.geometry)
        while rest:
            busy = ctx.get(dut.busy)
            cycle = (ctx.get(dut.cause), ctx.get(dut.value_busy), busy | self.active, ctx.get(dut.hungry))
            self.log.append(cycle)
            self.poisoned_rows += ctx.get(dut.poisoned_row)
            started = started or bool(busy)
            rest -= started and not busy
            await self.count(ctx)
        # What the last of these cycles adds is told behind them.
        for _ in range(CoreEvents.LATENCY - 1):
            await self.count(ctx)

    async def count(self, ctx: Any) -> None:
        """Add what is told in the next cycle."""
        await ctx.tick()
        events = unpack(events_layout(self.params), ctx.get(Value.cast(self.dut.events)))
        self.counts = {name: total + events[name] for name, total in self.counts.items()}

    @property
    def counters(self) -> Any:
        return data.Const(counters_layout(), sum(n << COUNTER_BITS * i for i, n in enumerate(self.counts.values())))

    def run(self) -> None:
        c, dut, rng = self.params.config, self.dut, np.random.default_rng(2)
        count = sum(block["fresh"] for block in blocks(self.work, self.params))
        keys, values = (rng.normal(size=(count, dimension)) for dimension in self.head)
        run(
            dut,
            self.offer,
            sender(dut.q, self.beats(self.queries, c.rows_e)),
            sender(dut.k, self.beats(keys, c.rows_e)),
            sender(dut.v, self.beats(values, c.rows_f)),
            self.watch,
        )


@pytest.mark.parametrize(("params", "head"), SHAPES)
def test_value_rows_follow_their_keys(params: Params, head: tuple[int, int]) -> None:
    machine = Machine(job(params.block + 1, 5, scale=(700_000, -22)), params, head, active=head[0] == 3)
    machine.run()
    visits = 5 * (params.config.slots + 1)
    keys = [t for t, (cause, *_) in enumerate(machine.log) if cause == BUSY]
    values = [t for t, (_, busy, *_) in enumerate(machine.log) if busy]
    assert (len(keys), len(values)) == (visits * machine.folds_e, visits * machine.folds_f)
    assert [t - machine.latency for t in values[:: machine.folds_f]] == keys[:: machine.folds_e]
    check_counters(machine)
    hungry = [bool(hungry) for *_, hungry in machine.log]
    # Told a cycle late.
    assert hungry[0] and hungry[-1] and not any(hungry[t + 1] for t in keys)


def test_rows_that_fit_come_once() -> None:
    """Three blocks of grouped heads need no row a second time; the machine would wait for ever if they did."""
    params = tiny(slots=1)
    machine = Machine(job(params.block, resident_rows(params), group=3, scale=(700_000, -22)), params, (8, 5))
    machine.queries[4, 2] = np.nan
    machine.run()
    assert machine.counters.score_busy == 3 * resident_rows(params) * params.config.slots * machine.folds_e
    assert machine.poisoned_rows == 1
    check_counters(machine)


def value_cause(machine: Machine, t: int) -> int:
    """Why the value array idles: for the reason the score array had `latency` cycles before."""
    _, busy, *_ = machine.log[t]
    before = t - machine.latency
    cause = machine.log[before][0] if before >= 0 else Cause.FILL
    # What it did not get although it was issued, the longer visit kept from it.
    return BUSY if busy else Cause.PAD if cause == BUSY else cause


def check_counters(machine: Machine) -> None:
    """Counters agree with the log; for each array work and idling add up to all cycles."""
    counters, work = machine.counters, machine.work
    cycles = [t for t, (_, _, counts, _) in enumerate(machine.log) if counts]
    assert (counters.cycles, counters.jobs) == (len(cycles), 1)
    assert counters.pairs == work["queries"] * work["keys"]
    for array, causes in (
        ("score", [machine.log[t][0] for t in cycles]),
        ("value", [value_cause(machine, t) for t in cycles]),
    ):
        assert counters[f"{array}_busy"] == causes.count(BUSY)
        idle = {cause: int(counters[f"{array}_idle_{cause.name.lower()}"]) for cause in Cause}
        assert idle == {cause: causes.count(cause) for cause in Cause}
        assert counters[f"{array}_busy"] + sum(idle.values()) == counters.cycles
    # Without a job nothing is counted, but in an active machine. It is busy from the cycle after a job's acceptance on.
    assert counters.score_idle_no_job == (REST + 1 + REST if machine.active else 0)
