"""Tables of costs: what they say themselves, what follows from them, and what is wrong with a bad one."""

from __future__ import annotations

import math
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.errors import ConfigError
from hwgen.model.actions import Operation, Store
from hwgen.model.cost_reader import FOLDER, load_table, read_table, table_names
from hwgen.model.costs import Table

FUSEMAX, HOROWITZ, TPU = (load_table(name) for name in ("fusemax2024", "horowitz2014", "tpuv4i2021"))
MAC = Operation("mac", "fp", (16, 16))

GOOD = """name: mine
title: "a table"
technology: "16 nm"
sources: {paper: "a paper"}
operations:
  - {kind: add, number: int, bits: 32, energy_pj: 0.1, area_um2: 137, source: paper}
  - {kind: multiply, number: int, bits: [8, 8], energy_pj: 0.2, source: paper}
  - {kind: register, number: int, bits: 1, energy_pj: 0.01, source: paper}
memories:
  - {kind: sram, bits: 65536, word: 64, read_pj: 10, write_pj: 12, source: paper}
  - {kind: dram, name: ddr, word: 64, read_pj: 1000, write_pj: 1100, source: paper}
"""


def entries(table: Table) -> list[tuple[Operation, str, float]]:
    """(operation, unit, number) of all operations in a table."""
    return [
        (Operation(entry.kind, entry.number, entry.bits), unit, getattr(entry, unit))
        for entry in table.operations
        for unit in ("energy_pj", "area_um2")
        if getattr(entry, unit) is not None
    ]


def test_the_tables_that_come_along() -> None:
    assert table_names() == ("fusemax2024", "horowitz2014", "tpuv4i2021")


@pytest.mark.parametrize("name", table_names())
def test_every_number_has_a_source_and_every_source_a_number(name: str) -> None:
    table = load_table(name)
    assert table.name == name and table.title and table.technology
    used = {entry.source for entry in (*table.operations, *table.memories)}
    if table.missing is not None:
        used |= {key for key, text in table.sources.items() if text == table.missing.source}
    assert used == set(table.sources)
    assert all(len(text) > 20 for text in table.sources.values())


@pytest.mark.parametrize("name", table_names())
def test_what_is_in_a_table_is_given_as_it_is(name: str) -> None:
    table = load_table(name)
    assert len(entries(table)) >= 12
    for operation, unit, value in entries(table):
        price = table.operation(operation, unit)
        assert (price.value, price.rule) == (value, "entry"), operation
    drams = [entry.name for entry in table.memories if entry.kind == "dram"]
    for entry in table.memories:
        store = Store(entry.kind, entry.bits or 0, entry.word)
        chosen = table.with_dram(entry.name) if entry.name in drams else table
        for action, value in (("read", entry.read_pj), ("write", entry.write_pj)):
            if value is not None:
                price = chosen.access(store, action)
                assert (price.value, price.rule) == (value / entry.word, "entry")
        if entry.area_um2 is not None:
            assert table.storage(store).value == entry.area_um2


@pytest.mark.parametrize("name", table_names())
@pytest.mark.parametrize("kind", ("add", "multiply", "shift", "register"))
def test_more_bits_never_cost_less(name: str, kind: str) -> None:
    table, width = load_table(name), {"multiply": 2, "shift": 2}.get(kind, 1)
    rng = random.Random(7)
    units = ["energy_pj"] if name == "tpuv4i2021" else ["energy_pj", "area_um2"]
    for _ in range(200):
        bits = tuple(rng.randint(2, 64) for _ in range(width))
        more = tuple(b + rng.randint(0, 8) for b in bits)
        for unit in units:
            costs = [table.operation(Operation(kind, "int", b), unit).value for b in (bits, more)]
            assert 0 < costs[0] <= costs[1], (bits, more, unit)


@pytest.mark.parametrize("name", table_names())
def test_larger_memories_never_cost_less(name: str) -> None:
    table = load_table(name)
    sizes = [64 << n for n in range(26)] + [3 << n for n in range(5, 28)]
    stores = [Store("sram", bits, 64) for bits in sorted(sizes)]
    for action in ("read", "write"):
        costs = [table.access(store, action).value for store in stores]
        assert costs == sorted(costs)
        assert costs[0] >= table.operation(Operation("register", "int", (1,))).value
    if name != "tpuv4i2021":
        areas = [table.storage(store).value for store in stores]
        assert areas == sorted(areas)


