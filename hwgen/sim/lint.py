"""Verilator's opinion of the emitted Verilog."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from hwgen import doctor

WAIVERS = {
    "CASEINCOMPLETE": "Amaranth writes a switch without a default where a signal keeps its value",
    "CMPCONST": "a comparison with a limit may hold for every value of a narrow operand",
    "DECLFILENAME": "all modules are in one file",
    "PROCASSINIT": "registers have their reset value as their initial value too, for FPGAs",
    "SYMRSVDWORD": "the port `interrupt` is a word of C++ libraries too, of which nothing is connected to it",
    "UNSIGNED": "a comparison with a limit may hold for every value of an unsigned operand",
    "UNUSEDSIGNAL": "each field of a structure has a name in the waves, whoever reads it",
    "WIDTHEXPAND": "operands of unequal width are extended by the language as Amaranth means it",
    "WIDTHTRUNC": "an assignment keeps the low bits, as in Amaranth; `!` of a vector compares it with zero",
}
"""Warnings that say nothing about a fault here, each with the reason. All others count."""


def lint(verilog: str, top: str) -> dict[str, int]:
    """How often each warning that is not waived occurs; empty if the text is clean. Raises MissingTool."""
    doctor.require("verilator", "perl")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{top}.v"
        path.write_text(verilog)
        waivers = [f"-Wno-{name}" for name in WAIVERS]
        command = ["verilator", "--lint-only", "-Wall", *waivers, "--top-module", top, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=doctor.tool_environment())
    counts: dict[str, int] = {}
    for name in re.findall(r"^%(?:Warning|Error)-?(\w*)", done.stderr, re.MULTILINE):
        counts[name or "ERROR"] = counts.get(name or "ERROR", 0) + 1
    return counts
