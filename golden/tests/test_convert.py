"""Block conversion and its rounding shift against fractions."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.convert import convert_rows, round_shift
from golden.bitexact.numerics import Numerics
from golden.formats import FORMATS, FloatFormat, decode, encode
from golden.tests.reference import convert_row

FORMAT_NAMES = list(FORMATS)
WIDTHS = [4, 8, 12, 18, 24]
ACCUMULATOR = {4: 50, 8: 54, 12: 58, 18: 60, 24: 60}


def choose(name: str, operand_bits: int) -> Numerics:
    """Numerics with an input format and an operand width."""
    return Numerics(in_format=name, operand_bits=operand_bits, accumulator_bits=ACCUMULATOR[operand_bits])


def random_rows(seed: int, fmt: FloatFormat, rows: int, spread: int) -> npt.NDArray[Any]:
    """Rows of 6 codes whose exponent fields lie at most `spread` below a random one; both signs, any mantissa."""
    rng = np.random.default_rng(seed)
    top = rng.integers(0, fmt.max_exponent_field, (rows, 1))
    field = np.maximum(top - rng.integers(0, spread + 1, (rows, 6)), 0)
    mantissa = rng.integers(0, 1 << fmt.mantissa_bits, (rows, 6))
    sign = rng.integers(0, 2, (rows, 6))
    return (sign << (fmt.bits - 1) | field << fmt.mantissa_bits | mantissa).astype(fmt.dtype)


def assert_converted(codes: npt.NDArray[Any], numerics: Numerics) -> None:
    """Every row equals the reference's."""
    block = convert_rows(codes, numerics)
    assert block.elements.shape == codes.shape and block.exponent.shape == block.poisoned.shape == codes.shape[:-1]
    want = [convert_row(row.tolist(), numerics) for row in codes]
    assert block.elements.tolist() == [row.elements for row in want]
    assert block.exponent.tolist() == [row.exponent for row in want]
    assert block.poisoned.tolist() == [row.poisoned for row in want]


@pytest.mark.parametrize("operand_bits", WIDTHS)
@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize("seed", range(2))
def test_random_rows(seed: int, name: str, operand_bits: int) -> None:
    numerics = choose(name, operand_bits)
    for spread in (0, 3, operand_bits + 2, numerics.input.max_exponent_field):
        assert_converted(random_rows(seed, numerics.input, 30, spread), numerics)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize("seed", range(2))
def test_any_code(seed: int, name: str) -> None:
    numerics = choose(name, 18)
    fmt = numerics.input
    codes = np.random.default_rng(seed).integers(0, 1 << fmt.bits, (150, 3), dtype=np.int64).astype(fmt.dtype)
    assert_converted(codes, numerics)


@pytest.mark.parametrize("operand_bits", WIDTHS)
@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_subnormals_and_zeros(name: str, operand_bits: int) -> None:
    numerics = choose(name, operand_bits)
    fmt = numerics.input
    sign, least = 1 << (fmt.bits - 1), 1 << fmt.mantissa_bits
    rows = [[0, 0], [sign, 0], [1, sign | 1], [least - 1, 1], [sign | least - 1, 3], [least, least - 1], [2 * least, 1]]
    codes = np.array(rows, dtype=fmt.dtype)
    assert_converted(codes, numerics)
    assert convert_rows(codes, numerics).exponent.tolist() == [2 - fmt.bias] * 6 + [3 - fmt.bias]


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_row_of_subnormals_is_exact(name: str) -> None:
    numerics = choose(name, 18)
    codes = np.arange(1 << numerics.input.mantissa_bits, dtype=np.uint16)[None]
    block = convert_rows(codes, numerics)
    assert np.array_equal(np.ldexp(block.elements[0], int(block.exponent[0]) - 17), decode(codes[0], numerics.input))


