"""The slowest paths of a packed ECP5 netlist, across all modules, before it is placed or as it was placed.

    python -m boards.report.paths build/boards/ulx3s-85f/packed.json
    python -m boards.report.paths build/boards/ulx3s-85f/packed.json build/boards/ulx3s-85f/placed.json

Place and route takes half an hour to name one path; this takes seconds and names one for each pair of registers' names,
and then, by the register that they begin at, how many ends are later than LATE.
Without places a wire counts as ROUTE whatever its length, so that the order is right and the nanoseconds are not. With
them it counts by the tiles it crosses: what the router adds where many wires meet is not known.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from boards.flow.family import TOP
from boards.flow.netlist import Bit, Netlist
from hwgen import table

ROUTE, LUT, MUX, CARRY_IN, CARRY, SETUP = 0.95, 0.24, 0.24, 0.45, 0.07, 0.0
"""Nanoseconds, speed grade 6: a wire, a LUT or LUT RAM, a wide multiplexer, into a carry chain, one cell further."""

NEAR, PER_TILE = 0.75, 0.1
"""Nanoseconds of a wire within a tile, and for each tile it crosses: the routed ULX3S, by and large."""

LATE = 8.0
"""Nanoseconds: what 125 MHz leave."""

REGISTERED = "DP16KD OUTREG"
"""A block of memory with a register at its output."""

STARTS = {"TRELLIS_FF": 0.52, "DP16KD": 5.83, REGISTERED: 0.96, "MULT18X18D": 2.0, "EHXPLLL": 0.0}
"""Cells that paths begin at, and from their clock to their output."""

NETWORK = "DCCA"
"""A cell whose output is a network for clocks, on which place and route counts no time."""

CLOCK = re.compile("CLK|WCK")
"""Ports that have a net of their own, across the device."""

ENDS = ("TRELLIS_FF", "DP16KD", REGISTERED, "MULT18X18D", "TRELLIS_DPR16X4")


@dataclass(frozen=True)
class Cell:
    """A cell of the flattened design: its inputs and outputs as (port, net)."""

    name: str
    kind: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Wires:
    """How long a signal takes from cell to cell, by the tiles they are in; ROUTE for cells without one."""

    tiles: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def placed(cls, path: Path) -> Wires:
        """By a file that place and route has written. What it made of one cell is by and large in one tile."""
        (module,) = json.loads(path.read_text())["modules"].values()
        tiles = {}
        for name, cell in module["cells"].items():
            found = re.match(r"X(\d+)/Y(\d+)/", cell["attributes"].get("NEXTPNR_BEL", ""))
            if found is not None:
                tiles[re.sub(r"\$(DPRAM_COMB|RAMW_|CCU2_COMB)\w+$", "", name)] = int(found[1]), int(found[2])
        return cls(tiles)

    def ns(self, source: Cell | None, target: Cell, port: str) -> float:
        """From an output of one cell to a port of another."""
        if source is None or source.name not in self.tiles or target.name not in self.tiles:
            return ROUTE
        (x0, y0), (x1, y1) = self.tiles[source.name], self.tiles[target.name]
        tiles = abs(x0 - x1) + abs(y0 - y1)
        # A LUT and the flip-flop behind it share a slice.
        return 0.0 if tiles == 0 and port == "DI" else NEAR + PER_TILE * tiles


@dataclass(frozen=True)
class Way:
    """From a register to a register: nanoseconds, cells on the way, the modules it leads through."""

    ns: float
    cells: int
    source: str
    target: str
    through: tuple[str, ...]


@dataclass
class Flat:
    """A netlist without its modules."""

    cells: list[Cell] = field(default_factory=list)
    nets: int = 0

    def net(self) -> int:
        self.nets += 1
        return self.nets

    def add(self, netlist: Netlist, module: str, path: str, ports: dict[Bit, int]) -> None:
        """All cells of a module and of those in it; `ports` are the nets outside of its own."""
        known = dict(ports)
        for name, cell in netlist.modules[module].cells.items():
            pins = [
                (port, at, known.setdefault(bit, self.net()))
                for port, bits in cell["connections"].items()
                for at, bit in enumerate(bits)
                if isinstance(bit, int)
            ]
            if netlist.is_part(cell["type"]):
                inner = netlist.modules[cell["type"]].content["ports"]
                self.add(netlist, cell["type"], f"{path}{name}.", {inner[p]["bits"][at]: net for p, at, net in pins})
                continue
            out = {port for port, way in cell["port_directions"].items() if way == "output"}
            inputs = tuple((port, net) for port, _, net in pins if port not in out)
            outputs = tuple(net for port, _, net in pins if port in out)
            registered = cell["type"] == "DP16KD" and cell["parameters"]["REGMODE_B"] == "OUTREG"
            self.cells.append(Cell(path + name, REGISTERED if registered else cell["type"], inputs, outputs))


class Arrivals:
    """When each net is settled, counted from the clock."""

    def __init__(self, flat: Flat, wires: Wires) -> None:
        self._driver = {net: cell for cell in flat.cells for net in cell.outputs}
        self._wires = wires
        self._known: dict[int, tuple[float, int | None]] = {}

    def at(self, net: int) -> float:
        """Nanoseconds. A loop of logic, which there should be none of, counts as settled."""
        pending, entered = [net], set[int]()
        while pending:
            now = pending[-1]
            cell = self._driver.get(now)
            if now in self._known or cell is None or cell.kind in STARTS:
                self._known.setdefault(now, (STARTS.get(cell.kind, 0.0) if cell else 0.0, None))
                pending.pop()
                continue
            sources = [
                (self._delay(before, cell, port), before) for port, before in cell.inputs if self._passes(cell, port)
            ]
            missing = [before for _, before in sources if before not in self._known and before not in entered]
            entered.add(now)
            if missing:
                pending += missing
                continue
            best = max(((self._known.get(n, (0.0, None))[0] + d, n) for d, n in sources), default=(0.0, None))
            self._known[now] = best
            pending.pop()
        return self._known[net][0]

    def _passes(self, cell: Cell, port: str) -> bool:
        """Whether an output follows an input at once."""
        return cell.kind != "TRELLIS_DPR16X4" or port == "RAD"

    def wire(self, net: int, cell: Cell, port: str) -> float:
        """From where a net is driven to a cell."""
        driver = self._driver.get(net)
        return 0.0 if driver is not None and driver.kind == NETWORK else self._wires.ns(driver, cell, port)

    def _delay(self, net: int, cell: Cell, port: str) -> float:
        """From where a net is driven to the cell's output."""
        if cell.kind == "CCU2C" and port == "CIN":
            return CARRY
        wire = self.wire(net, cell, port)
        if cell.kind == NETWORK:
            return wire
        if cell.kind == "CCU2C":
            return wire + CARRY_IN
        return MUX + wire / 2 if cell.kind in ("PFUMX", "L6MUX21") else LUT + wire

    def way(self, net: int) -> list[Cell]:
        """The cells of the slowest path to a net, the last one first."""
        found, now = [], net
        while now is not None and now in self._driver:
            found.append(self._driver[now])
            now = self._known[now][1]  # type: ignore[assignment]
        return found


