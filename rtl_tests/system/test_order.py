"""Results do not depend on when things happen: not on the traffic, not on the shape of the arrays."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.sim.build import build
from hwgen.sim.run import HeadJob, RunResult, Traffic, simulate
from rtl_tests.harness.configurations import params
from rtl_tests.harness.jobs import every_shape

QUIET = Traffic(seed=1)
TRAFFIC = [Traffic(seed=2), Traffic(seed=3, idle=200), Traffic(seed=4, stall=200), Traffic(seed=5, idle=150, stall=150)]
TRAFFIC += [Traffic(seed=6, idle=150, stall=150)]
# Cores with equal numbers and head dimensions, and unlike in everything else.
ALIKE = [("base", "shared_lane"), ("four_folds", "one_lane_for_four"), ("one_fold", "lane_slower_than_folds")]


def run(name: str, jobs: list[HeadJob], traffic: Traffic) -> RunResult:
    return simulate(build(params(name), address_bits=16, fast=False), jobs, traffic=traffic)


def assert_equal(one: RunResult, other: RunResult) -> None:
    """Every bit of all results."""
    assert len(one.heads) == len(other.heads)
    for i, (a, b) in enumerate(zip(one.heads, other.heads, strict=True)):
        for name in ("out", "rm", "rd", "empty", "poisoned"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), f"job {i}: {name}"
    assert (one.saturated, one.poisoned) == (other.saturated, other.poisoned)


@pytest.mark.parametrize("name", ["base", "one_fold"])
@pytest.mark.parametrize("seed", [11])
def test_traffic_changes_no_bit(seed: int, name: str) -> None:
    jobs = every_shape(params(name), seed)
    quiet = run(name, jobs, QUIET)
    cycles = {quiet.counters["cycles"]}
    for traffic in TRAFFIC:
        result = run(name, jobs, traffic)
        assert_equal(quiet, result)
        assert result.counters["pairs"] == quiet.counters["pairs"]
        cycles.add(result.counters["cycles"])
    # The seed of a source that never pauses changes nothing; all else does.
    assert len(cycles) == len(TRAFFIC)


@pytest.mark.parametrize("pair", ALIKE, ids="-".join)
@pytest.mark.parametrize("seed", [12])
def test_the_shape_of_the_arrays_changes_no_bit(seed: int, pair: tuple[str, str]) -> None:
    one, other = (params(name) for name in pair)
    assert one.numerics == other.numerics
    assert (one.config.head_e, one.config.head_f) == (other.config.head_e, other.config.head_f)
    assert one.config.cols != other.config.cols
    # Blocks of either core end in the middle of the other's.
    jobs = every_shape(one, seed) + every_shape(other, seed + 1)
    results = [run(name, jobs, QUIET) for name in pair]
    assert_equal(*results)
    assert results[0].counters["pairs"] == results[1].counters["pairs"]
    assert results[0].counters["cycles"] != results[1].counters["cycles"]


def test_a_changed_bit_is_noticed() -> None:
    jobs = every_shape(params("base"), 13)
    result, changed = (run("base", jobs, QUIET) for _ in range(2))
    assert_equal(result, changed)
    for name in ("out", "rm", "rd", "empty", "poisoned"):
        values = getattr(changed.heads[-1], name)
        values[-1:] ^= values.dtype.type(1)
        with pytest.raises(AssertionError, match=f"job {len(jobs) - 1}: {name}"):
            assert_equal(result, changed)
        values[-1:] ^= values.dtype.type(1)
