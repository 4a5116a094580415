"""Which of Verilator's warnings count: those that are not waived, by name; what is no Verilog is an error."""

from __future__ import annotations

import pytest

from hwgen.sim.lint import lint

BODY = "module top(input [3:0] a, output [3:0] b);\n{}\nendmodule\n"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("assign b = ~a;", set()),
        ("assign b = {1'b0, a[2:0]} + 5'd1;", set()),  # widths are waived
        ("assign b[3] = a[0];", {"UNDRIVEN"}),
        ("assign b = a", {"ERROR"}),
    ],
)
def test_what_counts(statement: str, found: set[str]) -> None:
    # Whatever counts, Verilator ends with an error that says so.
    assert set(lint(BODY.replace("{}", statement), "top")) == found | ({"ERROR"} if found else set())
