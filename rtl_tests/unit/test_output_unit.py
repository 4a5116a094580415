"""The output unit as emitted: division, rounding, and two consumers that refuse."""

from pathlib import Path

import pytest

from hwgen.softmax.output import OutputUnit
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit

# Pauses of the walker, refusals of O and of LSE. It takes a consumer that hardly takes anything to fill LSE's queue.
TRAFFIC = [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.9, 0.0), (0.3, 0.3, 0.98)]


@pytest.mark.parametrize("name", ["shared_lane"])
@pytest.mark.parametrize("seed,traffic", list(enumerate(TRAFFIC)), ids=lambda value: str(value).replace(" ", ""))
def test_output_unit(name: str, seed: int, traffic: tuple[float, float, float], tmp_path: Path) -> None:
    idle, o_stall, lse_stall = traffic
    settings = {"CORE": name, "SEED": seed, "IDLE": idle, "O_STALL": o_stall, "LSE_STALL": lse_stall}
    run_unit(OutputUnit, (params(name),), "rtl_tests.unit.cocotb_output_unit", tmp_path, settings)
