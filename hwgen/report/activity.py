"""What each array did in every cycle of a traced run, and why it idled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwgen.checked import Checked
from hwgen.control.causes import BUSY, Cause
from hwgen.control.job import geometry
from hwgen.picture import NAMES
from hwgen.sim.events import Lines
from hwgen.timing import issue_latency, value_latency

ARRAYS = ("score", "value")


class Stretch(NamedTuple):
    """Cycles `first .. end - 1` with one code: BUSY or a Cause."""

    first: int
    end: int
    code: int

    @property
    def cycles(self) -> int:
        return self.end - self.first

    @property
    def name(self) -> str:
        return NAMES[self.code]


def stretches(checked: Checked) -> dict[str, list[Stretch]]:
    """By array, from cycle 0 to the last, without a gap. Raises ValueError if the run was not traced."""
    activity, cycles = checked.result.activity, checked.cycles
    if not activity or activity[0][0] != 0:
        raise ValueError("the run was not traced from its first cycle on")
    score = merged([(first, cause) for first, cause, _ in activity], cycles)
    busy = merged([(first, busy) for first, _, busy in activity], cycles)
    return {"score": score, "value": value_causes(score, busy, value_delay(checked))}


def merged(changes: Sequence[tuple[int, int]], end: int) -> list[Stretch]:
    """Stretches of one code each, for changes (cycle, code) of which some may change nothing."""
    real = [change for i, change in enumerate(changes) if i == 0 or change[1] != changes[i - 1][1]]
    ends = [*(first for first, _ in real[1:]), end]
    return [Stretch(first, last, code) for (first, code), last in zip(real, ends, strict=True)]


def cycles_between(lines: Lines, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles (M,) of the stretches (N, 2), which do not overlap, from each of M + 1 edges to the next."""
    if not len(lines):
        return np.zeros(len(edges) - 1, dtype=np.int64)
    # Cycles before an edge are a line through those before the stretches' ends, exact in float64.
    corners = np.stack([lines[:, 0], lines.sum(axis=1)], axis=1).reshape(-1)
    before = np.cumsum(np.stack([np.zeros(len(lines)), lines[:, 1]], axis=1).reshape(-1))
    return np.diff(np.rint(np.interp(edges, corners, before)).astype(np.int64))


def value_delay(checked: Checked) -> int:
    """Cycles by which the value array's causes follow those of the score array: `hwgen.control.counters` counts so."""
    params, result = checked.params, checked.result
    last_fold = geometry(params, result.head_e, result.head_f)["last_fold_e"]
    return issue_latency() + value_latency(params) - (params.folds_e - 1 - last_fold)


def value_causes(score: Sequence[Stretch], busy: Sequence[Stretch], delay: int) -> list[Stretch]:
    """The value array idles for the score array's reason of `delay` cycles before; if that one was busy then, the visit
    is longer than the value array has folds."""
    end = score[-1].end
    # Before the run there was no job.
    late = [Stretch(0, delay, Cause.NO_JOB), *(Stretch(s.first + delay, s.end + delay, s.code) for s in score)]
    cuts = sorted({s.first for s in (*late, *busy) if s.first < end} | {end})
    changes = [(first, _value_code(cause, works)) for first, cause, works in _at(cuts, late, busy)]
    return merged(changes, end)


def _at(cuts: Iterable[int], late: Sequence[Stretch], busy: Sequence[Stretch]) -> Iterable[tuple[int, int, int]]:
    """What both lists say from each cut to the next."""
    i = j = 0
    for first, _ in pairwise(cuts):
        while late[i].end <= first:
            i += 1
        while busy[j].end <= first:
            j += 1
        yield first, late[i].code, busy[j].code


def _value_code(cause: int, works: int) -> int:
    if works:
        return BUSY
    return Cause.PAD if cause == BUSY else cause
