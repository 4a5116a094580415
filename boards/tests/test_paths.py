"""Paths before and behind placement: lengths of known ones, across modules, and where they begin and end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boards.flow.netlist import Netlist
from boards.report.paths import CARRY, CARRY_IN, LUT, NEAR, PER_TILE, REGISTERED, ROUTE, STARTS, Late, Timing, Wires


def cell(kind: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "port_directions": directions, "connections": {k: [v] for k, v in (inputs | outputs).items()}}


def netlist() -> Netlist:
    """A register, a LUT in a module of its own, two cells of a carry chain, a register."""
    inner = {"lut": cell("LUT4", {"A": 2}, {"Z": 3})}
    ports = {"i": {"direction": "input", "bits": [2]}, "o": {"direction": "output", "bits": [3]}}
    outer = {
        "first_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 8}, {"Q": 4}),
        "part": cell("part", {"i": 4}, {"o": 5}),
        "low": cell("CCU2C", {"A0": 5, "CIN": 8}, {"COUT": 6}),
        "high": cell("CCU2C", {"A0": 4, "CIN": 6}, {"S1": 7}),
        "last_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 7}, {"Q": 8}),
    }
    empty: dict[str, Any] = {"cells": {}, "ports": {}}
    modules = {"top": {"cells": outer, "ports": {}}, "part": {"cells": inner, "ports": ports}}
    return Netlist({"modules": modules | dict.fromkeys(("LUT4", "CCU2C", "TRELLIS_FF"), empty)})


FIRST_TO_LAST = STARTS["TRELLIS_FF"] + (LUT + ROUTE) + (ROUTE + CARRY_IN) + CARRY + ROUTE


def test_the_longest_path_is_added_up() -> None:
    found = Timing(netlist(), "top").slowest(10)
    assert found[0].ns == pytest.approx(FIRST_TO_LAST)
    assert (found[0].source, found[0].target, found[0].cells) == ("first", "last", 4)
    assert found[0].through == ("", "part")


def test_wires_count_by_the_tiles_between(tmp_path: Path) -> None:
    """Carry cells are split by place and route; the last one's flip-flop is in its tile."""
    tiles = {
        "first_TRELLIS_FF_Q": "X2/Y3/SLICEA.FF0",
        "part.lut": "X4/Y8/SLICEB.K0",
        "low$CCU2_COMB0": "X9/Y8/SLICEA.K0",
        "low$CCU2_COMB1": "X9/Y8/SLICEA.K1",
        "high$CCU2_COMB0": "X9/Y8/SLICEB.K0",
        "last_TRELLIS_FF_Q": "X9/Y8/SLICEB.FF1",
        "not placed": "",
    }
    cells = {name: {"attributes": {"NEXTPNR_BEL": bel} if bel else {}} for name, bel in tiles.items()}
    (tmp_path / "placed.json").write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    wires = Wires.placed(tmp_path / "placed.json")
    found = Timing(netlist(), "top", wires).slowest(10)[0]
    want = STARTS["TRELLIS_FF"] + (NEAR + 7 * PER_TILE + LUT) + (NEAR + 5 * PER_TILE + CARRY_IN) + CARRY
    assert found.ns == pytest.approx(want)
    assert (found.source, found.target, found.cells) == ("first", "last", 4)


def test_clocks_are_no_paths() -> None:
    """The clock is the only net that nothing drives here."""
    assert all(path.source for path in Timing(netlist(), "top").slowest(10))


@pytest.mark.parametrize(("mode", "kind"), [("NOREG", "DP16KD"), ("OUTREG", REGISTERED)])
def test_a_register_in_a_block_of_memory_is_a_start(mode: str, kind: str) -> None:
    block = cell("DP16KD", {"CLKB": 1}, {"DOB0": 2}) | {"parameters": {"REGMODE_B": mode}}
    cells = {"block": block, "last_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 2}, {"Q": 3})}
    empty: dict[str, Any] = {"cells": {}, "ports": {}}
    modules = {"top": {"cells": cells, "ports": {}}} | dict.fromkeys(("DP16KD", "TRELLIS_FF"), empty)
    assert Timing(Netlist({"modules": modules}), "top").slowest(1)[0].ns == pytest.approx(STARTS[kind] + ROUTE)


def test_one_path_for_each_pair_of_names() -> None:
    found = Timing(netlist(), "top").slowest(10)
    assert len({(path.source, path.target) for path in found}) == len(found) > 1
    assert [path.ns for path in found] == sorted((path.ns for path in found), reverse=True)


def test_late_ends_are_counted_where_they_begin() -> None:
    """The last register's input is late by its own path, the first one's is not."""
    timing = Timing(netlist(), "top")
    (late,) = timing.late(FIRST_TO_LAST - 0.01)
    assert late == Late("first", 1, pytest.approx(FIRST_TO_LAST))
    assert timing.late(FIRST_TO_LAST) == []
    assert sum(source.ends for source in timing.late(0.0)) == len(timing.ends) == 2


def test_a_reset_takes_the_time_to_its_network() -> None:
    cells = {
        "source_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 2}, {"Q": 3}),
        "network": cell("DCCA", {"CLKI": 3}, {"CLKO": 4}),
        "reset_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 3, "LSR": 4}, {"Q": 2}),
    }
    empty: dict[str, Any] = {"cells": {}, "ports": {}}
    modules = {"top": {"cells": cells, "ports": {}}} | dict.fromkeys(("TRELLIS_FF", "DCCA"), empty)
    ends = {name: ns for ns, name, _ in Timing(Netlist({"modules": modules}), "top").ends}
    assert ends["reset_TRELLIS_FF_Q.LSR"] == ends["reset_TRELLIS_FF_Q.DI"] == STARTS["TRELLIS_FF"] + ROUTE
