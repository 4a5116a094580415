"""A folder from which Vivado makes an IP, a report or a board; written from the accelerator's own list of ports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from amaranth.hdl import Shape
from amaranth.lib import wiring

from boards.xilinx.cells import with_cells
from boards.xilinx.devices import XilinxBoard
from boards.xilinx.estimate import TOP, check_fits, check_quickly, estimate
from hwgen import __version__
from hwgen.accelerator import Accelerator
from hwgen.commands import interface_texts, to_json
from hwgen.control.register_map import ADDRESS_BITS
from hwgen.describe import describe
from hwgen.emit import to_verilog
from hwgen.memory.axi_ports import MASTER, SLAVE
from hwgen.params import Params
from hwgen.writing import write_text

HERE = Path(__file__).parent
SCRIPTS = ("package_ip.tcl", "synth_ooc.tcl", "block_design.tcl")
VENDOR, LIBRARY = "hwgen", "attention"
SIDE_PORTS = ("aclk", "aresetn", "interrupt", "active", "cause", "value_busy")
"""Ports that belong to neither bus; the last three are for debugging, and stay open."""


def ports(part: Accelerator) -> dict[str, tuple[str, int]]:
    """Direction, as Verilog has it, and width of every port."""
    return {
        str(path[0]): ("output" if member.flow == wiring.Out else "input", Shape.cast(member.shape).width)
        for path, member, _ in part.signature.flatten(part)
    }


def bus_pairs(names: Mapping[str, object], prefix: str) -> list[tuple[str, str]]:
    """Logical and physical names of a bus's ports: what ARM calls `m_axi_awaddr` is AWADDR of `m_axi`."""
    return [(name.removeprefix(f"{prefix}_").upper(), name) for name in names if name.startswith(f"{prefix}_")]


def tcl_list(words: Mapping[str, object] | list[tuple[str, str]]) -> str:
    pairs = words.items() if isinstance(words, Mapping) else words
    return "{" + " ".join(f"{name} {value}" for name, value in pairs) + "}"


def settings(board: XilinxBoard, params: Params, part: Accelerator, name: str) -> str:
    """settings.tcl: all that the scripts know of the machine and of the board."""
    c, known = params.config, ports(part)
    master = {
        "PROTOCOL": "AXI4",
        "SUPPORTS_NARROW_BURST": 0,
        "MAX_BURST_LENGTH": c.burst_beats,
        "NUM_READ_OUTSTANDING": c.outstanding,
        "NUM_WRITE_OUTSTANDING": c.outstanding,
    }
    values = {
        "part": board.device.part,
        "board": board.name,
        "board_part": board.board_part,
        "board_files": "{" + board.board_files + "}",
        "top": TOP,
        "sources": "{" + f"{TOP}.v" + "}",
        "vendor": VENDOR,
        "library": LIBRARY,
        "version": ip_version(),
        "title": "{Streaming attention accelerator}",
        "description": "{preset " + f"{name}, configuration {c.hash()}" + "}",
        "clock_mhz": board.clock_mhz,
        "registers_base": f"0x{board.registers:08X}",
        "registers_range": 1 << ADDRESS_BITS,
        "address_bits": c.address_bits,
        "memory_range": 1 << c.address_bits,
        "s_axi": tcl_list(bus_pairs(known, SLAVE)),
        "m_axi": tcl_list(bus_pairs(known, MASTER)),
        "m_axi_parameters": tcl_list(master),
        **{f"ps_{key}": "{" + value + "}" if " " in value else value for key, value in board.ps.items()},
    }
    lines = [
        "# All that the scripts know of the machine and of the board.",
        "set here [file dirname [file normalize [info script]]]",
    ]
    return "\n".join(lines + [f"set {key} {value}" for key, value in values.items()]) + "\n"


def ip_version() -> str:
    """Two numbers, as Vivado wants them."""
    return ".".join(__version__.split(".")[:2])


def constraints(board: XilinxBoard) -> str:
    """clock.xdc, for synthesis out of context."""
    return f"create_clock -name aclk -period {1000 / board.clock_mhz:.3f} [get_ports aclk]\n"


def fusesoc(board: XilinxBoard) -> str:
    """The FuseSoC core, CAPI2."""
    return f"""CAPI=2:
name: {VENDOR}:{LIBRARY}:{TOP}:{__version__}
description: Streaming attention accelerator with AXI4 and AXI4-Lite ports

filesets:
  rtl:
    files:
      - {TOP}.v
    file_type: verilogSource
  constraints:
    files:
      - clock.xdc
    file_type: xdc

targets:
  default: &default
    filesets: [rtl]
  synth:
    <<: *default
    description: synthesis out of context for {board.title}
    default_tool: vivado
    filesets_append: [constraints]
    toplevel: {TOP}
    tools:
      vivado:
        part: {board.device.part}
        pnr: none
"""


def readme(board: XilinxBoard, params: Params, name: str) -> str:
    c = params.config
    return f"""# {TOP} for {board.title}

Preset {name} with {", ".join(f"{key}={value}" for key, value in board.changes.items())}; score array
{c.rows_e}x{c.cols}, value array {c.rows_f}x{c.cols}, {board.clock_mhz} MHz, configuration {c.hash()}.

**Vivado was not run on these files.** The scripts were executed with Vivado's commands replaced by ones that only
record what is asked of them; timing, and use of the device after place and route, are unknown. `synth_ooc.tcl` finds
them.

    vivado -mode batch -source synth_ooc.tcl                    reports of the accelerator alone, in reports/
    vivado -mode batch -source synth_ooc.tcl -tclargs route     placed and routed too
    vivado -mode batch -source package_ip.tcl                   the IP, in ip/
    vivado -mode batch -source block_design.tcl                 after that: {TOP}.bit and .hwh, in out/

The board's files have to be there: {board.board_files}. `{TOP}.core` is the accelerator for FuseSoC.
On the board, `boards.xilinx.pynq_bus.PynqBus("out/{TOP}.bit")` is the host's way to it.
"""


def write_project(
    board: XilinxBoard,
    params: Params,
    folder: Path,
    *,
    name: str,
    cells: bool = False,
    check: Callable[[Params, XilinxBoard], None] | None = None,
) -> list[Path]:
    """Write everything into `folder`; gives the files.

    name: of the preset, for people;  cells: score PEs as boards.xilinx.cells has them;  check: raises ConfigError if
    the machine does not fit, by default one that synthesises it. Raises ConfigError before anything is written.
    """
    check_quickly(params, board.device)
    if check is None:
        check_fits(estimate(params, board.device, cells=cells))
    else:
        check(params, board)
    part = Accelerator(params)
    verilog = to_verilog(part, TOP)
    facts = describe(params, "accelerator", part, verilog, name)
    texts = {
        f"{TOP}.v": with_cells(verilog) if cells else verilog,
        f"{TOP}.json": to_json(facts),
        "settings.tcl": settings(board, params, part, name),
        "clock.xdc": constraints(board),
        f"{TOP}.core": fusesoc(board),
        "README.md": readme(board, params, name),
        **interface_texts(TOP, params),
    }
    for file, text in texts.items():
        write_text(folder / file, text)
    for file in SCRIPTS:
        shutil.copyfile(HERE / "tcl" / file, folder / file)
    return [folder / file for file in (*texts, *SCRIPTS)]
