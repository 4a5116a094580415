"""What limits the clock, from place and route's report, in words."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from boards.flow.parts import part_of
from boards.flow.shell import MACHINE


@dataclass(frozen=True)
class CriticalPath:
    """The slowest way from register to register. Times in nanoseconds; levels: LUTs and multiplexers in a row; carries:
    bits of adders in a row."""

    source: str
    source_part: str
    target: str
    target_part: str
    logic_ns: float
    routing_ns: float
    levels: int
    carries: int

    @property
    def words(self) -> str:
        """One sentence."""
        carry = f" and {self.carries} bits of carry" if self.carries else ""
        logic = f"{self.levels} levels of logic{carry}"
        times = f"{self.logic_ns:.2f} ns in cells, {self.routing_ns:.2f} ns on the way"
        where = f"from {self.source} in the {self.source_part} to {self.target} in the {self.target_part}"
        return f"{where}: {logic}; {times}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"words": self.words}


def fmax_mhz(report: dict[str, Any]) -> float:
    """Highest frequency of the machine's clock."""
    found = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    name = next((name for name in found if re.search(rf"\b{MACHINE}\b", name)), None)
    return float(found[name] if name is not None else min(found.values()))


def critical_path(report: dict[str, Any]) -> CriticalPath:
    """The slowest path within the machine's clock."""
    paths = [path for path in report["critical_paths"] if path["from"] == path["to"] != "<async>"]
    path = max(paths, key=lambda found: sum(hop["delay"] for hop in found["path"]))["path"]
    source, target = path[0]["from"]["cell"], path[-1]["to"]["cell"]
    hops = [hop for hop in path if hop["type"] == "logic"]
    # A carry chain shows as one hop per bit or pair of bits between its cells.
    carries = sum(1 for hop in hops if re.match(r"FC|CI|CO", hop["to"]["port"]))
    routing = sum(hop["delay"] for hop in path if hop["type"] == "routing")
    return CriticalPath(
        source=register_name(source),
        source_part=part_of(source),
        target=register_name(target),
        target_part=part_of(target),
        logic_ns=round(sum(hop["delay"] for hop in path) - routing, 3),
        routing_ns=round(routing, 3),
        levels=len(hops) - carries,
        carries=carries,
    )


def register_name(cell: str) -> str:
    """What the register was called in the machine: `a.core.row_3.sum_TRELLIS_FF_Q_7` is `row_3.sum`."""
    *path, name = cell.split(".")
    name = re.sub(r"_(TRELLIS|DFF|DPR|LUT|PFUMX|CCU2C|\$).*$", "", name).replace("\\", "")
    return ".".join([*path[-1:], name])
