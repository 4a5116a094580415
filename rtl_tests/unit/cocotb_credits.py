"""Runs in the simulator: credits are given and taken at random, and counted here too."""

from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

MOST = 5
SEED = 3


@cocotb.test()
async def counts(dut: Any) -> None:
    """There is room for what may be on its way and for one more: as long as two places are free. What is given counts a
    cycle later."""
    rng, used, given = Random(SEED), 0, 0
    dut.rst.value, dut.take.value, dut.give.value = 1, 0, 0
    Clock(dut.clk, 2, unit="ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(200):
        take = int(used < MOST and rng.random() < 0.6)
        give = int(used > 0 and rng.random() < 0.4)
        dut.take.value, dut.give.value = take, give
        await ReadOnly()
        assert dut.room.value == (used + given < MOST - 1), f"{used + given} of {MOST} are taken"
        await RisingEdge(dut.clk)
        used, given = used + take - give, give
