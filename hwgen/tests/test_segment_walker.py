"""The segment walker against intervals of keys, merged in NumPy's way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwgen.control.segment_walker import SegmentWalker
from hwgen.params import Params
from hwgen.scoremod.block_list import Segment, list_segments
from hwgen.scoremod.schedule import schedule
from hwgen.tests.bench import STALLS, receiver, run, sender, tiny
from hwgen.tests.jobs import Fields, job
from hwgen.tests.segmenting import (
    ENTRIES,
    Bound,
    banded,
    edge_of,
    expected_segments,
    placed,
    rising,
    segmented_blocks,
    sinking,
)

LONGEST = 1 << 20

SHAPES = [
    pytest.param({}, id="4x2"),
    pytest.param({"slots": 1, "cols": 4}, id="1x4"),
    pytest.param({"slots": 16, "cols": 1}, id="16x1"),
    pytest.param({"slots": 3, "cols": 3, "lanes": 3}, id="3x3"),
]


def unbounded(b: int, q: int) -> int:
    """No bound from above."""
    return LONGEST


def zero(b: int, q: int) -> int:
    return 0


def table(entries: list[int]) -> Bound:
    return lambda b, q: entries[min(b + q, len(entries) - 1)]


def writes(dut: SegmentWalker, tables: dict[str, list[int]], params: Params) -> Any:
    """A testbench that writes the tables."""

    async def write(ctx: Any) -> None:
        for name, entries in tables.items():
            offset = params.score.argument_offset(name)
            for i, entry in enumerate(entries):
                ctx.set(dut.argument, {"valid": 1, "address": offset + i, "data": entry})
                await ctx.tick()
        ctx.set(dut.argument, {"valid": 0})
        await ctx.tick().repeat(8)

    return write


def assert_walked(
    jobs: list[Fields], params: Params, tables: dict[str, list[int]] | None = None, stalls: tuple = (None, None)
) -> list[Segment]:
    """All jobs, one after the other, give the model's segments."""
    low, high = (table(tables["low"]), table(tables["high"])) if tables else (zero, unbounded)
    want = expected_segments(jobs, params, low, high)
    dut, got = SegmentWalker(params), list[int]()
    blocks = [block for work in jobs for block in segmented_blocks(work, params)]
    send = sender(dut.block, blocks, stalls[0])

    async def drive(ctx: Any) -> None:
        if tables:
            await writes(dut, tables, params)(ctx)
        await send(ctx)

    run(dut, drive, receiver(dut.segment, len(want), got, stalls[1]))
    found = [placed(code, params) for code in got]
    assert [segment for segment, _ in found] == [segment for _, segment in want]
    shown = [(edge, edge_of(*pair)) for (segment, edge), pair in zip(found, want, strict=True) if segment.keys]
    assert all(edge == right for (edge, right), (_, s) in zip(shown, want, strict=False) if not s.sink and s.keys)
    return [segment for segment, _ in found]


