"""The snapshot of the counters, read while it is made and afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.counter_snapshot import CounterSnapshot, all_counters_layout
from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_map import counter_names
from hwgen.tests.bench import clocked, run, tiny

NAMES = counter_names()
COUNT = len(NAMES)


def random_counters(seed: int) -> dict[str, int]:
    return dict(zip(NAMES, map(int, np.random.default_rng(seed).integers(1, 1 << COUNTER_BITS, COUNT)), strict=True))


def halves(counters: dict[str, int]) -> list[int]:
    """Everything that can be read, in order of addresses."""
    return [value >> shift & 0xFFFFFFFF for value in counters.values() for shift in (0, 32)]


async def read_all(ctx: Any, dut: CounterSnapshot) -> list[int]:
    """One address a cycle, each answered in the next."""
    found = []
    for address in range(2 * COUNT + 1):
        if address < 2 * COUNT:
            ctx.set(dut.address, address)
        _, _, data = await ctx.tick().sample(dut.data)
        found.append(data)
    return found[1:]


def test_the_counters_have_the_order_of_their_registers() -> None:
    assert tuple(all_counters_layout().members) == NAMES
    assert all_counters_layout().size == COUNT * COUNTER_BITS


def test_what_was_captured_is_read_until_the_next_time() -> None:
    dut = CounterSnapshot(tiny())
    first, second = random_counters(1), random_counters(2)

    async def play(ctx: Any) -> None:
        assert await read_all(ctx, dut) == [0] * (2 * COUNT)
        for counters, later in ((first, second), (second, first)):
            ctx.set(dut.counters, counters)
            ctx.set(dut.capture, 1)
            await ctx.tick()
            ctx.set(dut.capture, 0)
            await ctx.tick().until(~dut.copying)
            # What counters do afterwards is not seen.
            ctx.set(dut.counters, later)
            assert await read_all(ctx, dut) == halves(counters)
            assert await read_all(ctx, dut) == halves(counters)

    run(dut, play)


def test_copying_lasts_a_cycle_a_counter_and_one_more() -> None:
    cycles = [{"counters": random_counters(3)}, {}, {"capture": 1}, {"capture": 0}]
    copying = [value for (value,) in clocked(CounterSnapshot(tiny()), cycles, ["copying"], rest=COUNT + 10)]
    assert [i for i, value in enumerate(copying) if value] == list(range(3, 3 + COUNT + 1))


@pytest.mark.parametrize("number", [0, 1, COUNT // 2, COUNT - 1])
@pytest.mark.parametrize("half", [0, 1])
def test_a_half_is_of_one_snapshot_or_of_the_other(number: int, half: int) -> None:
    """Its value changes once, at the latest in the cycle after `copying` falls, in which an address given then is
    answered."""
    dut = CounterSnapshot(tiny())
    old, new = random_counters(4), random_counters(5)
    address = 2 * number + half
    capture = [{"capture": 1}, {"capture": 0}, *[{}] * (COUNT + 2)]
    cycles = [{"counters": old, "address": address}, *capture, {"counters": new}, *capture]
    seen = clocked(dut, cycles, ["data", "copying"])[len(capture) + 1 :]
    values = [value for value, _ in seen]
    before, after = halves(old)[address], halves(new)[address]
    changed = values.index(after)
    assert values == [before] * changed + [after] * (len(values) - changed)
    fell = max(i for i, (_, copying) in enumerate(seen) if copying) + 1
    assert 0 < changed <= fell + 1


@pytest.mark.parametrize("again_after", [1, 5, COUNT - 1, COUNT, COUNT + 1])
def test_capture_while_copying_starts_again(again_after: int) -> None:
    dut = CounterSnapshot(tiny())
    first, second = random_counters(6), random_counters(7)

    async def play(ctx: Any) -> None:
        ctx.set(dut.counters, first)
        ctx.set(dut.capture, 1)
        await ctx.tick()
        ctx.set(dut.capture, 0)
        for _ in range(again_after - 1):
            await ctx.tick()
        ctx.set(dut.counters, second)
        ctx.set(dut.capture, 1)
        await ctx.tick()
        ctx.set(dut.capture, 0)
        assert ctx.get(dut.copying)
        await ctx.tick().until(~dut.copying)
        assert await read_all(ctx, dut) == halves(second)

    run(dut, play)
