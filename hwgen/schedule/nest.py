"""How often what moves: the reuse of tensors in the loops around a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from golden.exact import Shape
from hwgen.schedule.parts import Array, Phase, ScheduleError, Step

BLOCKED = {"M1": "M"}
"""A rank of blocks, and the rank whose blocks it counts."""


def extents(shape: Shape) -> dict[str, int]:
    """Sizes of the ranks of one head."""
    return {"E": shape.E, "F": shape.F, "M": shape.S, "P": shape.L}


@dataclass(frozen=True)
class Loop:
    """Over tiles inside of a block, or over blocks."""

    rank: str
    trips: float
    blocks: bool = False

    def moves(self, ranks: str) -> bool:
        """Whether another trip needs another part of a tensor of these ranks."""
        own = ranks.split()
        return self.rank in own or (self.blocks and any(BLOCKED.get(rank) == self.rank for rank in own))


@dataclass(frozen=True)
class Nest:
    """The loops around one step, for one head.

    inner, outer:  within a block and over blocks, innermost first
    tile:          by rank, how much of it is on the unit at a time
    block:         by rank, how much of it a block has
    elements:      processing elements at work
    """

    inner: tuple[Loop, ...]
    outer: tuple[Loop, ...]
    tile: dict[str, int]
    block: dict[str, int]
    elements: int

    @property
    def tiles(self) -> int:
        """How often the unit is set to work, edge tiles included."""
        return math.prod(math.ceil(loop.trips) for loop in self.inner + self.outer)

    def visits(self, ranks: str, *, blocks: bool = False) -> float:
        """How often a tile (or a block) of a tensor is brought: trips of all loops but those innermost it does not
        depend on.

        A tile that is on the unit stays there until another one of the same tensor is needed.
        """
        loops = [loop for loop in (self.outer if blocks else self.inner + self.outer) if loop.trips > 1]
        while loops and not loops[0].moves(ranks):
            loops.pop(0)
        return math.prod(loop.trips for loop in loops)

    def words(self, ranks: str, *, blocks: bool = False) -> float:
        """How many words of a tensor are brought to the unit (or to the buffer, block by block)."""
        sizes = self.block if blocks else self.tile
        return self.visits(ranks, blocks=blocks) * math.prod(
            1 if rank in BLOCKED else sizes[rank] for rank in ranks.split()
        )


def distinct(ranks: str, phase: Phase, shape: Shape) -> float:
    """Elements of a tensor, of one head."""
    sizes = extents(shape)
    sizes["M1"] = math.ceil(shape.S / phase.block.get("M", shape.S))
    return math.prod(sizes[rank] for rank in ranks.split())


def nest(step: Step, phase: Phase, array: Array, shape: Shape) -> Nest:
    """The loops around a step. Raises ScheduleError if they do not cover its iteration space."""
    whole, unit = extents(shape), array.unit(step.unit)
    lanes = {step.rows: unit.rows, step.cols: unit.cols}
    tile, block, inner = {}, {}, {}
    for rank in step.ranks.split():
        block[rank] = 1 if rank in BLOCKED else min(phase.block.get(rank, whole[rank]), whole[rank])
        tile[rank] = min(lanes.get(rank, 1), block[rank])
        inner[rank] = block[rank] / tile[rank]
    outer = {}
    for rank in phase.outer:
        covered = next((own for own in step.ranks.split() if BLOCKED.get(own, own) == rank), None)
        if covered is not None:
            outer[rank] = whole[rank] / min(phase.block.get(rank, whole[rank]), whole[rank])
    _check_covered(step, phase, inner, whole)
    loops = (*step.loops, *(rank for rank in inner if rank not in step.loops))
    return Nest(
        tuple(Loop(rank, inner[rank]) for rank in loops if rank in inner),
        tuple(Loop(rank, trips, blocks=True) for rank, trips in outer.items()),
        tile,
        block,
        math.prod(tile[rank] for rank in (step.rows, step.cols) if rank in tile),
    )


def _check_covered(step: Step, phase: Phase, inner: dict[str, float], whole: dict[str, int]) -> None:
    for rank in phase.block:
        if rank in step.ranks.split() and phase.block[rank] < whole[rank] and rank not in phase.outer:
            raise ScheduleError(f"{phase.name}: {rank} is cut into blocks, but no loop goes over them")
    for rank in step.loops:
        if rank not in step.ranks.split():
            raise ScheduleError(f"{step.name} has a loop over {rank}, but its ranks are {step.ranks}")
