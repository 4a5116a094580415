"""The committed figures of docs/results/area.json are those of the machine as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boards.report.area import PARTS, PRESET, RESULTS, SCRIPTS, area, page, source
from hwgen.params import Params
from hwgen.presets import preset

PARAMS = Params(preset(PRESET))
FOUND = json.loads((RESULTS / "area.json").read_text())
AGAIN = "run `make area` and commit docs/results/area.{json,md}"


@pytest.mark.parametrize("family", SCRIPTS)
@pytest.mark.parametrize("name", PARTS)
def test_of_this_machine(name: str, family: str) -> None:
    """The part is described as it was when it was measured."""
    assert FOUND["families"][family][name]["source"] == source(name, family, PARAMS), AGAIN


@pytest.mark.parametrize("family", SCRIPTS)
@pytest.mark.parametrize("name", ["score PE", "value PE"])
def test_measured_again(name: str, family: str, tmp_path: Path) -> None:
    """The tools give the same cells: of these two, which every other figure is mostly made of."""
    assert FOUND["families"][family][name] == area(name, family, PARAMS, tmp_path), AGAIN


def test_page() -> None:
    """The page shows what the file says."""
    assert (RESULTS / "area.md").read_text() == page(FOUND)


def logic(name: str) -> int:
    """LUT4s of a part on an ECP5, but for those that are memory."""
    use = FOUND["families"]["ecp5"][name]
    return use["lut"] + use["carry"]


def test_elements() -> None:
    """One multiplier for a PE of either array, and 170 LUT4s on average with all that is around it in its array."""
    c = PARAMS.config
    elements = c.cols * (c.rows_e + c.rows_f)
    parts = FOUND["families"]["ecp5"]
    assert parts["score array"]["dsp"] + parts["value array"]["dsp"] == elements
    assert logic("score array") + logic("value array") <= 170 * elements


def test_between_the_arrays() -> None:
    """What stands between the arrays and beside them takes a quarter of what they take: a lane, the quotient, a
    converter for each of Q, K and V."""
    assert PARAMS.lanes == 1
    between = logic("softmax lane") + logic("normaliser") + logic("reciprocal") + 3 * logic("block converter")
    assert between <= 0.25 * (logic("score array") + logic("value array"))
