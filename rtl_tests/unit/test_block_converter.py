"""Block conversion as emitted, against the golden conversion."""

from pathlib import Path

import pytest

from hwgen.memory.convert import BlockConverter
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit

CASES = [("base", 0.0, 0.0), *((name, 0.3, 0.3) for name in ("base", "fp16", "fp32", "narrow_operands", "wide_beats"))]


@pytest.mark.parametrize("name,idle,stall", CASES)
def test_block_converter(name: str, idle: float, stall: float, tmp_path: Path) -> None:
    core = params(name)
    settings = {"CORE": name, "IDLE": idle, "STALL": stall}
    run_unit(BlockConverter, (core, core.config.head_e), "rtl_tests.unit.cocotb_block_converter", tmp_path, settings)
