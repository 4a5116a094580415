"""Packing keeps what a netlist computes: LUTs that go into carry cells, registers of multipliers and memories."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from boards.flow.netlist import Netlist
from boards.flow.pack_ecp5 import ADD_INIT, PLAIN, pack

CLOCK = 2


def cell(kind: str, parameters: dict[str, str], inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    connections = {port: [bit] for port, bit in (inputs | outputs).items()}
    return {"type": kind, "parameters": parameters, "port_directions": directions, "connections": connections}


def module(cells: dict[str, Any], outputs: list[int]) -> Netlist:
    ports = {"out": {"direction": "output", "bits": outputs}}
    return Netlist({"modules": {"top": {"ports": ports, "cells": cells, "attributes": {}}}})


def lut(table: int, bits: list[Any], out: int) -> dict[str, Any]:
    return cell("LUT4", {"INIT": f"{table:016b}"}, dict(zip("ABCD", bits, strict=True)), {"Z": out})


def carry(a: Any, b: Any) -> dict[str, Any]:
    inputs = {"A0": a, "B0": b, "C0": "0", "D0": "1", "A1": "0", "B1": "0", "C1": "0", "D1": "1", "CIN": 3}
    return cell("CCU2C", {"INIT0": ADD_INIT, "INIT1": ADD_INIT}, inputs, {"S0": 90, "S1": 91, "COUT": 92})


def flip_flop(data: Any, out: int, **parameters: str) -> dict[str, Any]:
    return cell("TRELLIS_FF", PLAIN | parameters, {"CLK": CLOCK, "DI": data, "LSR": "0"}, {"Q": out})


def evaluate(netlist: Netlist, values: dict[Any, int]) -> tuple[int, int]:
    """Sum and carry of the first half of the one carry cell, as its data sheet has them: the sum is its LUT against the
    carry that comes in, the carry that goes out is that one or what the LUT of A and B alone gives."""
    cells = netlist.modules["top"].cells
    values = values | {"0": 0, "1": 1}
    for found in cells.values():
        if found["type"] == "LUT4":
            index = sum(values[found["connections"][p][0]] << i for i, p in enumerate("ABCD"))
            values[found["connections"]["Z"][0]] = int(found["parameters"]["INIT"], 2) >> index & 1
    adder = cells["adder"]
    a, b, c, d = (values[adder["connections"][f"{p}0"][0]] for p in "ABCD")
    init = int(adder["parameters"]["INIT0"], 2)
    own = init >> (a | b << 1 | c << 2 | d << 3) & 1
    return own ^ values[3], values[3] if own else init >> (a | b << 1) & 1


@pytest.mark.parametrize("inputs", [1, 2, 3, 4])
def test_functions_go_into_the_adder_and_the_sum_stays(inputs: int) -> None:
    """All functions of up to two signals, some of three and four, on either operand."""
    rng = random.Random(inputs)
    tables = range(16) if inputs < 3 else [rng.getrandbits(1 << inputs) for _ in range(60)]
    packed = 0
    for table, side in itertools.product(tables, "ab"):
        # The table of all four inputs, those that are constant 0 included.
        whole = sum((table >> (index % (1 << inputs)) & 1) << index for index in range(16))
        nets: list[Any] = [10 + i for i in range(inputs)] + ["0"] * (4 - inputs)
        operands = (20, 40) if side == "b" else (40, 20)
        before = module({"adder": carry(*operands), "lut": lut(whole, nets, 40)}, [90, 92])
        after = module({"adder": carry(*operands), "lut": lut(whole, nets, 40)}, [90, 92])
        packed += pack(after)["carry_luts"]
        for bits in itertools.product((0, 1), repeat=inputs + 2):
            values = dict(zip([20, 3, *nets[:inputs]], bits, strict=True))
            assert evaluate(after, values) == evaluate(before, values), (table, side)
    least, most = {1: (2, 2), 2: (2, 2), 3: (1, 2), 4: (0, 0)}[inputs]
    assert least * len(tables) <= packed * (2 if inputs == 3 else 1) and packed <= most * len(tables)


def test_a_multiplexer_in_front_of_an_adder_costs_nothing() -> None:
    table = sum(((index >> 1 if index & 1 else index >> 2) & 1) << index for index in range(16))
    netlist = module({"adder": carry(20, 40), "lut": lut(table, [10, 11, 12, "0"], 40)}, [90])
    assert pack(netlist)["carry_luts"] == 1
    assert [found["type"] for found in netlist.modules["top"].cells.values()] == ["CCU2C"]


def test_a_function_that_others_need_stays() -> None:
    netlist = module({"adder": carry(20, 40), "lut": lut(0x8888, [10, 11, "0", "0"], 40)}, [90, 40])
    assert pack(netlist)["carry_luts"] == 0
    assert "lut" in netlist.modules["top"].cells


def multiplier(a: list[Any], b: list[Any], p: list[int]) -> dict[str, Any]:
    inputs = {f"A{i}": bit for i, bit in enumerate(a)} | {f"B{i}": bit for i, bit in enumerate(b)}
    return cell("MULT18X18D", {}, inputs, {f"P{i}": bit for i, bit in enumerate(p)})


def registered(stages: int, **odd: str) -> Netlist:
    """A multiplier between registers; the last bit of the first factor also leaves as it is."""
    a, b, p = (list(range(start, start + size)) for start, size in ((100, 18), (200, 18), (300, 36)))
    cells = {"mult": multiplier(a, b, p)}
    cells |= {f"a{i}": flip_flop(bit + 400, bit) for i, bit in enumerate(a)}
    cells |= {f"b{i}": flip_flop(bit + 400, bit) for i, bit in enumerate(b)}
    for stage in range(stages):
        cells |= {f"p{stage}_{i}": flip_flop(bit, bit + 1000) for i, bit in enumerate(p)}
        p = [bit + 1000 for bit in p]
    if odd:
        cells["b0"]["parameters"] |= odd
    return module(cells, [*p, a[17]])


@pytest.mark.parametrize(("stages", "kinds"), [(0, []), (1, ["OUTPUT"]), (2, ["PIPELINE", "OUTPUT"])])
def test_registers_move_into_the_multiplier(stages: int, kinds: list[str]) -> None:
    netlist = registered(stages)
    assert pack(netlist)["multiplier_registers"] == 2 + len(kinds)
    cells = netlist.modules["top"].cells
    mult = cells["mult"]
    clocked = {f"REG_{kind}_CLK" for kind in ("INPUTA", "INPUTB", *kinds)}
    assert {name for name, value in mult["parameters"].items() if value == "CLK0"} == clocked
    assert [mult["connections"][f"A{i}"] for i in range(18)] == [[500 + i] for i in range(18)]
    assert [mult["connections"][f"P{i}"] for i in range(36)] == [[300 + 1000 * stages + i] for i in range(36)]
    # Only the register that somebody else reads is left.
    assert sorted(cells) == ["a17", "mult"]
    assert mult["connections"]["CLK0"] == [CLOCK]


@pytest.mark.parametrize("odd", [{"CLKMUX": "INV"}, {"REGSET": "SET"}, {"CEMUX": "CE"}])
def test_other_registers_stay_outside(odd: dict[str, str]) -> None:
    netlist = registered(0, **odd)
    assert pack(netlist)["multiplier_registers"] == 1
    assert {"b0", "b1"} <= set(netlist.modules["top"].cells)


def memory(width: int, reset: Any = "0") -> Netlist:
    inputs = {"CLKB": CLOCK, "RSTB": reset}
    outputs = {f"DOB{i}": 100 + i for i in range(18)}
    block = cell("DP16KD", {"DATA_WIDTH_B": f"{width:b}", "REGMODE_B": "NOREG"}, inputs, outputs)
    cells = {"ram": block} | {f"q{i}": flip_flop(100 + i, 200 + i) for i in range(9)}
    return module(cells, [200 + i for i in range(9)])


def test_registers_move_into_a_block_of_memory() -> None:
    netlist = memory(9)
    assert pack(netlist)["memory_registers"] == 1
    (block,) = netlist.modules["top"].cells.values()
    assert block["parameters"]["REGMODE_B"] == "OUTREG" and block["connections"]["OCEB"] == ["1"]
    assert [block["connections"][f"DOB{i}"] for i in range(9)] == [[200 + i] for i in range(9)]


@pytest.mark.parametrize("netlist", [memory(36), memory(9, reset=7)], ids=["both-ports", "reset"])
def test_blocks_that_read_otherwise_stay(netlist: Netlist) -> None:
    assert pack(netlist)["memory_registers"] == 0
    assert len(netlist.modules["top"].cells) == 10
