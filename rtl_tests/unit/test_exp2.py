"""The exponent unit as emitted, for every fraction there is."""

from pathlib import Path

from hwgen.softmax.exp2 import Exp2
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit


def test_exp2(tmp_path: Path) -> None:
    run_unit(Exp2, (params("base"),), "rtl_tests.unit.cocotb_exp2", tmp_path, {"CORE": "base"})
