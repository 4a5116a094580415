"""The output: `RNV / RD`, scaled by a power of two and rounded once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.convert import round_shift
from golden.bitexact.numerics import Numerics
from golden.formats import FloatFormat

QUOTIENT_BITS = 30


def bit_length(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of significant bits of each value in `0 .. 2^63 - 1`."""
    length = np.zeros(values.shape, dtype=np.int64)
    rest = values
    for step in (32, 16, 8, 4, 2, 1):
        wide = rest >= 1 << step
        length = length + wide * step
        rest = np.where(wide, rest >> step, rest)
    return length + (rest > 0)


def divide_round(
    numerator: NDArray[np.int64], denominator: NDArray[np.int64], exponent: NDArray[np.int64], fmt: FloatFormat
) -> NDArray[np.unsignedinteger]:
    """Codes of `numerator / denominator * 2^exponent`, rounded once to nearest even.

    numerator: any int64 below 2^62 in magnitude; denominator: 1 .. 2^62. Too large gives infinity, too small
    subnormals or a zero that keeps its sign.
    """
    magnitude = np.abs(numerator)
    # Long division, a bit at a time, of normalised operands: quotient in (2^(QUOTIENT_BITS-1), 2^(QUOTIENT_BITS+1)).
    shift = bit_length(denominator) - bit_length(magnitude)
    up, down = np.maximum(shift, 0), np.maximum(-shift, 0)
    rest, divisor = magnitude << up, denominator << down
    quotient = np.zeros_like(magnitude)
    for _ in range(QUOTIENT_BITS + 1):
        fits = rest >= divisor
        quotient = (quotient << 1) | fits
        rest = (rest - np.where(fits, divisor, 0)) << 1
    # A nonzero rest only matters as "more than this": one sticky bit below the quotient says so exactly.
    quotient = (quotient << 1) | (rest != 0)
    power = exponent - shift - QUOTIENT_BITS - 1
    return pack(numerator < 0, quotient, power, fmt)


def pack(
    negative: NDArray[np.bool_], magnitude: NDArray[np.int64], power: NDArray[np.int64], fmt: FloatFormat
) -> NDArray[np.unsignedinteger]:
    """Codes of `+-magnitude * 2^power` (magnitude's last bit may be sticky), nearest even, subnormals kept.

    A magnitude that is to be rounded to a normal number needs at least as many significant bits as the format has.
    """
    digits = fmt.mantissa_bits + 1
    top = power + bit_length(magnitude)
    lowest = 1 - fmt.bias - fmt.mantissa_bits
    unit = np.maximum(top - digits, lowest)
    significand = round_shift(magnitude, np.clip(unit - power, 0, 64))
    # The hidden bit of a normal number carries into the exponent field by plain addition; so does a rounding carry.
    code = ((unit - lowest) << fmt.mantissa_bits) + significand
    infinity = fmt.max_exponent_field << fmt.mantissa_bits
    code = np.where(magnitude == 0, 0, np.minimum(code, infinity))
    return (code | (negative.astype(np.int64) << (fmt.bits - 1))).astype(fmt.dtype)


def quiet_nan(fmt: FloatFormat) -> int:
    """The one NaN that is ever written."""
    return (fmt.max_exponent_field << fmt.mantissa_bits) | (1 << (fmt.mantissa_bits - 1))


def normalise(
    rnv: NDArray[np.int64],
    rd: NDArray[np.int64],
    rm: NDArray[np.int64],
    rmv: NDArray[np.int64],
    numerics: Numerics,
) -> NDArray[np.unsignedinteger]:
    """AV of queries that saw a key: rnv (P, F); rd, rm, rmv (P,); gives codes (P, F)."""
    exponent = rmv - rm + numerics.drop - (numerics.operand_bits - 1)
    shape = rnv.shape
    return divide_round(
        rnv, np.broadcast_to(rd[:, None], shape), np.broadcast_to(exponent[:, None], shape), numerics.output
    )
