"""The block walker against blocks found by asking of queries which keys they see."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from hwgen.control.block_walker import BlockWalker
from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender, tiny
from hwgen.tests.jobs import Fields, all_blocks, blocks, job
from hwgen.tests.segmenting import segmented_blocks, sinking
from hwgen.timing import resident_rows

LONGEST = 1 << 20
LARGEST = 4096

SHAPES = [
    pytest.param(tiny(), id="4x2"),
    pytest.param(tiny(cols=4, slots=1), id="1x4"),
    pytest.param(tiny(cols=1, slots=5), id="5x1"),
    pytest.param(tiny(cols=3, slots=3, lanes=3), id="3x3"),
]


def taken(payloads: list[int], params: Params) -> list[Fields]:
    """What a receiver took, in the same form."""
    views = [block_layout(params).from_bits(bits) for bits in payloads]
    names = [name for name in block_layout(params).members if params.segmented or name != "edge"]
    fields = [{name: int(view[name]) for name in names} for view in views]
    if params.segmented:
        return fields
    return [f | ({"edge": int(v.edge)} if v.causal else {}) for f, v in zip(fields, views, strict=True)]


def assert_walked(jobs: list[Fields], params: Params, idle: int | None = None, pressure: int | None = None) -> None:
    """All jobs, one after the other, give the model's blocks."""
    want = [block for _, block in all_blocks(jobs, params)]
    if params.segmented:
        want = [block for work in jobs for block in segmented_blocks(work, params)]
    dut, got = BlockWalker(params), list[int]()
    run(dut, sender(dut.job, jobs, idle), receiver(dut.block, len(want), got, pressure))
    assert taken(got, params) == want


