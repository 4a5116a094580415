"""A whole problem on the simulated accelerator: one descriptor, every result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.inputs import Problem
from hwgen.params import Params
from hwgen.sim.events import Events
from hwgen.sim.layout import Image, Outputs, Placed
from hwgen.sim.run import HeadResult, RunResult
from hwgen.sim.system import MemoryTraits, SystemBuild, SystemResult, run_system


def place_problem(problem: Problem, params: Params, lse: bool) -> tuple[Image, Placed]:
    """The problem's tensors in memory, row major, and its descriptor. Raises InputError for a scale that cannot be
    encoded."""
    lengths = None if problem.keys == problem.shape.S else np.full(problem.shape.B, problem.keys)
    image = Image(params)
    code, masks = problem.scale_code(params), {"causal": problem.causal, "offset": problem.offset}
    tensors = problem.q, problem.k, problem.v
    return image, image.add(*tensors, scale=code, key_lengths=lengths, lse=lse, **masks)  # type: ignore[arg-type]


def memory_size(problem: Problem, params: Params) -> int:
    """Bytes of memory that the problem takes."""
    return place_problem(problem, params, lse=True)[0].size


def run_layer(
    build: SystemBuild,
    problem: Problem,
    *,
    lse: bool = True,
    memory: MemoryTraits | None = None,
    trace: bool = False,
    waves: Path | None = None,
) -> RunResult:
    """Results of all heads in the order of (B, Hq), LSE only if asked for, and what the accelerator counted.

    Raises SimulationError if the run does not end, breaks a protocol, reports a fault, or changes a byte that belongs
    neither to O nor to LSE.
    """
    image, placed = place_problem(problem, build.params, lse)
    outputs, result = run_placed(build, image, placed, memory=memory, trace=trace, waves=waves)
    shape, run = problem.shape, result.last
    heads = list(head_results(outputs))
    activity = working_activity(result.activity)
    events = Events(result.events, working_start(result.activity), placed.places) if trace else None
    counted = run.counters, run.saturated, run.poisoned, result.seconds
    return RunResult(heads, shape.E, shape.F, *counted, activity, events)


def run_placed(build: SystemBuild, image: Image, placed: Placed, **options: Any) -> tuple[Outputs, SystemResult]:
    """What one descriptor gives, `options` being those of `run_system`; raises what `run_layer` raises."""
    result = run_system(build, image, [placed.descriptor], **options)
    result.require_faultless()
    image.require_untouched(result.memory)
    return placed.outputs(result.memory), result


def head_results(outputs: Outputs) -> Iterator[HeadResult]:
    """One a head, in the order of (B, Hq)."""
    for at in np.ndindex(outputs.out.shape[:2]):
        yield HeadResult(*(None if part is None else part[at] for part in outputs))  # type: ignore[arg-type]


def working_start(activity: list[tuple[int, int, int, int]]) -> int:
    """The cycle since reset in which the accelerator began to work; 0 if it never did."""
    return next((cycle for cycle, _, _, active in activity if active), 0)


def working_activity(activity: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int]]:
    """(cycle, cause, value_busy) at every change while the accelerator works, from cycle 0 on."""
    start = working_start(activity)
    return [(cycle - start, cause, busy) for cycle, cause, busy, active in activity if active]
