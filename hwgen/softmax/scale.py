"""From an exact dot product to a scaled score in fixed point."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part

LIMB = 17
"""Bits of a multiplier limb: with a sign it fits an 18x18 multiplier."""


class ScoreScale(Part):
    """`x = round(qk * mantissa * 2^-amount)`, nearest even, clamped to +-(2^(11+sf) - 1); `amount = power - exponent`.

    `exponent` is the sum of the row exponents and of the scale's. Structure: limb products, their sum, the shift in two
    stages that keep the lost bits as one sticky bit, the rounding.

    Latency LATENCY cycles, throughput 1. `clamped` tells that |x| was too large; a shift to the left clamps anything
    but 0.
    """

    LATENCY = 5

    def __init__(self, params: Params) -> None:
        self._params = params
        n = params.numerics
        super().__init__(
            {
                "qk": In(signed(params.qk_bits)),
                "mantissa": In(signed(n.scale_bits + 1)),
                "exponent": In(signed(params.exponent_bits + 3)),
                "x": Out(signed(n.score_bits)),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        product = self._multiply(m)
        amount, zero, left = self._amount(m)
        self._shift_round(m, product, amount, zero, left)
        return m

    def _multiply(self, m: Module) -> Signal:
        """Stages 1 and 2: limb products, then their sum."""
        width = self._params.qk_bits
        partial = []
        for low in range(0, width, LIMB):
            high = min(low + LIMB, width)
            limb = self.qk[low:high].as_signed() if high == width else self.qk[low:high]
            part = Signal((limb * self.mantissa).shape(), name=f"partial_{low}", reset_less=True)
            m.d.sync += part.eq(limb * self.mantissa)
            partial.append(part << low)
        product = Signal(signed(width + self._params.numerics.scale_bits), reset_less=True)
        m.d.sync += product.eq(sum(partial[1:], partial[0]))
        return product

    def _amount(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Stages 1 and 2: the shift to the right, and whether it leaves nothing or goes to the left."""
        n = self._params.numerics
        power = 2 * (n.operand_bits - 1) - n.score_frac
        wide = Signal(signed(self._params.exponent_bits + 5), reset_less=True)
        amount, zero, left = Signal(6, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            wide.eq(power - self.exponent),
            amount.eq(wide[:6]),
            zero.eq(wide > 63),
            left.eq(wide < 0),
        ]
        return amount, zero, left

    def _shift_round(self, m: Module, product: Signal, amount: Signal, zero: Signal, left: Signal) -> None:
        """Stages 3 to 5. The bit below the point stays in the value, everything below that becomes sticky."""
        n = self._params.numerics
        shape = signed(len(product) + 1)
        coarse, fine = Signal(shape, reset_less=True), Signal(shape, reset_less=True)
        lost = [Signal(name=f"lost_{i}", reset_less=True) for i in (3, 4)]
        low = Signal(4, reset_less=True)
        force = [Signal(3, name=f"force_{i}", reset_less=True) for i in (3, 4)]
        whole = Signal(shape)
        m.d.comb += whole.eq(product << 1)
        far = amount[4:] << 4
        m.d.sync += [
            coarse.eq(whole >> far),
            lost[0].eq((whole & ((1 << far) - 1)[: len(whole)]).any()),
            low.eq(amount[:4]),
            force[0].eq(Cat(zero, left & product.any(), product[-1])),
            fine.eq(coarse >> low),
            lost[1].eq(lost[0] | (coarse[:16] & ((1 << low) - 1)[:16]).any()),
            force[1].eq(force[0]),
        ]
        floor, guard = fine >> 1, fine[0]
        rounded = Signal(signed(len(product) + 1))
        m.d.comb += rounded.eq(floor + (guard & (lost[1] | fine[1])))
        is_zero, is_left, negative = force[1]
        above = Signal()
        m.d.comb += above.eq(~is_zero & (is_left | (rounded > n.score_max) | (rounded < -n.score_max)))
        sign = Mux(is_left, negative, rounded[-1])
        limit = Mux(sign, -n.score_max, n.score_max)
        m.d.sync += [
            self.x.eq(Mux(is_zero, 0, Mux(above, limit, rounded[: n.score_bits].as_signed()))),
            self.clamped.eq(above),
        ]
