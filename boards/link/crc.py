"""The CRC of the frames, the one of Ethernet and zlib."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from hwgen.part import Part

POLYNOMIAL = 0xEDB88320
ONES = 0xFFFFFFFF
RESIDUE = 0xDEBB20E3
"""What the register holds behind data and their CRC."""

CYCLES = 8
"""From a byte to the next one; bytes take longer on the line."""


class Crc32(Part):
    """value = zlib.crc32 of all bytes since `start`, a bit a cycle.

    Latency CYCLES + 1 cycles from `valid`; a byte every CYCLES cycles at most.

    Members
    -------
    start:       forget all bytes
    valid, data: a byte
    value:       the CRC
    good:        the last four bytes were the CRC of those before; a cycle later than `value`
    """

    def __init__(self) -> None:
        super().__init__({"start": In(1), "valid": In(1), "data": In(8), "value": Out(32), "good": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        state, bits, left = Signal(32, init=ONES), Signal(8), Signal(range(CYCLES + 1))
        m.d.comb += self.value.eq(~state)
        m.d.sync += self.good.eq(state == RESIDUE)
        with m.If(left != 0):
            m.d.sync += [bits.eq(bits >> 1), left.eq(left - 1)]
            m.d.sync += state.eq((state >> 1) ^ Mux(state[0] ^ bits[0], POLYNOMIAL, 0))
        with m.If(self.valid):
            m.d.sync += [bits.eq(self.data), left.eq(CYCLES)]
        with m.If(self.start):
            m.d.sync += [state.eq(ONES), left.eq(0)]
        return m
