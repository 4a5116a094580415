"""Drives simulated components: clocked inputs, streams with gaps, and a limit on the time anything may take."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from hwgen.config import Config
from hwgen.params import Params

STALLS = pytest.mark.parametrize(
    ("idle", "pressure"),
    [(None, None), (1, None), (None, 2), (1, 2)],
    ids=["flowing", "idle", "back-pressure", "idle-and-back-pressure"],
)
"""Seeds for the gaps in a stream's input and for its consumer's pauses."""

Testbench = Callable[[Any], Awaitable[None]]
Inputs = Mapping[str, Any]

CHOICES: dict[str, Any] = {
    "rows_e": 4,
    "rows_f": 4,
    "cols": 2,
    "slots": 4,
    "head_e": 8,
    "head_f": 8,
    "beat": 2,
    "out_beat": 2,
    "buffer_rows": 4,
}


def tiny(**changes: Any) -> Params:
    """A core small enough to simulate in Python, with some choices changed."""
    return Params(Config(**{**CHOICES, **changes}))


def run(dut: Any, *testbenches: Testbench, limit: int = 20_000, beside: Testbench | None = None) -> None:
    """Simulate until all testbenches return, but for one that goes on `beside` them. Raises TimeoutError if they take
    more than `limit` cycles."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    if beside is not None:
        simulator.add_testbench(beside, background=True)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    # Time advances by half a cycle, from edge to edge.
    for _ in range(2 * limit):
        if not simulator.advance():
            return
    raise TimeoutError(f"not done after {limit} cycles")


def member(dut: Any, path: str) -> Any:
    """The port `a.b` of a component; a number selects from an array."""
    for name in path.split("."):
        dut = dut[int(name)] if name.isdigit() else getattr(dut, name)
    return dut


def clocked(dut: Any, cycles: Iterable[Inputs], outputs: Sequence[str], rest: int = 0) -> list[tuple[Any, ...]]:
    """Set the given ports in every cycle (they stay until set again) and give the outputs of every cycle.

    The last inputs stay for `rest` more cycles.
    """
    seen: list[tuple[Any, ...]] = []

    async def drive(ctx: Any) -> None:
        read = [Value.cast(member(dut, path)) for path in outputs]
        for inputs in [*cycles, *[{}] * rest]:
            for path, value in inputs.items():
                port = member(dut, path)
                ctx.set(Value.cast(port) if isinstance(value, int) else port, value)
            seen.append(tuple(ctx.get(value) for value in read))
            await ctx.tick()

    run(dut, drive)
    return seen


def gaps(seed: int | None) -> Iterator[int]:
    """How many cycles to wait before each item: none if there is no seed, else mostly none and now and then many."""
    if seed is None:
        while True:
            yield 0
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.choice([0, 0, 0, 1, 2, 5]))


def sender(port: Any, payloads: Iterable[Any], seed: int | None = None) -> Testbench:
    """A testbench that sends payloads into a stream, with gaps if it has a seed."""

    async def send(ctx: Any) -> None:
        for payload, gap in zip(payloads, gaps(seed), strict=False):
            if gap:
                await ctx.tick().repeat(gap)
            ctx.set(port.payload, payload)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    return send


def receiver(port: Any, count: int, into: list[Any], seed: int | None = None) -> Testbench:
    """A testbench that takes `count` payloads from a stream, with pauses if it has a seed.

    Asserts that an offer, once made, stays until it is taken.
    """

    async def receive(ctx: Any) -> None:
        offered = None
        for gap in gaps(seed):
            for ready in [0] * gap + [1]:
                taken = False
                while not taken:
                    ctx.set(port.ready, ready)
                    _, _, valid, payload = await ctx.tick().sample(port.valid, Value.cast(port.payload))
                    assert offered is None or (valid and payload == offered)
                    taken = not ready or bool(valid)
                    offered = payload if valid and not ready else None
                if ready:
                    into.append(payload)
            if len(into) == count:
                break
        ctx.set(port.ready, 0)

    return receive
