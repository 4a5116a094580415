"""Reads a table of costs from a YAML file: one of those that come along, by name, or a user's own, by path.

    name: mine                                     # letters, digits, _ and -
    title: "what it is"
    technology: "16 nm"
    sources: {paper: "where the numbers stand"}    # every entry names one of these
    operations:                                    # energy_pj an operation, area_um2 of what does it; either may lack
      - {kind: add, number: int, bits: 32, energy_pj: 0.1, area_um2: 137, source: paper}
    memories:                                      # read_pj, write_pj a word; area_um2 of the whole memory
      - {kind: sram, bits: 65536, word: 64, read_pj: 10, write_pj: 10, source: paper}
      - {kind: dram, name: hbm2, word: 64, read_pj: 250, write_pj: 250, source: paper}
    missing: {like: horowitz2014, reference: {kind: mac, number: fp, bits: [16, 16]}, source: paper}   # may lack

What the entries mean, and what follows from them: docs/energy.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError
from hwgen.model.actions import KINDS, NUMBERS, STORES, Operation
from hwgen.model.costs import MemoryEntry, Missing, OperationEntry, Table

FOLDER = Path(__file__).parent / "tables"
WIDTHS = {"multiply": 2, "mac": 2, "exp": 2, "divide": 2, "shift": 2}
"""How many widths an operation's entry has; one if it is not here."""


def table_names() -> tuple[str, ...]:
    """The tables that come along."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_table(name_or_path: str | Path) -> Table:
    """A table by its name, or from a file. Raises ConfigError: an unknown name with the nearest one, a mistake in a
    file with its line and column."""
    text = str(name_or_path)
    path = FOLDER / f"{text}.yaml" if text in table_names() else Path(text)
    if not path.is_file():
        hint = did_you_mean(text, table_names())
        raise ConfigError(f"no table of costs {text!r}, neither by name nor as a file{hint}")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _load(path: Path, _changed: int) -> Table:
    return read_table(path.read_text(encoding="utf-8"), str(path))


def read_table(text: str, where: str = "table") -> Table:
    """A table from its text; `where` stands before line and column in errors."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise ConfigError(f"{place}: {error.problem}") from None
    if node is None:
        raise ConfigError(f"{where}: the table is empty")
    return _Reader(where).table(node)


