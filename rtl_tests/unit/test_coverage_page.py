"""What is demanded of the counts, and that the page has all of them."""

from __future__ import annotations

from collections import Counter

from rtl_tests.coverage.__main__ import Row, complaints, page, rows
from rtl_tests.coverage.functional import Item
from rtl_tests.coverage.instrument import ROOT
from rtl_tests.coverage.rtl import Reached

FILE = "hwgen/control/axi_lite.py"
TEXTS = [line.strip() for line in (ROOT / FILE).read_text().splitlines()]
PLACES = [(FILE, number) for number, text in enumerate(TEXTS, 1) if "m.d.sync +=" in text][:2]
NAMES = [f"{path}: {TEXTS[line - 1]}" for path, line in PLACES]
SEEN, MISSED = Item("shifts", "by 1"), Item("shifts", "by 2")
NOTHING: dict[str, dict[str, str]] = {"lines": {}, "items": {}}
EXPLAINED = {"lines": {NAMES[1]: "a reason"}, "items": {"shifts: by 2": "another reason"}}


def counts(*, line: int = 0, item: int = 0) -> Reached:
    """Two lines and two items, the second of which were reached so often."""
    bits = {"part": (3, 8), "other": (1, 2)}
    return Reached(Counter({PLACES[0]: 5, PLACES[1]: line}), set(), Counter({SEEN: 7, MISSED: item}), bits)


def test_what_is_missed_needs_a_reason() -> None:
    reached = counts()
    assert len(complaints(reached, NOTHING, [])) == 2
    assert not complaints(reached, EXPLAINED, [])


def test_a_reason_needs_something_missed() -> None:
    reached = counts(line=1, item=1)
    assert not complaints(reached, NOTHING, [])
    found = complaints(reached, EXPLAINED, [])
    assert len(found) == 2 and NAMES[1] in found[0] and "shifts: by 2" in found[1]


def test_a_share_below_its_limit_is_told() -> None:
    assert complaints(counts(line=1, item=1), NOTHING, [Row("things", 97, 100, 98.0)]) == [
        "things: 97.0 %, at least 98 % wanted"
    ]


def test_items_with_a_reason_are_none_that_could_happen() -> None:
    table = {row.name: row for row in rows(counts(), EXPLAINED["items"])}
    assert (table["shifts"].reached, table["shifts"].total) == (1, 1)
    assert (table["lines under a condition"].reached, table["lines under a condition"].total) == (1, 2)
    assert (table["edges of bits"].reached, table["edges of bits"].total) == (4, 10)
    assert rows(counts(), {})[1].total == 2


def test_the_page_has_all_of_it() -> None:
    reached = counts()
    text = page(reached, EXPLAINED, rows(reached, EXPLAINED["items"]), "golden/exact.py 100.0%")
    for word in (
        "by 1",
        "by 2",
        "a reason",
        "another reason",
        "part",
        "golden/exact.py 100.0%",
        f"{FILE}:{PLACES[1][1]}",
    ):
        assert word in text, word
