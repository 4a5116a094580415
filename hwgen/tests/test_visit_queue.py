"""The queue of visits against a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.visit_queue import VisitQueue, ahead
from hwgen.params import Params
from hwgen.tests.bench import run, tiny


@pytest.mark.parametrize("params", [tiny(lanes=1), tiny(lanes=2)], ids=["two-places", "three-places"])
@pytest.mark.parametrize("chances", [(1.0, 1.0), (0.9, 0.4), (0.4, 0.9), (0.6, 0.6)], ids=str)
def test_visits_leave_in_order(params: Params, chances: tuple[float, float]) -> None:
    dut, rng = VisitQueue(params), np.random.default_rng(5)
    held: list[int] = []
    pops, cycles = 0, 300

    async def drive(ctx: Any) -> None:
        nonlocal pops
        count = len(dut.visit.as_value())
        for _ in range(cycles):
            assert ctx.get(dut.room) == (len(held) < ahead(params))
            there = (ctx.get(dut.head_there), ctx.get(dut.second_there))
            assert there == (len(held) > 0, len(held) > 1)
            shown = [ctx.get(visit.as_value()) for visit in (dut.head, dut.second)]
            assert shown[: len(held)] == held[:2]
            push, pop = (bool(rng.random() < chance) for chance in chances)
            push, pop = push and len(held) < ahead(params), pop and bool(held)
            code = int(rng.integers(1 << min(count, 60)))
            ctx.set(dut.visit.as_value(), code)
            ctx.set(dut.push, int(push))
            ctx.set(dut.pop, int(pop))
            if pop:
                held.pop(0)
                pops += 1
            if push:
                held.append(code)
            assert ctx.get(dut.room_next) == (len(held) < ahead(params))
            await ctx.tick()

    run(dut, drive)
    # Nothing waits if both sides always can: a visit a cycle, from the second one on.
    assert chances != (1.0, 1.0) or pops == cycles - 1


def test_two_can_be_seen_all_the_time_where_visits_last_a_single_cycle() -> None:
    params = tiny(lanes=2)
    assert params.group == 1 and ahead(params) == 3
    dut, seen = VisitQueue(params), []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.push, 1)
        await ctx.tick().repeat(2)
        for _ in range(20):
            seen.append((ctx.get(dut.room), ctx.get(dut.second_there)))
            ctx.set(dut.pop, 1)
            await ctx.tick()

    run(dut, drive)
    assert seen == [(1, 1)] * 20