@pytest.mark.parametrize("operand_bits", WIDTHS)
def test_elements_at_ties(operand_bits: int) -> None:
    numerics = choose("fp32", operand_bits)
    # Below a row of exponent 0, a unit is 2^(1-W): quarters of it from -4 to 4.
    quarters = np.arange(-16, 17)
    codes = encode(np.append(np.ldexp(quarters / 4, 1 - operand_bits), 0.5), numerics.input)[None]
    block = convert_rows(codes, numerics)
    assert block.elements[0, :-1].tolist() == [round(Fraction(int(n), 4)) for n in quarters]
    assert_converted(codes, numerics)


@pytest.mark.parametrize("operand_bits", WIDTHS)
def test_saturation_is_symmetric(operand_bits: int) -> None:
    numerics = choose("fp32", operand_bits)
    limit = 2 ** (operand_bits - 1) - 1
    below_one = 1 - 2.0**-24
    codes = encode(np.array([[below_one, -below_one, 0.5]]), numerics.input)
    block = convert_rows(codes, numerics)
    # The nearest integer is 2^(W-1), which W bits hold with one sign only.
    assert round(Fraction(below_one) * 2 ** (operand_bits - 1)) == limit + 1
    assert block.elements.tolist() == [[limit, -limit, 2 ** (operand_bits - 2)]]
    assert block.exponent.tolist() == [0]


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_poison(name: str) -> None:
    numerics = choose(name, 18)
    fmt = numerics.input
    sign = 1 << (fmt.bits - 1)
    special = [fmt.infinity, sign | fmt.infinity, fmt.quiet_nan, fmt.infinity + 1, sign | (fmt.quiet_nan + 1)]
    finite = [0, fmt.infinity - 1, sign | (fmt.infinity - 1), 1]
    for codes, poisoned in ((special, True), (finite, False)):
        for place in range(2):
            rows = np.zeros((len(codes), 2), dtype=fmt.dtype)
            rows[:, place] = codes
            assert convert_rows(rows, numerics).poisoned.tolist() == [poisoned] * len(codes)
            assert_converted(rows, numerics)


def test_leading_dimensions_are_rows() -> None:
    numerics = Numerics()
    codes = random_rows(5, numerics.input, 12, 9)
    flat, deep = convert_rows(codes, numerics), convert_rows(codes.reshape(3, 4, 6), numerics)
    assert [part.shape for part in deep] == [(3, 4, 6), (3, 4), (3, 4)]
    assert all(np.array_equal(a.reshape(b.shape), b) for a, b in zip(deep, flat, strict=True))


def edge_values(seed: int) -> list[int]:
    """Small numbers, powers of two and their neighbours, halves of powers of two, random ones; both signs."""
    rng = np.random.default_rng(seed)
    positive = {0, 1, 2, 3, 5, 6, 7, 2**63 - 1}
    for bit in range(1, 63):
        positive |= {2**bit - 1, 2**bit, 2**bit + 1, 3 << (bit - 1)}
    positive |= {int(n) for n in rng.integers(0, 2**63, 40)}
    positive = {n for n in positive if n < 2**63}
    return sorted(positive | {-n for n in positive})


@pytest.mark.parametrize("amount", range(71))
def test_round_shift(amount: int) -> None:
    values = edge_values(amount)
    got = round_shift(np.array(values), np.array(amount))
    assert got.tolist() == [round(Fraction(value, 2**amount)) for value in values]


@pytest.mark.parametrize("amount", [1, 2, 3, 17, 31, 61, 62])
def test_round_shift_of_ties_is_even(amount: int) -> None:
    odd = np.array([n for n in range(-9, 10, 2) if abs(n) << (amount - 1) < 2**63])
    got = round_shift(odd << (amount - 1), np.full(odd.shape, amount))
    assert len(odd) >= 2
    assert (got % 2 == 0).all() and (np.abs(2 * got - odd) == 1).all()


def test_round_shift_takes_an_amount_for_every_value() -> None:
    amounts = np.arange(71)
    got = round_shift(np.full(71, 3 << 40), amounts)
    assert got.tolist() == [round(Fraction(3 << 40, 2**n)) for n in range(71)]
    assert round_shift(np.full((2, 71), -5), amounts[None]).shape == (2, 71)
