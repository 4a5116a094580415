"""Where multipliers and block RAMs of a machine go on an ECP5, before place and route finds places for the rest.

The placer spreads what lies on top of each other, which says nothing of cells that are few and whose places are rare: a
multiplier ends up wherever one is left, far from the registers around it. With nine of ten taken, the wires that lead
there are 30 % of the length of all. In order, the rows of both arrays one beside the other, the placer finds room
around each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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
MEMORY = re.compile(r"board\.memory\.lane")


class Stretch(NamedTuple):
    """Groups one beside the other. multipliers, memories: their rows; first, last: their columns, by number."""

    multipliers: int
    memories: int
    first: int
    last: int


class Strip(NamedTuple):
    """Block RAMs of some rows, a column of groups after the other. first, last: columns, by number."""

    rows: tuple[int, ...]
    first: int
    last: int


class Sites(NamedTuple):
    """Of a device. columns: of the groups; way: through the groups in the order in which the arrays' rows take them;
    memories: strips of block RAMs in the order in which the board's memory fills them, lane by lane, with what other
    strips and others have left of them; kept: places of both for others, by what is in their names."""

    columns: tuple[int, ...]
    way: tuple[Stretch, ...]
    memories: tuple[Strip, ...]
    kept: Mapping[str, tuple[str, ...]]

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Column, row of multipliers and row of block RAMs, one group beside the last."""
        for stretch in self.way:
            for number in numbers(stretch.first, stretch.last):
                yield self.columns[number], stretch.multipliers, stretch.memories

    def memory_sites(self) -> Iterator[str]:
        """Names of all places of block RAMs that are not kept, as `memories` has them; some more than once."""
        kept = {site for sites in self.kept.values() for site in sites}
        for strip in self.memories:
            for number in numbers(strip.first, strip.last):
                sites = (block_ram(self.columns[number], row, at) for row in strip.rows for at in range(PER_GROUP))
                yield from (site for site in sites if site not in kept)


def numbers(first: int, last: int) -> range:
    """From the one to the other, both of them too."""
    step = 1 if last >= first else -1
    return range(first, last + step, step)


def multiplier(column: int, row: int, at: int) -> str:
    """Name of a group's multiplier."""
    offset = MULTIPLIER_OFFSETS[at]
    return f"X{column + offset}/Y{row}/MULT18_{offset}"


def block_ram(column: int, row: int, at: int) -> str:
    """Name of a group's block RAM."""
    return f"X{column + BLOCK_RAM_OFFSETS[at]}/Y{row}/EBR{at}"


LFE5U_85F = Sites(
    columns=(4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
    # Both arrays meet the lanes in the middle, where the way begins. Two groups on it are left to the normaliser, which
    # collects from all rows.
    way=(
        Stretch(10, 22, 5, 6),
        Stretch(34, 22, 6, 0),
        Stretch(58, 46, 0, 7),
        Stretch(58, 46, 10, 12),
        Stretch(34, 22, 12, 7),
        Stretch(10, 22, 7, 12),
    ),
    # Each lane of the board's memory lies in a part of the device: the first between the arrays on the left, two in the
    # rows where no array is, the last on the right.
    memories=(Strip((46, 22), 6, 0), Strip((70,), 0, 2), Strip((82, 70), 0, 12), Strip((46, 22), 12, 7)),
    kept={
        "_buffer.facts.": (block_ram(40, 22, 2), block_ram(40, 22, 3)),
        "read_engine.": tuple(block_ram(column, 70, at) for column in (49, 58) for at in range(PER_GROUP)),
        "bridge.": (block_ram(13, 70, 0), block_ram(13, 70, 1)),
        "lane.": tuple(multiplier(40, 10, at) for at in range(PER_GROUP)),
        "normaliser_": tuple(multiplier(87, 58, at) for at in range(PER_GROUP)),
        "reciprocal.": tuple(multiplier(78, 58, at) for at in range(PER_GROUP)),
    },
)

LFE5U_25F = Sites(
    columns=(4, 13, 22, 33, 42, 51, 60),
    way=(Stretch(13, 25, 2, 5),),
    memories=(Strip((37,), 0, 6),),
    kept={
        "block_fork.": (
            *(block_ram(column, 25, at) for column in (4, 13, 60) for at in range(PER_GROUP)),
            *(block_ram(column, 25, at) for column in (22, 33, 42, 51) for at in (2, 3)),
        ),
        "bridge.": (block_ram(60, 37, 2), block_ram(60, 37, 3)),
        "lane.": tuple(multiplier(13, 13, at) for at in range(PER_GROUP)),
        "normaliser_": tuple(multiplier(60, 13, at) for at in range(PER_GROUP)),
        "reciprocal.": tuple(multiplier(4, 13, at) for at in range(PER_GROUP)),
    },
)


def places(netlist: Netlist, top: str, sites: Sites) -> dict[Names, str]:
    """The place of every multiplier of the arrays, of their feeders' block RAMs, of the board's memory's and of those
    that places are kept for. Rows of more cells than a group has multipliers, or more rows than there are groups, are
    left to place and route."""
    cells: dict[tuple[str, int], list[Names]] = {}
    feeders: dict[tuple[str, int], list[Names]] = {}
    memory: list[Names] = []
    others: dict[str, list[Names]] = {}
    for path, kind in netlist.leaves(top):
        name = ".".join(path)
        if kind == MULTIPLIER and (found := CELL.search(name)):
            cells.setdefault((found[1], int(found[2])), []).append(path)
        elif kind == BLOCK_RAM and (found := FEEDER.search(name)):
            feeders.setdefault((found[1], int(found[2])), []).append(path)
        elif kind == BLOCK_RAM and MEMORY.search(name):
            memory.append(path)
        elif kind in (BLOCK_RAM, MULTIPLIER):
            others.setdefault(next((text for text in sites.kept if text in name), ""), []).append(path)
    order = _alternating(cells)
    groups = list(sites.groups())
    if len(order) > len(groups) or any(len(paths) > PER_GROUP for paths in [*cells.values(), *feeders.values()]):
        return {}
    found_places: dict[Names, str] = {}
    for text, kept in sites.kept.items():
        found_places |= dict(zip(sorted(others.get(text, []), key=in_order), kept, strict=False))
    taken = set(found_places.values())
    for row, (column, multipliers, memories) in zip(order, groups, strict=False):
        for at, path in enumerate(sorted(cells[row], key=in_order)):
            found_places[path] = multiplier(column, multipliers, at)
        free = [site for at in range(PER_GROUP) if (site := block_ram(column, memories, at)) not in taken]
        # Without room for all of them they lie wherever place and route finds some.
        for path, site in zip(sorted(feeders.get(row, []), key=in_order), free, strict=False):
            found_places[path] = site
            taken.add(site)
    rest = [site for site in dict.fromkeys(sites.memory_sites()) if site not in taken]
    return found_places | dict(zip(sorted(memory, key=in_order), rest, strict=False))


def _alternating(rows: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """A row of the value array, large, and one of the score array, small, by turns: the first of the former beside the
    last of the latter, as the lanes are between them."""
    value, score = (sorted(row for row in rows if row[0] == kind) for kind in ("value", "score"))
    score.reverse()
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
