"""The register file between a host and the machine, against the map of registers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module

from hwgen.control.faults import Fault
from hwgen.control.register_file import RegisterFile
from hwgen.control.register_map import COUNTERS_BASE
from hwgen.memory.axi import Response
from hwgen.tests.bench import STALLS, run
from hwgen.tests.register_host import (
    DEFINED,
    NARROW,
    REGISTERS,
    Host,
    Watch,
    at,
    bit,
    exchange,
    half,
    hosted,
    reset_word,
    simulate_with,
    writable,
)

EVENTS = ("ready", "done")


def random_writes(rng: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    """Anywhere but to CONTROL, mostly to what can be written: address, data, strobe."""
    targets = [4 * number for number, (register, _) in DEFINED.items() if writable(register)]
    result = []
    for _ in range(count):
        address = int(rng.choice(targets)) if rng.random() < 0.8 else int(rng.integers(4, 1 << 12))
        result.append((address, int(rng.integers(1 << 32)), int(rng.integers(16))))
    return result


@STALLS
def test_writes_change_what_can_be_written(idle: int | None, pressure: int | None) -> None:
    writes = random_writes(np.random.default_rng(3), 100)
    memory = {number: reset_word(number) for number in DEFINED}
    rung = False
    for address, value, strobe in writes:
        if address // 4 in DEFINED:
            register, word = DEFINED[address // 4]
            mask = half(writable(register), word) & sum(0xFF << 8 * i for i in range(4) if strobe >> i & 1)
            memory[address // 4] = memory[address // 4] & ~mask | value & mask
            rung |= register.name == "QUEUE_TAIL" and bool(strobe & 3)
    assert rung
    memory[0] = bit("CONTROL", "start")
    reads = [4 * number for number in DEFINED]
    responses, answers = exchange(RegisterFile(NARROW), writes, reads, idle, pressure)
    expected = [Response.OKAY if address // 4 in DEFINED else Response.SLVERR for address, _, _ in writes]
    assert responses == expected and set(expected) == {Response.OKAY, Response.SLVERR}
    assert answers == [(memory[number], Response.OKAY) for number in DEFINED]


@STALLS
def test_reset_values_and_addresses_without_a_register(idle: int | None, pressure: int | None) -> None:
    last = max(DEFINED)
    reads = [4 * number for number in range(last + 8)] + [0x041, 0x046, 0x3FC, 0x400, 0x800, 0xC40, 0xFFC]
    _, answers = exchange(RegisterFile(NARROW), [], reads, idle, pressure)
    expected = [(reset_word(a // 4), 0) if a // 4 in DEFINED else (0, Response.SLVERR) for a in reads]
    assert answers == expected and 1 < answers.count((0, Response.SLVERR)) < len(reads)


@pytest.mark.parametrize(("address_at", "data_at"), [(0, 0), (0, 5), (5, 0), (1, 0)])
def test_address_and_data_come_in_any_order(address_at: int, data_at: int) -> None:
    dut = RegisterFile(NARROW)
    answered: list[int] = []
    changed: list[int] = []

    async def play(ctx: Any) -> None:
        ctx.set(dut.aw.payload.address, at("QUEUE_SIZE"))
        ctx.set(dut.w.payload, {"data": 77, "strobe": 15})
        ctx.set(dut.b.ready, 1)
        for cycle in range(12):
            ctx.set(dut.aw.valid, cycle == address_at)
            ctx.set(dut.w.valid, cycle == data_at)
            _, _, valid, size = await ctx.tick().sample(dut.b.valid, dut.queue_size)
            answered.extend([cycle] * bool(valid))
            changed.extend([cycle] * (size == 77))

    run(dut, play)
    late = max(address_at, data_at) + 3
    assert answered == [late] and changed == list(range(late, 12))


def test_throughput() -> None:
    dut = RegisterFile(NARROW)
    taken: dict[str, list[int]] = {"b": [], "r": []}

    async def play(ctx: Any) -> None:
        for name in ("aw", "w", "b", "ar", "r"):
            port = getattr(dut, name)
            ctx.set(port.ready if name in taken else port.valid, 1)
        for cycle in range(40):
            _, _, b, r = await ctx.tick().sample(dut.b.valid, dut.r.valid)
            taken["b"] += [cycle] * bool(b)
            taken["r"] += [cycle] * bool(r)

    run(dut, play)
    assert taken == {"b": list(range(3, 40, 3)), "r": list(range(4, 40, 5))}


PULSES = [
    ("CONTROL", "start", "start"),
    ("CONTROL", "abort", "abort"),
    ("CONTROL", "soft_reset", "soft_reset"),
    ("CONTROL", "clear_counters", "clear_counters"),
]


@pytest.mark.parametrize(("register", "field", "member"), PULSES)
def test_a_pulse_lasts_a_cycle(register: str, field: str, member: str) -> None:
    dut = RegisterFile(NARROW)
    watch = Watch(dut, *(member for _, _, member in PULSES))

    async def play(host: Host) -> None:
        mask = bit(register, field)
        await host.write(at(register), ~mask & ~0x7F)
        await host.write(at(register), mask, strobe=14)
        await host.write(at("QUEUE_TAIL"), mask, strobe=12)
        await host.write(at("QUEUE_SIZE"), mask)
        assert await host.write(at(register), mask) == Response.OKAY
        assert await host.read(at(register)) & ~5 == 0

    hosted(play, watch.bench, dut=dut)
    assert {name: len(watch.cycles(name)) for _, _, name in PULSES} == {
        name: int(name == member) for _, _, name in PULSES
    }


@pytest.mark.parametrize("strobe", [1, 2, 15])
def test_the_doorbell_is_a_start(strobe: int) -> None:
    dut = RegisterFile(NARROW)
    watch = Watch(dut, "start", "pending", "queue_tail")

    async def play(host: Host) -> None:
        await host.write(at("QUEUE_TAIL"), 0x0303, strobe)

    hosted(play, watch.bench, dut=dut)
    (rung,) = watch.cycles("start")
    assert watch.seen[rung] == (1, 1, {1: 3, 2: 0x300, 15: 0x303}[strobe])
    assert watch.cycles("pending") == list(range(rung, len(watch.seen)))


def test_start_reads_as_one_until_the_machine_takes_it_up() -> None:
    start, idle, ready = (bit("CONTROL", name) for name in ("start", "idle", "ready"))

    async def play(host: Host) -> None:
        await host.write(at("CONTROL"), start)
        assert await host.read(at("CONTROL")) == start
        await host.write(at("CONTROL"), 0)
        assert await host.read(at("CONTROL")) == start
        host.ctx.set(host.dut.busy, 1)
        await host.pulse("ready")
        assert [await host.read(at("CONTROL")) for _ in range(2)] == [ready, 0]
        host.ctx.set(host.dut.busy, 0)
        assert await host.read(at("CONTROL")) == idle

    hosted(play)


def test_a_start_while_one_is_taken_up_stays() -> None:
    """Whenever the second start comes, it is either before `ready`, and both are taken up, or waits."""
    waits = []
    for delay in range(8):
        dut = RegisterFile(NARROW)
        watch = Watch(dut, "start", "ready")

        async def take_up(ctx: Any, dut: RegisterFile = dut, delay: int = delay) -> None:
            await ctx.tick().repeat(12 + delay)
            ctx.set(dut.ready, 1)
            await ctx.tick()
            ctx.set(dut.ready, 0)

        async def play(host: Host) -> None:
            await host.write(at("CONTROL"), 1)
            await host.ctx.tick().repeat(10)
            await host.write(at("CONTROL"), 1)
            await host.ctx.tick().repeat(10)
            waits.append(await host.read(at("CONTROL")) & 1)

        hosted(play, take_up, watch.bench, dut=dut)
        # The pulse is a cycle behind the write it comes from.
        assert waits[-1] == (watch.cycles("start")[1] - 1 >= watch.cycles("ready")[0])
    assert set(waits) == {0, 1}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_read_once_whenever_it_comes(event: str) -> None:
    mask = bit("CONTROL", event)
    firsts = []
    for delay in range(8):
        dut = RegisterFile(NARROW)

        async def happen(ctx: Any, dut: RegisterFile = dut, delay: int = delay) -> None:
            await ctx.tick().repeat(1 + delay)
            ctx.set(getattr(dut, event), 1)
            await ctx.tick()
            ctx.set(getattr(dut, event), 0)

        async def play(host: Host) -> None:
            await host.read(at("STATUS"))
            seen = [bool(await host.read(at("CONTROL")) & mask) for _ in range(3)]
            assert sum(seen) == 1
            firsts.append(seen.index(True))

        hosted(play, happen, dut=dut)
    assert set(firsts) == {0, 1}


def test_reading_something_else_clears_nothing() -> None:
    async def play(host: Host) -> None:
        await host.pulse("done")
        for name in ("INTERRUPT_STATUS", "STATUS", "COUNTER_CYCLES"):
            await host.read(at(name))
        assert await host.read(at("CONTROL")) & bit("CONTROL", "done")
        assert await host.read(at("INTERRUPT_STATUS")) == bit("INTERRUPT_STATUS", "done")

    hosted(play)


def test_interrupt() -> None:
    """interrupt = enable & |(INTERRUPT_ENABLE & INTERRUPT_STATUS), for all values of the three."""
    seen = []

    async def play(host: Host) -> None:
        for enable, mask, status in itertools.product(range(2), range(4), range(4)):
            await host.write(at("INTERRUPT_STATUS"), 3)
            await host.write(at("GLOBAL_INTERRUPT_ENABLE"), enable)
            await host.write(at("INTERRUPT_ENABLE"), mask)
            if status & bit("INTERRUPT_STATUS", "done"):
                await host.pulse("done")
            if status & bit("INTERRUPT_STATUS", "error"):
                await host.fault(Fault.GROUP, 0, 0)
            assert await host.read(at("INTERRUPT_STATUS")) == status
            seen.append(host.ctx.get(host.dut.interrupt))
            assert seen[-1] == int(enable and mask & status != 0)

    hosted(play)
    assert set(seen) == {0, 1}


def test_interrupt_status_is_cleared_bit_by_bit() -> None:
    async def play(host: Host) -> None:
        for mask, strobe, left in [(0, 15, 3), (3, 14, 3), (1, 15, 2), (2, 15, 0)]:
            if mask == 0:
                await host.pulse("done")
                await host.fault(Fault.SCALE, 9, 0x28)
            await host.write(at("INTERRUPT_STATUS"), mask, strobe)
            assert await host.read(at("INTERRUPT_STATUS")) == left
            assert await host.record() == ((Fault.SCALE, 9, 0x28) if left & 2 else (0, 0, 0))

    hosted(play)


def test_the_first_fault_stays_and_all_are_counted() -> None:
    first, second, third = (Fault.WRITE_RESPONSE, 0xFFFF, 0xFEDCBA9876), (Fault.QUEUE, 1, 2), (Fault.NONE + 0xFF, 3, 4)

    async def play(host: Host) -> None:
        assert await host.record() == (0, 0, 0)
        for count, (fault, kept) in enumerate([(first, first), (second, first), (third, first)], 1):
            await host.fault(*fault)
            assert await host.record() == kept
            assert await host.read(at("ERROR_COUNT")) == count
            assert await host.read(at("STATUS")) == bit("STATUS", "error")
        await host.write(at("INTERRUPT_STATUS"), bit("INTERRUPT_STATUS", "error"))
        assert await host.record() == (0, 0, 0) and await host.read(at("STATUS")) == 0
        await host.fault(*third)
        assert await host.record() == third and await host.read(at("ERROR_COUNT")) == 4

    hosted(play)


def test_a_fault_while_the_last_is_cleared_is_not_lost() -> None:
    """Before the clearing a fault is only counted, in its cycle and behind it it is recorded."""
    first, second = (Fault.GROUP, 1, 0x14), (Fault.READ_LAST, 2, 0x1234)
    outcomes = []
    for delay in range(8):
        dut = RegisterFile(NARROW)

        async def happen(ctx: Any, dut: RegisterFile = dut, delay: int = delay) -> None:
            await ctx.tick().repeat(10 + delay)
            await Host(ctx, dut).fault(*second)

        async def play(host: Host) -> None:
            await host.fault(*first)
            await host.ctx.tick().repeat(10)
            await host.write(at("INTERRUPT_STATUS"), bit("INTERRUPT_STATUS", "error"))
            await host.ctx.tick().repeat(10)
            held = bool(await host.read(at("INTERRUPT_STATUS")))
            assert await host.record() == (second if held else (0, 0, 0))
            assert await host.read(at("ERROR_COUNT")) == 2
            outcomes.append(held)

        hosted(play, happen, dut=dut)
    # The host's address is taken in cycle 11, its data in 12: the clearing is in 14.
    assert outcomes == [delay >= 4 for delay in range(8)]


def test_queue_registers_reach_the_machine_and_back() -> None:
    async def play(host: Host) -> None:
        ctx, dut = host.ctx, host.dut
        for word in range(2):
            await host.write(at("QUEUE_BASE", word), half(0xFFEDCBA987654321, word))
        await host.write(at("QUEUE_SIZE"), 0xFFFF1234)
        await host.write(at("QUEUE_TAIL"), 0xFFFFFEDC)
        ctx.set(dut.queue_head, 0xBEEF)
        assert ctx.get(dut.queue_base) == await host.read64("QUEUE_BASE") == 0xA987654300
        assert ctx.get(dut.queue_size) == await host.read(at("QUEUE_SIZE")) == 0x1234
        assert ctx.get(dut.queue_tail) == await host.read(at("QUEUE_TAIL")) == 0xFEDC
        assert await host.read(at("QUEUE_HEAD")) == 0xBEEF

    hosted(play)


@pytest.mark.parametrize("name", ["busy", "saturated", "poisoned", "copying"])
def test_status(name: str) -> None:
    async def play(host: Host) -> None:
        host.ctx.set(getattr(host.dut, name), 1)
        assert await host.read(at("STATUS")) == bit("STATUS", name)
        assert await host.read(at("CONTROL")) == (0 if name == "busy" else bit("CONTROL", "idle"))

    hosted(play)


@pytest.mark.parametrize("together", [0, bit("CONTROL", "start")])
def test_soft_reset_gives_every_register_its_reset_value(together: int) -> None:
    dut = RegisterFile(NARROW)
    watch = Watch(dut, "start", "soft_reset", length=1200)

    async def play(host: Host) -> None:
        await host.fault(Fault.OVERLAP, 5, 6)
        for event in EVENTS:
            await host.pulse(event)
        for register in REGISTERS.values():
            for word in range(register.words):
                if register.address:
                    await host.write(at(register.name, word), half(writable(register), word))
        assert host.ctx.get(dut.pending)
        before = [await host.read(4 * number) for number in DEFINED if number]
        assert await host.write(at("CONTROL"), bit("CONTROL", "soft_reset") | together) == Response.OKAY
        after = {number: await host.read(4 * number) for number in DEFINED}
        assert after == {number: reset_word(number) for number in DEFINED}
        assert sum(a != b for a, b in zip(before, list(after.values())[1:], strict=True)) >= 10

    hosted(play, watch.bench, dut=dut)
    (start,), (reset,) = watch.cycles("start"), watch.cycles("soft_reset")
    assert start < reset


def test_the_answer_to_a_soft_reset_comes_a_cycle_before_it() -> None:
    dut = RegisterFile(NARROW)
    answers, watch = Watch(dut.b, "valid"), Watch(dut, "soft_reset", "queue_tail")

    async def play(host: Host) -> None:
        await host.write(at("QUEUE_TAIL"), 7)
        await host.write(at("CONTROL"), bit("CONTROL", "soft_reset"))

    hosted(play, answers.bench, watch.bench, dut=dut)
    _, answered = answers.cycles("valid")
    assert watch.seen[answered : answered + 3] == [(0, 7), (1, 0), (0, 0)]


def test_the_bus_obeys_a_reset_at_once_and_fields_before_an_access() -> None:
    top, dut = Module(), RegisterFile(NARROW)
    top.domains.sync = domain = ClockDomain()
    top.submodules.dut = dut

    async def drive(ctx: Any) -> None:
        host = Host(ctx, dut)
        await host.write(at("QUEUE_TAIL"), 7)
        # An address and an answer that wait.
        ctx.set(dut.ar.payload.address, at("QUEUE_TAIL"))
        ctx.set(dut.ar.valid, 1)
        await ctx.tick().until(dut.r.valid)
        ctx.set(dut.ar.valid, 0)
        ctx.set(dut.aw.valid, 1)
        await ctx.tick()
        assert ctx.get(dut.r.valid) and not ctx.get(dut.aw.ready) and not ctx.get(dut.ar.ready)
        ctx.set(dut.aw.valid, 0)
        ctx.set(domain.rst, 1)
        await ctx.tick()
        ctx.set(domain.rst, 0)
        assert not ctx.get(dut.r.valid) and ctx.get(dut.aw.ready) and ctx.get(dut.ar.ready)
        assert ctx.get(dut.queue_tail) == 7 and ctx.get(dut.pending)
        access = (await host.write(at("QUEUE_TAIL"), 9), ctx.get(dut.queue_tail), ctx.get(dut.pending))
        assert access == (Response.OKAY, 9, 1)
        ctx.set(domain.rst, 1)
        await ctx.tick()
        ctx.set(domain.rst, 0)
        await ctx.tick()
        assert not ctx.get(dut.queue_tail) and not ctx.get(dut.pending)
        assert await host.read(at("CONTROL")) == bit("CONTROL", "idle")

    run(top, drive)


def test_counters_are_read_through_their_port() -> None:
    """A memory that answers a cycle later with its address."""
    dut = RegisterFile(NARROW)

    async def memory(ctx: Any) -> None:
        async for _, _, address in ctx.tick().sample(dut.counter_address):
            ctx.set(dut.counter_data, 0xABC00000 | address)

    numbers = [number for number, (register, _) in DEFINED.items() if register.address >= COUNTERS_BASE]

    async def play(host: Host) -> None:
        for i, number in enumerate(numbers):
            assert await host.read(4 * number) == 0xABC00000 | i
        assert await host.read(at("MAGIC")) == REGISTERS["MAGIC"].reset

    simulate_with(dut, play, memory)
    assert len(numbers) == 2 * (len(REGISTERS) - sum(r.address < COUNTERS_BASE for r in REGISTERS.values()))
