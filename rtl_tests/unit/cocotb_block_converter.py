"""Runs in the simulator: rows in, converted rows out, equal to golden.bitexact.convert in every bit."""

import os

import cocotb
import numpy as np

from golden.bitexact.convert import convert_rows
from hwgen.memory.convert import converted_beat
from hwgen.sim.files import unpack
from rtl_tests.harness.configurations import params
from rtl_tests.harness.jobs import poison, tensor
from rtl_tests.harness.streams import Sink, Source, start

ROWS = 60


def pack(codes: np.ndarray, bits: int) -> int:
    """Element 0 in the lowest bits."""
    return sum(int(code) << (i * bits) for i, code in enumerate(codes))


def expected(codes: np.ndarray, core) -> list[dict[str, int]]:
    """The beats that have to come out."""
    block = convert_rows(codes, core.numerics)
    beat, width = core.config.beat, core.config.operand_bits
    beats = []
    for row in range(len(codes)):
        exponent = int(block.exponent[row]) + core.input.bias - 1
        for first in range(0, codes.shape[1], beat):
            elements = block.elements[row, first : first + beat]
            beats.append(
                {
                    "elements": pack(elements & ((1 << width) - 1), width),
                    "exponent": exponent,
                    "poisoned": int(block.poisoned[row]),
                    "last": int(first + beat == codes.shape[1]),
                }
            )
    return beats


@cocotb.test()
async def rows_come_out_converted(dut) -> None:
    core = params(os.environ["CORE"])
    rng = np.random.default_rng(1)
    codes = tensor(rng, ROWS, core.config.head_e, core)
    for row in (3, 17, 40):
        poison(rng, codes, row, core)
    words = [pack(beat, core.input.bits) for beat in codes.reshape(-1, core.config.beat)]
    source = Source(dut, "input", float(os.environ["IDLE"]), seed=2)
    sink = Sink(dut, "output", float(os.environ["STALL"]), seed=3)
    await start(dut)
    cocotb.start_soon(source.send(words))
    got = await sink.receive(len(words))
    assert [unpack(converted_beat(core), word) for word in got] == expected(codes, core)
