"""The counters against lists of what happened in every cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.causes import BUSY, Cause
from hwgen.control.counters import Counters, counters_layout
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.tests.bench import clocked, tiny
from hwgen.timing import value_latency

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
            "clear": 0,
        }
        for _ in range(CYCLES)
    ]


def counted(params: Params, last_fold_e: int, cycles: list[dict[str, Any]]) -> dict[str, int]:
    """The counters behind the last cycle."""
    seen = clocked(Counters(params), [{"last_fold_e": last_fold_e}, *cycles, {"busy": 0}], ["counters"])
    return unpack(counters_layout(), seen[-1][0])


def expected(params: Params, last_fold_e: int, cycles: list[dict[str, Any]]) -> dict[str, int]:
    """Every cycle that counts has one cause for each array; the value array's is the score array's, some cycles old."""
    counts = {name: 0 for name, _ in counters_layout()}
    lag = value_latency(params) - (params.folds_e - 1 - last_fold_e)
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


def test_clear() -> None:
    cycles = history(2, PARAMS)
    cycles[200]["clear"] = 1
    want, before = expected(PARAMS, LAST, cycles), expected(PARAMS, LAST, cycles[:201])
    # The cycle of `clear` counts no more than those before.
    assert counted(PARAMS, LAST, cycles) == {name: want[name] - before[name] for name in want}
