"""The LSE record against its description and against its reader in Python."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from hwgen.memory.lse_record import LSE_BEAT, LSE_ELEMENT_BITS, LSE_RECORD, lse_record
from hwgen.params import Params
from hwgen.part import Part
from hwgen.sim.layout import read_records
from hwgen.softmax.output import lse_beat
from hwgen.tests.bench import clocked, tiny


class Recorder(Part):
    """`record` = the record of `beat` a cycle before."""

    def __init__(self, params: Params) -> None:
        super().__init__({"beat": In(lse_beat(params)), "record": Out(LSE_BEAT * LSE_ELEMENT_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.record.eq(lse_record(self.beat))
        return m


def packed(values: dict[str, int]) -> int:
    """A record by its description: fields lowest first."""
    code, low = 0, 0
    for name, width in LSE_RECORD.items():
        code |= (values[name] & (1 << width) - 1) << low
        low += width
    assert low == 64
    return code


@pytest.mark.parametrize("params", [tiny(), tiny(weight_bits=8, accumulator_bits=30, out_format="fp32")])
def test_records(params: Params) -> None:
    rng = np.random.default_rng(8)
    layout = lse_beat(params)
    top, edge = (1 << layout["rd"].width) - 1, 1 << (layout["rm"].width - 1)
    beats = [
        {"rd": int(rd), "rm": int(rm), "empty": int(rng.integers(2)), "poisoned": int(rng.integers(2))}
        for rd in (0, 1, top, top >> 1, *rng.integers(top, size=10))
        for rm in (-edge, -1, 0, edge - 1, int(rng.integers(-edge, edge)))
    ]
    cycles = [{"beat": beat} for beat in beats]
    seen = [code for (code,) in clocked(Recorder(params), cycles, ["record"], 1)][1:]
    assert seen == [packed(beat) for beat in beats]
    rm, rd, empty, poisoned = read_records(np.array(seen, dtype=np.uint64))
    for name, values in {"rm": rm, "rd": rd, "empty": empty, "poisoned": poisoned}.items():
        assert values.tolist() == [beat[name] for beat in beats], name
