"""Which part of the machine a cell belongs to, by the names of the modules around it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from boards.flow.family import Family, Use
from boards.flow.netlist import Netlist

PARTS = (
    ("score array", r"core\.score_array\."),
    ("value array", r"core\.value_array\."),
    ("softmax lanes", r"core\.lane_group_\d+\."),
    ("normaliser", r"core\.output_unit\."),
    ("block conversion", r"core\.[qkv]_converter\."),
    ("K/V buffer", r"core\.(key|value|bias)_buffer\.|core\.(score|value)_array\.row_\d+\.feeder\."),
    ("DMA", r"accelerator\.(read_engine|write_engine|\w+_reader|\w+_writer|\w+_fork|\w+_owed)\."),
    ("control", r"accelerator\."),
    ("memory", r"board\.memory\."),
    ("host link", r"board\.bridge\."),
    ("rest", r""),
)
"""Parts and what the path of a cell of theirs, ending in a dot, has in it; the first that fits, but for those of an
array's feeders, which are the buffer's banks."""

BUFFER = "K/V buffer"


def part_of(path: str) -> str:
    """The part that a path of instance names, with dots between them, leads into."""
    ends = path + "."
    if re.search(dict(PARTS)[BUFFER], ends):
        return BUFFER
    return next(name for name, pattern in PARTS if re.search(pattern, ends))


def uses(netlist: Netlist, top: str, family: Family) -> dict[str, Use]:
    """What each part of a design takes, in the order of PARTS; parts that take nothing are left out."""
    found = dict.fromkeys((name for name, _ in PARTS), Use())
    # Flattened designs keep the names of what was an instance in those of its cells.
    cells: dict[str, Counter[str]] = {}
    for names, kind in netlist.leaves(top):
        cells.setdefault(part_of(".".join(names)), Counter())[kind] += 1
    for part, kinds in cells.items():
        found[part] = family.use(kinds)
    return {name: use for name, use in found.items() if use != Use()}


def total(uses: Iterable[Use]) -> Use:
    """All of them together."""
    return sum(uses, Use())
