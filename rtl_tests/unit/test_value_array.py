"""The value array as emitted, at the least distance between two visits of a slot, against integer arithmetic."""

from pathlib import Path

import pytest

from hwgen.array.value_array import ValueArray
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit


@pytest.mark.parametrize("name", ["shared_lane", "one_fold"])
@pytest.mark.parametrize("seed,idle", [(1, 0.0), (2, 0.2)])
def test_value_array(name: str, seed: int, idle: float, tmp_path: Path) -> None:
    settings = {"CORE": name, "SEED": seed, "IDLE": idle}
    run_unit(ValueArray, (params(name),), "rtl_tests.unit.cocotb_value_array", tmp_path, settings)
