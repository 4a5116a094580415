"""The simulated memory keeps what is written, in the time and with the faults that were asked for."""

from pathlib import Path

import pytest

from hwgen.sim.files import read_words, write_words
from rtl_tests.harness.verilog import run_verilog
from rtl_tests.unit.cocotb_axi_memory import BASE, BYTES, LATENCY, WORDS, content

STALL = 100

CASES = {
    "plain": [f"+latency={LATENCY}"],
    "a_slow_reader": ["+latency=0"],
    "stalls": [f"+stall_{channel}={STALL}" for channel in ("ar", "r", "aw", "w", "b")],
    "half_the_bandwidth": ["+bandwidth=100"],
    "data_before_the_address": ["+aw_waits=1"],
    "faults": ["+read_fault_beat=7", "+read_fault_burst=4", "+write_fault_burst=2", "+response=3"],
    "outside": [],
    "wrong_ends": ["+early_last=2", "+late_last=5"],
}


@pytest.mark.parametrize("case", CASES)
def test_memory(case: str, tmp_path: Path) -> None:
    used = 100
    write_words(tmp_path / "memory.hex", [content(i) for i in range(1 << WORDS)])
    plusargs = [f"+dir={tmp_path}", f"+base={BASE:x}", f"+used={used}", *CASES[case]]
    parameters = {"ADDRESS": 40, "BUS": 8 * BYTES, "WORDS": WORDS}
    module = "rtl_tests.unit.cocotb_axi_memory"
    run_verilog("axi_memory", module, tmp_path, parameters=parameters, plusargs=plusargs, settings={"CASE": case})
    if case == "plain":
        words = read_words(tmp_path / "after.hex")
        assert len(words) == used
        assert words[5] == 0x0101010101010101 and words[21:] == [content(i) for i in range(21, used)]