class _Reader:
    """Turns YAML nodes into a table; every error knows its place."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._sources: dict[str, str] = {}

    def fail(self, node: yaml.Node, text: str) -> ConfigError:
        mark = node.start_mark
        return ConfigError(f"{self._where}:{mark.line + 1}:{mark.column + 1}: {text}")

    def table(self, node: yaml.Node) -> Table:
        found = self.fields(node, ("name", "title", "technology", "sources", "operations", "memories"), ("missing",))
        name = self.text(found["name"])
        if not name.replace("_", "").replace("-", "").isalnum():
            raise self.fail(found["name"], f"a table's name is made of letters, digits, _ and -, not {name!r}")
        sources = found["sources"]
        if not isinstance(sources, yaml.MappingNode):
            raise self.fail(sources, "expected sources by name")
        self._sources = {self.text(key): self.text(value) for key, value in sources.value}
        return Table(
            name=name,
            title=self.text(found["title"]),
            technology=self.text(found["technology"]),
            sources=self._sources,
            operations=tuple(self.entries(found["operations"], self.operation)),
            memories=tuple(self.entries(found["memories"], self.memory)),
            missing=self.missing(found["missing"]) if "missing" in found else None,
        )

    def entries(self, node: yaml.Node, read: Callable[[yaml.Node], Any]) -> Iterable[Any]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.fail(node, "expected a list of entries")
        return (read(entry) for entry in node.value)

    def operation(self, node: yaml.Node) -> OperationEntry:
        found = self.fields(node, ("kind", "number", "bits", "source"), ("energy_pj", "area_um2"))
        kind, number, bits = self._operation(found)
        costs = {unit: self.cost(found[unit]) for unit in ("energy_pj", "area_um2") if unit in found}
        if not costs:
            raise self.fail(node, "an operation has an energy_pj, an area_um2, or both")
        return OperationEntry(kind=kind, number=number, bits=bits, source=self.source(found["source"]), **costs)

    def _operation(self, found: dict[str, yaml.Node]) -> tuple[str, str, tuple[int, ...]]:
        kind = self.choice(found["kind"], (*KINDS, "register"))
        bits = self.whole(found["bits"])
        wanted = WIDTHS.get(kind, 1)
        if len(bits) != wanted:
            raise self.fail(found["bits"], f"{kind} has {wanted} width{'s' if wanted > 1 else ''}, not {len(bits)}")
        return kind, self.choice(found["number"], NUMBERS), bits

    def memory(self, node: yaml.Node) -> MemoryEntry:
        units = ("read_pj", "write_pj", "area_um2")
        found = self.fields(node, ("kind", "word", "source"), ("bits", "name", "range_pj", *units))
        kind = self.choice(found["kind"], STORES)
        if ("bits" in found) == (kind == "dram"):
            raise self.fail(node, "a memory on the chip has bits, a dram has none")
        if kind == "dram" and not {"name", "read_pj", "write_pj"} <= found.keys():
            raise self.fail(node, "a dram has a name, a read_pj and a write_pj")
        costs: dict[str, Any] = {unit: self.cost(found[unit]) for unit in units if unit in found}
        if not costs:
            raise self.fail(node, f"a memory has one of {', '.join(units)}")
        if "range_pj" in found:
            costs["range_pj"] = self.range(found["range_pj"])
        return MemoryEntry(
            kind=kind,
            word=self.whole(found["word"])[0],
            bits=self.whole(found["bits"])[0] if "bits" in found else None,
            name=self.text(found["name"]) if "name" in found else "",
            source=self.source(found["source"]),
            **costs,
        )

    def missing(self, node: yaml.Node) -> Missing:
        found = self.fields(node, ("like", "reference", "source"), ())
        like = self.choice(found["like"], table_names())
        reference = self.fields(found["reference"], ("kind", "number", "bits"), ())
        operation = Operation(*self._operation(reference))
        return Missing(like=load_table(like), reference=operation, source=self._sources[self.source(found["source"])])

    def fields(self, node: yaml.Node, needed: Iterable[str], optional: Iterable[str]) -> dict[str, yaml.Node]:
        needed, allowed = tuple(needed), {*needed, *optional}
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, f"expected {', '.join(sorted(allowed))}")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self.text(key)
            if name not in allowed:
                raise self.fail(key, f"unknown key {name!r}{did_you_mean(name, allowed)}")
            if name in found:
                raise self.fail(key, f"{name} stands twice")
            found[name] = value
        for name in needed:
            if name not in found:
                raise self.fail(node, f"{name} is missing")
        return found

    def text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or not str(node.value).strip():
            raise self.fail(node, "expected a text")
        return " ".join(str(node.value).split())

    def choice(self, node: yaml.Node, allowed: Iterable[str]) -> str:
        text, allowed = self.text(node), tuple(allowed)
        if text not in allowed:
            raise self.fail(node, f"unknown {text!r}{did_you_mean(text, allowed)}")
        return text

    def source(self, node: yaml.Node) -> str:
        return self.choice(node, self._sources)

    def whole(self, node: yaml.Node) -> tuple[int, ...]:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.ScalarNode) and item.value.isdecimal() and int(item.value) for item in items):
            raise self.fail(node, "expected whole numbers from 1 on")
        return tuple(int(item.value) for item in items)

    def cost(self, node: yaml.Node) -> float:
        try:
            value = float(node.value)
        except (TypeError, ValueError):
            value = math.nan
        if not 0 < value < math.inf:
            raise self.fail(node, f"expected a number above 0, not {getattr(node, 'value', node)!r}")
        return value

    def range(self, node: yaml.Node) -> tuple[float, float]:
        items = node.value if isinstance(node, yaml.SequenceNode) else []
        if len(items) != 2:
            raise self.fail(node, "expected the lowest and the highest number")
        low, high = (self.cost(item) for item in items)
        if low > high:
            raise self.fail(node, f"the lowest is {low}, the highest {high}")
        return low, high
