"""A reset in the middle of anything leaves a machine that works."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.control.register_map import COUNTERS_BASE, register_map
from hwgen.sim.build import build as build_core
from hwgen.sim.run import Traffic, simulate
from hwgen.sim.session import Session
from hwgen.timing import reset_cycles
from rtl_tests.fuzz import machines
from rtl_tests.fuzz.cases import Case, Job
from rtl_tests.fuzz.host import Host
from rtl_tests.fuzz.scene import Scene
from rtl_tests.harness.check import assert_run
from rtl_tests.harness.configurations import params
from rtl_tests.harness.jobs import every_shape

MACHINE = "bus of 64"


@pytest.mark.parametrize("cycle", [1, 61, 250, 1009])
@pytest.mark.parametrize("name", ["base", "shared_lane"])
def test_reset_in_mid_job(name: str, cycle: int) -> None:
    core = params(name)
    jobs = every_shape(core, cycle)
    run = simulate(build_core(core, address_bits=16, fast=False), jobs, traffic=Traffic(stall=30), reset_at=cycle)
    assert_run(core, jobs, run)


@pytest.mark.parametrize("cycles", range(1, 7))
def test_short_resets_leave_no_trace(cycles: int) -> None:
    """Whether work is done, going on or just beginning: every register reads as behind the first reset, but for the
    counters, which are of the last descriptor that ended. (The parts' own resets come later than the registers': for
    some cycles the queue's head is that of before.)"""
    scene = Scene(Case(name="short", machine=MACHINE, jobs=(Job(keys=9, queries=5, head_e=8, head_f=8),) * 2))
    registers = [r.name for r in register_map(scene.params) if r.address < COUNTERS_BASE]
    rng = np.random.default_rng(cycles)
    build, traits = machines.build(MACHINE, fast=False), scene.case.memory.traits({})
    with Session(build, scene.before, scene.image.base, traits) as s:
        host = Host(s, scene.ring, scene.params, traits)

        def reset(length: int) -> dict[str, int]:
            s.reset(length)
            s.sleep(2 * reset_cycles(scene.params))
            return {name: s.read(name) for name in registers}

        fresh = reset(2 * reset_cycles(scene.params))
        for sleep in (None, *range(12), *rng.integers(12, 900, 12)):
            host.prepare(0, 2)
            host.ring_bell(2)
            if sleep is None:
                host.finish(20_000)
            else:
                s.sleep(int(sleep))
            assert reset(cycles) == fresh, sleep
