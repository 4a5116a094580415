"""Division and rounding of the output against the golden model, behind the reciprocal that feeds it."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module

from golden.bitexact.normalise import divide_round, quiet_nan
from hwgen.params import Params
from hwgen.softmax.normaliser import NormaliserLane
from hwgen.softmax.reciprocal import Reciprocal, quotient_bits, reciprocal_latency
from hwgen.tests.bench import clocked, tiny

Operands = list[tuple[int, int, int]]

SHAPES = [
    pytest.param(tiny(), id="bf16"),
    pytest.param(tiny(out_format="fp16"), id="fp16"),
    pytest.param(tiny(out_format="fp32"), id="fp32"),
    pytest.param(tiny(weight_bits=18), id="18-bit-weights"),
    pytest.param(tiny(operand_bits=12, weight_bits=16, accumulator_bits=40, out_format="fp16"), id="narrow"),
]


class Division(Elaboratable):
    """A reciprocal and a lane that takes its divisors."""

    def __init__(self, params: Params) -> None:
        self.reciprocal, self.lane = Reciprocal(params), NormaliserLane(params)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reciprocal, m.submodules.lane = self.reciprocal, self.lane
        m.d.comb += self.lane.divisor.eq(self.reciprocal.divisor)
        return m


def divide(operands: Operands, params: Params, empty: int = 0, poisoned: int = 0) -> list[int]:
    """Codes of RNV / RD 2^shift, one operand (RNV, RD, shift) a cycle; shift is RMV - RM."""
    early, total = reciprocal_latency(params), reciprocal_latency(params) + NormaliserLane.LATENCY
    cycles: list[dict[str, Any]] = [{} for _ in range(len(operands) + early)]
    for t, (rnv, rd, shift) in enumerate(operands):
        result = {"rm": -(shift // 2), "rmv": shift - shift // 2, "rd": rd, "empty": empty, "poisoned": poisoned}
        cycles[t]["reciprocal.result"] = result
        cycles[t + early]["lane.rnv"] = rnv
    seen = clocked(Division(params), cycles, ["lane.code"], NormaliserLane.LATENCY)
    return [code for (code,) in seen[total:]]


def assert_divided(operands: Operands, params: Params) -> None:
    """Every code is the golden model's."""
    n = params.numerics
    rnv, rd, shift = (np.array(column, dtype=np.int64) for column in zip(*operands, strict=True))
    want = divide_round(rnv, rd, shift + n.drop - (n.operand_bits - 1), n.output)
    assert divide(operands, params) == want.tolist()


def shift_for(rnv: int, rd: int, target: int, params: Params) -> int:
    """The shift that brings the quotient to about 2^target."""
    n = params.numerics
    return target - (abs(rnv).bit_length() - rd.bit_length()) - n.drop + n.operand_bits - 1


def random_length(rng: np.random.Generator, bits: int) -> int:
    """A number of 1 .. bits bits, all lengths alike."""
    length = int(rng.integers(1, bits + 1))
    return int(rng.integers(1 << (length - 1), 1 << length))


def targets(params: Params) -> tuple[int, int]:
    """Binary exponents from below the smallest subnormal to beyond infinity."""
    fmt = params.output
    return 1 - fmt.bias - fmt.mantissa_bits - 3, fmt.bias + 4


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_random_quotients(seed: int, params: Params) -> None:
    rng = np.random.default_rng(seed)
    n = params.numerics
    operands: Operands = []
    for _ in range(300):
        rnv, rd = random_length(rng, n.accumulator_bits - 1), random_length(rng, n.denominator_bits)
        target = int(rng.integers(*targets(params)))
        operands.append((rnv * int(rng.choice([1, -1])), rd, shift_for(rnv, rd, target, params)))
    assert_divided(operands, params)


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_quotients_beside_numbers_and_midpoints(seed: int, params: Params) -> None:
    # The quotient is estimated, then corrected: whole multiples of RD and their neighbours are the hard ones.
    rng = np.random.default_rng(seed)
    n, digits = params.numerics, params.output.mantissa_bits + 1
    operands: Operands = []
    for _ in range(80):
        quotient = int(rng.integers(1 << digits, 2 << digits))
        rd = random_length(rng, min(n.denominator_bits, n.accumulator_bits - 2 - digits))
        target = int(rng.choice([0, *rng.integers(*targets(params), 2)]))
        operands += [(r, rd, shift_for(r, rd, target, params)) for r in (quotient * rd + d for d in (-1, 0, 1))]
    assert_divided(operands, params)


@pytest.mark.parametrize("params", SHAPES)
def test_largest_operands(params: Params) -> None:
    n = params.numerics
    top, high = 2 ** (n.accumulator_bits - 2), 2 ** (n.denominator_bits - 1)
    numerators, denominators = [1, 3, top, top + 1, 2 * top - 1], [1, 3, high, high + 1, 2 * high - 1]
    shifts = (-4400, -127, 0, 60, 4400)
    assert_divided([(s * r, d, e) for r in numerators for d in denominators for e in shifts for s in (1, -1)], params)


@pytest.mark.parametrize("params", SHAPES)
def test_ends_of_the_range(params: Params) -> None:
    # Around the midpoint of the largest number and infinity, and around halves of the smallest subnormal.
    digits = params.output.mantissa_bits + 1
    low, high = targets(params)
    edges = [2 ** (digits + 1) - 1, 2 ** (digits + 1) - 3, 1, 2, 3, 5, 7]
    operands = [
        (edge * rd + hair, rd, shift_for(edge * rd, rd, target, params))
        for edge in edges
        for rd in (1, 999)
        for hair in (-1, 0, 1)
        for target in (*range(low, low + 8), *range(high - 7, high))
    ]
    assert_divided([operand for operand in operands if operand[0]], params)


@pytest.mark.parametrize("params", SHAPES)
def test_nothing_over_something_is_zero(params: Params) -> None:
    assert divide([(0, rd, shift) for rd in (1, 12345) for shift in (-4000, 0, 4000)], params) == [0] * 6


@pytest.mark.parametrize("params", SHAPES)
def test_flags_decide(params: Params) -> None:
    operands = [(12345, 678, 0), (-5, 1, 4000), (0, 7, 0)]
    nan = quiet_nan(params.output)
    assert divide(operands, params, poisoned=1) == [nan] * 3
    assert divide(operands, params, empty=1) == [0] * 3
    # A query without keys is empty whatever else it holds.
    assert divide(operands, params, empty=1, poisoned=1) == [0] * 3


def test_formats_need_quotients_of_their_own_length() -> None:
    assert [quotient_bits(param.values[0]) for param in SHAPES] == [9, 12, 25, 9, 12]
