"""The score array as emitted, with all banks and columns, against exact dot products."""

from pathlib import Path

import pytest

from hwgen.array.score_array import ScoreArray
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit


@pytest.mark.parametrize("name", ["five_slots_three_columns"])
@pytest.mark.parametrize("seed,idle", [(1, 0.0), (2, 0.3)])
def test_score_array(name: str, seed: int, idle: float, tmp_path: Path) -> None:
    core = params(name)
    assert (core.config.rows_e, core.config.cols, core.folds_e) == (4, 3, 2)
    settings = {"CORE": name, "SEED": seed, "IDLE": idle}
    run_unit(ScoreArray, (core,), "rtl_tests.unit.cocotb_score_array", tmp_path, settings)
