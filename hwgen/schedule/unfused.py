"""Every Einsum group by itself: scores go to memory, the softmax reads them and writes weights, which are read again.

The two products were searched by an optimiser in the published evaluation; here half of the buffer holds one operand
(or its largest block of a power of two), and the other one streams past.
"""

from __future__ import annotations

import math

from golden.exact import Shape
from hwgen.schedule.parts import Array, Home, Phase, Schedule, Stage, Step
from hwgen.schedule.softmax import scores, softmax, weights_times_values


def unfused(array: Array, shape: Shape) -> Schedule:
    return Schedule(
        name="unfused",
        cascade="attention-3-pass",
        phases=(_product_of_scores(array, shape), _softmax(), _product_of_values(array, shape)),
        useful=("QK", "AV"),
        source="FuseMax, MICRO 2024, section VI: the unfused baseline",
    )


def resident_rows(array: Array, rows: int, width: int) -> int:
    """Rows of an operand that half the buffer holds."""
    fits = array.buffer_bytes // 2 // (width * array.word)
    return min(rows, 2 ** int(math.log2(fits)))


def _product_of_scores(array: Array, shape: Shape) -> Phase:
    kept: dict[str, Home] = {"Q": "dram+buffer", "K": "dram+buffer", "QK": "dram"}
    block = {"M": resident_rows(array, shape.S, shape.E), "P": min(256, shape.L)}
    return _alone("QK", scores(), "2d", kept, block, ("P", "M"))


def _product_of_values(array: Array, shape: Shape) -> Phase:
    kept: dict[str, Home] = {"A": "dram", "V": "dram+buffer", "AV": "dram+buffer"}
    block = {"P": resident_rows(array, shape.L, shape.F), "M": min(256, shape.S)}
    return _alone("AV", weights_times_values("A"), "2d", kept, block, ("M", "P"))


def _alone(
    name: str, step: Step, unit: str, kept: dict[str, Home], block: dict[str, int], outer: tuple[str, ...]
) -> Phase:
    return Phase(name=name, steps=(step,), stages=(Stage({unit: name}),), kept=kept, block=block, outer=outer)


def _softmax() -> Phase:
    kept: dict[str, Home] = {"GM.QK": "dram+buffer", "SN.QK": "buffer", "SN": "buffer", "SD.SN": "array", "A": "dram"}
    return Phase(
        name="softmax",
        steps=softmax(),
        stages=(Stage({"1d": "GM -> SN -> SD -> A"}),),
        kept=kept,
        block={"P": 1},
        outer=("P",),
        shared=(("QK", "SN"),),
    )
