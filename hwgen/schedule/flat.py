"""FLAT: both products and the softmax fused over R whole rows of scores at a time, which stay in the buffer.

The softmax reduces over all keys, so a row of scores is the least that can be kept: the buffer has to grow with the
number of keys. What is kept where, and R, come from a table of published mappings or from the caller.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from golden.exact import Shape
from hwgen.schedule.parts import Home, Phase, Schedule, ScheduleError, Stage, Step
from hwgen.schedule.softmax import Stationary, division, scores, softmax, weights_times_values

TABLE = Path(__file__).with_name("flat_mappings.csv")
SOURCE = "FLAT, ASPLOS 2023, as modelled in FuseMax, MICRO 2024, section VI"


@dataclass(frozen=True)
class Mapping:
    """FLAT's choices for one length: R, the tensors on the chip, what is stationary, the share that does not fit."""

    rows: int
    on_chip: tuple[str, ...] = ("QK", "A")
    stationary: Stationary = "output"
    overflow: float = 0.0


@functools.cache
def published_mappings() -> dict[tuple[int, int], Mapping]:
    """By head dimension and number of keys."""
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return {
        (int(row["E"]), int(row["M"])): Mapping(
            rows=int(row["rows"]),
            on_chip=tuple(row["on_chip"].split()),
            stationary="weight" if row["stationary"] == "weight" else "output",
            overflow=1 - int(row["kept"]) / int(row["whole"]),
        )
        for row in csv.DictReader(lines)
    }


def published_mapping(shape: Shape) -> Mapping:
    """Raises ScheduleError where no mapping was published."""
    mappings = published_mappings()
    if shape.E != shape.F or shape.L != shape.S or (shape.E, shape.S) not in mappings:
        known = ", ".join(f"{e}: {keys:,}" for e, keys in sorted(mappings))
        raise ScheduleError(
            f"no mapping of FLAT was published for L={shape.L:,}, S={shape.S:,}, E={shape.E}, F={shape.F}; "
            f"give flat.Mapping(rows=...), or take one of E=F: L=S of {known}"
        )
    return mappings[shape.E, shape.S]


def flat(shape: Shape, mapping: Mapping | None = None, *, deferred_division: bool = False) -> Schedule:
    """FLAT as published, or, with deferred division, the 2-pass cascade in its place.

    mapping:            the published one for this length by default
    deferred_division:  weights are not divided one by one; the result is, which costs F instead of M divisions a query

    Raises ScheduleError if there is no published mapping and none is given.
    """
    mapping = mapping or published_mapping(shape)
    result = "SNV" if deferred_division else "AV"
    phase = Phase(
        name="rows",
        steps=_steps(mapping, deferred_division=deferred_division),
        stages=(Stage(_orders(deferred_division=deferred_division)),),
        block={"P": mapping.rows},
        outer=("P",),
        kept=kept(mapping, deferred_division=deferred_division),
        shared=(("QK", "SN", "A"),),
        # Scores from memory come to the softmax row by row.
        part={} if "QK" in mapping.on_chip else {"QK": {"P": 1}, "SN": {"P": 1}},
    )
    return Schedule(
        name="FLAT with deferred division" if deferred_division else "FLAT",
        cascade="attention-3-pass-deferred" if deferred_division else "attention-3-pass",
        phases=(phase,),
        overflow=mapping.overflow,
        useful=("QK", result),
        source=SOURCE,
    )


def _steps(mapping: Mapping, *, deferred_division: bool) -> tuple[Step, ...]:
    weights, result = ("SN", "SNV") if deferred_division else ("A", "AV")
    product = weights_times_values(weights, result, mapping.stationary)
    last = (division(),) if deferred_division else ()
    return (scores(mapping.stationary), *softmax(divide=not deferred_division), product, *last)


def _orders(*, deferred_division: bool) -> dict[str, str]:
    """Tiles are blocks of rows: the array has the scores of one and the values of another beside a third's softmax."""
    if deferred_division:
        return {"2d": "QK[c] -> SNV[a]", "1d": "GM[b] -> SN[b] -> SD[b] -> AV[a]"}
    return {"2d": "QK[c] -> AV[a]", "1d": "GM[b] -> SN[b] -> SD[b] -> A[b]"}


def kept(mapping: Mapping, *, deferred_division: bool) -> dict[str, Home]:
    """Homes of all tensors. Scores that do not stay on the chip go to memory, and come back row by row."""
    homes: dict[str, Home] = {
        tensor: "dram+buffer" if tensor in mapping.on_chip else "dram" for tensor in ("Q", "K", "V", "AV")
    }
    if deferred_division:
        homes["AV"] = "dram"
        homes["SNV"] = "buffer" if mapping.stationary == "weight" else "array"
    homes |= {"SN": "buffer", "SD.SN": "array"}
    if "QK" in mapping.on_chip:
        return homes | {"QK": "buffer", "A": "buffer"}
    if deferred_division:
        # There is no A: the numerators themselves go to memory on their way to the second product.
        homes |= {"SN.SN": "dram", "SNV.SN": "dram"}
    return homes | {"QK": "dram", "GM.QK": "dram+buffer", "SN.QK": "buffer", "A": "dram"}
