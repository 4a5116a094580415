"""The softmax lane as emitted, shared by several columns, against the golden online softmax."""

from pathlib import Path

import pytest

from hwgen.softmax.lane import SoftmaxLane
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit


@pytest.mark.parametrize("name", ["one_lane_for_four"])
@pytest.mark.parametrize("seed", [1, 2])
def test_softmax_lane(name: str, seed: int, tmp_path: Path) -> None:
    core = params(name)
    assert core.group == 4 and core.config.slots == 4
    run_unit(SoftmaxLane, (core,), "rtl_tests.unit.cocotb_softmax_lane", tmp_path, {"CORE": name, "SEED": seed})
