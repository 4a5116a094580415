"""Bias elements as scores: from codes of the input format to units of log2(e) 2^-sf."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.numerics import Numerics
from golden.formats import fields

LOG2E_FRAC = 22
LOG2E_CODE = round(math.log2(math.e) * 2**LOG2E_FRAC)
"""log2(e) in units of 2^-LOG2E_FRAC; 23 bits."""

# A product has less than 47 bits, so that a longer right shift gives 0 too; one with a nonzero significand has more
# than 22, so that a longer left shift is out of range too.
LONGEST_RIGHT, LONGEST_LEFT = 62, 15


class BiasCodes(NamedTuple):
    """Elements of a bias: `x` int64, `hidden` and `poison` bool, all of one shape."""

    x: NDArray[np.int64]
    hidden: NDArray[np.bool_]
    poison: NDArray[np.bool_]


def bias_codes(codes: NDArray[np.unsignedinteger], numerics: Numerics) -> BiasCodes:
    """Score units of bias elements (any shape) in the input format, which are `sign * m * 2^e`.

    `m` is the integer significand, the leading one included, and `e = max(exponent field, 1) - bias - mantissa bits`,
    so subnormals need no case of their own. With `P = sign * m * LOG2E_CODE` and `A = LOG2E_FRAC - sf - e`,

        x = (P + 2^(A-1)) >> A   if A > 0 (rounded to nearest, half up; 0 for either sign where A > 47),
            P << -A              otherwise,

    clamped to +-score_max. NaN and +inf poison, -inf hides the key; both have x = 0.
    """
    fmt = numerics.input
    sign, field, mantissa = fields(codes, fmt)
    special = field == fmt.max_exponent_field
    significand = mantissa + np.where(field > 0, 1 << fmt.mantissa_bits, 0)
    exponent = np.maximum(field, 1) - fmt.bias - fmt.mantissa_bits
    product = np.where(sign == 1, -significand, significand) * LOG2E_CODE
    amount = LOG2E_FRAC - numerics.score_frac - exponent
    right, left = np.clip(amount, 1, LONGEST_RIGHT), np.clip(-amount, 0, LONGEST_LEFT)
    x = np.where(amount > 0, (product + (np.int64(1) << (right - 1))) >> right, product << left)
    x = np.clip(x, -numerics.score_max, numerics.score_max)
    hidden = special & (mantissa == 0) & (sign == 1)
    return BiasCodes(np.where(special, 0, x), hidden, special & ~hidden)
