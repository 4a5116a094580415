"""Equality with the golden model, and the equations that the counters have to satisfy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from golden.bitexact.attention import Result, allowed_pairs, attend
from hwgen.control.causes import Cause
from hwgen.control.job import geometry
from hwgen.params import Params
from hwgen.sim.run import HeadJob, HeadResult, RunResult


def expected(params: Params, jobs: Sequence[HeadJob]) -> list[Result]:
    """Golden results, one a job: each of its heads for itself, then in the job's order."""
    return [
        interleave([attend(h.q[i :: h.group], h.k, h.v, h.job, params.numerics) for i in range(h.group)]) for h in jobs
    ]


def interleave(results: Sequence[Result]) -> Result:
    """Row p of head i becomes row p * heads + i."""
    return Result(*(np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]) for parts in zip(*results, strict=True)))


def allowed(head: HeadJob) -> np.ndarray:
    """(queries, keys) mask of a job."""
    return np.repeat(allowed_pairs(head.job, 0, len(head.q) // head.group), head.group, axis=0)


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
    mask, cols = allowed(head), params.config.cols
    return sum(int(mask[first : first + cols].any(axis=0).sum()) for first in range(0, len(mask), cols))


def pairs(head: HeadJob) -> int:
    """Allowed (query, key) pairs."""
    return int(allowed(head).sum())


def assert_run(params: Params, jobs: Sequence[HeadJob], result: RunResult) -> None:
    """Everything a run can be asked."""
    golden = expected(params, jobs)
    for i, (got, want) in enumerate(zip(result.heads, golden, strict=True)):
        assert_bits(got, want, f"job {i} ({len(jobs[i].q)} queries, {jobs[i].job})")
    counters = result.counters
    all_visits = sum(visits(params, head) for head in jobs)
    assert counters["jobs"] == len(jobs)
    assert counters["pairs"] == sum(pairs(head) for head in jobs)
    dimensions = geometry(params, result.head_e, result.head_f)
    folds_e, folds_f, visit = (dimensions[name] + 1 for name in ("last_fold_e", "last_fold_f", "last_step"))
    assert counters["score_busy"] == all_visits * folds_e
    assert counters["value_busy"] == all_visits * folds_f
    for array, folds in (("score", folds_e), ("value", folds_f)):
        idle = result.idle(array)
        assert counters[f"{array}_busy"] + sum(idle.values()) == counters["cycles"]
        assert idle[Cause.PAD.name.lower()] == all_visits * (visit - folds)
    assert result.poisoned == any(want.poisoned.any() for want in golden)
    assert result.saturated == any(want.saturated.any() for want in golden)
