"""Runs in the simulator: rows in, converted rows out, equal to golden.bitexact.convert in every bit."""

import os

import cocotb
import numpy as np

from golden.bitexact.convert import convert_rows
from hwgen.memory.convert import converted_beat, raw_beat
from hwgen.params import Params
from hwgen.sim.files import unpack
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import bits_of, pack
from rtl_tests.harness.jobs import poison, tensor
from rtl_tests.harness.streams import Sink, Source, start

ROWS = 60


def beats(codes: np.ndarray, core: Params) -> list[int]:
    """Rows cut into beats, the last one of each row marked."""
    beat = core.config.beat
    return [
        bits_of(raw_beat(core), {"elements": pack(row[i : i + beat], core.input.bits), "last": i + beat == len(row)})
        for row in codes
        for i in range(0, len(row), beat)
    ]


def expected(codes: np.ndarray, core: Params) -> list[dict[str, int]]:
    """The beats that have to come out."""
    block = convert_rows(codes, core.numerics)
    beat, width = core.config.beat, core.config.operand_bits
    made = []
    for row in range(len(codes)):
        exponent = int(block.exponent[row]) + core.input.bias - 1
        for first in range(0, codes.shape[1], beat):
            elements = block.elements[row, first : first + beat]
            made.append(
                {
                    "elements": pack(elements & ((1 << width) - 1), width),
                    "exponent": exponent,
                    "poisoned": int(block.poisoned[row]),
                    "last": int(first + beat == codes.shape[1]),
                }
            )
    return made


@cocotb.test()
async def rows_come_out_converted(dut) -> None:
    core = params(os.environ["CORE"])
    rng = np.random.default_rng(1)
    # A head dimension for each ten rows: as many folds as there may be, and fewer.
    folds = rng.permutation([1 + i % core.folds_e for i in range(ROWS // 10)])
    tensors = [tensor(rng, 10, int(n) * core.config.rows_e, core) for n in folds]
    for i, row in ((0, 3), (1, 7), (4, 0)):
        poison(rng, tensors[i], row, core)
    words = [word for codes in tensors for word in beats(codes, core)]
    source = Source(dut, "input", float(os.environ["IDLE"]), seed=2)
    sink = Sink(dut, "output", float(os.environ["STALL"]), seed=3)
    await start(dut)
    cocotb.start_soon(source.send(words))
    got = await sink.receive(len(words))
    want = [beat for codes in tensors for beat in expected(codes, core)]
    assert [unpack(converted_beat(core), word) for word in got] == want
