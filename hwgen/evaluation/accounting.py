"""Both numbers of what the published accounting decides in somebody's favour."""

from __future__ import annotations

import math

from hwgen.evaluation import markdown
from hwgen.evaluation.markdown import digits, share
from hwgen.evaluation.results import energy_ratio, mean, point, speedup
from hwgen.evaluation.workloads import MODELS, Model
from hwgen.schedule import arrays, epoch

BERT = MODELS[0]
WIDE = "FuseMax, 32-bit state"


def table() -> str:
    """What was counted, what it says, what the other count says."""
    header = ("what", "published accounting", "otherwise")
    return markdown.table(header, (_registers(), _useful(), _division(), _pipeline(), _state()))


def _registers() -> tuple[str, str, str]:
    one, every = energy_ratio("FuseMax", "FLAT"), energy_ratio("FuseMax", "FLAT", accounting="all")
    text = "Energy of one register file of 65,536 is counted: FuseMax's energy to FLAT's"
    return text, share(one), f"{share(every)} with all of them"


def _useful() -> tuple[str, str, str]:
    text = "Exponential, maximum and sum count as useful work of the 2-D array: FuseMax, BERT, 1K and 1M"
    every = [share(point("FuseMax", BERT, n).cost.utilisation("2d")) for n in (1024, 1048576)]
    useful = [share(point("FuseMax", BERT, n).useful) for n in (1024, 1048576)]
    return text, " and ".join(every), f"{' and '.join(useful)} with products only"


def _division() -> tuple[str, str, str]:
    text = "FLAT divides every weight, though the division can be put off: speed-up of FuseMax over FLAT"
    return (
        text,
        digits(speedup("FuseMax", "FLAT")),
        f"{digits(speedup('FuseMax', '2-pass'))} over FLAT with 3 operations an element",
    )


def _pipeline() -> tuple[str, str, str]:
    text = "Arrays never fill or drain: speed-up of FuseMax over unfused"
    other = mean(lambda m, n: point("unfused", m, n).seconds / with_restarts(m, n))
    said = f"{digits(other)} if the pipeline of tiles starts anew for every head and block of queries"
    return text, digits(speedup("FuseMax", "unfused")), said


def _state() -> tuple[str, str, str]:
    text = "Running sums have 16 bits; fp16 ends at 65,504, before 128K equal weights: FuseMax's buffer, BERT, 1M, KiB"
    found = [digits(point(name, BERT, 1048576).cost.buffer_bytes / 1024, 6) for name in ("FuseMax", WIDE)]
    return text, found[0], f"{found[1]} with 32 bits; the energy to FLAT's becomes {share(energy_ratio(WIDE, 'FLAT'))}"


def with_restarts(model: Model, length: int) -> float:
    """Seconds of FuseMax if its pipeline is filled and drained once for every block of queries of every head.

    An epoch works on tiles of four ages, so three epochs pass beyond the tiles there are; and the first operand takes
    as many cycles to reach the last row and column as there are of both.
    """
    cost = point("FuseMax", model, length).cost
    shape, phase = model.attention(length), cost.schedule.phases[0]
    unit = arrays.FUSEMAX.unit("2d")
    tiles = shape.B * shape.Hq * math.ceil(shape.L / unit.cols) * math.ceil(shape.S / unit.rows)
    blocks = shape.B * shape.Hq * math.ceil(shape.L / phase.block["P"])
    ages = max(place.tile for place in epoch.places(phase).values())
    extra = blocks * (ages * cost.cycles / tiles + unit.rows + unit.cols)
    return (cost.cycles + extra) / arrays.FUSEMAX.clock_hz