def random_jobs(seed: int, params: Params, count: int) -> list[Fields]:
    """Jobs of a few blocks, some of them of grouped heads; offsets from far before the first query to far behind the
    last key."""
    rng = np.random.default_rng(seed)
    size = params.block
    groups = [1, 1, 2, 3, 2 * params.config.cols + 1, size, size + 1]
    jobs = []
    for _ in range(count):
        group = int(rng.choice(groups))
        reach = -(-4 * size // group)
        jobs.append(
            job(
                int(rng.integers(1, reach + 1)),
                int(rng.choice([0, *rng.integers(1, 5 * size, 4)])),
                int(rng.random() < 0.8),
                int(rng.integers(-reach, reach)),
                (int(rng.integers(-(2**20) + 1, 2**20)), int(rng.integers(-128, 128))),
                group,
            )
        )
    return jobs


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_random_jobs(params: Params, idle: int | None, pressure: int | None) -> None:
    assert_walked(random_jobs(1, params, 30), params, idle, pressure)


@pytest.mark.parametrize("params", SHAPES)
def test_every_length(params: Params) -> None:
    lengths = range(1, 2 * params.block + 2)
    assert_walked([job(queries, 3) for queries in lengths], params)
    assert_walked([job(queries, 3, 1, -params.config.cols - 1) for queries in lengths], params)


@pytest.mark.parametrize("params", SHAPES)
def test_every_offset(params: Params) -> None:
    size = params.block
    assert_walked([job(size + 1, size, 1, offset) for offset in range(-2 * size - 1, size + 2)], params)


@pytest.mark.parametrize("params", SHAPES)
def test_every_group(params: Params) -> None:
    """Blocks end in the middle of a position, and positions reach over several blocks."""
    groups = range(1, 2 * params.block + 2)
    assert_walked([job(3, 3, 1, offset, group=group) for group in groups for offset in (-1, 0)], params)


@pytest.mark.parametrize("params", SHAPES)
def test_rows_that_fit_come_once(params: Params) -> None:
    size, most = params.block, resident_rows(params)
    for keys, causal in product((most, most + 1), (0, 1)):
        work = job(3 * size, keys, causal, -1 if causal else 0)
        made = blocks(work, params)
        brought = [block["fresh"] for block in made]
        seen = made[-1]["keys"]
        # All that anybody sees, once; or for every block all that it sees.
        assert sum(brought) == (seen if keys == most else sum(block["keys"] for block in made))
        assert {block["rewind"] for block in made} == {int(keys > most)}
        assert [block["keep"] for block in made] == ([1, 1, 0] if keys == most else [0, 0, 0])
        assert_walked([work], params)


def test_longest_numbers() -> None:
    params = tiny()
    offsets = (LONGEST, LONGEST - 5, 0, -1, -LONGEST, 5 - LONGEST)
    assert_walked([job(9, LONGEST, 1, offset, (2**20 - 1, -128)) for offset in offsets], params)
    assert_walked([job(9, LONGEST), job(9, 0), job(1, 1, 1, -1)], params)


def test_largest_groups() -> None:
    params = tiny(cols=256, slots=64, lanes=1)
    offsets = (LONGEST, 0, -1, -LONGEST)
    assert_walked([job(9, LONGEST, 1, offset, group=LARGEST) for offset in offsets], params)
    assert_walked([job(9, LONGEST, group=LARGEST)], params)


def test_last_blocks_of_the_longest_job() -> None:
    params = tiny(cols=256, slots=64, lanes=1)
    work = job(LONGEST, LONGEST, 1, 0)
    assert len(blocks(work, params)) == 64
    assert_walked([work], params)


@pytest.mark.parametrize("params", SHAPES)
def test_latency(params: Params) -> None:
    slots, size = params.config.slots, params.block
    works = [job(3 * size, 4), job(3 * size, 4, 1, -3 * size), job(2 * size + 1, 9, 1, -1)]
    works += [job(size, 4, 1, -1, group=3), job(size, 4, group=3)]
    for work in works:
        # A bound in positions is found by division.
        most = slots + 9 + (-(-size // work["group"]) + 2 if work["causal"] and work["group"] > 1 else 0)
        cycles: list[dict[str, Any]] = [{"job.payload": work, "job.valid": 1, "block.ready": 1}, {"job.valid": 0}]
        seen = clocked(BlockWalker(params), cycles, ["block.valid", "working", "job.ready"], 3 * most)
        offers = [t for t, (valid, _, _) in enumerate(seen) if valid]
        assert len(offers) == len(blocks(work, params)) == 3
        assert max(later - t for t, later in zip([0, *offers], offers, strict=False)) <= most
        # It works from the cycle after the job is taken until the last block is.
        busy = [0 < t <= offers[-1] for t in range(len(seen))]
        assert [bool(working) for _, working, _ in seen] == busy
        assert [not ready for _, _, ready in seen] == busy


@STALLS
@pytest.mark.parametrize(
    "params",
    [
        pytest.param(tiny(block_list=True), id="list"),
        pytest.param(sinking(cols=3, slots=3, lanes=3), id="sink"),
        pytest.param(sinking(cols=1, slots=5, block_list=True), id="both"),
    ],
)
def test_blocks_whose_keys_come_as_segments(params: Params, idle: int | None, pressure: int | None) -> None:
    jobs = random_jobs(2, params, 20)
    if params.score is not None:
        jobs = [work | {"batch": 7 * i, "head": 3 * i + 1} for i, work in enumerate(jobs)]
    if params.config.block_list:
        jobs = [work | {"listed": i % 2} for i, work in enumerate(jobs)]
    assert_walked(jobs, params, idle, pressure)


def test_latency_of_blocks_whose_keys_come_as_segments() -> None:
    params = tiny(block_list=True)
    work = job(3 * params.block, 4, 1, -1, group=3)
    cycles: list[dict[str, Any]] = [{"job.payload": work, "job.valid": 1, "block.ready": 1}, {"job.valid": 0}]
    seen = clocked(BlockWalker(params), cycles, ["block.valid"], 100)
    offers = [t for t, (valid,) in enumerate(seen) if valid]
    assert len(offers) == 9
    assert max(later - t for t, later in zip([0, *offers], offers, strict=False)) <= params.config.slots + 5
