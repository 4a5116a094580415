"""The core's events against lists of what happened in every cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.causes import BUSY, Cause
from hwgen.control.counters import CORE_COUNTERS, CoreEvents, events_layout
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.tests.bench import clocked, tiny
from hwgen.timing import issue_latency, value_latency

CYCLES = 300
PARAMS = tiny(head_e=16)
LAST = PARAMS.folds_e - 1


def history(seed: int, params: Params) -> list[dict[str, Any]]:
    """Inputs of all cycles: any cause, any work of the value array, now and then no cycle that counts."""
    rng = np.random.default_rng(seed)
    return [
        {
            "cause": int(rng.choice([*Cause, BUSY, BUSY, BUSY])),
            "value_busy": int(rng.integers(2)),
            "pairs": int(rng.integers(params.config.cols + 1)),
            "job_done": int(rng.integers(2)),
            "busy": int(rng.random() < 0.8),
        }
        for _ in range(CYCLES)
    ]


def counted(params: Params, last_fold_e: int, cycles: list[dict[str, Any]]) -> dict[str, int]:
    """All events of some cycles, each of which is told LATENCY cycles later."""
    inputs = [{"last_fold_e": last_fold_e}, *cycles, *[{"busy": 0}] * CoreEvents.LATENCY]
    totals = dict.fromkeys(CORE_COUNTERS, 0)
    for (events,) in clocked(CoreEvents(params), inputs, ["events"])[1 + CoreEvents.LATENCY :]:
        totals = {name: totals[name] + step for name, step in unpack(events_layout(params), events).items()}
    return totals


def expected(params: Params, last_fold_e: int, cycles: list[dict[str, Any]]) -> dict[str, int]:
    """Every cycle that counts has one cause for each array; the value array's is the score array's, some cycles old."""
    counts = dict.fromkeys(CORE_COUNTERS, 0)
    lag = issue_latency() + value_latency(params) - (params.folds_e - 1 - last_fold_e)
    for t, now in enumerate(cycles):
        if not now["busy"]:
            continue
        before = cycles[t - lag]["cause"] if t >= lag else Cause.FILL
        value = BUSY if now["value_busy"] else Cause.PAD if before == BUSY else before
        for array, cause in (("score", now["cause"]), ("value", value)):
            counts[f"{array}_busy" if cause == BUSY else f"{array}_idle_{Cause(cause).name.lower()}"] += 1
        counts["cycles"] += 1
        counts["pairs"] += now["pairs"]
        counts["jobs"] += now["job_done"]
    return counts


@pytest.mark.parametrize("last_fold_e", range(LAST + 1))
def test_causes_reach_the_value_array_with_the_data(last_fold_e: int) -> None:
    cycles = history(1, PARAMS)
    want = expected(PARAMS, last_fold_e, cycles)
    assert counted(PARAMS, last_fold_e, cycles) == want
    # Some of every kind; another number of folds would give other counts.
    assert all(want.values()) and want != expected(PARAMS, (last_fold_e + 1) % (LAST + 1), cycles)
    for array in ("score", "value"):
        idle = sum(count for name, count in want.items() if name.startswith(f"{array}_idle_"))
        assert want[f"{array}_busy"] + idle == want["cycles"]


def test_nothing_is_told_before_it_happened() -> None:
    cycles = [{"busy": 1, "cause": BUSY, "pairs": 2, "job_done": 1}, {"busy": 0}]
    seen = clocked(CoreEvents(PARAMS), cycles, ["events"], rest=3)
    told = [{name for name, step in unpack(events_layout(PARAMS), events).items() if step} for (events,) in seen]
    assert told[CoreEvents.LATENCY] >= {"cycles", "score_busy", "pairs", "jobs"}
    assert not any(told[: CoreEvents.LATENCY] + told[CoreEvents.LATENCY + 1 :])
