"""The cocotb side of a run: clock, reset, wait for `done`, read what the core counted."""

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer

PERIOD_NS = 2


@cocotb.test()
async def run(dut: Any) -> None:
    """Fails if the job list is not finished within the limit or a stream broke its handshake."""
    limit = int(os.environ["HWGEN_LIMIT"])
    dut.rst.value = 1
    # Processor time: what else the machine does is not the simulator's fault.
    start = time.process_time()
    # The clock toggles below Python, which wakes again when the work is done.
    Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start()
    hold = int(os.environ["HWGEN_RESET_CYCLES"])
    await ClockCycles(dut.clk, hold)
    dut.rst.value = 0
    if again := int(os.environ.get("HWGEN_RESET_AT", "0")):
        # Everything starts anew, whatever was under way; the testbench too.
        await ClockCycles(dut.clk, again)
        dut.rst.value = 1
        await ClockCycles(dut.clk, hold)
        dut.rst.value = 0
    await First(RisingEdge(dut.done), Timer(limit * PERIOD_NS, unit="ns"))
    finished = bool(dut.done.value)
    seconds = time.process_time() - start
    # Results are written to their files in the cycle behind `done`.
    await ClockCycles(dut.clk, 3)
    report = {
        "finished": finished,
        "seconds": seconds,
        "violated": bool(dut.violated.value),
        "rows_out": int(dut.rows_out.value),
        "saturated": bool(dut.saturated.value),
        "poisoned": bool(dut.poisoned.value),
        "counters": f"{int(dut.counters.value):x}",
    }
    Path(os.environ["HWGEN_REPORT"]).write_text(json.dumps(report))
    assert finished, f"not done after {limit} cycles, {report['rows_out']} rows written"
    assert not report["violated"], "an output stream changed or withdrew a beat that was not taken"
