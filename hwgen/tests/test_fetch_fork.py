"""Blocks, handed to the readers of Q, K and V at the pace of each."""

from typing import Any

import numpy as np
import pytest

from hwgen.control.tags import block_layout
from hwgen.memory.fetch_fork import AHEAD, DEPTH, FetchFork
from hwgen.memory.row_walker import row_block_layout
from hwgen.tests.bench import STALLS, Testbench, clocked, gaps, receiver, run, sender, tiny

PARAMS = tiny()
NAMES = ("q", "k", "v")

Blocks = list[dict[str, int]]


def random_blocks(seed: int, count: int) -> Blocks:
    """Blocks with everything in them at random, needed here or not."""
    rng = np.random.default_rng(seed)
    layout = block_layout(PARAMS)
    return [{name: int(rng.integers(1 << min(field.width, 62))) for name, field in layout} for _ in range(count)]


def unsigned_block(block: dict[str, int]) -> Any:
    """As the simulator takes it: signed fields within their range."""
    layout = block_layout(PARAMS)
    code = sum((value & (1 << layout[name].width) - 1) << layout[name].offset for name, value in block.items())
    return layout.from_bits(code)


def wanted(blocks: Blocks, name: str) -> list[tuple[int, int, int]]:
    """Rows, rewind, last."""
    if name == "q":
        return [(block["queries"], 0, block["job_last"]) for block in blocks]
    return [(block["fresh"], block["rewind"], block["job_last"]) for block in blocks]


def decoded(codes: list[int]) -> list[tuple[int, int, int]]:
    views = [row_block_layout().from_bits(code) for code in codes]
    return [(view.rows, view.rewind, view.last) for view in views]


def loader(dut: FetchFork, seen: list[int], count: int, seed: int | None) -> Testbench:
    """Says of each block taken by Q, some time later, that it is loaded."""

    async def load(ctx: Any) -> None:
        pauses = gaps(seed)
        for loaded in range(count):
            while len(seen) <= loaded:
                await ctx.tick()
            await ctx.tick().repeat(1 + next(pauses))
            ctx.set(dut.loaded, 1)
            await ctx.tick()
            ctx.set(dut.loaded, 0)

    return load


@STALLS
def test_everyone_gets_every_block(idle: int | None, pressure: int | None) -> None:
    blocks = random_blocks(2, 40)
    dut, seen = FetchFork(PARAMS), {name: list[int]() for name in NAMES}
    takers = [
        receiver(getattr(dut, name), len(blocks), seen[name], pressure and pressure + i) for i, name in enumerate(NAMES)
    ]
    takers.append(loader(dut, seen["q"], len(blocks), pressure))
    run(dut, sender(dut.fetch, [unsigned_block(block) for block in blocks], idle), *takers)
    assert {name: decoded(codes) for name, codes in seen.items()} == {name: wanted(blocks, name) for name in NAMES}


@pytest.mark.parametrize("slow", NAMES)
def test_each_output_is_waited_for(slow: str) -> None:
    blocks = random_blocks(5, 11)
    dut, seen = FetchFork(PARAMS), {name: list[int]() for name in NAMES}
    late = receiver(getattr(dut, slow), len(blocks), seen[slow])

    async def wait(ctx: Any) -> None:
        await ctx.tick().repeat(40)
        assert {len(got) for name, got in seen.items() if name != slow} == {DEPTH}
        await late(ctx)

    others = [receiver(getattr(dut, name), len(blocks), seen[name]) for name in NAMES if name != slow]
    others.append(loader(dut, seen["q"], len(blocks), None))
    run(dut, sender(dut.fetch, [unsigned_block(block) for block in blocks]), *others, wait)
    assert {name: decoded(codes) for name, codes in seen.items()} == {name: wanted(blocks, name) for name in NAMES}


def test_a_hungry_core_gets_one_block_of_queries_at_a_time() -> None:
    """Four blocks wait. Hungry: the second goes when the first is loaded. Fed: as many as may be under way."""
    block = {"fetch.valid": 1, "fetch.payload": unsigned_block(random_blocks(7, 1)[0]), "k.ready": 1, "v.ready": 1}
    hungry = [block | {"hungry": 1, "q.ready": 1, "loaded": int(t == 9)} for t in range(16)]
    seen = clocked(FetchFork(PARAMS), hungry, ["q.valid"])
    taken = [t for t, (valid,) in enumerate(seen) if valid]
    assert len(taken) == 2 and taken[1] == 10
    fed = [block | {"hungry": 0, "q.ready": 1} for _ in range(24)]
    assert sum(valid for (valid,) in clocked(FetchFork(PARAMS), fed, ["q.valid"])) == AHEAD


def test_what_is_offered_stays() -> None:
    """The core becomes hungry while a block is offered and another one under way."""
    block = {"fetch.valid": 1, "fetch.payload": unsigned_block(random_blocks(7, 1)[0]), "k.ready": 1, "v.ready": 1}
    cycles = [block | {"q.ready": int(t < 4), "hungry": int(t >= 8)} for t in range(16)]
    seen = [valid for (valid,) in clocked(FetchFork(PARAMS), cycles, ["q.valid"])]
    first = seen.index(1)
    assert seen[first:] == [1] * (16 - first)
