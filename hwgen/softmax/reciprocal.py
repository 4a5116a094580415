"""The reciprocal of a denominator, by table and Newton steps."""

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.drain import step_layout
from hwgen.params import Params
from hwgen.part import Part
from hwgen.softmax.lane import result_layout

INDEX_BITS = 7
TABLE_FRAC = 9


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
    return 3 + 2 * newton_steps(params)


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


def normalise_steps(m: Module, value, distances, name: str):
    """`value` shifted left by every distance for which its top bits are zero; gives (shifted, amount)."""
    width = len(value)
    amount = Const(0, 1)
    for distance in distances:
        if distance >= width:
            continue
        zero = Signal(name=f"{name}_zero_{distance}")
        moved = Signal(width, name=f"{name}_moved_{distance}")
        m.d.comb += [zero.eq(~value[width - distance :].any()), moved.eq(Mux(zero, value << distance, value))]
        value, amount = moved, amount + Mux(zero, distance, 0)
    return value, amount


class Reciprocal(Part):
    """`inverse <= 1 / RD` for every drain step, with what else its query needs, in step with the step's tag.

    Table of 2^7 entries rounded down, then `r' = r + r (1 - d r)` with everything rounded so that r never gets too
    large. Latency `reciprocal_latency` cycles, throughput 1.
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
        layout = data.StructLayout({"query": divisor_layout(p), "step": step_layout(p)})
        stages = [Signal(layout, name=f"stage_{i}") for i in range(reciprocal_latency(p) + 1)]
        for before, after in zip(stages, stages[1:], strict=False):
            m.d.sync += after.eq(before)
        m.d.comb += [
            stages[0].step.eq(self.step_in),
            self.step_out.eq(stages[-1].step),
            self.divisor.eq(stages[-1].query),
        ]
        self._normalise(m, stages)
        self._table(m, stages[2].query, stages[3].query)
        for i in range(newton_steps(p)):
            self._newton(m, stages[3 + 2 * i : 6 + 2 * i], i)
        return m

    def _normalise(self, m: Module, stages: list) -> None:
        """Stages 1 and 2: shift RD to the top of the common width."""
        p = self._params
        n = p.numerics
        width = normal_bits(p)
        distances = [1 << i for i in reversed(range(ceil_log2(width)))]
        half = len(distances) // 2
        rd = self.result.rd.shift_left(width - n.denominator_bits)
        first, lead = normalise_steps(m, rd, distances[:half], "rd_a")
        second, trail = normalise_steps(m, stages[1].query.divisor, distances[half:], "rd_b")
        # |RNV| = a 2^(A - za), RD = d 2^(D - zd), both a and d in [1/2, 1): the powers meet here, all but za.
        power = (p.config.accumulator_bits - 1) - n.denominator_bits + n.drop - (n.operand_bits - 1)
        exponent = self.result.rmv - self.result.rm + power + lead
        void = stages[0].step.void
        m.d.sync += [
            stages[1].query.divisor.eq(first),
            stages[1].query.exponent.eq(exponent),
            stages[1].query.empty.eq(void | self.result.empty),
            stages[1].query.poisoned.eq(~void & self.result.poisoned),
            stages[2].query.divisor.eq(second),
            stages[2].query.exponent.eq(stages[1].query.exponent + trail),
        ]

    def _table(self, m: Module, before, after) -> None:
        """Stage 3: the largest value that is too small for no divisor of its interval."""
        size = 1 << INDEX_BITS
        table = [(1 << TABLE_FRAC) * 2 * size // (size + i + 1) for i in range(size)]
        frac = reciprocal_frac(self._params)
        index = before.divisor[-1 - INDEX_BITS : -1]
        entry = Array(Const(value, TABLE_FRAC + 1) for value in table)[index]
        m.d.sync += after.inverse.eq(entry.shift_left(frac - TABLE_FRAC))

    def _newton(self, m: Module, stages: list, i: int) -> None:
        """Two stages: the error `1 - d r` with d rounded up, then `r + r error` rounded down."""
        frac = reciprocal_frac(self._params)
        before, middle, after = (stage.query for stage in stages)
        above = Signal(frac + 1, name=f"above_{i}")
        product = Signal(2 * frac + 2, name=f"product_{i}")
        error = Signal(frac, name=f"error_{i}", reset_less=True)
        gap = Signal(signed(2 * frac + 3), name=f"gap_{i}")
        m.d.comb += [
            above.eq(before.divisor[-frac:] + 1),
            product.eq(above * before.inverse),
            gap.eq((1 << (2 * frac)) - product),
        ]
        m.d.sync += [
            error.eq(Mux(gap < 0, 0, gap >> frac)),
            after.inverse.eq(middle.inverse + ((middle.inverse * error) >> frac)),
        ]