class Late(NamedTuple):
    """What begins at registers of a name: ends that are later than a limit, and the latest."""

    source: str
    ends: int
    ns: float


class Timing:
    """A netlist's ends, the slowest one first, as (nanoseconds, name, net)."""

    def __init__(self, netlist: Netlist, top: str, wires: Wires = Wires()) -> None:
        flat = Flat()
        flat.add(netlist, top, "", {})
        self._arrivals = arrivals = Arrivals(flat, wires)
        ends = [
            (arrivals.at(net) + arrivals.wire(net, cell, port) + SETUP, f"{cell.name}.{port}", net)
            for cell in flat.cells
            if cell.kind in ENDS
            for port, net in cell.inputs
            if not (cell.kind == "TRELLIS_DPR16X4" and port == "RAD") and not CLOCK.search(port)
        ]
        self.ends = sorted(ends, reverse=True)

    def slowest(self, count: int) -> list[Way]:
        """The slowest path for each pair of names, numbers in them taken for equal."""
        found: dict[tuple[str, str], Way] = {}
        for ns, target, net in self.ends:
            way = self._arrivals.way(net)
            source = way[-1].name if way else ""
            key = _alike(source), _alike(target)
            if key not in found:
                modules = dict.fromkeys(".".join(cell.name.split(".")[:-1]) for cell in reversed(way))
                found[key] = Way(ns, len(way), _register(source), _register(target), tuple(modules))
            if len(found) == count:
                break
        return list(found.values())

    def late(self, limit: float) -> list[Late]:
        """For the names that late paths begin at, numbers in them taken for equal; the most ends first."""
        found: dict[str, Late] = {}
        for ns, _, net in self.ends:
            if ns <= limit:
                break
            way = self._arrivals.way(net)
            source = _alike(way[-1].name if way else "")
            before = found.get(source, Late(source, 0, ns))
            found[source] = Late(source, before.ends + 1, before.ns)
        return sorted(found.values(), key=lambda late: (-late.ends, late.source))


def _alike(cell: str) -> str:
    return re.sub(r"\d+", "#", _register(cell))


def _register(cell: str) -> str:
    return re.sub(r"_(TRELLIS|LUT4|CCU2C|PFUMX|L6MUX|MULT).*", "", cell)


def rows(paths: list[Way]) -> Iterator[list[str]]:
    """For a table."""
    for path in paths:
        yield [f"{path.ns:.1f}", str(path.cells), path.source, path.target, " > ".join(path.through)]


def main(arguments: list[Any]) -> int:
    """Print the slowest paths of a file."""
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    wires = Wires.placed(Path(arguments[1])) if len(arguments) == 2 else Wires()
    timing = Timing(Netlist.read(Path(arguments[0])), TOP, wires)
    paths = rows(timing.slowest(25))
    print(table.columns(("ns", "cells", "from", "to", "through"), paths, left=("from", "to", "through")))
    late = timing.late(LATE)
    total = sum(source.ends for source in late)
    print(f"\n{total:,} of {len(timing.ends):,} ends later than {LATE:g} ns")
    lines = ((source.source, str(source.ends), f"{source.ns:.1f}") for source in late[:25])
    print(table.columns(("from", "ends", "slowest ns"), lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
