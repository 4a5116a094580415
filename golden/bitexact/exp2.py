"""Weights: `2^-d` for `0 <= d < 1` from a table of chords."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.numerics import Numerics


class Chord(NamedTuple):
    """One table entry: `y = base - ((slope * rest) >> slope_frac)`; `base` in units of 2^-Pw."""

    base: int
    slope: int


@lru_cache
def chords(numerics: Numerics) -> tuple[Chord, ...]:
    """The table, `exp_segments` entries: part of the contract, read by the golden model and by the hardware.

    A chord lies above the convex curve. Its intercept is lowered by half the largest gap, so that the error has both
    signs and averages out between numerator and denominator; half a unit less makes up for the floor of the slope's
    product, which is subtracted.
    """
    one = float(1 << numerics.weight_bits)
    steps = 1 << (numerics.score_frac - numerics.segment_bits)
    table = []
    for i in range(numerics.exp_segments):
        left = one * 2.0 ** (-i / numerics.exp_segments)
        right = one * 2.0 ** (-(i + 1) / numerics.exp_segments)
        # The gap chord - curve is largest where the curve's derivative equals the chord's slope.
        gradient = (left - right) / (1.0 / numerics.exp_segments)
        touch = gradient / np.log(2.0)
        where = -np.log2(touch / one)
        gap = left - gradient * (where - i / numerics.exp_segments) - touch
        slope = round((left - right) / steps * (1 << numerics.slope_frac))
        base = min(round(left - gap / 2 - 0.5), (1 << numerics.weight_bits) - 1)
        table.append(Chord(base, slope))
    return tuple(table)


def exp2_fraction(d: NDArray[np.int64], numerics: Numerics) -> NDArray[np.int64]:
    """`2^-(d / 2^sf)` in units of 2^-Pw for `0 <= d < 2^sf`."""
    table = np.array(chords(numerics), dtype=np.int64)
    rest_bits = numerics.score_frac - numerics.segment_bits
    segment = d >> rest_bits
    rest = d & ((1 << rest_bits) - 1)
    return table[segment, 0] - ((table[segment, 1] * rest) >> numerics.slope_frac)
