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

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError
from hwgen.model.actions import KINDS, NUMBERS, STORES, Operation
from hwgen.model.costs import MemoryEntry, Missing, OperationEntry, Table
from hwgen.yaml_tree import Entry, parse

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
    needed = ("name", "title", "technology", "sources", "operations", "memories")
    found = parse(text, where).fields((*needed, "missing"), needed)
    name = _words(found["name"])
    if not name.replace("_", "").replace("-", "").isalnum():
        raise found["name"].error(f"a table's name is made of letters, digits, _ and -, not {name!r}")
    sources = {_words(key): _words(value) for key, value in found["sources"].pairs()}
    entries = {key: found[key].items(may_be_empty=True) for key in ("operations", "memories")}
    return Table(
        name=name,
        title=_words(found["title"]),
        technology=_words(found["technology"]),
        sources=sources,
        operations=tuple(_operation_entry(entry, sources) for entry in entries["operations"]),
        memories=tuple(_memory_entry(entry, sources) for entry in entries["memories"]),
        missing=_missing(found["missing"], sources) if "missing" in found else None,
    )


def _operation_entry(entry: Entry, sources: Mapping[str, str]) -> OperationEntry:
    needed, units = ("kind", "number", "bits", "source"), ("energy_pj", "area_um2")
    found = entry.fields((*needed, *units), needed)
    kind, number, bits = _operation(found)
    costs = {unit: _cost(found[unit]) for unit in units if unit in found}
    if not costs:
        raise entry.error("an operation has an energy_pj, an area_um2, or both")
    source = found["source"].choice(sources, "source")
    return OperationEntry(kind=kind, number=number, bits=bits, source=source, **costs)


def _operation(found: Mapping[str, Entry]) -> tuple[str, str, tuple[int, ...]]:
    kind = found["kind"].choice((*KINDS, "register"), "kind")
    widths = found["bits"].items() if found["bits"].is_list else [found["bits"]]
    bits = tuple(width.whole(1) for width in widths)
    wanted = WIDTHS.get(kind, 1)
    if len(bits) != wanted:
        raise found["bits"].error(f"{kind} has {wanted} width{'s' if wanted > 1 else ''}, not {len(bits)}")
    return kind, found["number"].choice(NUMBERS, "number"), bits


def _memory_entry(entry: Entry, sources: Mapping[str, str]) -> MemoryEntry:
    needed, units = ("kind", "word", "source"), ("read_pj", "write_pj", "area_um2")
    found = entry.fields((*needed, "bits", "name", "range_pj", *units), needed)
    kind = found["kind"].choice(STORES, "kind")
    if ("bits" in found) == (kind == "dram"):
        raise entry.error("a memory on the chip has bits, a dram has none")
    if kind == "dram" and not {"name", "read_pj", "write_pj"} <= found.keys():
        raise entry.error("a dram has a name, a read_pj and a write_pj")
    costs: dict[str, Any] = {unit: _cost(found[unit]) for unit in units if unit in found}
    if not costs:
        raise entry.error(f"a memory has one of {', '.join(units)}")
    if "range_pj" in found:
        costs["range_pj"] = _range(found["range_pj"])
    return MemoryEntry(
        kind=kind,
        word=found["word"].whole(1),
        bits=found["bits"].whole(1) if "bits" in found else None,
        name=_words(found["name"]) if "name" in found else "",
        source=found["source"].choice(sources, "source"),
        **costs,
    )


def _missing(entry: Entry, sources: Mapping[str, str]) -> Missing:
    names, of = ("like", "reference", "source"), ("kind", "number", "bits")
    found = entry.fields(names, names)
    like = found["like"].choice(table_names(), "table")
    operation = Operation(*_operation(found["reference"].fields(of, of)))
    source = sources[found["source"].choice(sources, "source")]
    return Missing(like=load_table(like), reference=operation, source=source)


def _words(entry: Entry) -> str:
    """A text on one line, not an empty one."""
    text = " ".join(entry.text().split())
    if not text:
        raise entry.error("expected a text")
    return text


def _cost(entry: Entry) -> float:
    value = entry.number()
    if value <= 0:
        raise entry.error(f"expected a number above 0, not {entry.text()!r}")
    return value


def _range(entry: Entry) -> tuple[float, float]:
    items = entry.items()
    if len(items) != 2:
        raise entry.error("expected the lowest and the highest number")
    low, high = (_cost(item) for item in items)
    if low > high:
        raise entry.error(f"the lowest is {low}, the highest {high}")
    return low, high
