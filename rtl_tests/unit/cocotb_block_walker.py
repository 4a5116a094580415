"""Runs in the simulator: jobs in, blocks out, as they follow from which query sees which key."""

import os

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly

from hwgen.control.job import job_layout
from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.tests.jobs import Fields, all_blocks, job
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import bits_of
from rtl_tests.harness.streams import Sink, Source, start

JOBS = 60
LONGEST = 1 << 20


def random_jobs(rng: np.random.Generator, core: Params) -> list[Fields]:
    """Jobs of a few blocks, most of them causal, some of them of grouped heads or with nothing to see; and the largest
    numbers."""
    size, jobs = core.block, []
    for _ in range(JOBS):
        group = int(rng.choice([1, 1, 2, 3, 2 * core.config.cols + 1, size + 1]))
        reach = -(-4 * size // group)
        jobs.append(
            job(
                int(rng.integers(1, reach + 1)),
                int(rng.choice([0, 1, *rng.integers(1, 5 * size, 6)])),
                int(rng.random() < 0.7),
                int(rng.integers(-reach, reach)),
                (int(rng.integers(1 - 2**20, 2**20)), int(rng.integers(-128, 128))),
                group,
            )
        )
    largest = [job(size, LONGEST, 1, offset, group=group) for offset in (LONGEST, 0, -LONGEST) for group in (1, 64)]
    return [*jobs, *largest, job(1, LONGEST)]


@cocotb.test()
async def jobs_are_cut(dut) -> None:
    core = params(os.environ["CORE"])
    jobs = random_jobs(np.random.default_rng(int(os.environ["SEED"])), core)
    want = [block for _, block in all_blocks(jobs, core)]
    source = Source(dut, "job", float(os.environ["IDLE"]), seed=11)
    sink = Sink(dut, "block", float(os.environ["STALL"]), seed=12)
    await start(dut)
    cocotb.start_soon(source.send([bits_of(job_layout(core), work) for work in jobs]))
    got = [unpack(block_layout(core), word) for word in await sink.receive(len(want))]
    for block in got:
        if not block["causal"]:
            # Means nothing without a mask.
            del block["edge"]
    assert got == want
    # With its last block the last job is through.
    await ReadOnly()
    assert not dut.working.value
    for name in ("void_slots", "keys", "fresh", "keep", "rewind"):
        assert {bool(block[name]) for block in want} == {False, True}, name
