"""A product of matrices on the 2-D array: the linear layers around attention, for end-to-end figures.

In the letters of attention's scores: P rows of the input, E summed over, M columns of the result.
"""

from __future__ import annotations

from golden.exact import Shape
from hwgen.schedule.parts import Array, Phase, Schedule, Stage
from hwgen.schedule.softmax import scores
from hwgen.schedule.unfused import resident_rows


def product(rows: int, summed: int, columns: int) -> Shape:
    """The problem, as `evaluate` takes it."""
    return Shape(B=1, Hq=1, Hkv=1, L=rows, S=columns, E=summed, F=1)


def linear(array: Array, shape: Shape) -> Schedule:
    """Half of the buffer holds weights, the input streams past, results go straight to memory."""
    phase = Phase(
        name="product",
        steps=(scores(),),
        stages=(Stage({"2d": "QK"}),),
        kept={"Q": "dram+buffer", "K": "dram+buffer", "QK": "dram"},
        block={"M": resident_rows(array, shape.S, shape.E), "P": min(256, shape.L)},
        outer=("P", "M"),
    )
    return Schedule(name="linear", cascade="", phases=(phase,), useful=("QK",))
