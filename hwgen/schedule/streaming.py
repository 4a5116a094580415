"""Ours: the 1-pass cascade with tiles of one key, on a score array, softmax lanes and a value array side by side.

Queries stay in the score array, results in the value array; a key and its value pass all slots of a column one after
the other, and nothing as long as the sequence is kept anywhere. This is the steady state;
`hwgen.model.machine.predict` also knows fill, drain, the memory's latency and hazards.
"""

from __future__ import annotations

from hwgen.params import Params
from hwgen.schedule.parts import Array, Home, Phase, Schedule, Stage, Step, Unit

EINSUMS = (
    dict.fromkeys(("X", "Y", "SLNV"), "SLN") | dict.fromkeys(("C", "CV", "RMV"), "RM") | {"PRM": "RD", "LSE": "AV"}
)
EINSUMS |= dict.fromkeys(("VM", "EV", "BV", "PRMV"), "RNV")
"""What is part of another step's pipeline: a value row's exponent is found as it comes in, shifts are part of what they
shift."""

SOURCE = "docs/architecture.md"

KEPT: dict[str, Home] = {"Q": "dram+unit", "K": "dram+buffer", "V": "dram+buffer", "AV": "dram"}


def machine(params: Params, *, clock_hz: float, bandwidth: float, cores: int = 1) -> Array:
    """What `cores` equal accelerators of a configuration are to schedules. `bandwidth` is that of all of them."""
    c = params.config
    row_bytes = (c.head_e + c.head_f) * params.input.bits // 8
    units = {
        "score": Unit(c.rows_e, c.cols * cores),
        "lanes": Unit(1, params.lanes * cores),
        "value": Unit(c.rows_f, c.cols * cores),
        "normaliser": Unit(1, c.out_beat * cores),
    }
    return Array(
        name=f"{cores} x hwgen",
        units=units,
        clock_hz=clock_hz,
        bandwidth=bandwidth,
        buffer_bytes=c.buffer_rows * row_bytes * cores,
        word=params.input.bits // 8,
        source=SOURCE,
    )


def streaming(params: Params, *, cores: int = 1) -> Schedule:
    """Cores share nothing: each has rows of its own heads. All together are as fast as one with all their columns."""
    c = params.config
    phase = Phase(
        name="stream",
        steps=_steps(),
        stages=(Stage({"score": "QK", "lanes": "RM -> SLN -> RD", "value": "RNV", "normaliser": "AV"}),),
        block={"P": params.block, "M": c.buffer_rows * cores},
        outer=("M", "P"),
        kept=KEPT,
    )
    return Schedule(
        name="ours",
        cascade="attention-streaming",
        phases=(phase,),
        einsums=EINSUMS,
        useful=("QK", "RNV"),
        source=SOURCE,
    )


def _steps() -> tuple[Step, ...]:
    return (
        Step(
            name="QK",
            unit="score",
            ranks="E M P",
            inputs={"Q": "P E", "K": "M E"},
            output=("QK", "M P"),
            operations={"mac": 1},
            rows="E",
            cols="P",
            loops=("E", "P", "M"),
        ),
        # A lane is one pipeline: maximum, weight and sum of a score cost one of its cycles together.
        _in_lane("RM", {"QK": "M P"}, "P", "max", cycles=0),
        _in_lane("SLN", {"QK": "M P", "RM": "P"}, "M P", "exp", cycles=1),
        _in_lane("RD", {"SLN": "M P"}, "P", "add", cycles=0),
        Step(
            name="RNV",
            unit="value",
            ranks="F M P",
            inputs={"SLN": "M P", "V": "M F"},
            output=("RNV", "P F"),
            operations={"mac": 1},
            rows="F",
            cols="P",
            loops=("F", "P", "M"),
        ),
        Step(
            name="AV",
            unit="normaliser",
            ranks="F P",
            inputs={"RNV": "P F", "RD": "P"},
            output=("AV", "P F"),
            operations={"divide": 1},
            cols="F",
            loops=("F", "P"),
        ),
    )


def _in_lane(name: str, inputs: dict[str, str], output: str, operation: str, *, cycles: int) -> Step:
    return Step(
        name=name,
        unit="lanes",
        ranks="M P",
        inputs=inputs,
        output=(name, output),
        operations={operation: 1},
        cycles=cycles,
        cols="P",
        loops=("P", "M"),
    )
