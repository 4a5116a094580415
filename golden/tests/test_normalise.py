"""Division and output rounding against fractions, rounded once by the reference."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.normalise import QUOTIENT_BITS, bit_length, divide_round, normalise, pack, quiet_nan
from golden.bitexact.numerics import Numerics
from golden.formats import BF16, FORMATS, FP16, FP32, FloatFormat, decode
from golden.tests.reference import nearest_code, power

ALL = [pytest.param(fmt, id=fmt.name) for fmt in FORMATS.values()]
Operands = Sequence[tuple[int, int, int]]


def assert_divided(operands: Operands, fmt: FloatFormat) -> None:
    """Every (numerator, denominator, exponent) gives the reference's code."""
    assert operands
    columns = (np.array(column, dtype=np.int64) for column in zip(*operands, strict=True))
    got = divide_round(*columns, fmt)
    assert got.dtype == fmt.dtype
    assert got.tolist() == [nearest_code(Fraction(n, d) * power(e), fmt, n < 0) for n, d, e in operands]


def random_magnitudes(rng: np.random.Generator, count: int, bits: int) -> list[int]:
    """Numbers of 1 .. bits significant bits, all lengths alike."""
    lengths = rng.integers(1, bits + 1, count)
    return [int(rng.integers(1 << (int(n) - 1), 1 << int(n))) for n in lengths]


def output_exponent(n: int, d: int, target: int) -> int:
    """The exponent that brings n / d to about 2^target."""
    return target - (n.bit_length() - d.bit_length())


def smallest_step(fmt: FloatFormat) -> int:
    """Exponent of the smallest subnormal."""
    return 1 - fmt.bias - fmt.mantissa_bits


