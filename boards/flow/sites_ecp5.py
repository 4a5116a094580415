"""Where multipliers and block RAMs of a machine go on an ECP5, before place and route finds places for the rest.

The placer spreads what lies on top of each other, which says nothing of cells that are few and whose places are rare: a
multiplier ends up wherever one is left, far from the registers around it. With nine of ten taken, the wires that lead
there are 30 % of the length of all. In order, the rows of both arrays one beside the other, the placer finds room
around each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from boards.flow.netlist import Names, Netlist

MULTIPLIER, BLOCK_RAM = "MULT18X18D", "DP16KD"
PER_GROUP = 4
"""Multipliers, and block RAMs, of one row of the device from one group's column to the next one's."""

MULTIPLIER_OFFSETS, BLOCK_RAM_OFFSETS = (0, 1, 4, 5), (0, 2, 4, 6)
"""Columns of each from the group's own."""

CELL = re.compile(r"(value|score)_array\.row_(\d+)\.pe_")
FEEDER = re.compile(r"(value|score)_array\.row_(\d+)\.feeder\.")
MEMORY = re.compile(r"board\.memory\.bank")


class Sites(NamedTuple):
    """Of a device. columns: of the groups; bands: rows of multipliers in the order in which they are filled, each with
    the row of block RAMs beside it; memories: rows of block RAMs in the order in which the memory fills them."""

    columns: tuple[int, ...]
    bands: tuple[tuple[int, int], ...]
    memories: tuple[int, ...]

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Column, row of multipliers and row of block RAMs, one group beside the last: from left to right in the first
        band, and back in the next."""
        for number, (multipliers, memories) in enumerate(self.bands):
            for column in self.columns[:: -1 if number % 2 else 1]:
                yield column, multipliers, memories

    def memory_sites(self) -> Iterator[str]:
        """Names of all places of block RAMs, as `memories` has them."""
        for number, row in enumerate(self.memories):
            for column in self.columns[:: -1 if number % 2 else 1]:
                yield from (block_ram(column, row, at) for at in range(PER_GROUP))


def multiplier(column: int, row: int, at: int) -> str:
    """Name of a group's multiplier."""
    offset = MULTIPLIER_OFFSETS[at]
    return f"X{column + offset}/Y{row}/MULT18_{offset}"


def block_ram(column: int, row: int, at: int) -> str:
    """Name of a group's block RAM."""
    return f"X{column + BLOCK_RAM_OFFSETS[at]}/Y{row}/EBR{at}"


LFE5U_85F = Sites(
    columns=(4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
    bands=((34, 22), (58, 46), (10, 22)),
    memories=(82, 70, 46, 22),
)


def places(netlist: Netlist, top: str, sites: Sites) -> dict[Names, str]:
    """The place of every multiplier of the arrays, their feeders' block RAMs and those of the board's memory. Rows of
    more cells than a group has multipliers, or more rows than there are groups, are left to place and route."""
    cells: dict[tuple[str, int], list[Names]] = {}
    feeders: dict[tuple[str, int], list[Names]] = {}
    memory: list[Names] = []
    for path, kind in netlist.leaves(top):
        name = ".".join(path)
        if kind == MULTIPLIER and (found := CELL.search(name)):
            cells.setdefault((found[1], int(found[2])), []).append(path)
        elif kind == BLOCK_RAM and (found := FEEDER.search(name)):
            feeders.setdefault((found[1], int(found[2])), []).append(path)
        elif kind == BLOCK_RAM and MEMORY.search(name):
            memory.append(path)
    order = _alternating(cells)
    groups = list(sites.groups())
    if len(order) > len(groups) or any(len(paths) > PER_GROUP for paths in [*cells.values(), *feeders.values()]):
        return {}
    found_places: dict[Names, str] = {}
    taken: set[str] = set()
    for row, (column, multipliers, memories) in zip(order, groups, strict=False):
        for at, path in enumerate(sorted(cells[row], key=in_order)):
            found_places[path] = multiplier(column, multipliers, at)
        free = [site for at in range(PER_GROUP) if (site := block_ram(column, memories, at)) not in taken]
        # Without room for all of them they lie wherever place and route finds some.
        for path, site in zip(sorted(feeders.get(row, []), key=in_order), free, strict=False):
            found_places[path] = site
            taken.add(site)
    rest = [site for site in sites.memory_sites() if site not in taken]
    return found_places | dict(zip(sorted(memory, key=in_order), rest, strict=False))


def _alternating(rows: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """A row of the value array, large, and one of the score array, small, by turns."""
    value, score = (sorted(row for row in rows if row[0] == kind) for kind in ("value", "score"))
    return [row for pair in zip_longest(value, score) for row in pair if row is not None]


def in_order(path: Names) -> list[tuple[str, int]]:
    """A key that sorts names with numbers in them by their numbers."""
    return [(text, int(number)) for text, number in re.findall(r"(\D*)(\d+)", ".".join(path))]


def fix(netlist: Netlist, top: str, sites: Sites) -> int:
    """Set the places into the netlist; gives how many. What stands in it several times is written once for each."""
    found = places(netlist, top, sites)
    for path, site in found.items():
        netlist.own_cell(top, path).setdefault("attributes", {})["BEL"] = site
    return len(found)
