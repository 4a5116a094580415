"""Resets on the clock network: which nets, and that nothing else changes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from boards.flow import resets_ecp5
from boards.flow.netlist import Names, Netlist
from boards.flow.resets_ecp5 import RELAY, RESET, share, spread

TOP = "top"
FLIP_FLOP, LUT, NETWORK = "TRELLIS_FF", "LUT4", "DCCA"
DIRECTIONS = {"CLK": "input", "DI": "input", RESET: "input", "Q": "output", "A": "input", "Z": "output"}


def leaf(kind: str, **nets: int) -> dict[str, Any]:
    ports = {name: [net] for name, net in nets.items()}
    return {"type": kind, "connections": ports, "port_directions": {name: DIRECTIONS[name] for name in ports}}


def instance(kind: str, inputs: dict[str, list[int]]) -> dict[str, Any]:
    return {"type": kind, "connections": dict(inputs), "port_directions": dict.fromkeys(inputs, "input")}


def module(ports: dict[str, list[int]], cells: dict[str, Any]) -> dict[str, Any]:
    sides = {name: {"direction": "input", "bits": bits} for name, bits in ports.items()}
    return {"ports": sides, "cells": cells, "netnames": {}, "attributes": {}}


def design(seed: int, depth: int = 3) -> Netlist:
    """Modules of flip-flops and LUTs with two resets each, in a port of two bits, each of which stands several times in
    the one above with the resets in any order."""
    rng = random.Random(seed)
    modules = {}
    for level in range(depth):
        cells: dict[str, Any] = {}
        for i in range(rng.randrange(1, 6)):
            cells[f"ff{i}"] = leaf(FLIP_FLOP, CLK=2, DI=10 + i, Q=20 + i, LSR=rng.choice((3, 4)))
        for i in range(rng.randrange(3)):
            cells[f"lut{i}"] = leaf(LUT, A=rng.choice((3, 4)), Z=10 + i)
        if level:
            for i in range(rng.randrange(1, 4)):
                below = f"level{rng.randrange(level)}"
                cells[f"part{i}"] = instance(below, {"clk": [2], "rst": [rng.choice((3, 4)), rng.choice((3, 4))]})
        modules[f"level{level}"] = module({"clk": [2], "rst": [3, 4]}, cells)
    cells = {f"reset{i}": leaf(FLIP_FLOP, CLK=2, DI=5, Q=3 + i) for i in range(2)}
    cells |= {f"part{i}": instance(f"level{depth - 1}", {"clk": [2], "rst": [3 + i, 3]}) for i in range(2)}
    modules[TOP] = module({"clk": [2]}, cells)
    return Netlist({"modules": modules})


def sources(netlist: Netlist) -> dict[tuple[Names, str], tuple[Names, str] | str]:
    """What drives every input of every cell: a cell's output, or what comes in at the top."""
    found: dict[tuple[Names, str], tuple[Names, str] | str] = {}

    def walk(kind: str, path: Names, outside: dict[int, Any]) -> None:
        cells = netlist.content["modules"][kind]["cells"]
        nets = dict(outside)
        for name, cell in cells.items():
            if cell["type"] not in netlist.content["modules"]:
                for port, bits in cell["connections"].items():
                    if cell["port_directions"][port] == "output":
                        nets[bits[0]] = ((*path, name), port)
        for name, cell in cells.items():
            inner = netlist.content["modules"].get(cell["type"])
            if inner is not None:
                assert inner["ports"].keys() == cell["connections"].keys() == cell["port_directions"].keys()
                pairs = {
                    bit: nets[net]
                    for port, bits in cell["connections"].items()
                    for bit, net in zip(inner["ports"][port]["bits"], bits, strict=True)
                }
                walk(cell["type"], (*path, name), pairs)
                continue
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input" and bits[0] != "1":
                    found[(*path, name), port] = nets.get(bits[0], "nothing")

    walk(TOP, (), {2: "clk", 5: "data"})
    return found


@pytest.mark.parametrize("wide", [1, 10, 40])
@pytest.mark.parametrize("seed", range(8))
def test_only_resets_of_wide_nets_go_through_a_network(seed: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resets_ecp5, "WIDE", wide)
    before = sources(design(seed))
    netlist = design(seed)
    told = spread(netlist, TOP)
    after = sources(Netlist(netlist.content))
    counts: dict[str, int] = {}
    for (_, port), source in before.items():
        if port == RESET and isinstance(source, tuple):
            counts[".".join(source[0])] = counts.get(".".join(source[0]), 0) + 1
    assert told == {name: count for name, count in counts.items() if count >= wide}
    networks = {names: source for (names, port), source in after.items() if port == "CLKI"}
    assert len(networks) == len(told)
    for pin, source in before.items():
        if pin[1] == RESET and ".".join(source[0]) in told:
            assert networks[after[pin][0]] == source, pin  # type: ignore[index]
        else:
            assert after[pin] == source, pin
    assert after.keys() - before.keys() == {(names, "CLKI") for names in networks}


def test_nets_of_modules_that_stand_twice_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resets_ecp5, "WIDE", 1)
    cells = {"source": leaf(FLIP_FLOP, CLK=2, DI=3, Q=4), "reset": leaf(FLIP_FLOP, CLK=2, DI=3, Q=5, LSR=4)}
    top = {f"part{i}": instance("part", {"clk": [2], "data": [5]}) for i in range(2)}
    modules = {"part": module({"clk": [2], "data": [3]}, cells), TOP: module({"clk": [2]}, top)}
    netlist = Netlist({"modules": modules})
    assert spread(netlist, TOP) == {}
    assert sources(netlist)[("part0", "reset"), RESET] == (("part0", "source"), "Q")


def test_registers_of_one_reset_become_one() -> None:
    """Two parts take the same reset, a third one another: of three registers two are left, and nobody sees more."""
    inner = module({"clk": [2], "rst": [3], "before": [4]}, {"ff": leaf(FLIP_FLOP, CLK=2, DI=4, LSR=3, Q=5)})
    inner["ports"]["after"] = {"direction": "output", "bits": [5]}
    cells: dict[str, Any] = {}
    for i, before in enumerate((3, 3, 6)):
        cells[f"relay{i}"] = instance(RELAY, {"clk": [2], "rst": [3], "before": [before]})
        cells[f"relay{i}"]["connections"]["after"] = [10 + i]
        cells[f"relay{i}"]["port_directions"]["after"] = "output"
        cells[f"ff{i}"] = leaf(FLIP_FLOP, CLK=2, DI=7, LSR=10 + i, Q=20 + i)
    modules = {TOP: module({"clk": [2], "rst": [3], "soft": [6], "d": [7]}, cells), RELAY: inner}
    netlist = Netlist({"modules": modules})
    assert share(netlist) == 1
    left = netlist.modules[TOP].cells
    assert sorted(left) == ["ff0", "ff1", "ff2", "relay0", "relay2"]
    assert [left[f"ff{i}"]["connections"][RESET] for i in range(3)] == [[10], [10], [12]]
    assert share(netlist) == 0
