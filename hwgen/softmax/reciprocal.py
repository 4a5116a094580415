"""The reciprocal of a denominator, by table and Newton steps."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.drain import step_layout
from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import delayed
from hwgen.softmax.lane import result_layout

INDEX_BITS = 7
TABLE_FRAC = 9
NEWTON_CYCLES = 5

NORMALISE_STEPS = 6
"""Steps of a normalisation, a cycle each: shifts by 32, 16, 8, 4, 2 and 1 are enough for all widths there are."""


def quotient_bits(params: Params) -> int:
    """Bits of the quotient that decide its rounding: those of the output, and one below."""
    return params.output.mantissa_bits + 2


def reciprocal_frac(params: Params) -> int:
    """Fraction bits of the reciprocal: enough for a quotient that is at most 1 too small."""
    return quotient_bits(params) + 7


def newton_steps(params: Params) -> int:
    """Steps from the table's relative error, below 2^-6.6, to 2^-(quotient_bits + 4)."""
    steps, bits = 0, 6.6
    while bits < quotient_bits(params) + 4:
        steps, bits = steps + 1, 2 * bits
    return steps


def reciprocal_latency(params: Params) -> int:
    """Cycles from a result to its divisor."""
    return NORMALISE_STEPS + 1 + NEWTON_CYCLES * newton_steps(params)


def normal_bits(params: Params) -> int:
    """Common width of normalised numerators and denominators, at least that of the reciprocal's argument."""
    return max(params.config.accumulator_bits - 1, params.numerics.denominator_bits, reciprocal_frac(params))


def divisor_layout(params: Params) -> data.StructLayout:
    """A query ready to divide by.

    divisor: RD shifted left until its top bit is set;  inverse: at most `2^normal_bits / divisor`, `reciprocal_frac`
             bits
    exponent: power of two that the quotient of the normalised operands still lacks
    empty, poisoned: there is no quotient
    """
    return data.StructLayout(
        {
            "divisor": unsigned(normal_bits(params)),
            "inverse": unsigned(reciprocal_frac(params) + 1),
            "exponent": signed(18),
            "empty": 1,
            "poisoned": 1,
        }
    )


def normalised(m: Module, value, name: str) -> tuple:
    """`value` shifted left until its top bit is set, and by how much, NORMALISE_STEPS cycles later."""
    width = len(value)
    lead = []
    for step in reversed(range(NORMALISE_STEPS)):
        distance = 1 << step
        moved = Signal(width, name=f"{name}_{distance}", reset_less=True)
        zero = Signal(name=f"{name}_zero_{distance}")
        m.d.comb += zero.eq(~value[max(width - distance, 0) :].any() if distance < width else 0)
        m.d.sync += moved.eq(Mux(zero, value << distance, value))
        value = moved
        lead.append(delayed(m, zero, step + 1, f"{name}_lead_{distance}"))
    return value, Cat(reversed(lead))


class Reciprocal(Part):
    """`inverse <= 1 / RD` for every drain step, with what else its query needs, in step with the step's tag.

    Structure: normalisation, table of 2^7 entries rounded down, then `r' = r + r (1 - d r)` with everything rounded so
    that r never gets too large. Latency `reciprocal_latency` cycles, throughput 1.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "result": In(result_layout(params)),
                "step_in": In(step_layout(params)),
                "divisor": Out(divisor_layout(params)),
                "step_out": Out(step_layout(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        latency = reciprocal_latency(p)
        frac = reciprocal_frac(p)
        divisor, exponent = self._normalise(m)
        inverse = self._table(m, divisor)
        # The divisor rounded up, beside the table: all steps multiply by the same.
        above = Signal(frac + 1, reset_less=True)
        m.d.sync += above.eq(divisor[-frac:] + 1)
        for i in range(newton_steps(p)):
            inverse = self._newton(m, above, inverse, i)
            above = delayed(m, above, NEWTON_CYCLES, f"above_{i}")
        later = latency - NORMALISE_STEPS
        void, query = self.step_in.void, self.divisor
        m.d.comb += [
            self.step_out.eq(delayed(m, self.step_in, latency, "step", reset_less=False)),
            query.divisor.eq(delayed(m, divisor, later, "divisor")),
            query.exponent.eq(delayed(m, exponent, later - 1, "exponent")),
            query.inverse.eq(inverse),
            query.empty.eq(delayed(m, void | self.result.empty, latency, "empty")),
            query.poisoned.eq(delayed(m, ~void & self.result.poisoned, latency, "poisoned")),
        ]
        return m

    def _normalise(self, m: Module) -> tuple:
        """RD at the top of the common width, and one cycle behind it the power of two that goes with it."""
        p = self._params
        n = p.numerics
        divisor, lead = normalised(m, self.result.rd.shift_left(normal_bits(p) - n.denominator_bits), "rd")
        # |RNV| = a 2^(A - za), RD = d 2^(D - zd), both a and d in [1/2, 1): the powers meet here, all but za.
        power = (p.config.accumulator_bits - 1) - n.denominator_bits + n.drop - (n.operand_bits - 1)
        apart, scaled, exponent = (
            Signal(signed(18), name=name, reset_less=True) for name in ("apart", "scaled", "exponent")
        )
        m.d.sync += [
            apart.eq(self.result.rmv - self.result.rm),
            scaled.eq(apart + power),
            exponent.eq(delayed(m, scaled, NORMALISE_STEPS - 2, "scaled_at") + lead),
        ]
        return divisor, exponent

    def _table(self, m: Module, divisor: Signal) -> Signal:
        """The largest value that is too small for no divisor of its interval, one cycle later."""
        size = 1 << INDEX_BITS
        table = [(1 << TABLE_FRAC) * 2 * size // (size + i + 1) for i in range(size)]
        frac = reciprocal_frac(self._params)
        entry = Array(Const(value, TABLE_FRAC + 1) for value in table)[divisor[-1 - INDEX_BITS : -1]]
        inverse = Signal(frac + 1, reset_less=True)
        m.d.sync += inverse.eq(entry.shift_left(frac - TABLE_FRAC))
        return inverse

    def _newton(self, m: Module, above, inverse, i: int) -> Signal:
        """The error `1 - d r` with d rounded up, less a unit, then `r + r error` rounded down, NEWTON_CYCLES later."""
        frac = reciprocal_frac(self._params)
        product, error, part, better = (
            Signal(bits, name=f"{name}_{i}", reset_less=True)
            for name, bits in (("product", 2 * frac + 2), ("error", frac), ("part", 2 * frac + 1), ("better", frac + 1))
        )
        early = delayed(m, inverse, 1, f"inverse_{i}_at")
        late = delayed(m, early, 2, f"inverse_{i}_later")
        m.d.sync += [
            product.eq(delayed(m, above, 1, f"above_{i}_at") * early),
            # Below 1 a complement of digits is the difference to 1, less one of their units.
            error.eq(Mux(product[2 * frac :].any(), 0, ~product[frac : 2 * frac])),
            part.eq(late * error),
            better.eq(delayed(m, late, 1, f"inverse_{i}_last") + (part >> frac)),
        ]
        return better
