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


def test_elements() -> None:
    """One multiplier for a PE of either array; both stay below the 170 LUT4s that a PE may take on average,
    with what is around it counted in."""
    cells = [FOUND["families"]["ecp5"][name] for name in ("score PE", "value PE")]
    assert [cell["dsp"] for cell in cells] == [1, 1]
    assert sum(cell["lut"] + cell["carry"] for cell in cells) / 2 <= 170
