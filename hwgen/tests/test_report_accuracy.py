"""Errors in last places of the output format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from golden.formats import BF16, FP16, FP32, decode, encode
from hwgen.compare import outputs
from hwgen.report.accuracy import accuracy, last_place
from hwgen.tests.fakes import TINY, checked_run, random_problem, with_flipped_bit


def test_the_last_place_is_the_distance_to_the_next_number() -> None:
    """Of positive numbers of each format: from a code to the one above."""
    rng = np.random.default_rng(2)
    for fmt in (BF16, FP16, FP32):
        codes = np.concatenate([[0, 1, 2], rng.integers(0, fmt.infinity - 1, 2000)]).astype(fmt.dtype)
        values, above = (decode(c.astype(fmt.dtype), fmt) for c in (codes, codes + 1))
        np.testing.assert_array_equal(last_place(values, fmt), above - values)
        np.testing.assert_array_equal(last_place(-values, fmt), above - values)


def test_every_output_is_counted_once() -> None:
    run = checked_run()
    found = accuracy(run)
    s = run.problem.shape
    assert found.outputs == s.B * s.Hq * s.L * s.F == found.measured.sum() == found.rounded.sum()
    assert found.others == 0
    middle = np.abs(found.edges[:-1] + found.edges[1:]) / 2
    # Rounding alone is never more than half a last place.
    assert found.rounded[middle > 0.5].sum() == 0 and found.rounded[middle < 0.5].sum() == found.outputs


def test_a_wrong_last_bit_is_an_error_of_about_one() -> None:
    run = checked_run()
    before = accuracy(run)
    got, want = outputs(run.result, run.problem, TINY)
    place = (3, 5)
    wrong = replace(run, result=with_flipped_bit(run.result, 1, "out", place, 0))
    after = accuracy(wrong)
    code = encode(np.array([got[0, 1][place]]), BF16) ^ np.uint16(1)
    error = abs(decode(code, BF16)[0] - want[0, 1][place]) / last_place(want[0, 1][place], BF16)
    assert 0.4 < error < 2
    share = 1 / before.outputs
    assert after.as_rounded == pytest.approx(before.as_rounded - share, rel=1e-12)
    assert after.within_one == pytest.approx(before.within_one - (share if error > 1 else 0), rel=1e-12)
    assert np.abs(after.measured - before.measured).sum() == 2


def test_errors_beyond_the_histogram_are_at_its_ends() -> None:
    run = checked_run()
    after = accuracy(replace(run, result=with_flipped_bit(run.result, 0, "out", (0, 0), 14)))
    assert after.within_one < accuracy(run).within_one
    assert after.measured[0] + after.measured[-1] == 1 and after.measured.sum() == after.outputs


def test_numbers_only() -> None:
    problem = random_problem()
    q = problem.q.copy()
    q[1, 1, 4] = encode(np.full(8, np.nan), BF16)
    found = accuracy(checked_run(replace(problem, q=q)))
    assert found.others == 8 and found.outputs == problem.shape.B * problem.shape.Hq * problem.shape.L * 8 - 8


def test_nothing_but_poison() -> None:
    problem = random_problem((1, 1, 2, 3))
    found = accuracy(checked_run(replace(problem, q=np.full_like(problem.q, BF16.quiet_nan))))
    assert (found.outputs, found.as_rounded, found.within_one, found.measured.sum()) == (0, 1.0, 1.0, 0)
