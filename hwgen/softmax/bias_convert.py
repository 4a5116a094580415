"""From an element of a bias to fixed point."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from golden.scoremod.bias import LOG2E_CODE, LOG2E_FRAC
from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import delayed
from hwgen.softmax.scale import LIMB


class BiasConvert(Part):
    """`x = floor(bias * log2(e) * 2^score_frac + 1/2)`, clamped to +-(2^(11+sf) - 1), as in `golden.scoremod.bias`.

    The element is `sign * significand * 2^exponent`. Structure: limb products with log2(e), their signed sum, the
    shift to the right but for one bit, the rounding. A shift to the left clamps, so that none is made.

    Latency LATENCY cycles, throughput 1.

    Members: bits (a code of the input format); x, hidden (the element is -inf), poison (it is NaN or +inf); x is 0 if
    one of these two is 1.
    """

    LATENCY = 4

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "bits": In(unsigned(params.input.bits)),
                "x": Out(signed(params.numerics.score_bits)),
                "hidden": Out(1),
                "poison": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt = self._params.input
        mantissa, field, sign = self.bits[: fmt.mantissa_bits], self.bits[fmt.mantissa_bits : -1], self.bits[-1]
        special, hidden = Signal(), Signal()
        m.d.comb += [special.eq(field == fmt.max_exponent_field), hidden.eq(special & sign & (mantissa == 0))]
        # Without a significand there is nothing to shift or to clamp.
        significand = Mux(special, 0, Cat(mantissa, field != 0))
        product = self._multiply(m, significand, fmt.mantissa_bits + 1, delayed(m, sign, 1, "sign"))
        amount, left = self._amount(m, Mux(field == 0, 1, field), special, len(product))
        self._round(m, product, amount, left)
        m.d.comb += [
            self.hidden.eq(delayed(m, hidden, self.LATENCY, "hidden")),
            self.poison.eq(delayed(m, special & ~hidden, self.LATENCY, "poison")),
        ]
        return m

    def _multiply(self, m: Module, significand, digits: int, sign) -> Signal:
        """Stages 1 and 2: limb products, then their sum with its sign."""
        total = 0
        for low in range(0, digits, LIMB):
            width = min(LIMB, digits - low)
            partial = Signal(width + LOG2E_CODE.bit_length(), name=f"partial_{low}", reset_less=True)
            m.d.sync += partial.eq(significand[low : low + width] * LOG2E_CODE)
            total = total + partial.shift_left(low)
        product = Signal(signed(digits + LOG2E_CODE.bit_length() + 1), reset_less=True)
        m.d.sync += product.eq(Mux(sign, -total, total))
        return product

    def _amount(self, m: Module, field, special, longest: int):
        """Stages 1 and 2: the shift to the right but for its last bit, and whether it goes to the left."""
        fmt, frac = self._params.input, self._params.numerics.score_frac
        # Normal numbers that would be shifted to the left are beyond the largest score, whatever the formats.
        assert fmt.mantissa_bits + LOG2E_CODE.bit_length() - 1 >= self._params.numerics.score_bits - 1
        highest = LOG2E_FRAC - frac + fmt.bias + fmt.mantissa_bits - 1
        wide = Signal(signed(fmt.exponent_bits + 2))
        amount = Signal(range(longest + 1), reset_less=True)
        m.d.comb += wide.eq(highest - field)
        m.d.sync += amount.eq(Mux(wide > longest, longest, wide))
        return delayed(m, amount, 1, "right"), delayed(m, (wide < 0) & ~special, 2, "left")

    def _round(self, m: Module, product: Signal, amount, left) -> None:
        """Stages 3 and 4. The bit below the point stays in the value; floor and half up need no others."""
        n = self._params.numerics
        shifted = Signal.like(product, reset_less=True)
        above = Signal()
        m.d.sync += shifted.eq(product >> amount)
        outside = (shifted > 2 * n.score_max) | (shifted < -2 * n.score_max - 1)
        m.d.comb += above.eq(delayed(m, left, 1, "far_left") | outside)
        limit = Mux(shifted[-1], -n.score_max, n.score_max)
        rounded = (shifted[: n.score_bits + 1].as_signed() + 1) >> 1
        x = Signal.like(self.x, reset_less=True)
        m.d.sync += x.eq(Mux(above, limit, rounded))
        m.d.comb += self.x.eq(x)