def test_between_two_points() -> None:
    """A multiplier is a power of its product of widths, an adder a line."""
    twelve = HOROWITZ.operation(Operation("add", "int", (12,))).value
    assert twelve == pytest.approx((0.03 + 0.05) / 2, rel=1e-12)
    for unit, low, high in (("energy_pj", 0.2, 3.1), ("area_um2", 282, 3495)):
        # 16x16 is as many times 8x8 as 32x32 is of it.
        assert HOROWITZ.operation(Operation("multiply", "int", (16, 16)), unit).value == pytest.approx(
            math.sqrt(low * high), rel=1e-12
        )
        same = [HOROWITZ.operation(Operation("multiply", "int", bits), unit).value for bits in ((18, 27), (27, 18))]
        assert same[0] == same[1]
    half = HOROWITZ.access(Store("sram", 131072, 64), "read").value
    assert half == pytest.approx(math.sqrt(10 * 20) / 64, rel=1e-12)
    small = HOROWITZ.access(Store("memory", 65536 // 16, 64), "read").value
    assert small == pytest.approx(10 / 64 / 4, rel=1e-12)


@pytest.mark.parametrize("unit", ("energy_pj", "area_um2"))
def test_composed_operations(unit: str) -> None:
    def of(table: Table, kind: str, number: str, *bits: int) -> float:
        return table.operation(Operation(kind, number, bits), unit).value

    assert of(HOROWITZ, "mac", "fp", 16, 16) == of(HOROWITZ, "multiply", "fp", 16, 16) + of(HOROWITZ, "add", "fp", 16)
    wide = of(HOROWITZ, "mac", "int", 18, 26, 48)
    assert wide == of(HOROWITZ, "multiply", "int", 18, 26) + of(HOROWITZ, "add", "int", 48)
    assert of(HOROWITZ, "mac", "int", 18, 26) < wide
    assert of(HOROWITZ, "max", "fp", 16) == of(HOROWITZ, "add", "int", 16)
    exp = 5 * of(HOROWITZ, "mac", "fp", 16, 16) + of(HOROWITZ, "multiply", "fp", 16, 16)
    assert of(HOROWITZ, "exp", "fp", 16, 16) == exp
    # The published constants obey the same sums.
    multiply, mac = of(FUSEMAX, "multiply", "fp", 16, 16), of(FUSEMAX, "mac", "fp", 16, 16)
    assert of(FUSEMAX, "add", "fp", 16) + multiply == pytest.approx(mac, rel=1e-12)
    assert of(FUSEMAX, "exp", "fp", 16, 16) == pytest.approx(5 * mac + multiply, rel=1e-12)


@pytest.mark.parametrize("unit", ("energy_pj", "area_um2"))
def test_what_fusemax_lacks_keeps_horowitz_proportions(unit: str) -> None:
    ratio = FUSEMAX.operation(MAC, unit).value / HOROWITZ.operation(MAC, unit).value
    for kind, bits in (("multiply", (18, 18)), ("add", (48,)), ("shift", (48, 6)), ("mac", (18, 26, 48))):
        operation = Operation(kind, "int", bits)
        price = FUSEMAX.operation(operation, unit)
        assert price.value == pytest.approx(ratio * HOROWITZ.operation(operation, unit).value, rel=1e-12)
        assert "horowitz2014" in price.rule and FUSEMAX.sources["scaled"] in price.source


def test_other_memories_off_the_chip() -> None:
    store = Store("dram", 0, 64)
    assert TPU.access(store, "read").value == 350 / 64
    assert TPU.with_dram("ddr").access(store, "read").value == 1300 / 64
    with pytest.raises(ConfigError, match="no memory off the chip called 'gddr5'; did you mean 'gddr6'"):
        TPU.with_dram("gddr5")


def test_what_no_rule_gives() -> None:
    with pytest.raises(ConfigError, match="horowitz2014 says nothing of the energy of 'add bf 16'; did you mean 'add "):
        HOROWITZ.operation(Operation("add", "bf", (16,)))
    with pytest.raises(ConfigError, match="tpuv4i2021 gives no area of any operation"):
        TPU.operation(MAC, "area_um2")
    with pytest.raises(ConfigError, match="tpuv4i2021 says nothing of the area of memories"):
        TPU.storage(Store("sram", 1 << 20, 64))
    with pytest.raises(ConfigError, match="read or written, not 'erase'"):
        TPU.access(Store("sram", 1 << 20, 64), "erase")
    empty = replace(HOROWITZ, memories=())
    for kind, text in (("dram", "no memory off the chip"), ("sram", "no memory on the chip with a read_pj")):
        with pytest.raises(ConfigError, match=text):
            empty.access(Store(kind, 4096, 64), "read")


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    table = load_table(path)
    assert table.name == "mine"
    assert table.operation(Operation("add", "int", (32,))).value == 0.1
    # One point is enough: in proportion to it.
    assert table.operation(Operation("multiply", "int", (16, 8))).value == 0.4
    # A file that has changed is read again.
    path.write_text(GOOD.replace("energy_pj: 0.1,", "energy_pj: 0.3,"))
    os.utime(path, ns=(1, 1))
    assert load_table(path).operation(Operation("add", "int", (32,))).value == 0.3


def test_an_unknown_table() -> None:
    with pytest.raises(ConfigError, match="no table of costs 'horowitz', .* did you mean 'horowitz2014'"):
        load_table("horowitz")


BAD = {
    "operations:\n": ("oprations:\n", 5, 1, "unknown key 'oprations'; did you mean 'operations'"),
    "name: mine": ("name: [mine]", 1, 7, "expected one value, not a list"),
    'title: "a table"\n': ("", 1, 1, "'title' is missing"),
    'technology: "16 nm"': ('technology: "16 nm"\ntitle: again', 4, 1, "'title' stands twice"),
    '{paper: "a paper"}': ("[paper]", 4, 10, "expected keys with values, not a list"),
    "kind: add": ("kind: ad", 6, 12, "unknown kind 'ad'; did you mean 'add'"),
    "number: int, bits: 32": ("number: integer, bits: 32", 6, 25, "unknown number 'integer'; did you mean 'int'"),
    "bits: 32": ("bits: [32, 32]", 6, 36, "add has 1 width, not 2"),
    "bits: [8, 8]": ("bits: 8", 7, 41, "multiply has 2 widths, not 1"),
    "bits: 65536": ("bits: 64k", 10, 24, "expected a whole number from 1 on, not '64k'"),
    "energy_pj: 0.1": ("energy_pj: -0.1", 6, 51, "expected a number above 0, not '-0.1'"),
    "energy_pj: 0.2": ("energy_pj: cheap", 7, 60, "expected a number, not 'cheap'"),
    "energy_pj: 0.2, ": ("", 7, 5, "an energy_pj, an area_um2, or both"),
    "137, source: paper": ("137, source: papers", 6, 79, "unknown source 'papers'; did you mean 'paper'"),
    "read_pj: 10, write_pj: 12, ": ("", 10, 5, "a memory has one of read_pj, write_pj, area_um2"),
    "name: ddr, ": ("", 11, 5, "a dram has a name, a read_pj and a write_pj"),
    "kind: sram, bits: 65536,": ("kind: sram,", 10, 5, "a memory on the chip has bits"),
    "write_pj: 1100": ("write_pj: 1100, range_pj: [3, 2]", 11, 80, "the lowest is 3.0, the highest 2.0"),
    "name: mine\ntitle": ("name: my own\ntitle", 1, 7, "made of letters, digits, _ and -, not 'my own'"),
    '"a paper"': ('" "', 4, 18, "expected a text"),
    "1100": ("1100, range_pj: [3]", 11, 80, "expected the lowest and the highest number"),
    "memories:\n": ("memories: {}\nmissing:\n", 9, 11, "expected a list, not keys with values"),
    "  - {kind: dram": ("missing: {like: horowitz2015, reference: {}, source: paper}\n  - {", 12, 3, "block end"),
}


@pytest.mark.parametrize("part", BAD)
def test_a_bad_table_is_told_with_its_place(part: str) -> None:
    instead, line, column, text = BAD[part]
    assert GOOD.count(part) == 1
    with pytest.raises(ConfigError) as caught:
        read_table(GOOD.replace(part, instead), "mine.yaml")
    assert str(caught.value).startswith(f"mine.yaml:{line}:{column}: "), caught.value
    assert text in str(caught.value)


def test_more_that_is_wrong_with_a_table() -> None:
    with pytest.raises(ConfigError, match="table:1:1: the file is empty"):
        read_table("")
    with pytest.raises(ConfigError, match="table:1:1: expected keys with values, not one value"):
        read_table("text")
    with pytest.raises(ConfigError, match="unknown table 'horowitz'; did you mean 'horowitz2014'"):
        read_table(
            GOOD + "missing: {like: horowitz, reference: {kind: mac, number: fp, bits: [8, 8]}, source: paper}\n"
        )


def test_tables_are_told_in_the_documentation() -> None:
    """Every table by name, and every number that our arithmetic is derived to."""
    text = (Path(__file__).parents[2] / "docs" / "energy.md").read_text()
    assert all(f"`{path.stem}`" in text for path in FOLDER.glob("*.yaml"))
    rows = re.findall(r"^\| (\w+) int ([0-9x]+) \|(.+)\|$", text, re.MULTILINE)
    assert len(rows) == 6
    for kind, sizes, cells in rows:
        operation = Operation(kind, "int", tuple(map(int, sizes.split("x"))))
        told = [cell.strip() for cell in cells.split("|")]
        values = [table.operation(operation).value for table in (HOROWITZ, FUSEMAX, TPU)]
        values += [table.operation(operation, "area_um2").value for table in (HOROWITZ, FUSEMAX)]
        assert told == [f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values], (kind, sizes)
