"""From an exact dot product to a scaled score in fixed point."""

from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import delayed, unreset

LIMB = 17
"""Bits of a multiplier limb: with a sign it fits an 18x18 multiplier."""


def limbs(value) -> Iterator[tuple[int, Any]]:
    """The value cut into limbs, with the place of each one's lowest bit; the top one has the sign if there is one."""
    width = len(value)
    for low in range(0, width, LIMB):
        high = min(low + LIMB, width)
        limb = value[low:high]
        yield low, limb.as_signed() if high == width and value.shape().signed else limb


class ScoreScale(Part):
    """`x = round(qk * mantissa * 2^-amount)`, nearest even, clamped to +-(2^(11+sf) - 1); `amount = power - exponent`.

    `exponent` is the sum of the row exponents and of the scale's, and comes a cycle behind `qk`. Structure: limb
    products, their sum in two stages, the shift in three stages that keep the lost bits as one sticky bit and drop high
    bits that only tell that the score is too large, the rounding, the clamp.

    Latency LATENCY cycles, throughput 1. `clamped` tells that |x| was too large; a shift to the left clamps anything
    but 0.
    """

    LATENCY = 8

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
        fine, lost, large = self._shift(m, product, amount)
        far = [left & delayed(m, product.any(), 1, "some"), delayed(m, product[-1], 1, "negative")]
        zero, left, negative = (
            delayed(m, flag, cycles, name) for flag, cycles, name in zip((zero, *far), (3, 2, 2), FORCED, strict=True)
        )
        self._round(m, fine, lost, large, zero, left, negative)
        return m

    def _multiply(self, m: Module) -> Signal:
        """Stages 1 to 3: limb products, then their sum."""
        width = self._params.qk_bits
        parts = []
        for low, limb in limbs(self.qk):
            part = Signal((limb * self.mantissa).shape(), name=f"partial_{low}", reset_less=True)
            m.d.sync += part.eq(limb * self.mantissa)
            parts.append((low, part))
        shape = signed(width + self._params.numerics.scale_bits)
        low_sum, product = Signal(shape, reset_less=True), Signal(shape, reset_less=True)
        m.d.sync += low_sum.eq(sum(part << low for low, part in parts[:2]))
        m.d.sync += product.eq(sum((delayed(m, part, 1, f"late_{low}") << low for low, part in parts[2:]), low_sum))
        return product

    def _amount(self, m: Module) -> tuple:
        """At stage 3 the shift to the right and whether it leaves nothing; at stage 4 whether it goes to the left."""
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
        return amount, zero, delayed(m, left, 1, "left_at")

    def _shift(self, m: Module, product: Signal, amount) -> tuple:
        """Stages 4 to 6. The bit below the point stays in the value, everything below that becomes sticky; `large`
        tells that the value does not fit."""
        # What the last step leaves: a bit below the point and a score that may be twice too large.
        width = self._params.numerics.score_bits + 2
        value = Signal(signed(len(product) + 1), name="whole")
        m.d.comb += value.eq(product << 1)
        lost = large = 0
        for low in (4, 2, 0):
            bits, step = amount[low : low + 2], 1 << low
            kept = min(width + step - 1, len(value))
            shifted, sticky, above = (
                Signal(shape, name=f"{name}_{step}", reset_less=True)
                for name, shape in (("shifted", signed(kept)), ("lost", 1), ("large", 1))
            )
            below, beyond = 0, 0
            for i, first in enumerate(range(0, min(3 * step, len(value)), step), 1):
                below = below | ((bits >= i) & value[first : first + step].any())
            for i in range(4):
                top = value[kept + i * step - 1 :]
                beyond = beyond | ((bits == i) & (top.any() & ~top.all()) if len(top) > 1 else 0)
            m.d.sync += [
                shifted.eq(value >> (bits << low)),
                sticky.eq(lost | below),
                above.eq(large | beyond),
            ]
            amount = delayed(m, amount[:low], 1, f"amount_below_{step}") if low else None
            value, lost, large = shifted, sticky, above
        return value, lost, large

    def _round(self, m: Module, fine: Signal, lost, large, zero, left, negative) -> None:
        """Stages 7 and 8."""
        n = self._params.numerics
        floor, guard = fine >> 1, fine[0]
        rounded = Signal(signed(n.score_bits + 1), reset_less=True)
        m.d.sync += rounded.eq(floor + (guard & (lost | fine[1])))
        zero, left, negative, large = (
            delayed(m, flag, 1, f"{name}_last")
            for flag, name in zip((zero, left, negative, large), (*FORCED, "large"), strict=True)
        )
        above, lowest = Signal(), -n.score_max - 1
        outside = (rounded[-1] != rounded[-2]) | (rounded[:-1] == lowest & (2 * n.score_max + 1))
        m.d.comb += above.eq(~zero & (left | large | outside))
        limit = Mux(negative, -n.score_max, n.score_max)
        m.d.sync += [
            unreset(m, self.x).eq(Mux(zero, 0, Mux(above, limit, rounded[: n.score_bits].as_signed()))),
            unreset(m, self.clamped).eq(above),
        ]


FORCED = ("zero", "left", "negative")
"""What decides a score whatever its digits are."""
