"""The protocol checker is silent on legal traffic and names the rule that illegal traffic breaks."""

from pathlib import Path

from hwgen.sim.system import RULES
from rtl_tests.harness.verilog import run_verilog
from rtl_tests.unit.cocotb_axi_checker import ILLEGAL, READS, WRITES


def test_rules(tmp_path: Path) -> None:
    parameters = {"ADDRESS": 48, "BUS": 128, "READS": READS, "WRITES": WRITES, "KIND": 0}
    run_verilog("axi_checker", "rtl_tests.unit.cocotb_axi_checker", tmp_path, parameters=parameters)


def test_every_rule_is_broken_by_something() -> None:
    assert {rule for rule, _ in ILLEGAL.values()} | {"RESET"} == set(RULES.values())
