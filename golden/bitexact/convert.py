"""Block conversion: a row of floats becomes integers that share one exponent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.numerics import Numerics
from golden.formats import fields


class Block(NamedTuple):
    """Rows in block fixed point: `value = elements * 2^(exponent - (W-1))`.

    elements: int64, shape (..., D);  exponent: int64, shape (...);  poisoned: bool, shape (...)
    """

    elements: NDArray[np.int64]
    exponent: NDArray[np.int64]
    poisoned: NDArray[np.bool_]


def round_shift(values: NDArray[np.int64], amount: NDArray[np.int64]) -> NDArray[np.int64]:
    """`values * 2^-amount` to the nearest integer, ties to even; `amount >= 0`, `|values| < 2^63`."""
    amount = np.broadcast_to(amount, values.shape)
    clipped = np.clip(amount, 1, 63)
    floor = values >> clipped
    rest = values - (floor << clipped)
    half = np.int64(1) << (clipped - 1)
    rounded = floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))
    return np.where(amount == 0, values, np.where(amount > 63, 0, rounded))


def convert_rows(codes: NDArray[np.unsignedinteger], numerics: Numerics) -> Block:
    """Convert rows of float codes (..., D) of the input format.

    The exponent belongs to the row's largest exponent field `b` (at least 1): `e = b - bias + 1`, so that every
    magnitude is below `2^e` and subnormals need no case of their own. Elements are rounded to nearest even and
    saturated symmetrically. A row with NaN or Inf is poisoned; its elements and its exponent are those of its codes
    read as finite numbers with the largest exponent field, which nothing ever shows.
    """
    fmt = numerics.input
    sign, field, mantissa = fields(codes, fmt)
    poisoned = (field == fmt.max_exponent_field).any(axis=-1)
    significand = mantissa + np.where(field > 0, 1 << fmt.mantissa_bits, 0)
    effective = np.maximum(field, 1)
    top = effective.max(axis=-1)
    magnitude_bits = numerics.operand_bits - 1
    # Align the significand to the left edge of a field wide enough for either side, then shift right once.
    headroom = max(0, magnitude_bits - (fmt.mantissa_bits + 1))
    excess = max(0, fmt.mantissa_bits + 1 - magnitude_bits)
    amount = np.minimum(top[..., None] - effective + excess, 63)
    magnitude = round_shift(significand << headroom, amount)
    magnitude = np.minimum(magnitude, (1 << magnitude_bits) - 1)
    return Block(np.where(sign == 1, -magnitude, magnitude), top - fmt.bias + 1, poisoned)
