"""The last unit: one accumulator in, one number of the output format out, every cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import delayed
from hwgen.softmax.reciprocal import (
    NORMALISE_STEPS,
    divisor_layout,
    normal_bits,
    normalised,
    quotient_bits,
    reciprocal_frac,
)
from hwgen.softmax.scale import limbs


class NormaliserLane(Part):
    """`code = round(rnv / RD * 2^exponent)`: nearest even, subnormals kept, too large to infinity; NaN if poisoned.

    An empty query gives 0.

    Structure: magnitude, one stage for each step of the normalisation, estimate of the quotient with the inverse (never
    too large, at most 1 too small), its product with the divisor in limbs and their sum, exact remainder, correction,
    exponent, rounding shift, packing. No stage has more than one adder, multiplier or shift.

    Latency LATENCY cycles, throughput 1.
    """

    NORMAL = 1 + NORMALISE_STEPS
    """Stage in which the numerator is normalised; the stages behind it are counted from there."""

    QUOTIENT = NORMAL + 9
    LATENCY = QUOTIENT + 5

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "rnv": In(signed(params.config.accumulator_bits)),
                "divisor": In(divisor_layout(params)),
                "code": Out(unsigned(params.output.bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sign = delayed(m, self.rnv[-1], self.LATENCY - 1, "sign")
        magnitude, lead = self._normalise(m)
        zero = delayed(m, ~magnitude[-1], self.LATENCY - 1 - self.NORMAL, "zero")
        quotient, more = self._divide(m, magnitude)
        self._round(m, quotient, more, self._unit(m, lead), sign, zero)
        return m

    def _normalise(self, m: Module) -> tuple:
        """Up to stage NORMAL: |rnv| with its top bit set (or zero), and by how much it was shifted."""
        bits = self._params.config.accumulator_bits - 1
        width = normal_bits(self._params)
        magnitude = Signal(bits, reset_less=True)
        negative = self.rnv[-1]
        m.d.sync += magnitude.eq((self.rnv[:bits] ^ negative.replicate(bits)) + negative)
        return normalised(m, magnitude.shift_left(width - bits), "numerator")

    def _unit(self, m: Module, lead) -> Signal:
        """Stage QUOTIENT: how far the unit of a quotient below 1 lies above the format's smallest number."""
        fmt = self._params.output
        lowest = 1 - fmt.bias - fmt.mantissa_bits
        moved, unit = (Signal(signed(20), name=name, reset_less=True) for name in ("moved_exponent", "unit"))
        m.d.sync += [
            moved.eq(delayed(m, self.divisor.exponent, self.NORMAL, "exponent") - lead),
            unit.eq(moved - (fmt.mantissa_bits + 1 + lowest)),
        ]
        return delayed(m, unit, self.QUOTIENT - self.NORMAL - 2, "unit_at")

    def _divide(self, m: Module, magnitude: Signal) -> tuple:
        """The quotient's integer part at 2^quotient_bits, and whether more is left, at stage QUOTIENT."""
        t, frac, width = quotient_bits(self._params), reciprocal_frac(self._params), normal_bits(self._params)
        divisor = delayed(m, self.divisor.divisor, self.NORMAL + 2, "divisor")
        top = magnitude[-(t + 4) :]
        product = Signal(len(top) + frac + 1, reset_less=True)
        rest, less, estimate = Signal(width + 2, reset_less=True), Signal(width + 3, reset_less=True), Signal(t + 1)
        m.d.sync += product.eq(top * delayed(m, self.divisor.inverse, self.NORMAL, "inverse"))
        m.d.comb += estimate.eq(product >> (frac + 4))
        trial = delayed(m, estimate, 1, "trial")
        back = self._product(m, trial, divisor)
        quotient, more = Signal(t + 1, reset_less=True), Signal(reset_less=True)
        rest_late, over = delayed(m, rest, 1, "rest_late"), Signal()
        some = [Signal(name=f"some_{name}", reset_less=True) for name in ("rest", "less")]
        m.d.comb += over.eq(~delayed(m, less[-1], 1, "less_sign"))
        m.d.sync += [
            rest.eq((delayed(m, magnitude, 5, "dividend") << t) - back),
            less.eq(rest - delayed(m, divisor, 4, "divisor_late")),
            some[0].eq(rest_late.any()),
            some[1].eq(less[:-1].any()),
            quotient.eq(delayed(m, trial, 6, "trial_late") + over),
            more.eq(Mux(over, some[1], some[0])),
        ]
        return quotient, more

    def _product(self, m: Module, factor: Signal, divisor) -> Signal:
        """factor * divisor, three stages later."""
        width = normal_bits(self._params)
        parts = []
        for low, limb in limbs(divisor):
            part = Signal(len(factor) + len(limb), name=f"part_{low}", reset_less=True)
            m.d.sync += part.eq(factor * limb)
            parts.append((low, part))
        low_sum, total = Signal(width + 2, reset_less=True), Signal(width + 2, name="back", reset_less=True)
        m.d.sync += low_sum.eq(sum(part << low for low, part in parts[:2]))
        late = [delayed(m, part, 1, f"late_{low}") << low for low, part in parts[2:]]
        m.d.sync += total.eq(sum(late, low_sum))
        return total

    def _round(self, m: Module, quotient: Signal, more: Signal, unit: Signal, sign, zero) -> None:
        """Align to the output's unit, round, pack."""
        fmt = self._params.output
        digits = fmt.mantissa_bits + 1
        t = quotient_bits(self._params)
        aligned = Signal(t + 1, reset_less=True)
        # A quotient of 1 and more has a unit twice as large.
        exact = Signal(signed(20), reset_less=True)
        m.d.sync += [
            aligned.eq(Mux(quotient[t], quotient, quotient << 1)),
            exact.eq(unit + quotient[t]),
        ]
        # Below the format's smallest unit, a subnormal shifts further.
        below, field = Signal(range(digits + 3), reset_less=True), Signal(fmt.exponent_bits, reset_less=True)
        significand, guard, sticky = Signal(digits, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            below.eq(Mux(exact >= 0, 0, Mux(exact < -(digits + 1), digits + 2, -exact))),
            field.eq(Mux(exact < 0, 0, Mux(exact > fmt.max_exponent_field, fmt.max_exponent_field, exact))),
        ]
        # Aligned has one bit below the guard bit; a normal number drops two.
        value, moved = delayed(m, aligned, 1, "aligned_at"), Signal(t + 1)
        lost = Cat(bit & (below >= i) for i, bit in enumerate(value)).any()
        m.d.comb += moved.eq((value >> 1) >> below)
        m.d.sync += [
            significand.eq(moved >> 1),
            guard.eq(moved[0]),
            sticky.eq(lost | delayed(m, more, 2, "more_at")),
        ]
        infinity = fmt.max_exponent_field << fmt.mantissa_bits
        total = Signal(fmt.bits + 1, reset_less=True)
        place = delayed(m, field, 1, "field_at") << fmt.mantissa_bits
        m.d.sync += total.eq(place + significand + (guard & (sticky | significand[0])))
        empty, poisoned = (delayed(m, self.divisor[name], self.LATENCY - 1, name) for name in ("empty", "poisoned"))
        rounded = Mux(total > infinity, infinity, total)
        number = Cat(Mux(zero, 0, rounded)[: fmt.bits - 1], sign)
        nan = infinity | 1 << (fmt.mantissa_bits - 1)
        code = Signal.like(self.code, name="packed", reset_less=True)
        m.d.sync += code.eq(Mux(empty, 0, Mux(poisoned, nan, number)))
        m.d.comb += self.code.eq(code)