@pytest.mark.parametrize("fmt", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_random_quotients(seed: int, fmt: FloatFormat) -> None:
    rng = np.random.default_rng(seed)
    count = 700
    signs = rng.choice([-1, 1], count)
    pairs = zip(random_magnitudes(rng, count, 62), random_magnitudes(rng, count, 62), signs, strict=True)
    # From well below the smallest subnormal to beyond infinity.
    targets = rng.integers(smallest_step(fmt) - 3, fmt.bias + 4, count)
    operands = [(int(s) * n, d, output_exponent(n, d, int(t))) for (n, d, s), t in zip(pairs, targets, strict=True)]
    assert_divided(operands, fmt)


@pytest.mark.parametrize("fmt", ALL)
@pytest.mark.parametrize("seed", range(2))
def test_midpoints_and_their_neighbours(seed: int, fmt: FloatFormat) -> None:
    rng = np.random.default_rng(seed)
    digits = fmt.mantissa_bits + 1
    operands = []
    for _ in range(150):
        # n / d is exactly half-way between two neighbours, then a hair above and below.
        midpoint = 2 * int(rng.integers(1 << (digits - 1), 1 << digits)) + 1
        d = int(rng.integers(1, 1 << (61 - digits)))
        for n in (midpoint * d - 1, midpoint * d, midpoint * d + 1):
            for exponent in (0, smallest_step(fmt) + 4, fmt.bias - digits):
                operands += [(n, d, exponent), (-n, d, exponent)]
    assert_divided(operands, fmt)


@pytest.mark.parametrize("fmt", ALL)
def test_midpoints_of_subnormals(fmt: FloatFormat) -> None:
    below = smallest_step(fmt) - 1
    largest = 2 * ((1 << fmt.mantissa_bits) - 1) + 1
    odd = [1, 3, 5, 7, 9, largest - 2, largest, largest + 2]
    pairs = [(m * d + hair, d) for m in odd for d in (1, 7, 1 << 30) for hair in (-1, 0, 1)]
    assert_divided([(sign * n, d, below) for n, d in pairs for sign in (1, -1)], fmt)
    # Half of the smallest subnormal goes to the even zero, anything more to the subnormal.
    got = divide_round(np.array([1, -1, 2**40 + 1]), np.array([1, 1, 2**40]), np.full(3, below), fmt)
    assert got.tolist() == [0, 1 << (fmt.bits - 1), 1]


@pytest.mark.parametrize("fmt", ALL)
def test_overflow_begins_half_a_step_above_the_largest_number(fmt: FloatFormat) -> None:
    digits = fmt.mantissa_bits + 1
    exponent = fmt.bias - digits
    edge = 2 ** (digits + 1) - 1
    n = np.array([edge * 1000 - 1, edge * 1000, edge * 1000 + 1, 2000 << digits, -edge * 1000])
    got = divide_round(n, np.full(5, 1000), np.full(5, exponent), fmt)
    sign = 1 << (fmt.bits - 1)
    assert got.tolist() == [fmt.infinity - 1, fmt.infinity, fmt.infinity, fmt.infinity, sign | fmt.infinity]


@pytest.mark.parametrize("fmt", ALL)
def test_extreme_operands(fmt: FloatFormat) -> None:
    extremes = [1, 2, 3, 2**30 - 1, 2**31, 2**61 + 1, 2**62 - 1]
    exponents = [-8191, -150, -149, -126, -61, 0, 61, 126, 127, 8191]
    operands = [(s * n, d, e) for n in extremes for d in [*extremes, 2**62] for e in exponents for s in (1, -1)]
    assert_divided(operands, fmt)


@pytest.mark.parametrize("fmt", ALL)
def test_zero_is_positive_and_vanished_numbers_keep_their_sign(fmt: FloatFormat) -> None:
    numerators, denominators = np.array([0, 0, 1, -1]), np.array([1, 2**62, 3, 3])
    got = divide_round(numerators, denominators, np.array([0, 8191, -8191, -8191]), fmt)
    assert got.tolist() == [0, 0, 0, 1 << (fmt.bits - 1)]


@pytest.mark.parametrize("fmt", ALL)
def test_quotients_longer_than_the_long_division(fmt: FloatFormat) -> None:
    # The remainder is all that tells these from a midpoint: it lies below QUOTIENT_BITS bits of quotient.
    digits = fmt.mantissa_bits + 1
    d = 1 << 45
    midpoint = (2**digits + 1) << (61 - digits - 1)
    operands = [(n, d, -16) for n in (midpoint - 1, midpoint, midpoint + 1)]
    codes = [nearest_code(Fraction(n, d) * power(-16), fmt, False) for n, _, _ in operands]
    assert codes[0] == codes[1] == codes[2] - 1
    assert midpoint.bit_length() > QUOTIENT_BITS + 1
    assert_divided(operands, fmt)


@pytest.mark.parametrize("fmt", ALL)
@pytest.mark.parametrize("seed", range(2))
def test_pack(seed: int, fmt: FloatFormat) -> None:
    rng = np.random.default_rng(seed)
    # Long enough that rounding never has to invent digits, as every quotient is.
    lengths = rng.integers(QUOTIENT_BITS, 63, 600)
    magnitudes = [int(rng.integers(1 << (int(n) - 1), 1 << int(n))) for n in lengths]
    powers = [int(rng.integers(smallest_step(fmt) - 3, fmt.bias + 4)) - int(n) for n in lengths]
    negative = rng.integers(0, 2, 600).astype(bool)
    got = pack(negative, np.array(magnitudes), np.array(powers), fmt)
    want = [
        nearest_code((-1 if s else 1) * m * power(p), fmt, bool(s))
        for s, m, p in zip(negative, magnitudes, powers, strict=True)
    ]
    assert got.tolist() == want


@pytest.mark.parametrize("fmt", ALL)
def test_pack_of_zero(fmt: FloatFormat) -> None:
    zeros = np.zeros(4, dtype=np.int64)
    got = pack(np.array([False, True, False, True]), zeros, np.array([0, 0, 8000, -8000]), fmt)
    sign = 1 << (fmt.bits - 1)
    assert got.tolist() == [0, sign, 0, sign]


def test_bit_length() -> None:
    values = [0] + [n for b in range(63) for n in (2**b, 2**b + 1, 2 ** (b + 1) - 1)]
    got = bit_length(np.array(values, dtype=np.int64))
    assert got.tolist() == [n.bit_length() for n in values]
    assert max(values) == 2**63 - 1


@pytest.mark.parametrize("fmt", ALL)
def test_quiet_nan(fmt: FloatFormat) -> None:
    code = quiet_nan(fmt)
    assert math.isnan(decode(np.array(code, dtype=fmt.dtype), fmt)[()])
    assert code == fmt.quiet_nan


def state(rng: np.random.Generator, queries: int, features: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Random RNV, RD, RM, RMV."""
    rnv = rng.integers(-(2**40), 2**40, (queries, features))
    return rnv, rng.integers(1, 2**40, queries), rng.integers(-60, 60, queries), rng.integers(-60, 60, queries)


@pytest.mark.parametrize("numerics", [Numerics(), Numerics(operand_bits=12, out_format="fp32", accumulator_bits=50)])
@pytest.mark.parametrize("seed", range(2))
def test_normalise_puts_the_powers_together(seed: int, numerics: Numerics) -> None:
    rnv, rd, rm, rmv = state(np.random.default_rng(seed), 20, 3)
    got = normalise(rnv, rd, rm, rmv, numerics)
    assert got.shape == (20, 3)
    for i, f in np.ndindex(20, 3):
        # An element is worth 2^(1-W), RNV counts products of which `drop` bits are gone, RD the same weights.
        unit = power(int(rmv[i] - rm[i]) + numerics.drop - (numerics.operand_bits - 1))
        value = Fraction(int(rnv[i, f]), int(rd[i])) * unit
        assert got[i, f] == nearest_code(value, numerics.output, value < 0)


def test_formats_differ() -> None:
    third = (np.array([1]), np.array([3]), np.array([0]))
    codes = [int(divide_round(*third, fmt)[0]) for fmt in (BF16, FP16, FP32)]
    # One third in binary is 1.0101.. times 2^-2.
    assert codes == [(127 - 2) << 7 | 0b0101011, (15 - 2) << 10 | 0b0101010101, (127 - 2) << 23 | 0x2AAAAB]
