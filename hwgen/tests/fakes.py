"""Stand-ins for slow parts: runs that agree with the golden model without a simulator, Verilog that says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from golden.bitexact import Result
from golden.bitexact.numerics import REFERENCE_BITS
from hwgen.checked import Checked
from hwgen.compare import compare, golden_results, measure_error
from hwgen.control.causes import BUSY, Cause
from hwgen.control.counters import counters_layout
from hwgen.core import Core
from hwgen.inputs import Problem, make_problem, random_tensors
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.build import Build
from hwgen.sim.run import HeadJob, HeadResult, RunResult

TINY = Params(preset("tiny"))
CYCLES = 1000
ACTIVITY = [(0, Cause.FILL, 0), (100, BUSY, 0), (130, BUSY, 1), (600, Cause.WAIT_K, 1), (640, BUSY, 1)]
ACTIVITY += [(900, Cause.DRAIN, 1), (930, Cause.DRAIN, 0)]


def random_problem(shape: tuple[int, int, int, int] = (2, 2, 6, 9), params: Params = TINY, **masks: Any) -> Problem:
    return make_problem(random_tensors(shape, 7, params), "random", params, **masks)


def agreeing(golden: Sequence[Result]) -> RunResult:
    """What a run returns that computed exactly `golden`."""
    heads = [HeadResult(g.out.copy(), g.rm.copy(), g.rd.copy(), g.empty.copy(), g.poisoned.copy()) for g in golden]
    counters = {name: 0 for name, _ in counters_layout()}
    counters |= {"cycles": CYCLES, "score_busy": 760, "value_busy": 800, "pairs": 3800}
    counters |= {"score_idle_fill": 100, "score_idle_wait_k": 40, "score_idle_drain": 100, "value_idle_fill": 130}
    saturated, poisoned = (any(bool(getattr(g, name).any()) for g in golden) for name in ("saturated", "poisoned"))
    return RunResult(heads, counters, saturated, poisoned, 0.5, [(t, int(cause), busy) for t, cause, busy in ACTIVITY])


def with_flipped_bit(result: RunResult, head: int, name: str, index: tuple[int, ...], bit: int) -> RunResult:
    """The same result with one bit of one number inverted, RM being a signed number of REFERENCE_BITS."""
    values = getattr(result.heads[head], name).copy()
    values[index] ^= values.dtype.type(1 << bit) if values.dtype != bool else np.True_
    if name == "rm":
        half = 1 << (REFERENCE_BITS - 1)
        values[index] = (values[index] + half) % (2 * half) - half
    heads = list(result.heads)
    heads[head] = replace(heads[head], **{name: values})
    return replace(result, heads=heads)


def checked_run(problem: Problem | None = None, params: Params = TINY) -> Checked:
    problem = problem or random_problem(params=params)
    golden = golden_results(problem.jobs(params), params)
    result = agreeing(golden)
    comparison = compare(result, golden, problem.shape.Hq, params)
    error = measure_error(result, problem, params)
    return Checked("tiny", params, problem, Build(Path("nowhere"), params), result, comparison, error, 1.5)


def arrays(**changes: Any) -> dict[str, Any]:
    """q, k and v that suit `tiny`, with changes; None leaves an array out."""
    good = {name: np.ones((1, 1, rows, 8), np.float32) for name, rows in (("q", 3), ("k", 5), ("v", 5))}
    return {name: array for name, array in (good | changes).items() if array is not None}


class FakeSimulator:
    """Computes what it is given with the golden model, inverts the bits in `flips`, remembers how it was called."""

    def __init__(self) -> None:
        self.flips: list[tuple[int, str, tuple[int, ...], int]] = []
        self.built: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.jobs: Sequence[HeadJob] = ()

    def build(self, params: Params, **options: Any) -> Build:
        self.built = options
        return Build(Path("nowhere"), params)

    def simulate(self, build: Build, jobs: Sequence[HeadJob], **options: Any) -> RunResult:
        self.options, self.jobs = options, jobs
        if options.get("waves") is not None:
            options.get("waves").write_text("$end\n")
        result = agreeing(golden_results(jobs, build.params))
        for flip in self.flips:
            result = with_flipped_bit(result, *flip)
        return result


def empty_verilog(core: Core, name: str) -> str:
    """In place of `to_verilog`: an empty module at once."""
    core._MustUse__used = True  # else Amaranth warns that nobody elaborated it
    return f"module {name}(clk);\nendmodule\n"
