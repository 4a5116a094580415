"""FuseMax: the 1-pass cascade with exponentials on the 2-D array, tiles of four ages interleaved in an epoch.

+Architecture is the same machine before that: a tile is finished before the next one begins, and the array waits for
the local maximum to leave through all its rows.
"""

from __future__ import annotations

from golden.exact import Shape
from hwgen.schedule.one_pass import EINSUMS, kept, largest_block, steps
from hwgen.schedule.parts import Array, Phase, Schedule, Stage

SOURCE = "FuseMax, MICRO 2024, section V, figures 4 and 5"

BINDING = (
    Stage(
        {
            "2d": "(SLNV[b] | QK[d]) -> LM[d] -> SLN[c] -> SLD[c]",
            "1d": "(SPNV[a] | RNV[a] | RM[c]) -> RD[a] -> PRM[c] -> SPD[c] -> AV[a]",
        }
    ),
)

TILE_BY_TILE = (
    Stage({"2d": "QK[b] -> LM[b]", "1d": "RD[a] -> AV[a]"}, drain="LM"),
    Stage({"1d": "RM[b]"}),
    Stage({"2d": "SLN[b] -> SLD[b]", "1d": "PRM[b] -> SPD[b]"}),
    Stage({"2d": "SLNV[b]", "1d": "SPNV[b] | RNV[b]"}),
)


def fusemax(array: Array, shape: Shape, *, wide_state: bool = False) -> Schedule:
    """As published, or with maximum, sum and result of 32 instead of 16 bits, which long sequences need to be right."""
    width = {"RM": 2, "RD": 2, "RNV": 2} if wide_state else {}
    return _schedule("FuseMax with a 32-bit state" if wide_state else "FuseMax", BINDING, array, shape, width)


def architecture(array: Array, shape: Shape) -> Schedule:
    return _schedule("+Architecture", TILE_BY_TILE, array, shape, {})


def _schedule(name: str, stages: tuple[Stage, ...], array: Array, shape: Shape, width: dict[str, int]) -> Schedule:
    keys = array.unit("2d").rows

    def phase(queries: int) -> Phase:
        return Phase(
            name="tiles",
            steps=steps(),
            stages=stages,
            block={"M": keys, "P": queries},
            outer=("M", "P"),
            kept=kept(),
            width=width,
        )

    return Schedule(
        name=name,
        cascade="attention-1-pass",
        phases=(largest_block(phase, array, shape),),
        einsums=EINSUMS,
        source=SOURCE,
    )
