"""+Cascade: the 1-pass cascade on FLAT's arrays. The 2-D array only multiplies, so the 1-D array has the whole softmax.

Scores and numerators of a block go through the buffer between the two.
"""

from __future__ import annotations

from golden.exact import Shape
from hwgen.schedule.one_pass import EINSUMS, EXP_UNIT, kept, largest_block, steps
from hwgen.schedule.parts import Array, Phase, Schedule, Stage

STAGES = (
    Stage(
        {
            "2d": "QK[d] -> SLNV[b]",
            "1d": "LM[c] -> RM[c] -> SLN[c] -> SLD[c] -> PRM[c] -> SPD[c] -> RD[c] -> (SPNV[a] | RNV[a]) -> AV[a]",
        }
    ),
)


CAPACITY = 16 * 2**20
"""Of the buffer's 32 MiB, as published: blocks are those that FuseMax's buffer would hold."""


def cascade_only(array: Array, shape: Shape) -> Schedule:
    keys = array.unit("2d").rows

    def phase(queries: int) -> Phase:
        homes = kept("QK", "SLN") | {"LM.QK": "array", "SLD.SLN": "array"}
        return Phase(
            name="tiles",
            steps=steps("1d", EXP_UNIT),
            stages=STAGES,
            block={"M": keys, "P": queries},
            outer=("M", "P"),
            kept=homes,
        )

    return Schedule(
        name="+Cascade",
        cascade="attention-1-pass",
        phases=(largest_block(phase, array, shape, CAPACITY),),
        einsums=EINSUMS,
        source="FuseMax, MICRO 2024, section VI: +Cascade",
    )
