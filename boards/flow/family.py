"""What the flow has to know of a family of devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from boards.board import Board
from boards.flow.netlist import Netlist
from boards.flow.pins import Port

TOP = "shell"
VERILOG, NETLIST, PACKED, CONSTRAINTS = "shell.v", "netlist.json", "packed.json", "shell.constraints"
PLACED, ROUTED, REPORT = "placed.json", "routed.out", "report.json"
"""Files of a build."""


@dataclass(frozen=True)
class Use:
    """What cells take of a device. `lut`: LUT4s for logic; `carry`: LUT4s that are bits of adders; `lutram`: LUT4s that
    are memory; the others by their number."""

    lut: int = 0
    carry: int = 0
    lutram: int = 0
    ff: int = 0
    dsp: int = 0
    ram: int = 0

    @property
    def luts(self) -> int:
        """All LUT4s, whatever they do."""
        return self.lut + self.carry + self.lutram

    @property
    def logic(self) -> int:
        """LUT4s that are no memory."""
        return self.lut + self.carry

    def __add__(self, other: Use) -> Use:
        return Use(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


class Family(Protocol):
    """A family of devices, from netlist to bitstream."""

    @property
    def bitstream(self) -> str:
        """Name of the file that is loaded into the device."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs it needs."""
        ...

    @property
    def passes(self) -> tuple[Path, ...]:
        """The source files of what `pack` and `fix_places` do."""
        ...

    def synthesis(self, board: Board) -> str:
        """The script for yosys: VERILOG to NETLIST."""
        ...

    def pack(self, netlist: Netlist) -> None:
        """What is left to be done to a netlist, in place."""
        ...

    def fix_places(self, netlist: Netlist, board: Board) -> None:
        """Say of cells and nets in a packed netlist, in place, where they go."""
        ...

    def use(self, cells: Counter[str]) -> Use:
        """What so many cells of each type take."""
        ...

    def constraints(self, board: Board, ports: Sequence[Port]) -> str:
        """Pins and clocks, in the manner of place and route."""
        ...

    def place_and_route(self, board: Board, seed: int) -> tuple[str, list[str]]:
        """The tool and its arguments: PACKED and CONSTRAINTS to PLACED, ROUTED and REPORT."""
        ...

    def make_bitstream(self, board: Board, folder: Path) -> None:
        """ROUTED to the bitstream. Raises FlowError."""
        ...


def families() -> dict[str, Family]:
    """All families by their names."""
    from boards.flow.ecp5 import Ecp5
    from boards.flow.gowin import Gowin

    return {"ecp5": Ecp5(), "gowin": Gowin()}
