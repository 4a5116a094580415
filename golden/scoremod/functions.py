"""The transcendental functions of score programs, by parabolas: tables that the hardware reads too."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.scoremod.program import Format

FUNCTION_FRAC = 22
"""Fraction bits of the argument and of the result of both functions."""

TANH_LIMIT = 8
"""tanh takes arguments in -TANH_LIMIT .. TANH_LIMIT; outside it is what it is there, within 2^-21."""

TANH_SEGMENTS = 256
EXP2_SEGMENTS = 64
"""Parabolas over 0 .. TANH_LIMIT and over 0 .. 1."""

SLOPE_FRAC = 17
CURVE_FRAC = 17
"""Fraction bits of a parabola's other coefficients."""


class Parabola(NamedTuple):
    """`base + slope r + curve r^2` over a segment, r counted from its beginning, in units of the fractions above."""

    base: int
    slope: int
    curve: int


def _parabolas(function: np.ufunc, segments: int, width: float) -> tuple[Parabola, ...]:
    """Through three Chebyshev points of each segment of `width`, which misses the best parabola by a few per cent."""
    points = (1 - np.cos(np.pi * (2 * np.arange(3) + 1) / 6)) / 2 * width
    found = []
    for i in range(segments):
        a, b, c = np.linalg.solve(np.vander(points, 3, increasing=True), function(i * width + points))
        # Half a unit more makes up for the floor behind the last product, and half a slope's unit for that before it.
        base = max(int(np.floor(a * 2**FUNCTION_FRAC + 0.5 + 0.5)), 0)
        found.append(Parabola(base, int(np.rint(b * 2**SLOPE_FRAC + 0.5)), int(np.rint(c * 2**CURVE_FRAC))))
    return tuple(found)


@lru_cache
def tanh_parabolas() -> tuple[Parabola, ...]:
    """tanh over 0 .. TANH_LIMIT; part of the contract, read by the integer model and by the hardware."""
    return _parabolas(np.tanh, TANH_SEGMENTS, TANH_LIMIT / TANH_SEGMENTS)


@lru_cache
def exp2_parabolas() -> tuple[Parabola, ...]:
    """2^f over 0 <= f < 1, likewise."""
    return _parabolas(np.exp2, EXP2_SEGMENTS, 1 / EXP2_SEGMENTS)


def rest_bits(segments: int, limit: int) -> int:
    """Bits of an argument below those that choose its segment."""
    return FUNCTION_FRAC + limit.bit_length() - segments.bit_length()


def _follow(table: tuple[Parabola, ...], rest: int, code: NDArray[np.int64]) -> NDArray[np.int64]:
    """`base + ((slope + (curve r >> FUNCTION_FRAC)) r >> SLOPE_FRAC)`."""
    base, slope, curve = np.array(table, dtype=np.int64).T
    segment, r = code >> rest, code & ((1 << rest) - 1)
    steep = slope[segment] + ((curve[segment] * r) >> (FUNCTION_FRAC + CURVE_FRAC - SLOPE_FRAC))
    return base[segment] + ((steep * r) >> SLOPE_FRAC)


def tanh_codes(code: NDArray[np.int64]) -> NDArray[np.int64]:
    """tanh of codes in units of 2^-FUNCTION_FRAC, in the same units."""
    size = np.minimum(np.abs(code), (TANH_LIMIT << FUNCTION_FRAC) - 1)
    value = np.minimum(_follow(tanh_parabolas(), rest_bits(TANH_SEGMENTS, TANH_LIMIT), size), 1 << FUNCTION_FRAC)
    return np.where(code < 0, -value, value)


def exp2_codes(code: NDArray[np.int64], result: Format) -> NDArray[np.int64]:
    """2^x of codes in units of 2^-FUNCTION_FRAC, rounded down to the format of the result and clamped to it."""
    whole, part = code >> FUNCTION_FRAC, code & ((1 << FUNCTION_FRAC) - 1)
    value = _follow(exp2_parabolas(), rest_bits(EXP2_SEGMENTS, 1), part)
    shift = whole + result.frac - FUNCTION_FRAC
    moved = np.where(shift >= 0, value << np.clip(shift, 0, 62), value >> np.clip(-shift, 0, 62))
    return np.clip(moved, result.low, result.high)
