"""Distances in cycles seen in a whole core, and its counters, which rely on them."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value

from golden.formats import encode
from hwgen.control.causes import BUSY, Cause
from hwgen.control.counters import counters_layout
from hwgen.core import Core
from hwgen.params import Params
from hwgen.tests.bench import run, sender, tiny
from hwgen.tests.jobs import Fields, blocks, job
from hwgen.timing import value_latency

SHAPES = [
    pytest.param(tiny(), id="4x2"),
    pytest.param(tiny(rows_e=2, rows_f=4, cols=1, slots=2, head_e=6, head_f=4), id="2x1-three-folds"),
]


class Machine:
    """A core that does one job of all-visible keys; `log` has (cause, value_busy, busy) of every cycle."""

    def __init__(self, work: Fields, params: Params) -> None:
        self.dut, self.work, self.params = Core(params), work, params
        self.log: list[tuple[int, int, int]] = []
        self.counters: Any = None

    def rows(self, seed: int, count: int, dimension: int) -> list[list[int]]:
        """Beats of random rows."""
        values = np.random.default_rng(seed).normal(size=(count, dimension))
        return encode(values, self.params.input).reshape(-1, self.params.config.beat).tolist()

    async def watch(self, ctx: Any) -> None:
        """Take everything until the machine has been busy and is not any more."""
        dut, busy, started = self.dut, 0, False
        for port in (dut.fetch, dut.o, dut.lse):
            ctx.set(port.ready, 1)
        while busy or not started:
            await ctx.tick()
            busy = ctx.get(dut.busy)
            started = started or bool(busy)
            self.log.append((ctx.get(dut.cause), ctx.get(dut.value_busy), busy))
        self.counters = counters_layout().from_bits(ctx.get(Value.cast(dut.counters)))

    def run(self) -> None:
        c, dut = self.params.config, self.dut
        count = len(blocks(self.work, self.params)) * self.work["keys"]
        run(
            dut,
            sender(dut.job, [self.work]),
            sender(dut.q, self.rows(1, self.work["queries"], c.head_e)),
            sender(dut.k, self.rows(2, count, c.head_e)),
            sender(dut.v, self.rows(3, count, c.head_f)),
            self.watch,
        )


@pytest.mark.parametrize("params", SHAPES)
def test_value_rows_follow_their_keys(params: Params) -> None:
    machine = Machine(job(params.block + 1, 5, scale=(700_000, -22)), params)
    machine.run()
    visits = 5 * (params.config.slots + 1)
    keys = [t for t, (cause, _, _) in enumerate(machine.log) if cause == BUSY]
    values = [t for t, (_, busy, _) in enumerate(machine.log) if busy]
    assert (len(keys), len(values)) == (visits * params.folds_e, visits * params.folds_f)
    assert [t - value_latency(params) for t in values[:: params.folds_f]] == keys[:: params.folds_e]
    check_counters(machine)


def value_cause(machine: Machine, t: int) -> int:
    """Why the value array idles: for the reason the score array had value_latency cycles before."""
    _, busy, _ = machine.log[t]
    before = t - value_latency(machine.params)
    cause = machine.log[before][0] if before >= 0 else Cause.FILL
    # What it did not get although it was issued, the longer visit kept from it.
    return BUSY if busy else Cause.PAD if cause == BUSY else cause


def check_counters(machine: Machine) -> None:
    """Counters agree with the log; for each array work and idling add up to all cycles."""
    counters, work = machine.counters, machine.work
    cycles = [t for t, (_, _, busy) in enumerate(machine.log) if busy]
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
