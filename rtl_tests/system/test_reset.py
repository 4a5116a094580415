"""A reset in the middle of anything leaves a core that works."""

from __future__ import annotations

import pytest

from hwgen.sim.build import build
from hwgen.sim.run import Traffic, simulate
from rtl_tests.harness.check import assert_run
from rtl_tests.harness.configurations import params
from rtl_tests.harness.jobs import every_shape


@pytest.mark.parametrize("cycle", [1, 61, 250, 1009])
@pytest.mark.parametrize("name", ["base", "shared_lane"])
def test_reset_in_mid_job(name: str, cycle: int) -> None:
    core = params(name)
    jobs = every_shape(core, cycle)
    run = simulate(build(core, address_bits=16, fast=False), jobs, traffic=Traffic(stall=30), reset_at=cycle)
    assert_run(core, jobs, run)
