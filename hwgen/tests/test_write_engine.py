"""The write engine between random clients and a memory that is not always ready."""

from typing import Any

import numpy as np
import pytest

from hwgen.control.faults import Fault
from hwgen.params import Params
from hwgen.tests.bench import STALLS, run, tiny
from hwgen.tests.writes import REGION, Machine

SHAPES = [
    pytest.param(tiny(bus_bits=32, burst_beats=1, outstanding=1), 1, id="one-by-one"),
    pytest.param(tiny(bus_bits=32, burst_beats=4, outstanding=2), 2, id="narrow"),
    pytest.param(tiny(bus_bits=128, burst_beats=16, outstanding=4), 2, id="two-clients"),
    pytest.param(tiny(bus_bits=64, burst_beats=2, outstanding=16), 3, id="three-clients"),
]


def sizes(rng: np.random.Generator, params: Params, count: int) -> list[int]:
    """Single bytes, parts of words, rows of several bursts."""
    burst = params.bus_bytes * params.config.burst_beats
    choices = [1, 2, params.bus_bytes, params.bus_bytes + 1, burst, burst + 2, 2 * burst + 3]
    return rng.choice(choices, count).tolist()


@STALLS
@pytest.mark.parametrize(("params", "clients"), SHAPES)
def test_memory_holds_what_was_sent(params: Params, clients: int, idle: int | None, pressure: int | None) -> None:
    rng = np.random.default_rng(clients)
    machine = Machine(params, clients, idle, pressure, latency=6)
    wanted = machine.add(rng, sizes(rng, params, 10))
    run(machine.dut, machine.finish)
    assert machine.memory.bytes == wanted
    assert not machine.memory.faults
    assert len(machine.memory.bursts) > 10 * clients


@pytest.mark.parametrize("response", [1, 2, 3])
def test_faults_name_their_burst(response: int) -> None:
    """Whichever burst it is; an EXOKAY is none."""
    rng = np.random.default_rng(response)
    machine = Machine(tiny(bus_bits=32, burst_beats=2, outstanding=3), 2, None, 5)
    machine.add(rng, [4, 9, 8, 3])
    # From the ninth on all of them fail, so that the last one does.
    failing = [0, 1, 4, *range(8, 30)]
    machine.memory.errors = dict.fromkeys(failing, response)
    run(machine.dut, machine.finish)
    bursts = machine.memory.bursts
    assert 8 < len(bursts) < 30
    expected = [(Fault.WRITE_RESPONSE, bursts[i].address) for i in failing if i < len(bursts)]
    assert machine.memory.faults == ([] if response == 1 else expected)


@STALLS
@pytest.mark.parametrize(("params", "clients"), SHAPES[1:2])
def test_flush_leaves_the_bus_whole(params: Params, clients: int, idle: int | None, pressure: int | None) -> None:
    """Whenever it comes: what was offered ends, all else is forgotten, and the engine works again."""
    rng = np.random.default_rng(11)
    machine = Machine(params, clients, idle, pressure)
    memory = machine.memory
    cut = 0

    async def rounds(ctx: Any) -> None:
        nonlocal cut
        for i in range(6):
            wanted = machine.add(rng, sizes(rng, params, 6))
            for _ in range(int(rng.integers(3, 60))):
                await machine.step(ctx)
            machine.flush, began = 1, len(memory.bursts)
            # It begins a cycle late.
            await machine.step(ctx)
            while not await machine.step(ctx):
                # One cycle is as good as many.
                machine.flush = i % 2
            # At most the bursts that were chosen in that cycle and in the one before appear.
            assert len(memory.bursts) <= began + 2 and not memory.busy
            assert memory.bytes.items() <= wanted.items()
            cut += memory.bytes.keys() < wanted.keys()
            machine.forget()
            machine.flush = 0
            # It ends a cycle late.
            await machine.step(ctx)
            wanted = machine.add(rng, sizes(rng, params, 3))
            await machine.finish(ctx)
            assert memory.bytes == wanted
            machine.forget()

    run(machine.dut, rounds)
    assert cut > 3


def longest(times: list[int]) -> int:
    """Length of the longest stretch of successive cycles."""
    best = length = 1
    for before, after in zip(times, times[1:], strict=False):
        length = length + 1 if after == before + 1 else 1
        best = max(best, length)
    return best


@pytest.mark.parametrize(("beats", "clients"), [(16, 1), (8, 1), (4, 1), (2, 1), (2, 2), (1, 2)])
def test_a_word_a_cycle(beats: int, clients: int) -> None:
    """Bursts of two words are enough for a client alone, and of one word for two."""
    params = tiny(bus_bits=32, burst_beats=beats, outstanding=16)
    machine = Machine(params, clients, None, None)
    machine.add(np.random.default_rng(1), [256], aligned=True)
    run(machine.dut, machine.finish)
    times = machine.memory.times
    assert len(times) == 64 * clients
    assert longest(times) == len(times)


def test_latency() -> None:
    """From a burst's last word to its first one on the bus."""
    machine = Machine(tiny(bus_bits=32, burst_beats=4), 1, None, None)
    machine.add(np.random.default_rng(1), [16], aligned=True)
    run(machine.dut, machine.finish)
    # The last of the four words is taken in cycle 4, as none is in cycle 0.
    first = 4 + machine.dut.LATENCY
    assert machine.memory.times == [first, first + 1, first + 2, first + 3]


def test_clients_take_turns() -> None:
    """While all of them have to wait."""
    machine = Machine(tiny(bus_bits=32, burst_beats=4, outstanding=1), 3, None, None)
    machine.add(np.random.default_rng(1), [160], aligned=True)
    run(machine.dut, machine.finish)
    turns = [burst.address // REGION for burst in machine.memory.bursts]
    assert turns == [1, 2, 3] * 10


def test_bursts_wait_for_responses() -> None:
    """All that may be in flight is, and no more, while the memory takes its time."""
    machine = Machine(tiny(bus_bits=32, burst_beats=1, outstanding=3), 1, None, None, latency=40)
    machine.add(np.random.default_rng(1), [4] * 9, aligned=True)
    seen = set()

    async def watch(ctx: Any) -> None:
        while machine.memory.answered < 9:
            await machine.step(ctx)
            seen.add(len(machine.memory.bursts) - machine.memory.answered)

    run(machine.dut, watch)
    assert seen == {0, 1, 2, 3}
