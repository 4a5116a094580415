"""A netlist as yosys writes it in JSON: modules of cells whose ports are lists of bits, a bit being the number of a net
or a constant "0", "1", "x"."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Bit: TypeAlias = int | str
Cell: TypeAlias = dict[str, Any]
Names: TypeAlias = tuple[str, ...]
"""The names that lead from one module to a cell below it: its instance, the instance in that, and so on."""

LIBRARY = {"blackbox", "whitebox"}
"""Attributes of modules that are cells of the device."""


class Pin(NamedTuple):
    """One bit of a cell's port: bit `at` of it."""

    cell: str
    port: str
    at: int


class Module:
    """One module; `drivers` and `users` are as the module was when they were first asked for."""

    def __init__(self, name: str, content: dict[str, Any]) -> None:
        self.name, self.content = name, content
        self.cells: dict[str, Cell] = content["cells"]

    @cached_property
    def drivers(self) -> dict[int, Pin]:
        """The cell's pin that drives each net; a net that a port of the module drives has none."""
        return {bit: pin for pin, bit in self._pins("output") if isinstance(bit, int)}

    @cached_property
    def users(self) -> dict[int, list[Pin]]:
        """The cells' pins that each net drives, and a pin of no cell for each port of the module it goes to."""
        users: dict[int, list[Pin]] = {}
        for pin, bit in self._pins("input"):
            if isinstance(bit, int):
                users.setdefault(bit, []).append(pin)
        for port, facts in self.content["ports"].items():
            if facts["direction"] != "input":
                for index, bit in enumerate(facts["bits"]):
                    users.setdefault(bit, []).append(Pin("", port, index))
        return users

    def _pins(self, direction: str) -> Iterator[tuple[Pin, Bit]]:
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                # What a cell does with a port is not known of black boxes without directions: it takes part in both.
                if cell.get("port_directions", {}).get(port, direction) == direction:
                    for index, bit in enumerate(bits):
                        yield Pin(name, port, index), bit

    def of_type(self, kind: str) -> list[str]:
        """Names of all cells of a type."""
        return [name for name, cell in self.cells.items() if cell["type"] == kind]


class Netlist:
    """All modules of a design; those without cells are the library's."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.modules = {name: Module(name, module) for name, module in content["modules"].items()}

    @classmethod
    def read(cls, path: Path) -> Netlist:
        return cls(json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.content, separators=(",", ":")))

    def is_part(self, kind: str) -> bool:
        """Whether a type of cell is a module of the design."""
        module = self.modules.get(kind)
        # A library's cell may come with what it does inside.
        return module is not None and bool(module.cells) and not LIBRARY & module.content.get("attributes", {}).keys()

    def count(self, top: str) -> Counter[str]:
        """How many cells of each type are in a module and in all below it."""
        return self._counts.setdefault(top, self._count(top))

    @cached_property
    def _counts(self) -> dict[str, Counter[str]]:
        return {}

    def _count(self, top: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for kind, number in Counter(cell["type"] for cell in self.modules[top].cells.values()).items():
            if self.is_part(kind):
                for inner, times in self.count(kind).items():
                    total[inner] += times * number
            else:
                total[kind] += number
        return total

    def instances(self, top: str) -> Iterator[tuple[Names, str]]:
        """Every instance of a module below `top`, itself included, and its module."""
        pending: list[tuple[Names, str]] = [((), top)]
        while pending:
            names, module = pending.pop()
            yield names, module
            for name, cell in self.modules[module].cells.items():
                if self.is_part(cell["type"]):
                    pending.append(((*names, name), cell["type"]))

    def leaves(self, top: str) -> Iterator[tuple[Names, str]]:
        """Every cell of the device in `top` and below it, and its type."""
        for names, module in self.instances(top):
            for name, cell in self.modules[module].cells.items():
                if not self.is_part(cell["type"]):
                    yield (*names, name), cell["type"]

    def own_cell(self, top: str, names: Names) -> Cell:
        """A cell by its names, to be changed there alone: modules that stand elsewhere too are copied for it."""
        module = self.modules[top]
        for depth, name in enumerate(names[:-1], 1):
            instance = module.cells[name]
            if self._instances[instance["type"]] > 1:
                copy = f"{instance['type']} of {'.'.join(names[:depth])}"
                self._instances[instance["type"]] -= 1
                self._instances[copy] = 1
                content = deepcopy(self.modules[instance["type"]].content)
                self.content["modules"][copy] = content
                self.modules[copy] = Module(copy, content)
                self._instances.update(cell["type"] for cell in content["cells"].values())
                instance["type"] = copy
            module = self.modules[instance["type"]]
        return module.cells[names[-1]]

    @cached_property
    def _instances(self) -> Counter[str]:
        """How many cells of each type are written down."""
        return Counter(cell["type"] for module in self.modules.values() for cell in module.cells.values())


def new_net(module: Module) -> int:
    """A number that no net of the module has."""
    ports = (bit for port in module.content["ports"].values() for bit in port["bits"])
    pins = (bit for cell in module.cells.values() for bits in cell["connections"].values() for bit in bits)
    return 1 + max((bit for bit in (*ports, *pins) if isinstance(bit, int)), default=1)


def new_cell(kind: str, parameters: dict[str, str], pins: dict[str, list[Bit]], out: str) -> Cell:
    """A cell whose port `out` is its only output."""
    return {
        "hide_name": 0,
        "type": kind,
        "parameters": dict(parameters),
        "attributes": {},
        "port_directions": {port: "output" if port == out else "input" for port in pins},
        "connections": pins,
    }
