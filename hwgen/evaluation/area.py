"""Area, and speed at equal area, by the costs that the evaluation published with FuseMax took."""

from __future__ import annotations

from dataclasses import replace

from hwgen.evaluation import ours, results
from hwgen.evaluation.workloads import POINTS
from hwgen.model import area as model
from hwgen.model.actions import published_parts
from hwgen.model.cost_reader import load_table
from hwgen.schedule import arrays
from hwgen.schedule.parts import Array

REGISTER_BITS = {"published": 64 * 32, "as drawn": 10 * 16}
"""Of a register file of the 2-D array: as every one was taken, and the 10 words that FuseMax's figure 3 draws."""


SMALL = replace(arrays.FUSEMAX, buffer_bytes=512 * 1024)
"""FuseMax with as much buffer as it needs to be as fast, heads of 128 included."""


def square_mm(name: str, registers: str = "published") -> float:
    """Of a machine of the evaluation, in mm2. Ours is the larger of its two sizes, that for heads of 128.

    registers: which of REGISTER_BITS. Our registers are counted one by one, whatever this says.
    """
    table = load_table(results.TABLE)
    if name == results.OURS:
        return ours.CORES * sum(model.machine_area(ours.core(128), table).values())
    array = next(entry.array for entry in results.ENTRIES if entry.name == name)
    return sum(published(array, registers).values())


def published(array: Array, registers: str) -> dict[str, float]:
    """Of a machine like FuseMax's or FLAT's, mm2 by component."""
    elements, lanes = array.unit("2d").elements, array.unit("1d").elements
    count: dict[tuple[str, str], float] = {("array_2d", "mac"): elements, ("rf_2d", "store"): elements}
    count |= {("array_1d", action): lanes for action in ("mac", "max", "divide")}
    count |= {("rf_1d", "store"): lanes, ("buffer", "store"): 1}
    if array in (arrays.FUSEMAX, SMALL):  # compares, and computes exponentials by multiplying, where the scores are
        count["array_2d", "max"] = elements
    else:
        count["array_1d", "exp"] = lanes
    return model.area(count, load_table(results.TABLE), published_parts(array.buffer_bytes, REGISTER_BITS[registers]))


def speedup_at_equal_area(name: str, over: str, registers: str = "published") -> float:
    """Mean speed-up of attention if both had the same area and speed grew with it."""
    ratio = square_mm(over, registers) / square_mm(name, registers)
    return (
        ratio
        * sum(results.point(over, m, n).seconds / results.point(name, m, n).seconds for m, n in POINTS)
        / len(POINTS)
    )
