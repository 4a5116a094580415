"""Every configuration x every shape, under idle sources and refusing sinks."""

from __future__ import annotations

import pytest

from hwgen.sim.build import build
from hwgen.sim.run import Traffic, simulate
from rtl_tests.harness.check import assert_run
from rtl_tests.harness.configurations import CHANGES, params
from rtl_tests.harness.jobs import every_shape, heads

TRAFFIC = [(0, 0), (110, 0), (0, 110), (70, 70)]


@pytest.mark.parametrize("name", CHANGES)
def test_every_shape(name: str) -> None:
    """Repeat one with: pytest rtl_tests/system/test_matrix.py -k 'test_every_shape[NAME]'."""
    core = params(name)
    simulator = build(core, address_bits=16, fast=False)
    for seed, ((idle, stall), head) in enumerate(zip(TRAFFIC, heads(core), strict=True)):
        jobs = every_shape(core, seed, head)
        print(f"{name}: seed {seed}, idle {idle}, stall {stall}, E={head[0]} F={head[1]}")
        assert_run(core, jobs, simulate(simulator, jobs, traffic=Traffic(seed=seed, idle=idle, stall=stall)))


def test_the_matrix_is_large() -> None:
    assert len(CHANGES) >= 24
