"""Blocks, handed to the readers of Q, K and V at the pace of each."""

from typing import Any

import numpy as np
import pytest

from hwgen.control.block_fork import SEGMENT_DEPTH, SegmentFork
from hwgen.control.tags import block_layout
from hwgen.memory.fetch_fork import AHEAD, DEPTH, FetchFork, SegmentFetch
from hwgen.memory.row_walker import row_block_layout
from hwgen.params import Params
from hwgen.tests.bench import STALLS, Testbench, clocked, gaps, receiver, run, sender, tiny
from hwgen.tests.scores import scored

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


def loader(dut: FetchFork | SegmentFetch, seen: list[int], count: int, seed: int | None) -> Testbench:
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
    cycles = [block | {"q.ready": int(t < 5), "hungry": int(t >= 8)} for t in range(16)]
    seen = [valid for (valid,) in clocked(FetchFork(PARAMS), cycles, ["q.valid"])]
    # The first block is taken; blocks come every third cycle.
    second = seen.index(1) + 3
    assert second < 8 and seen[second - 1 :] == [0] + [1] * (16 - second)


SEGMENTED = scored(bias=True, sink=True, block_list=True)
PLAIN_LIST = tiny(block_list=True)


def random_segments(seed: int, blocks: int) -> list[dict[str, int]]:
    """A few segments for every block, some without rows."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(blocks):
        count = int(rng.integers(1, 4))
        for i in range(count):
            fields = {"first": 1 << 20, "keys": 1 << 20, "row": 1 << 32, "sink": 2}
            segment = {name: int(rng.integers(top)) for name, top in fields.items()}
            found.append(segment | {"block_last": int(i == count - 1)})
    return found


@STALLS
@pytest.mark.parametrize("params", [PLAIN_LIST, SEGMENTED], ids=["list", "sink-and-bias"])
def test_segments_are_fetched(params: Params, idle: int | None, pressure: int | None) -> None:
    """Row by row, whatever the blocks; the last segment of a job's last block is the last one of the job."""
    rng = np.random.default_rng(6)
    blocks = [{"queries": int(rng.integers(1, 9)), "job_last": int(rng.integers(2))} for _ in range(20)]
    segments = random_segments(3, len(blocks))
    ends = [segment["block_last"] for segment in segments]
    last = [end and blocks[sum(ends[:i])]["job_last"] for i, end in enumerate(ends)]
    rows = [0 if s["sink"] else s["keys"] for s in segments]
    keys = [(n, s["row"], end) for n, s, end in zip(rows, segments, last, strict=True)]
    want: dict[str, list[Any]] = {"q": [(b["queries"], 0, b["job_last"]) for b in blocks], "k": keys, "v": keys}
    if params.has_bias:
        want["bias"] = [(s["first"], n, s["block_last"], end) for n, s, end in zip(rows, segments, last, strict=True)]
    dut, seen = SegmentFetch(params), {name: list[int]() for name in want}
    takers = [
        receiver(getattr(dut, name), len(want[name]), seen[name], pressure and pressure + i)
        for i, name in enumerate(want)
    ]
    takers += [loader(dut, seen["q"], len(blocks), pressure), sender(dut.segments, segments, idle and idle + 1)]
    run(dut, sender(dut.fetch, blocks, idle), *takers)
    for name, codes in seen.items():
        layout = getattr(dut, name).payload.shape()
        views = [layout.from_bits(code) for code in codes]
        assert [tuple(int(view[field]) for field in layout.members) for view in views] == want[name]


@STALLS
def test_segments_go_to_the_issuer_and_to_the_readers(idle: int | None, pressure: int | None) -> None:
    """The readers run ahead by as much as the issuer's queue holds."""
    rng = np.random.default_rng(2)
    segments = [
        {"first": i, "keys": 5, "row": 7 * i, "live": 3, "last": i % 4, "sink": i % 2, "block_last": i % 3 == 0}
        | {"edge": int(rng.integers(-(1 << 36), 1 << 36))}
        for i in range(40)
    ]
    dut = SegmentFork(SEGMENTED)
    issue, fetch = list[int](), list[int]()
    late = receiver(dut.issue, len(segments), issue, pressure)

    async def wait(ctx: Any) -> None:
        await ctx.tick().repeat(200)
        assert len(fetch) == SEGMENT_DEPTH
        await late(ctx)

    run(dut, sender(dut.input, segments, idle), receiver(dut.fetch, len(segments), fetch, pressure), wait)
    for port, codes in ((dut.issue, issue), (dut.fetch, fetch)):
        layout = port.payload.shape()
        views = [layout.from_bits(code) for code in codes]
        found = [{name: int(view[name]) for name in layout.members} for view in views]
        assert found == [{name: segment[name] for name in layout.members} for segment in segments]