def random_jobs(seed: int, params: Params, count: int) -> list[Fields]:
    """Jobs of a few blocks, of grouped heads and of single ones, most of them causal."""
    rng = np.random.default_rng(seed)
    size, jobs = params.block, []
    for _ in range(count):
        group = int(rng.choice([1, 1, 2, 3, size + 1]))
        reach = -(-5 * size // (2 * group))
        keys = int(rng.choice([0, 1, *rng.integers(1, 60, 4)]))
        causal, offset = int(rng.random() < 0.6), int(rng.integers(-8, 30))
        work = job(int(rng.integers(1, reach + 1)), keys, causal, offset, group=group)
        jobs.append(work | {"batch": int(rng.integers(3))})
    return jobs


@STALLS
@pytest.mark.parametrize(("shape", "sink"), [(shape.values[0], i % 2) for i, shape in enumerate([*SHAPES, SHAPES[0]])])
def test_random_bounds(shape: Fields, sink: int, idle: int | None, pressure: int | None) -> None:
    params = banded(bool(sink), **shape)
    rng = np.random.default_rng(len(shape))
    low, high = rising(rng, ENTRIES, -20, 50), rising(rng, ENTRIES, -5, 70)
    found = assert_walked(random_jobs(3, params, 10), params, {"low": low, "high": high}, (idle, pressure))
    assert any(s.block_last and (s.sink or not s.keys) for s in found)
    assert params.config.slots == 1 or len({s.live for s in found}) > 2


@pytest.mark.parametrize("width", [1, 3, 20])
def test_windows_move_over_the_slots(width: int) -> None:
    """Gaps between the slots' keys, slots side by side, and slots on top of each other."""
    params = banded(cols=1, slots=8)
    low = [5 * q for q in range(ENTRIES)]
    tables = {"low": low, "high": [n + width - 1 for n in low]}
    found = assert_walked([job(20, 90)], params, tables)
    shown = sum(s.keys * s.live.bit_count() for s in found)
    assert shown == sum(max(0, min(n + width, 90) - n) for n in low[:20])


@pytest.mark.parametrize("params", [sinking(), sinking(slots=1), tiny(block_list=True)], ids=["sink", "one", "list"])
def test_without_a_program_for_bounds(params: Params) -> None:
    assert params.bounds is None
    found = assert_walked(random_jobs(5, params, 10), params)
    assert {s.sink for s in found} == {0, int(params.has_sink)}


def test_longest_numbers() -> None:
    params = banded(cols=1, slots=3)
    edge = 1 << 21
    for low, high in ((-edge, edge), (LONGEST - 2, LONGEST - 1), (LONGEST, edge), (-edge, -edge), (edge, edge)):
        tables = {"low": [low] * ENTRIES, "high": [high] * ENTRIES}
        offsets = (LONGEST, LONGEST - 5, 0, -LONGEST)
        works = [job(4, LONGEST, causal, offset, group=2) for offset in offsets for causal in (0, 1)]
        assert_walked(works[:3], params, tables)
    works = [job(9, LONGEST, 1, offset) for offset in (LONGEST, LONGEST - 5, 0, -1, -LONGEST)]
    assert_walked(works, params, {"low": [0] * ENTRIES, "high": [edge] * ENTRIES})


@STALLS
def test_listed_jobs_pass_the_list_on(idle: int | None, pressure: int | None) -> None:
    """Between jobs whose segments are found here."""
    params = banded(True, block_list=True, cols=1, slots=3)
    rng = np.random.default_rng(4)
    jobs = [job(4, 9, 1, 1, group=2) | {"listed": i % 2, "batch": 0} for i in range(4)]
    tables = {"low": [0] * ENTRIES, "high": [7] * ENTRIES}
    want, listed = [], []
    for work in jobs:
        if not work["listed"]:
            want += expected_segments([work], params, zero, table(tables["high"]))
            continue
        for block in segmented_blocks(work, params):
            segments = list_segments(rng.random((block["queries"], 9)) < 0.3, params)
            listed += segments
            want += [(block, segment) for segment in segments]
    dut, got = SegmentWalker(params), list[int]()
    send = sender(dut.block, [block for work in jobs for block in segmented_blocks(work, params)], idle)

    async def drive(ctx: Any) -> None:
        await writes(dut, tables, params)(ctx)
        await send(ctx)

    offers = [{name: getattr(s, name) for name in vars(s)} for s in listed]
    run(dut, drive, sender(dut.listed, offers, idle), receiver(dut.segment, len(want), got, pressure))
    found = [placed(code, params) for code in got]
    assert [segment for segment, _ in found] == [segment for _, segment in want]
    right = [edge == edge_of(block, s) for (s, edge), (block, _) in zip(found, want, strict=True) if not s.sink]
    assert len(right) > 20 and all(right)


def test_a_listed_slot_ends_once_and_only_with_queries() -> None:
    """Whatever the list says: else the drain would hold what is finished besides for a later block's."""
    params = tiny(block_list=True, cols=1, slots=3)
    blocks = segmented_blocks(job(4, 9, group=2) | {"listed": 1}, params)
    assert [block["slots"] for block in blocks] == [2, 2, 1]
    every = 0b111
    dut, offers, want, got = SegmentWalker(params), [], list[Segment](), list[int]()
    for block in blocks:
        for i in range(3):
            segment = Segment(2 * i, 2, 2 * i, every, every if i else 0b010, block_last=int(i == 2))
            in_use = (2 << block["slots"]) - 1
            offers.append(vars(segment))
            want.append(replace(segment, last=(0b010, 0b101, 0)[i] & in_use))
    run(dut, sender(dut.block, blocks), sender(dut.listed, offers), receiver(dut.segment, len(want), got))
    assert [placed(code, params)[0] for code in got] == want


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group", [1, 3])
def test_latency(shape: Fields, group: int) -> None:
    """In the first block of a job and in the second, with gaps between the slots' keys and without."""
    params = banded(True, **shape)
    slots, size = params.config.slots, params.block
    evaluation = schedule(params.bounds.program).latency
    division = 0 if group == 1 else -(-size // group) + 1
    work = job(-(-2 * size // group), 400, group=group) | {"batch": 0}
    for width in (1, 4, 50):
        tables = {"low": [5 * q for q in range(ENTRIES)], "high": [5 * q + width for q in range(ENTRIES)]}
        dut = SegmentWalker(params)
        times = block_times(dut, segmented_blocks(work, params)[:2], writes(dut, tables, params))
        for first, last in times:
            assert 2 * slots + 4 + evaluation <= first <= 2 * slots + 4 + evaluation + division
            assert last <= 11 * slots + 8 + evaluation + division


def block_times(dut: SegmentWalker, blocks: list[Fields], before: Any) -> list[tuple[int, int]]:
    """For each block, in cycles from the one in which it is offered on: its first segment, and the next block's
    offer."""
    times = []

    async def drive(ctx: Any) -> None:
        await before(ctx)
        ctx.set(dut.segment.ready, 1)
        ctx.set(dut.block.valid, 1)
        for block in blocks:
            ctx.set(dut.block.payload, block)
            cycles = []
            while not cycles or not cycles[-1][1]:
                cycles.append((ctx.get(dut.segment.valid), ctx.get(dut.block.ready)))
                await ctx.tick()
            times.append(([valid for valid, _ in cycles].index(1), len(cycles)))

    run(dut, drive)
    return times
