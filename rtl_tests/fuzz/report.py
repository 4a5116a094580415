"""The tables behind a campaign: how many cases, what they had, and what nothing had although it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwgen import table
from rtl_tests.fuzz.facts import required

if TYPE_CHECKING:
    from rtl_tests.fuzz.campaign import Line

COMPLETE = 500
"""Cases from which on a campaign has to have everything."""


def command(**how: str) -> str:
    """What to type to see a case again."""
    words = " ".join(f"--{name} {value}" for name, value in how.items())
    return f".venv/bin/python -m rtl_tests.fuzz {words}"


def tables(lines: Sequence[Line], file: Path) -> tuple[str, bool]:
    """The text, and whether a campaign of this size had what it must have."""
    facts: Counter[str] = Counter()
    for line in lines:
        facts.update(line.facts)
    lacking = [name for name in required() if facts[name] == 0]
    wrong = sum(line.failure is not None for line in lines)
    rows = [
        ("cases", table.count(len(lines))),
        ("without a fault", table.equal_bits(len(lines), len(lines) - wrong)),
        ("simulated cycles", table.count(sum(line.cycles for line in lines))),
        ("minutes, one by one", f"{sum(line.seconds for line in lines) / 60:.1f}"),
        ("written", str(file)),
    ]
    groups: dict[str, list[tuple[str, int]]] = {}
    for name, number in sorted(facts.items()):
        group, _, rest = name.rpartition(": ")
        groups.setdefault(group or "others", []).append((rest, number))
    counted = [(group, table.counts(dict(entries))) for group, entries in groups.items()]
    text = f"{table.pairs(rows)}\n\n{table.pairs(counted)}"
    if lacking:
        text += f"\n\nnever seen: {', '.join(lacking)}"
    return text, not lacking or len(lines) < COMPLETE
