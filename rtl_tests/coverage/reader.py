"""Verilator's coverage.dat, so that its own reader, which not every package of it brings, need not be there."""

from __future__ import annotations

from collections import Counter
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


def counts(path: Path) -> Counter[str]:
    """How often each point of a run was reached, under its name in the file. Counters of several runs of one simulator
    can be added up with `update`, which keeps zeros; taking names apart is left for the total."""
    found: Counter[str] = Counter()
    with path.open(errors="replace") as lines:
        # `C 'name' count` is a line of the file; all others are comments.
        for line in lines:
            if line.startswith("C '"):
                text, _, count = line[3:].rpartition("' ")
                found[text] += int(count)
    return found


def points(found: Counter[str]) -> list[Point]:
    """The points, those of all instances of a module added up."""
    totals: Counter[tuple[str, str, str, int, str, str]] = Counter()
    for text, count in found.items():
        fields = _fields(text)
        kind, _, module = fields["page"].partition("/")
        name = fields.get("o", ""), fields.get("S", "")
        totals[kind.removeprefix("v_"), module, fields["f"], int(fields["l"]), *name] += count
    return [
        Point(kind, module, file, line, _lines(lines) | {line}, comment, count)
        for (kind, module, file, line, comment, lines), count in totals.items()
    ]


def _fields(text: str) -> dict[str, str]:
    """A name is `\\x01key\\x02value...`."""
    parts = (part.partition("\x02") for part in text.split("\x01") if part)
    return {key: value for key, _, value in parts}


def _lines(text: str) -> frozenset[int]:
    """`3-5,9` is 3, 4, 5 and 9."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
