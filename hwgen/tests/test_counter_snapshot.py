"""The snapshot of the counters, read while it is made and afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hwgen.control.counter_bank import EVENTS, CounterBank
from hwgen.control.counter_snapshot import CounterSnapshot
from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_map import counter_names
from hwgen.tests.bench import Testbench, clocked, tiny

NAMES = counter_names()
COUNT = len(NAMES)
LATENCY = CounterBank.LATENCY + EVENTS - 1


def random_counters(seed: int) -> dict[str, int]:
    return dict(zip(NAMES, map(int, np.random.default_rng(seed).integers(1, 1 << COUNTER_BITS, COUNT)), strict=True))


def halves(counters: dict[str, int]) -> list[int]:
    """Everything that can be read, in order of addresses."""
    return [value >> shift & 0xFFFFFFFF for value in counters.values() for shift in (0, 32)]


class Bank:
    """Shows counters one a cycle, as a `CounterBank` does, from whatever number on; new ones at once."""

    def __init__(self, counters: dict[str, int], number: int = 5) -> None:
        self.counters, self.number = counters, number

    def show(self) -> dict[str, int]:
        name = NAMES[self.number]
        shown = {"number": self.number, "value": self.counters[name]}
        self.number = (self.number + 1) % COUNT
        return shown

    def testbench(self, dut: CounterSnapshot) -> Testbench:
        async def play(ctx: Any) -> None:
            while True:
                shown = self.show()
                ctx.set(dut.number, shown["number"])
                ctx.set(dut.value, shown["value"])
                await ctx.tick()

        return play


async def captured(ctx: Any, dut: CounterSnapshot) -> None:
    """Told to capture in one cycle."""
    ctx.set(dut.capture, 1)
    await ctx.tick()
    ctx.set(dut.capture, 0)


async def read_all(ctx: Any, dut: CounterSnapshot) -> list[int]:
    """One address a cycle, each answered in the next."""
    found = []
    for address in range(2 * COUNT + 1):
        if address < 2 * COUNT:
            ctx.set(dut.address, address)
        _, _, data = await ctx.tick().sample(dut.data)
        found.append(data)
    return found[1:]


def play_with(dut: CounterSnapshot, bank: Bank, play: Testbench) -> None:
    """Run a testbench beside a bank that never ends."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bank.testbench(dut), background=True)
    simulator.add_testbench(play)
    simulator.run()


def test_what_was_captured_is_read_until_the_next_time() -> None:
    dut = CounterSnapshot(tiny())
    first, second = random_counters(1), random_counters(2)
    bank = Bank(first)

    async def play(ctx: Any) -> None:
        assert await read_all(ctx, dut) == [0] * (2 * COUNT)
        for counters, later in ((first, second), (second, first)):
            bank.counters = counters
            await captured(ctx, dut)
            await ctx.tick().until(~dut.copying)
            # What counters do afterwards is not seen.
            bank.counters = later
            assert await read_all(ctx, dut) == halves(counters)
            assert await read_all(ctx, dut) == halves(counters)

    play_with(dut, bank, play)


def cycles_of(bank: Bank, cycles: list[dict[str, int]]) -> list[dict[str, int]]:
    return [bank.show() | cycle for cycle in cycles]


def test_copying_lasts_a_cycle_a_counter_and_the_banks_latency() -> None:
    rest: list[dict[str, int]] = [{}] * (COUNT + 20)
    cycles = cycles_of(Bank(random_counters(3)), [{}, {}, {"capture": 1}, {"capture": 0}, *rest])
    copying = [value for (value,) in clocked(CounterSnapshot(tiny()), cycles, ["copying"])]
    assert [i for i, value in enumerate(copying) if value] == list(range(3, 3 + COUNT + LATENCY))


@pytest.mark.parametrize("number", [0, 1, COUNT // 2, COUNT - 1])
@pytest.mark.parametrize("half", [0, 1])
def test_a_half_is_of_one_snapshot_or_of_the_other(number: int, half: int) -> None:
    """Its value changes once, at the latest in the cycle after `copying` falls, in which an address given then is
    answered."""
    dut = CounterSnapshot(tiny())
    old, new = random_counters(4), random_counters(5)
    address = 2 * number + half
    capture = [{"capture": 1}, {"capture": 0}, *[{}] * (COUNT + LATENCY + 1)]
    bank = Bank(old)
    cycles = cycles_of(bank, [{"address": address}, *capture])
    bank.counters = new
    cycles += cycles_of(bank, capture)
    seen = clocked(dut, cycles, ["data", "copying"])[len(capture) + 1 :]
    values = [value for value, _ in seen]
    before, after = halves(old)[address], halves(new)[address]
    changed = values.index(after)
    assert values == [before] * changed + [after] * (len(values) - changed)
    fell = max(i for i, (_, copying) in enumerate(seen) if copying) + 1
    assert 0 < changed <= fell + 1


@pytest.mark.parametrize("again_after", [1, 5, COUNT - 1, COUNT, COUNT + LATENCY])
def test_capture_while_copying_starts_again(again_after: int) -> None:
    dut = CounterSnapshot(tiny())
    first, second = random_counters(6), random_counters(7)
    bank = Bank(first)

    async def play(ctx: Any) -> None:
        await captured(ctx, dut)
        for _ in range(again_after - 1):
            await ctx.tick()
        bank.counters = second
        await captured(ctx, dut)
        assert ctx.get(dut.copying)
        await ctx.tick().until(~dut.copying)
        assert await read_all(ctx, dut) == halves(second)

    play_with(dut, bank, play)


def test_with_the_bank_everything_until_capture_is_read() -> None:
    """Also what happens in the very cycle of `capture`, and nothing that happens once all is copied."""
    params = tiny()
    m, bank, dut = Module(), CounterBank(params), CounterSnapshot(params)
    m.submodules.bank, m.submodules.snapshot = bank, dut
    m.d.comb += [dut.number.eq(bank.number), dut.value.eq(bank.value)]

    async def play(ctx: Any) -> None:
        for cycles in (1, 2, 7, COUNT, 3 * COUNT + 1):
            ctx.set(bank.clear, 1)
            await ctx.tick()
            ctx.set(bank.clear, 0)
            # Told EVENTS cycles behind.
            for i in range(cycles + EVENTS):
                ctx.set(dut.capture, i == cycles - 1)
                ctx.set(bank.events.cycles, i >= EVENTS)
                await ctx.tick()
            ctx.set(bank.events.cycles, 0)
            await ctx.tick().until(~dut.copying)
            ctx.set(bank.events.cycles, 1)
            assert (await read_all(ctx, dut))[: 2 * 2] == [cycles, 0, 0, 0]
            ctx.set(bank.events.cycles, 0)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(play)
    simulator.run()
