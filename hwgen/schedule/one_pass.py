"""Steps of the 1-pass cascade on a 2-D and a 1-D array, as FuseMax and the steps towards it place them.

The 2-D array holds a tile of scores: rows are keys, columns queries. Keys and values come in blocks of as many rows
as the array has; a block of queries is as large as the buffer allows, with the state of its queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from golden.exact import Shape
from hwgen.schedule.legality import footprint
from hwgen.schedule.parts import Array, Home, Phase, ScheduleError, Step

EXP = {"mac": 6, "add": 1}
"""The exponential of a difference: a subtraction and six multiply-adds one after the other (FuseMax, section V)."""
EXP_UNIT = {"exp": 1, "add": 1}

EINSUMS = {"BK": "QK", "BQK": "QK", "BV": "SLNV"}
"""Keys and values in blocks are the operands of the products."""

STATE = ("RM", "RD", "RNV")


def step(
    name: str, unit: str, inputs: dict[str, str], output: str, operations: dict[str, int], ranks: str = ""
) -> Step:
    """A step whose queries lie over the columns, and whose keys, if it is on the 2-D array, lie over the rows."""
    named = " ".join(dict.fromkeys(" ".join((*inputs.values(), output)).split()))
    own = dict.fromkeys((ranks or named).split())
    if "M" in own:
        own.pop("M1", None)
    loops = tuple(rank for rank in ("E", "F", "M", "P") if rank in own)
    return Step(
        name=name,
        unit=unit,
        ranks=" ".join(own),
        inputs=inputs,
        output=(name, output),
        operations=operations,
        previous=tuple(tensor for tensor in inputs if tensor in STATE and _reads_before(name, tensor)),
        rows="M" if unit == "2d" else "",
        cols="P",
        loops=loops,
    )


def _reads_before(name: str, tensor: str) -> bool:
    """The state as the block of keys before left it; SLN, PRM and AV read what this one made of it."""
    return (name, tensor) in (("RM", "RM"), ("SPD", "RD"), ("SPNV", "RNV"))


def steps(softmax_unit: str = "2d", exp: dict[str, int] | None = None) -> tuple[Step, ...]:
    """All Einsums; `softmax_unit` is where those that touch every score run."""
    exp = exp or EXP
    return (
        step("QK", "2d", {"Q": "P E", "K": "M E"}, "M P", {"mac": 1}),
        step("LM", softmax_unit, {"QK": "M P"}, "M1 P", {"max": 1}),
        step("RM", "1d", {"RM": "M1 P", "LM": "M1 P"}, "M1 P", {"max": 1}),
        step("SLN", softmax_unit, {"QK": "M P", "RM": "M1 P"}, "M P", exp),
        step("SLD", softmax_unit, {"SLN": "M P"}, "M1 P", {"add": 1}),
        step("SLNV", "2d", {"SLN": "M P", "V": "M F"}, "M1 P F", {"mac": 1}),
        step("PRM", "1d", {"RM": "M1 P"}, "M1 P", exp),
        step("SPD", "1d", {"RD": "M1 P", "PRM": "M1 P"}, "M1 P", {"mac": 1}),
        step("SPNV", "1d", {"RNV": "M1 P F", "PRM": "M1 P"}, "M1 P F", {"mac": 1}),
        step("RD", "1d", {"SLD": "M1 P", "SPD": "M1 P"}, "M1 P", {"add": 1}),
        step("RNV", "1d", {"SLNV": "M1 P F", "SPNV": "M1 P F"}, "M1 P F", {"add": 1}),
        step("AV", "1d", {"RNV": "P F", "RD": "P"}, "P F", {"divide": 1}),
    )


def kept(*more: str) -> dict[str, Home]:
    """Operands and results pass through the buffer, which also keeps the state, and what else is named."""
    homes: dict[str, Home] = dict.fromkeys(("RM", "RD", "RNV", *more), "buffer")
    homes |= {"Q": "dram+buffer", "K": "dram+buffer", "V": "dram+buffer", "AV": "dram"}
    # A step that follows its writer in the same epoch takes the number from the units.
    return homes | {"SLN.RM": "array"}


def largest_block(build: Callable[[int], Phase], array: Array, shape: Shape, capacity: int | None = None) -> Phase:
    """The phase with the most tiles of queries that divide their number and fit `capacity`, by default the buffer.

    Raises ScheduleError if not even one tile does.
    """
    cols = array.unit("2d").cols
    tiles = math.ceil(shape.L / cols)
    capacity = capacity or array.buffer_bytes
    for count in (tiles // parts for parts in range(1, tiles + 1) if tiles % parts == 0):
        phase = build(count * cols)
        if footprint(phase, shape) * array.word <= capacity:
            return phase
    need = footprint(build(cols), shape) * array.word
    raise ScheduleError(
        f"one tile of {cols} queries needs {need:,} bytes of buffer, {array.name} gives it {capacity:,}"
    )
