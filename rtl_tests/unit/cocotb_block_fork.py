"""Runs in the simulator: one stream in, equal streams out, each at its own pace."""

import os

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from hwgen.control.block_fork import DEPTH
from hwgen.control.tags import block_layout
from rtl_tests.harness.configurations import params
from rtl_tests.harness.streams import Sink, Source, start

BLOCKS = 120


def random_words(seed: int) -> list[int]:
    """Blocks with random bits in all fields."""
    size = block_layout(params(os.environ["CORE"])).size
    return [int.from_bytes(np.random.default_rng((seed, i)).bytes(32)) >> (256 - size) for i in range(BLOCKS)]


@cocotb.test()
async def every_output_gets_every_block(dut) -> None:
    words = random_words(int(os.environ["SEED"]))
    stalls = [float(stall) for stall in os.environ["STALLS"].split()]
    source = Source(dut, "input", float(os.environ["IDLE"]), seed=21)
    sinks = [Sink(dut, f"outputs__{i}", stall, seed=22 + i) for i, stall in enumerate(stalls)]
    await start(dut)
    cocotb.start_soon(source.send(words))
    receiving = [cocotb.start_soon(sink.receive(BLOCKS)) for sink in sinks]
    for task in receiving:
        assert await task == words


@cocotb.test()
async def the_slowest_output_holds_the_others_up(dut) -> None:
    """While one output takes nothing the others get as many blocks as its queue holds, and later none is missing."""
    words = random_words(int(os.environ["SEED"]))
    stuck, *others = range(len(os.environ["STALLS"].split()))
    sinks = {i: Sink(dut, f"outputs__{i}", 0.0, seed=31) for i in (stuck, *others)}
    await start(dut)
    cocotb.start_soon(Source(dut, "input", 0.0, seed=32).send(words))
    early = [cocotb.start_soon(sinks[i].receive(DEPTH)) for i in others]
    await ClockCycles(dut.clk, 10 * DEPTH)
    assert all(task.done() for task in early)
    assert not dut.input__ready.value
    assert not any(getattr(dut, f"outputs__{i}__valid").value for i in others)
    late = [cocotb.start_soon(sinks[i].receive(BLOCKS - DEPTH)) for i in others]
    assert await sinks[stuck].receive(BLOCKS) == words
    for first, rest in zip(early, late, strict=True):
        assert first.result() + await rest == words
