"""What the board's lights say."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from hwgen.part import Part

STRETCH_BITS = 22
"""log2 of the cycles that a light stays on: 34 ms at 125 MHz."""

ALIVE_BITS = 26


class Stretch(Part):
    """`output` is high from 3 cycles behind `input` on until 2^bits + 1 behind its last one."""

    def __init__(self, bits: int = STRETCH_BITS) -> None:
        self._bits = bits
        super().__init__({"input": In(1), "output": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left, heard, told = Signal(self._bits), Signal(reset_less=True), Signal(reset_less=True)
        # What is told comes from far, and goes to all bits.
        m.d.sync += [heard.eq(self.input), told.eq(heard)]
        with m.If(told):
            m.d.sync += [left.eq(-1), self.output.eq(1)]
        with m.Elif(self.output):
            m.d.sync += [left.eq(left - 1), self.output.eq(left != 1)]
        return m


class Alive(Part):
    """`output` changes every 2^(bits - 1) cycles."""

    def __init__(self, bits: int = ALIVE_BITS) -> None:
        self._bits = bits
        super().__init__({"output": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(self._bits)
        m.d.sync += count.eq(count + 1)
        m.d.comb += self.output.eq(count[-1])
        return m
