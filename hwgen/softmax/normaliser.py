"""The last unit: one accumulator in, one number of the output format out, every cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.params import Params
from hwgen.part import Part
from hwgen.softmax.reciprocal import (
    divisor_layout,
    normal_bits,
    normalise_steps,
    quotient_bits,
    reciprocal_frac,
)


class NormaliserLane(Part):
    """`code = round(rnv / RD * 2^exponent)`: nearest even, subnormals kept, too large to infinity; NaN if poisoned.

    An empty query gives 0.

    Structure: sign and magnitude, normalise, estimate the quotient with the inverse (never too large, at most 1 too
    small), exact remainder, correction, exponent, rounding shift, packing.

    Latency LATENCY cycles, throughput 1.
    """

    LATENCY = 10

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
        p = self._params
        self._queries = [self.divisor]
        for i in range(1, self.LATENCY):
            query = Signal(divisor_layout(p), name=f"query_{i}")
            m.d.sync += query.eq(self._queries[-1])
            self._queries.append(query)
        sign = self._chain(m, self.rnv[-1], 0, self.LATENCY, "sign")
        magnitude, lead = self._normalise(m)
        quotient, more = self._divide(m, magnitude)
        zero = self._chain(m, ~magnitude[-1], 3, self.LATENCY, "zero")
        self._round(m, quotient, more, lead, sign, zero)
        return m

    def _chain(self, m: Module, value, first: int, end: int, name: str) -> dict:
        """value, known at stage `first`, at all stages below `end`."""
        chain = {first: value}
        for i in range(first + 1, end):
            chain[i] = Signal(len(value), name=f"{name}_{i}", reset_less=True)
            m.d.sync += chain[i].eq(chain[i - 1])
        return chain

    def _normalise(self, m: Module) -> tuple:
        """Stages 1 to 3: |rnv| with its top bit set (or zero), and by how much it was shifted, at stage 3."""
        bits = self._params.config.accumulator_bits - 1
        width = normal_bits(self._params)
        distances = [1 << i for i in reversed(range(ceil_log2(bits)))]
        half = len(distances) // 2
        magnitude = [Signal(width, name=f"magnitude_{i}", reset_less=True) for i in (1, 2, 3)]
        lead = [Signal(7, name=f"lead_{i}", reset_less=True) for i in (2, 3)]
        first, some = normalise_steps(m, magnitude[0], distances[:half], "a")
        second, rest = normalise_steps(m, magnitude[1], distances[half:], "b")
        m.d.sync += [
            magnitude[0].eq(Mux(self.rnv < 0, -self.rnv, self.rnv)[:bits] << (width - bits)),
            magnitude[1].eq(first),
            lead[0].eq(some),
            magnitude[2].eq(second),
            lead[1].eq(lead[0] + rest),
        ]
        return magnitude[2], lead[1]

    def _divide(self, m: Module, magnitude: Signal) -> tuple:
        """Stages 4 to 7: the quotient's integer part at 2^quotient_bits, and whether more is left, at stage 7."""
        t = quotient_bits(self._params)
        frac = reciprocal_frac(self._params)
        width = normal_bits(self._params)
        top = magnitude[-(t + 4) :]
        estimate = Signal(t + 1, reset_less=True)
        back = Signal(width + 2, reset_less=True)
        rest = Signal(width + 2, reset_less=True)
        quotient, more = Signal(t + 1, reset_less=True), Signal(reset_less=True)
        magnitudes = self._chain(m, magnitude, 3, 6, "dividend")
        estimates = self._chain(m, estimate, 4, 7, "estimate")
        divisor = self._queries[6].divisor
        over, corrected = Signal(), Signal(width + 2)
        m.d.comb += [
            over.eq(rest >= divisor),
            corrected.eq(Mux(over, rest - divisor, rest)),
        ]
        m.d.sync += [
            estimate.eq((top * self._queries[3].inverse) >> (frac + 4)),
            back.eq(estimates[4] * self._queries[4].divisor),
            rest.eq((magnitudes[5] << t) - back),
            quotient.eq(estimates[6] + over),
            more.eq(corrected != 0),
        ]
        return quotient, more

    def _round(self, m: Module, quotient: Signal, more: Signal, lead, sign: dict, zero: dict) -> None:
        """Stages 8 to 10: align to the output's unit, round, pack."""
        fmt = self._params.output
        digits = fmt.mantissa_bits + 1
        t = quotient_bits(self._params)
        lowest = 1 - fmt.bias - fmt.mantissa_bits
        leads = self._chain(m, lead, 3, 8, "lead_at")
        aligned, more_8 = Signal(t + 1, reset_less=True), Signal(reset_less=True)
        # How far the number's unit lies above the format's smallest; below it, a subnormal shifts further.
        unit = Signal(signed(20), reset_less=True)
        large = quotient[t]
        m.d.sync += [
            aligned.eq(Mux(large, quotient, quotient << 1)),
            more_8.eq(more),
            unit.eq(self._queries[7].exponent - leads[7] + large - digits - lowest),
        ]
        below = Signal(range(digits + 3))
        m.d.comb += below.eq(Mux(unit >= 0, 0, Mux(unit < -(digits + 1), digits + 2, -unit)))
        significand, guard, sticky = (
            Signal(digits, reset_less=True),
            Signal(reset_less=True),
            Signal(reset_less=True),
        )
        field = Signal(fmt.exponent_bits, reset_less=True)
        # Aligned has one bit below the guard bit; a normal number drops two.
        moved = Signal(t + 1)
        m.d.comb += moved.eq((aligned >> 1) >> below)
        lost = (aligned & ((2 << below) - 1)[: t + 1]).any()
        m.d.sync += [
            significand.eq(moved >> 1),
            guard.eq(moved[0]),
            sticky.eq(lost | more_8),
            field.eq(Mux(unit < 0, 0, Mux(unit > fmt.max_exponent_field, fmt.max_exponent_field, unit))),
        ]
        infinity = fmt.max_exponent_field << fmt.mantissa_bits
        total = Signal(fmt.bits + 1)
        query = self._queries[9]
        rounded = Mux(total > infinity, infinity, total)
        m.d.comb += total.eq((field << fmt.mantissa_bits) + significand + (guard & (sticky | significand[0])))
        number = Cat(Mux(zero[9], 0, rounded)[: fmt.bits - 1], sign[9])
        nan = infinity | 1 << (fmt.mantissa_bits - 1)
        m.d.sync += self.code.eq(Mux(query.empty, 0, Mux(query.poisoned, nan, number)))
