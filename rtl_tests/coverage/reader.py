"""Verilator's coverage.dat, so that its own reader, which not every package of it brings, need not be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Point(NamedTuple):
    """A thing that is counted. kind: line, branch, toggle, user, expr;  module;  line: in the Verilog;  lines: all that
    belong to it;  comment: what it is, of a toggle the bit;  count: how often, summed over instances."""

    kind: str
    module: str
    file: str
    line: int
    lines: frozenset[int]
    comment: str
    count: int


def read(*paths: Path) -> list[Point]:
    """All points of some runs of one simulator, those of all instances of a module added up."""
    counts: Counter[tuple[str, str, str, int, str, str]] = Counter()
    for path in paths:
        for fields, count in _entries(path):
            kind, _, module = fields["page"].partition("/")
            name = fields.get("o", ""), fields.get("S", "")
            counts[kind.removeprefix("v_"), module, fields["f"], int(fields["l"]), *name] += count
    return [
        Point(kind, module, file, line, _lines(lines) | {line}, comment, count)
        for (kind, module, file, line, comment, lines), count in counts.items()
    ]


def _entries(path: Path) -> Iterator[tuple[dict[str, str], int]]:
    """`C '\x01name\x02value...' count` is a line of the file; all others are comments."""
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("C '"):
            text, _, count = line[3:].rpartition("' ")
            parts = (part.partition("\x02") for part in text.split("\x01") if part)
            yield {name: value for name, _, value in parts}, int(count)


def _lines(text: str) -> frozenset[int]:
    """`3-5,9` is 3, 4, 5 and 9."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
