"""Paths before placement: lengths of known ones, across modules, and where they begin and end."""

from __future__ import annotations

from typing import Any

import pytest

from boards.flow.netlist import Netlist
from boards.report.paths import CARRY, CARRY_IN, LUT, ROUTE, STARTS, slowest


def cell(kind: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "port_directions": directions, "connections": {k: [v] for k, v in (inputs | outputs).items()}}


def netlist() -> Netlist:
    """A register, a LUT in a module of its own, two cells of a carry chain, a register."""
    inner = {"lut": cell("LUT4", {"A": 2}, {"Z": 3})}
    ports = {"i": {"direction": "input", "bits": [2]}, "o": {"direction": "output", "bits": [3]}}
    outer = {
        "first_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 9}, {"Q": 4}),
        "part": cell("part", {"i": 4}, {"o": 5}),
        "low": cell("CCU2C", {"A0": 5, "CIN": 8}, {"COUT": 6}),
        "high": cell("CCU2C", {"A0": 4, "CIN": 6}, {"S1": 7}),
        "last_TRELLIS_FF_Q": cell("TRELLIS_FF", {"CLK": 1, "DI": 7}, {"Q": 8}),
    }
    empty: dict[str, Any] = {"cells": {}, "ports": {}}
    modules = {"top": {"cells": outer, "ports": {}}, "part": {"cells": inner, "ports": ports}}
    return Netlist({"modules": modules | dict.fromkeys(("LUT4", "CCU2C", "TRELLIS_FF"), empty)})


def test_the_longest_path_is_added_up() -> None:
    found = slowest(netlist(), "top", 10)
    want = STARTS["TRELLIS_FF"] + (LUT + ROUTE) + (ROUTE + CARRY_IN) + CARRY + ROUTE
    assert found[0].ns == pytest.approx(want)
    assert (found[0].source, found[0].target, found[0].cells) == ("first", "last", 4)
    assert found[0].through == ("", "part")


def test_one_path_for_each_pair_of_names() -> None:
    found = slowest(netlist(), "top", 10)
    assert len({(path.source, path.target) for path in found}) == len(found) > 1
    assert [path.ns for path in found] == sorted((path.ns for path in found), reverse=True)
