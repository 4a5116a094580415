"""What is read of Verilator's counts, and where markers lead."""

from __future__ import annotations

from pathlib import Path

from hwgen.control.drain import Credits
from hwgen.emit import to_verilog
from hwgen.memory.row_walker import RowWalker
from hwgen.tests.bench import tiny
from rtl_tests.coverage.functional import with_questions
from rtl_tests.coverage.instrument import ROOT, marked, scan
from rtl_tests.coverage.reader import Point, counts, points
from rtl_tests.coverage.rtl import Reached, _note_lines


def entry(count: int, **fields: object) -> str:
    return "C '" + "".join(f"\x01{name}\x02{value}" for name, value in fields.items()) + f"' {count}\n"


def test_points_of_instances_are_added_up(tmp_path: Path) -> None:
    branch = {"f": "a.v", "l": 7, "n": 3, "t": "branch", "page": "v_branch/part", "o": "if", "S": "7-9,12"}
    bit = {"f": "a.v", "l": 2, "n": 1, "t": "toggle", "page": "v_toggle/part", "o": "x[0]:0->1"}
    first, then = tmp_path / "first.dat", tmp_path / "then.dat"
    head = "# SystemC::Coverage-3\n"
    first.write_text(head + entry(3, **branch, h="top.a") + entry(4, **branch, h="top.b") + entry(0, **bit, h="top.a"))
    then.write_text(head + entry(5, **branch, h="top.a"))
    total = counts(first)
    total.update(counts(then))
    found = {point.kind: point for point in points(total)}
    assert found["branch"].count == 12 and found["branch"].lines == {7, 8, 9, 12}
    assert (found["branch"].module, found["branch"].comment) == ("part", "if")
    assert (found["toggle"].count, found["toggle"].comment) == (0, "x[0]:0->1")


def test_markers_lead_to_assignments_under_a_condition() -> None:
    text = marked(RowWalker(tiny()), "walker")
    found = scan(text)
    files = {path for path, _ in found.markers.values()}
    assert "hwgen/memory/row_walker.py" in files
    for path, line in found.markers.values():
        words = (ROOT / path).read_text().splitlines()[line - 1]
        assert ".eq(" in words or "m.next" in words or "m.d." in words, (path, line)
    assert not set(found.markers.values()) & found.others


def test_markers_change_nothing_else() -> None:
    plain = to_verilog(Credits(5), "credits").splitlines()
    text = [line.split("(* src")[0] for line in marked(Credits(5), "credits").splitlines() if "cover_" not in line]
    assert {line.strip() for line in plain if "assign" not in line} - {line.strip() for line in text} <= {""}


def test_questions_ask_for_all_states_and_steps() -> None:
    text, items = with_questions(to_verilog(RowWalker(tiny()), "row_walker"))
    lines = text.splitlines()
    names = {item.name for item in items.values()}
    assert any(" to " in name for name in names) and any(" to " not in name for name in names)
    for number, item in items.items():
        assert "fsm_state ==" in lines[number - 1] and item.group == "states"


def test_a_question_is_answered_by_its_branch_alone() -> None:
    """That the block around it runs in every cycle is no answer."""
    text, asked = with_questions(to_verilog(RowWalker(tiny()), "row_walker"))
    yes, no = sorted(asked)[:2]
    seen = []
    for line, count in ((yes, 3), (no, 0)):
        seen.append(Point("line", "row_walker", "a.v", line, frozenset({line}), "block", 100))
        seen.append(Point("branch", "row_walker", "a.v", line, frozenset({line}), "if", count))
        seen.append(Point("branch", "row_walker", "a.v", line, frozenset({line}), "else", 100 - count))
    reached = Reached()
    _note_lines(text, asked, seen, reached)
    assert (reached.items[asked[yes]], reached.items[asked[no]]) == (3, 0)
