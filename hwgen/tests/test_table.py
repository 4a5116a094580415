"""Numbers and columns as a reader sees them, and the announcement of steps that take long."""

from __future__ import annotations

import math
import time

import pytest

from hwgen import progress, table


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (0.0074249, "0.00742"),
        (1.0, "1.00"),
        (97.56, "97.6"),
        (-250.4, "-250"),
        (0.00012345, "1.23e-04"),
        (12345.0, "1.23e+04"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_three_digits(number: float, text: str) -> None:
    assert table.three_digits(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(7.0, "7.00"), (24006.7, "24.0 k"), (2.5e6, "2.50 M"), (3.21e9, "3.21 G"), (0.0, "0")]
)
def test_rate(number: float, text: str) -> None:
    assert table.rate(number) == text


def test_counts_and_verdicts() -> None:
    assert table.counts({"fill": 1240, "pad": 0, "drain": 3}) == "fill 1,240, drain 3"
    assert table.counts({"pad": 0}) == table.counts({}) == "never"
    assert [table.equal_bits(2048, equal) for equal in (2048, 2045)] == ["all 2,048", "all but 3"]
    assert [table.met(target) for target in (None, True, False)] == ["-", "yes", "no"]


def test_json_numbers() -> None:
    assert [table.json_number(x) for x in (1.5, math.inf, -math.inf, math.nan)] == [1.5, "inf", "-inf", "nan"]


def test_pairs() -> None:
    assert table.pairs([("a", "1"), ("long name", "2"), ("", "3")]) == "a          1\nlong name  2\n           3"
    assert table.pairs([]) == ""


def test_columns() -> None:
    text = table.columns(("name", "n", "what"), [("x", "10", "ten"), ("longer", "5", "")], left=("what",))
    assert text.splitlines() == ["name     n  what", "------  --  ----", "x       10  ten", "longer   5"]


def test_long_steps_are_announced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with progress.step("simulating"):
        time.sleep(0.1)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "simulating ..."
    assert second.startswith("simulating: 0.")


def test_short_and_failing_steps_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("nothing"):
        pass
    with pytest.raises(KeyError), progress.step("broken"):
        raise KeyError
    assert capsys.readouterr() == ("", "")
