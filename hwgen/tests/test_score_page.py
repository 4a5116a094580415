"""docs/score-functions.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from golden.scoremod import Format
from golden.scoremod.functions import FUNCTION_FRAC, exp2_codes, tanh_codes
from hwgen.scoremod import area
from hwgen.scoremod.library import LIBRARY
from hwgen.scoremod.schedule import CYCLES

PAGE = (Path(area.__file__).parents[2] / "docs" / "score-functions.md").read_text()
ONE = 1 << FUNCTION_FRAC


def test_cycles() -> None:
    """The operations of CYCLES but leaves, each with its cycles; the first of two numbers for those that differ."""
    section = PAGE.split("## Operations and cycles")[1].split("\n## ")[0]
    found: dict[str, set[int]] = {}
    for names, cycles in re.findall(r"(?m)^\| (`.*?) \| (\d)", section):
        for name in re.findall(r"`(\w+)`", names):
            found.setdefault(name, set()).add(int(cycles))
    assert set(found) == set(CYCLES) - {"input", "constant", "parameter"}
    for name, cycles in found.items():
        assert CYCLES[name] in cycles, name
        # Bitwise operations of conditions are gates.
        assert len(cycles) == 1 or name in ("and", "or", "xor")


def test_area_of_every_library_function() -> None:
    section = PAGE.split("## Area")[1]
    header, _, *rows = [line for line in section.splitlines() if line.startswith("|")]
    assert header == area.markdown([]).splitlines()[0]
    assert [row.split("|")[1].strip() for row in rows] == list(LIBRARY)


def test_accuracy() -> None:
    """Errors over a sample; those on the page are over all arguments."""
    limits = [float(x) for x in re.findall(r"(\d\.\de-7) (?:absolute|relative)", PAGE)]
    codes = np.concatenate([np.arange(-9 * ONE, 9 * ONE, 331), np.arange(2 * ONE, 2 * ONE + 1000)])
    x = codes / ONE
    tanh_error = np.abs(tanh_codes(codes) / ONE - np.tanh(x)).max()
    fractions = np.arange(0, ONE, 3)
    exp2 = exp2_codes(fractions, Format(0, 1 << (FUNCTION_FRAC + 1), FUNCTION_FRAC)) / ONE
    exp2_error = np.abs(exp2 / np.exp2(fractions / ONE) - 1).max()
    for error, limit in zip((tanh_error, exp2_error), limits, strict=True):
        assert 0.8 * limit < error <= limit
