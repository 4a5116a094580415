"""The block walker against blocks found by asking of queries which keys they see."""

from typing import Any

import numpy as np
import pytest

from hwgen.control.block_walker import BlockWalker
from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender, tiny
from hwgen.tests.jobs import Fields, all_blocks, blocks, job

LONGEST = 1 << 20

SHAPES = [
    pytest.param(tiny(), id="4x2"),
    pytest.param(tiny(cols=4, slots=1), id="1x4"),
    pytest.param(tiny(cols=1, slots=5), id="5x1"),
    pytest.param(tiny(cols=3, slots=3, lanes=3), id="3x3"),
]


def taken(payloads: list[int], params: Params) -> list[Fields]:
    """What a receiver took, in the same form."""
    views = [block_layout(params).from_bits(bits) for bits in payloads]
    names = [name for name in block_layout(params).members if name != "edge"]
    fields = [{name: int(view[name]) for name in names} for view in views]
    return [f | ({"edge": int(v.edge)} if v.causal else {}) for f, v in zip(fields, views, strict=True)]


def assert_walked(jobs: list[Fields], params: Params, idle: int | None = None, pressure: int | None = None) -> None:
    """All jobs, one after the other, give the model's blocks."""
    want = [block for _, block in all_blocks(jobs, params)]
    dut, got = BlockWalker(params), list[int]()
    run(dut, sender(dut.job, jobs, idle), receiver(dut.block, len(want), got, pressure))
    assert taken(got, params) == want


def random_jobs(seed: int, params: Params, count: int) -> list[Fields]:
    """Jobs of a few blocks; offsets from far before the first query to far behind the last key."""
    rng = np.random.default_rng(seed)
    size = params.block
    return [
        job(
            int(rng.integers(1, 4 * size)),
            int(rng.choice([0, *rng.integers(1, 5 * size, 4)])),
            int(rng.random() < 0.8),
            int(rng.integers(-4 * size, 3 * size)),
            (int(rng.integers(-(2**20) + 1, 2**20)), int(rng.integers(-128, 128))),
        )
        for _ in range(count)
    ]


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


def test_longest_numbers() -> None:
    params = tiny()
    offsets = (LONGEST, LONGEST - 5, 0, -1, -LONGEST, 5 - LONGEST)
    assert_walked([job(9, LONGEST, 1, offset, (2**20 - 1, -128)) for offset in offsets], params)
    assert_walked([job(9, LONGEST), job(9, 0), job(1, 1, 1, -1)], params)


def test_last_blocks_of_the_longest_job() -> None:
    params = tiny(cols=256, slots=64, lanes=1)
    work = job(LONGEST, LONGEST, 1, 0)
    assert len(blocks(work, params)) == 64
    assert_walked([work], params)


@pytest.mark.parametrize("params", SHAPES)
def test_latency(params: Params) -> None:
    slots, size = params.config.slots, params.block
    for work in (job(3 * size, 4), job(3 * size, 4, 1, -3 * size), job(2 * size + 1, 9, 1, -1)):
        cycles: list[dict[str, Any]] = [{"job.payload": work, "job.valid": 1, "block.ready": 1}, {"job.valid": 0}]
        seen = clocked(BlockWalker(params), cycles, ["block.valid", "working", "job.ready"], 3 * (slots + 3))
        offers = [t for t, (valid, _, _) in enumerate(seen) if valid]
        assert len(offers) == len(blocks(work, params)) == 3
        assert all(later - t <= slots + 3 for t, later in zip([0, *offers], offers, strict=False))
        # It works from the cycle after the job is taken until the last block is.
        busy = [0 < t <= offers[-1] for t in range(len(seen))]
        assert [bool(working) for _, working, _ in seen] == busy
        assert [not ready for _, _, ready in seen] == busy
