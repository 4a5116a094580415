"""Why each array idled, cycle by cycle."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hwgen.control.causes import BUSY, Cause
from hwgen.report.activity import Stretch, merged, stretches, value_causes, value_delay
from hwgen.tests.fakes import ACTIVITY, CYCLES, checked_run
from hwgen.timing import issue_latency, value_latency


def cycle_by_cycle(found: list[Stretch]) -> list[int]:
    return [stretch.code for stretch in found for _ in range(stretch.cycles)]


def test_changes_that_change_nothing_are_merged() -> None:
    assert merged([(0, 2), (3, 2), (5, 1), (6, 2)], 9) == [Stretch(0, 5, 2), Stretch(5, 6, 1), Stretch(6, 9, 2)]


def test_the_score_array_does_what_was_traced() -> None:
    found = stretches(checked_run())["score"]
    assert [found[0].first, found[-1].end] == [0, CYCLES]
    assert all(a.end == b.first and a.code != b.code for a, b in zip(found, found[1:], strict=False))
    log = cycle_by_cycle(found)
    for (first, cause, _), (end, _, _) in zip(ACTIVITY, [*ACTIVITY[1:], (CYCLES, 0, 0)], strict=True):
        assert log[first:end] == [cause] * (end - first)


def test_the_value_array_idles_for_what_the_score_array_idled_for() -> None:
    """Against a shift register, as the hardware counts."""
    rng = np.random.default_rng(3)
    for delay in (1, 7, 60):
        codes = np.repeat(rng.choice([*Cause, BUSY], 80), rng.integers(1, 9, 80))
        busy = np.repeat(rng.integers(0, 2, 90), rng.integers(1, 9, 90))[: len(codes)]
        busy = np.pad(busy, (0, len(codes) - len(busy)))
        score, value = (merged(list(enumerate(row.tolist())), len(codes)) for row in (codes, busy))
        late = [int(Cause.NO_JOB)] * delay + codes.tolist()
        want = [BUSY if b else (Cause.PAD if c == BUSY else c) for b, c in zip(busy.tolist(), late, strict=False)]
        assert cycle_by_cycle(value_causes(score, value, delay)) == want
        assert len(Counter(want)) > 8


def test_fewer_folds_are_less_latency() -> None:
    checked = checked_run()
    params = checked.params
    short = replace(checked, result=replace(checked.result, head_e=3))
    assert params.folds_e == 2
    most = issue_latency() + value_latency(params)
    assert [value_delay(run) for run in (checked, short)] == [most, most - 1]


def test_an_untraced_run_is_refused() -> None:
    checked = checked_run()
    with pytest.raises(ValueError, match="not traced"):
        stretches(replace(checked, result=replace(checked.result, activity=[])))
