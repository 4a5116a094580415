"""The value array as emitted, at the least distance between two visits of a slot, against integer arithmetic."""

from pathlib import Path

import pytest

from hwgen.array.value_array import ValueArray
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit


@pytest.mark.parametrize("name,folds", [("shared_lane", 2), ("shared_lane", 1), ("one_fold", 1)])
@pytest.mark.parametrize("seed,idle", [(1, 0.0), (2, 0.2)])
def test_value_array(name: str, folds: int, seed: int, idle: float, tmp_path: Path) -> None:
    settings = {"CORE": name, "FOLDS": folds, "SEED": seed, "IDLE": idle}
    run_unit(ValueArray, (params(name),), "rtl_tests.unit.cocotb_value_array", tmp_path, settings)
