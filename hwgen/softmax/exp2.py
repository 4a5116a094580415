"""The exponent unit."""

from amaranth.hdl import Array, Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from golden.bitexact.exp2 import chords
from golden.bitexact.numerics import SLOPE_BITS
from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import unreset


class Exp2(Part):
    """`ceiling = ceil(x)`, `y = 2^(x - ceiling)` by a chord of the table: `base - ((slope * rest) >> slope_frac)`.

    Latency CEILING_LATENCY cycles to `ceiling`, LATENCY to `y` (units of 2^-Pw); throughput 1.
    """

    CEILING_LATENCY = 2
    LATENCY = 5

    def __init__(self, params: Params) -> None:
        self._params = params
        n = params.numerics
        super().__init__(
            {
                "x": In(signed(n.score_bits)),
                "ceiling": Out(signed(n.score_bits - n.score_frac + 1)),
                "y": Out(unsigned(n.weight_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        n = self._params.numerics
        table = chords(n)
        rest_bits = n.score_frac - n.segment_bits
        below = Signal(n.score_frac, reset_less=True)
        whole, some = Signal(self.ceiling.shape(), reset_less=True), Signal(reset_less=True)
        base = [Signal(n.weight_bits, name=f"base_{i}", reset_less=True) for i in (1, 2, 3)]
        slope = Signal(SLOPE_BITS, reset_less=True)
        rest = Signal(rest_bits, reset_less=True)
        drop, drop_late = (Signal(SLOPE_BITS + rest_bits, name=f"drop_{i}", reset_less=True) for i in (1, 2))
        segment = below[rest_bits:]
        m.d.sync += [
            below.eq(-self.x[: n.score_frac]),
            whole.eq(self.x >> n.score_frac),
            some.eq(self.x[: n.score_frac].any()),
            unreset(m, self.ceiling).eq(whole + some),
            base[0].eq(Array(Const(chord.base, n.weight_bits) for chord in table)[segment]),
            slope.eq(Array(Const(chord.slope, SLOPE_BITS) for chord in table)[segment]),
            rest.eq(below[:rest_bits]),
            Cat(base[1:]).eq(Cat(base[:-1])),
            drop.eq(slope * rest),
            drop_late.eq(drop),
            unreset(m, self.y).eq(base[-1] - (drop_late >> n.slope_frac)),
        ]
        return m
