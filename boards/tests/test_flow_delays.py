"""Delays in LUT RAM: every net that is left carries what it did, in every cycle, and memories are no more than pay."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from boards.flow import delays_ecp5
from boards.flow.delays_ecp5 import FLIP_FLOP, WIDTH, WORDS, WORTH, shorten
from boards.flow.netlist import Netlist

TOP = "top"
CLOCK, INPUTS = 2, range(3, 11)
CYCLES = 120


def flip_flop(source: int, out: int, **changes: str) -> dict[str, Any]:
    pins = {"CLK": [CLOCK], "DI": [source], "Q": [out], "LSR": ["0"]}
    sides = {port: "output" if port == "Q" else "input" for port in pins}
    return {"type": "TRELLIS_FF", "parameters": FLIP_FLOP | changes, "connections": pins, "port_directions": sides}


def rows(lengths: list[int]) -> Netlist:
    """A module that hands on its inputs, each that many cycles later."""
    cells, outs, net = {}, [], 100
    for i, length in enumerate(lengths):
        source = INPUTS[i % len(INPUTS)]
        for k in range(length):
            cells[f"ff{i}_{k}"] = flip_flop(source, net)
            source, net = net, net + 1
        outs.append(source)
    ports = {
        "clk": {"direction": "input", "bits": [CLOCK]},
        "in": {"direction": "input", "bits": list(INPUTS)},
        "out": {"direction": "output", "bits": outs},
    }
    return Netlist({"modules": {TOP: {"ports": ports, "cells": cells, "attributes": {}}}})


def tangle(seed: int) -> Netlist:
    """Rows of any length, where flip-flops have other users, a LUT or a port, or a reset, or are 1 at first."""
    rng = random.Random(seed)
    netlist = rows([rng.randrange(1, 2 * WORDS + 4) for _ in range(rng.randrange(1, 14))])
    module = netlist.content["modules"][TOP]
    cells = module["cells"]
    for name, cell in rng.sample(sorted(cells.items()), min(len(cells), rng.randrange(8))):
        out = cell["connections"]["Q"][0]
        match rng.randrange(4):
            case 0:
                pins = {"A": [out], "B": ["0"], "C": ["0"], "D": ["0"], "Z": [out + 5000]}
                sides = {port: "output" if port == "Z" else "input" for port in pins}
                parameters = {"INIT": f"{rng.getrandbits(16):016b}"}
                cells[f"lut_{name}"] = {
                    "type": "LUT4",
                    "parameters": parameters,
                    "connections": pins,
                    "port_directions": sides,
                }
                cells[f"more_{name}"] = flip_flop(out + 5000, out + 6000)
                module["ports"]["out"]["bits"].append(out + 6000)
            case 1:
                module["ports"]["out"]["bits"].append(out)
            case 2:
                cell["connections"]["LSR"] = [rng.choice(INPUTS)]
            case 3:
                cell["parameters"] = FLIP_FLOP | {"REGSET": "SET"}
    return netlist


def outputs(netlist: Netlist, seed: int) -> Iterator[tuple[int, ...]]:
    """What leaves the module in every cycle, for random inputs."""
    rng = random.Random(seed)
    module = netlist.content["modules"][TOP]
    cells = list(module["cells"].values())
    state = {id(c): int(c["parameters"]["REGSET"] == "SET") for c in cells if c["type"] == "TRELLIS_FF"}
    memory = {id(c): [0] * WORDS for c in cells if c["type"] == "TRELLIS_DPR16X4"}
    for _ in range(CYCLES):
        nets: dict[int | str, int] = {"0": 0, "1": 1} | {bit: rng.getrandbits(1) for bit in INPUTS}
        nets |= {c["connections"]["Q"][0]: state[id(c)] for c in cells if id(c) in state}
        for c in cells:
            pins = c["connections"]
            if c["type"] == "TRELLIS_DPR16X4":
                word = memory[id(c)][number(nets, pins["RAD"])]
                nets |= {bit: word >> i & 1 for i, bit in enumerate(pins["DO"])}
            if c["type"] == "LUT4":
                at = number(nets, [pins[port][0] for port in "ABCD"])
                nets[pins["Z"][0]] = int(c["parameters"]["INIT"], 2) >> at & 1
        yield tuple(nets[bit] for bit in module["ports"]["out"]["bits"])
        for c in cells:
            pins = c["connections"]
            if c["type"] == "TRELLIS_DPR16X4" and nets[pins["WRE"][0]]:
                memory[id(c)][number(nets, pins["WAD"])] = number(nets, pins["DI"])
            if c["type"] == "TRELLIS_FF":
                state[id(c)] = 0 if nets[pins.get("LSR", ["0"])[0]] else nets[pins["DI"][0]]


def number(nets: dict[int | str, int], bits: list[int | str]) -> int:
    return sum(nets[bit] << i for i, bit in enumerate(bits))


@pytest.mark.parametrize("seed", range(30))
def test_every_output_is_as_it_was_in_every_cycle(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(delays_ecp5, "WORTH", random.Random(seed).randrange(1, 2 * WORTH))
    before = list(outputs(tangle(seed), seed))
    netlist = tangle(seed)
    left = len(netlist.modules[TOP].of_type("TRELLIS_FF"))
    gone = shorten(netlist)
    module = netlist.modules[TOP]
    counters = sum(1 for name in module.cells if name.endswith("_next"))
    assert len(module.of_type("TRELLIS_FF")) == left - gone + counters
    assert list(outputs(netlist, seed)) == before


@pytest.mark.parametrize("length", range(2, 2 * WORDS + 3))
def test_a_memory_holds_all_but_the_last_of_its_rows(length: int) -> None:
    netlist = rows([length] * WIDTH)
    held = min(length - 1, WORDS)
    worth = held * WIDTH >= WORTH
    assert shorten(netlist) == worth * held * WIDTH
    assert len(netlist.modules[TOP].of_type("TRELLIS_DPR16X4")) == worth


def test_what_does_not_fill_a_memory_has_to_be_worth_one() -> None:
    netlist = rows([6] * (WIDTH + 1))
    assert shorten(netlist) == 5 * WIDTH
    netlist = rows([WORTH + 1] * (WIDTH + 1))
    assert shorten(netlist) == WORTH * (WIDTH + 1)
