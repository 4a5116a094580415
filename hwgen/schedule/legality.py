"""What a schedule may not do: overfill the buffer, fuse over a pass, read what is not there yet."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from golden.cascade import passes as analysis
from golden.cascade import read
from golden.cascade.errors import CascadeError
from golden.cascade.passes import Passes
from golden.exact import Shape
from hwgen.config import did_you_mean
from hwgen.schedule import epoch
from hwgen.schedule.nest import extents
from hwgen.schedule.parts import Array, Phase, Schedule, ScheduleError


def check(schedule: Schedule, array: Array, shape: Shape) -> None:
    """Raises ScheduleError for the first thing that is not legal."""
    check_complete(schedule)
    for phase in schedule.phases:
        epoch.check_dependences(phase, tiles_in_flight(phase, array, shape))
        check_passes(schedule, phase, shape)
        check_capacity(schedule, phase, array, shape)


def footprint(phase: Phase, shape: Shape) -> int:
    """Words that a phase keeps in the buffer: a block of each tensor that lives there."""
    whole = extents(shape)
    sizes = {rank: min(phase.block.get(rank, size), size) for rank, size in whole.items()} | {"M1": 1}
    words: dict[str, int] = {}
    for step in phase.steps:
        for tensor, ranks in (*step.inputs.items(), step.output):
            if "buffer" in phase.home(step.name, tensor):
                own = sizes | dict(phase.part.get(tensor, {}))
                words[tensor] = phase.width.get(tensor, 1) * math.prod(own[rank] for rank in ranks.split())
    for group in phase.shared:
        together = [words.pop(tensor) for tensor in group if tensor in words]
        if together:
            words[group[0]] = max(together)
    return sum(words.values())


def check_capacity(schedule: Schedule, phase: Phase, array: Array, shape: Shape) -> None:
    """That what a phase keeps, less what the schedule lets overflow, fits. Says by how much not, and what would."""
    need = footprint(phase, shape) * array.word * (1 - schedule.overflow)
    if need <= array.buffer_bytes:
        return
    raise ScheduleError(
        f"{schedule.name}, {phase.name}: keeps {need:,.0f} bytes in a buffer of {array.buffer_bytes:,}, "
        f"{need - array.buffer_bytes:,.0f} too many; {_what_fits(schedule, phase, array, shape)}"
    )


def _what_fits(schedule: Schedule, phase: Phase, array: Array, shape: Shape) -> str:
    rows = min(phase.block.get("P", shape.L), shape.L)

    def fits(count: int) -> bool:
        smaller = _with_rows(phase, count)
        return footprint(smaller, shape) * array.word * (1 - schedule.overflow) <= array.buffer_bytes

    if not fits(1):
        return "not even one row of queries fits"
    low, high = 1, rows
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return f"of {rows:,} rows of queries at a time {low:,} fit"


def _with_rows(phase: Phase, rows: int) -> Phase:
    return replace(phase, block={**phase.block, "P": rows}, outer=tuple(dict.fromkeys((*phase.outer, "P"))))


def tiles_in_flight(phase: Phase, array: Array, shape: Shape) -> int:
    """Tiles of other queries between two of the same."""
    rows = min(phase.block.get("P", shape.L), shape.L)
    lanes = [array.unit(s.unit).cols for s in phase.steps if s.cols == "P"]
    return math.ceil(rows / max(lanes)) if lanes else rows


def check_passes(schedule: Schedule, phase: Phase, shape: Shape) -> None:
    """That a phase which works on blocks of keys has Einsums of one pass over the keys only."""
    if not schedule.cascade or phase.block.get("M", shape.S) >= shape.S:
        return
    found: dict[int, list[str]] = {}
    counted = passes(schedule.cascade)
    for einsum, name in computed_by(schedule).items():
        stage = counted.stages[einsum]
        if stage.kind == "in" and any(step.name == name for step in phase.steps):
            found.setdefault(stage.number, []).append(einsum)
    if len(found) > 1:
        listed = "; ".join(f"pass {number}: {', '.join(names)}" for number, names in sorted(found.items()))
        why = next(str(reason) for reason in counted.reasons if reason.number == max(found))
        raise ScheduleError(
            f"{schedule.name}, {phase.name}: works on {phase.block['M']:,} of {shape.S:,} keys at a time, but "
            f"{schedule.cascade} needs all keys between its passes ({listed}): {why}; keep whole rows of scores, "
            f"or give each pass a phase"
        )


def check_complete(schedule: Schedule) -> None:
    """That every Einsum of the cascade has a step, and every step an Einsum."""
    if not schedule.cascade:
        return
    steps = [step.name for phase in schedule.phases for step in phase.steps]
    computed = computed_by(schedule)
    for einsum, name in computed.items():
        if name not in steps:
            raise ScheduleError(f"{schedule.name} leaves out {einsum} of {schedule.cascade}{did_you_mean(name, steps)}")
    for name in steps:
        if name not in computed.values():
            raise ScheduleError(
                f"{schedule.name} has a step {name!r} that {schedule.cascade} does not{did_you_mean(name, computed)}"
            )


def computed_by(schedule: Schedule) -> dict[str, str]:
    """By Einsum of the cascade, the step that computes it."""
    return {einsum: schedule.einsums.get(einsum, einsum) for einsum in passes(schedule.cascade).stages}


@functools.cache
def passes(cascade: str) -> Passes:
    """Over the keys. Raises ScheduleError for a cascade that is not in the library."""
    try:
        return analysis.passes(read.load(cascade), "M")
    except CascadeError as error:
        raise ScheduleError(str(error)) from None
