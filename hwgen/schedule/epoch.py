"""The notation of an epoch and what it allows.

    (SLNV[b] | QK[d]) -> LM[d] -> SLN[c] -> SLD[c]

`A -> B`: B after A.  `A | B`: interleaved cycle by cycle.  Both cost the sum, for one unit does one thing in a cycle.
A letter is a tile; the next epoch takes the next tile of each. Tiles b and c are neighbours: c comes after b.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwgen.schedule.parts import Phase, ScheduleError

WORD = re.compile(r"([A-Za-z_]\w*)(?:\[([a-z])\])?$")


@dataclass(frozen=True)
class Place:
    """Where in an epoch a step is: stage, unit, position in the unit's order, and the tile it works on (0 is the
    oldest)."""

    stage: int
    unit: str
    position: int
    tile: int


def order(text: str) -> list[list[tuple[str, int]]]:
    """Groups of (step, tile), one after the other; those of a group are interleaved.

    Raises ScheduleError where the text is not of this notation.
    """
    groups = []
    for part in text.split("->"):
        inside = part.strip()
        if inside.startswith("(") and inside.endswith(")"):
            inside = inside[1:-1]
        group = []
        for word in inside.split("|"):
            match = WORD.match(word.strip())
            if match is None:
                raise ScheduleError(f"expected STEP or STEP[tile] joined by | and ->, not {word.strip()!r} in {text!r}")
            group.append((match[1], ord(match[2] or "a") - ord("a")))
        groups.append(group)
    return groups


def places(phase: Phase) -> dict[str, Place]:
    """Where each step of a phase is. Raises ScheduleError unless every step has one place, on its own unit."""
    found: dict[str, Place] = {}
    for i, stage in enumerate(phase.stages):
        for unit, text in stage.order.items():
            for position, group in enumerate(order(text)):
                for name, tile in group:
                    if phase.step(name).unit != unit:
                        raise ScheduleError(
                            f"{name} runs on {phase.step(name).unit}, but stands in the order of {unit}"
                        )
                    if name in found:
                        raise ScheduleError(f"{name} stands twice in the epoch of {phase.name!r}")
                    found[name] = Place(i, unit, position, tile)
    missing = [step.name for step in phase.steps if step.name not in found]
    if missing:
        raise ScheduleError(f"the epoch of {phase.name!r} leaves out {', '.join(missing)}")
    return found


def check_dependences(phase: Phase, tiles_in_flight: int) -> None:
    """That no step reads what is not there yet.

    A step may read a tile of the same epoch if its writer stands before it, or on another unit in the same stage, which
    then starts a little later. State is read as an earlier tile of the same queries left it. Those come around every
    `tiles_in_flight` tiles: an epoch may not spread over more, nor over as many if the state is written behind.

    Raises ScheduleError with both steps and what is wrong between them.
    """
    found = places(phase)
    writers = {step.output[0]: step.name for step in phase.steps}
    for step in phase.steps:
        for tensor in step.inputs:
            if tensor not in writers or writers[tensor] == step.name:
                continue
            reader, writer = found[step.name], found[writers[tensor]]
            if tensor in step.previous:
                _check_state(step.name, writers[tensor], tensor, (reader, writer), tiles_in_flight)
            else:
                _check_order(step.name, writers[tensor], reader, writer)


def _check_state(reader: str, writer: str, tensor: str, places: tuple[Place, Place], tiles_in_flight: int) -> None:
    own, other = places
    lag = own.tile - other.tile
    before = (other.stage, other.position) < (own.stage, own.position) and (own.unit == other.unit or lag == 0)
    least = lag if before else lag + 1
    if tiles_in_flight < least:
        raise ScheduleError(
            f"{reader} needs {tensor} of the same queries, which {writer} finishes {lag} tiles later: at least {least} "
            f"tiles of queries must be in flight, there are {tiles_in_flight}"
        )


def _check_order(reader_name: str, writer_name: str, reader: Place, writer: Place) -> None:
    if reader.tile > writer.tile:
        raise ScheduleError(f"{reader_name} works on a later tile than {writer_name}, whose result it reads")
    if reader.tile < writer.tile or (reader.stage == writer.stage and reader.unit != writer.unit):
        return
    if (writer.stage, writer.position) > (reader.stage, reader.position):
        raise ScheduleError(f"{reader_name} stands before {writer_name}, whose result it reads")
