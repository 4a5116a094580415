"""How a query's LSE lies in memory."""

from amaranth.hdl import Cat, Const
from amaranth.lib import data

from golden.bitexact.numerics import REFERENCE_BITS

LSE_ELEMENT_BITS = 32
LSE_BEAT = 2
"""An LSE record is a row of two 32-bit elements."""

RD_BITS = 64 - REFERENCE_BITS - 2
"""Bits that a record has for RD."""

LSE_RECORD = {"rd": RD_BITS, "rm": REFERENCE_BITS, "empty": 1, "poisoned": 1}
"""Fields of a record, lowest first, and their widths; rm is signed. `LSE = (rm + log2(rd) - weight_bits) ln 2`."""


def lse_record(beat):
    """The record of a beat of the core's `lse` stream, as elements."""
    assert isinstance(beat, data.View)
    return Cat(beat.rd, Const(0, RD_BITS - len(beat.rd)), beat.rm, beat.empty, beat.poisoned)
