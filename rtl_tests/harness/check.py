"""Equality with the golden model, and the equations that the counters have to satisfy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from golden.bitexact.attention import allowed_pairs, attend
from hwgen.control.causes import Cause
from hwgen.params import Params
from hwgen.sim.run import HeadJob, HeadResult, RunResult


def expected(params: Params, jobs: Sequence[HeadJob]) -> list:
    """Golden results, one a job."""
    return [attend(head.q, head.k, head.v, head.job, params.numerics) for head in jobs]


def assert_bits(got: HeadResult, want, label: str) -> None:
    """O codes, RM, RD and flags: every bit."""
    for name in ("empty", "poisoned", "rm", "rd", "out"):
        a, b = getattr(got, name), getattr(want, name)
        assert a.shape == b.shape, f"{label}: {name} has shape {a.shape}, not {b.shape}"
        if not np.array_equal(a, b):
            at = tuple(int(i) for i in np.argwhere(a != b)[0])
            raise AssertionError(f"{label}: {name}{list(at)} is {a[at]!r}, golden has {b[at]!r}")


def visits(params: Params, head: HeadJob) -> int:
    """How often a key is shown to a slot that holds a query allowed to see it."""
    total = 0
    for first in range(0, len(head.q), params.config.cols):
        queries = min(params.config.cols, len(head.q) - first)
        total += int(allowed_pairs(head.job, first, queries).any(axis=0).sum())
    return total


def pairs(head: HeadJob) -> int:
    """Allowed (query, key) pairs."""
    return int(allowed_pairs(head.job, 0, len(head.q)).sum())


def assert_run(params: Params, jobs: Sequence[HeadJob], result: RunResult) -> None:
    """Everything a run can be asked."""
    golden = expected(params, jobs)
    for i, (got, want) in enumerate(zip(result.heads, golden, strict=True)):
        assert_bits(got, want, f"job {i} ({len(jobs[i].q)} queries, {jobs[i].job})")
    counters = result.counters
    all_visits = sum(visits(params, head) for head in jobs)
    assert counters["jobs"] == len(jobs)
    assert counters["pairs"] == sum(pairs(head) for head in jobs)
    assert counters["score_busy"] == all_visits * params.folds_e
    assert counters["value_busy"] == all_visits * params.folds_f
    for array, folds in (("score", params.folds_e), ("value", params.folds_f)):
        idle = result.idle(array)
        assert counters[f"{array}_busy"] + sum(idle.values()) == counters["cycles"]
        assert idle[Cause.PAD.name.lower()] == all_visits * (params.visit - folds)
    assert result.poisoned == any(want.poisoned.any() for want in golden)
    assert result.saturated == any(want.saturated.any() for want in golden)
