"""Weights of every fraction, against 2^-d in float64, whose own error is far below a unit of 2^-31."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.exp2 import chords, exp2_fraction
from golden.bitexact.numerics import SLOPE_BITS, Numerics
from golden.tests import reference

TABLES = [
    pytest.param(Numerics(weight_bits=26, score_frac=14, exp_segments=32), id="26-14-32"),
    pytest.param(Numerics(weight_bits=18, score_frac=14, exp_segments=32), id="18-14-32"),
    pytest.param(Numerics(weight_bits=26, score_frac=16, exp_segments=64), id="26-16-64"),
]

NARROW = Numerics(weight_bits=22, score_frac=4, exp_segments=4, accumulator_bits=44)
"""Its slopes have no fraction."""


def fractions(numerics: Numerics) -> npt.NDArray[np.int64]:
    """Every d the unit can be asked for, a row a segment."""
    return np.arange(1 << numerics.score_frac).reshape(numerics.exp_segments, -1)


def exact(numerics: Numerics) -> npt.NDArray[np.float64]:
    """2^-d in units of 2^-Pw, a row a segment."""
    return np.ldexp(np.exp2(-fractions(numerics) / 2**numerics.score_frac), numerics.weight_bits)


def relative_gap(numerics: Numerics) -> float:
    """Bound of (chord - curve) / curve at the left end of a chord of width h.

    A chord leaves a curve by at most h^2 / 8 times the largest second derivative, which for 2^-d is ln(2)^2 2^-d.
    """
    return (math.log(2) / numerics.exp_segments) ** 2 / 8


def rounding(numerics: Numerics) -> float:
    """Bound of all roundings in units of 2^-Pw: half a unit put on the base, half of the base's own, one of the floor.

    The slope is off by half of its own unit at every step of a segment.
    """
    steps = 2**numerics.score_frac / numerics.exp_segments
    return 0.5 + 0.5 + 1 + steps * 0.5 / 2**numerics.slope_frac


@pytest.mark.parametrize("numerics", TABLES)
def test_error_is_half_the_gap_and_the_roundings(numerics: Numerics) -> None:
    want = exact(numerics)
    error = exp2_fraction(fractions(numerics), numerics) - want
    bound = want[:, :1] * relative_gap(numerics) / 2 + rounding(numerics)
    assert error.shape == (numerics.exp_segments, 2**numerics.score_frac // numerics.exp_segments)
    assert (np.abs(error) <= bound).all()


@pytest.mark.parametrize("numerics", TABLES)
def test_errors_of_both_signs_are_equally_large(numerics: Numerics) -> None:
    error = exp2_fraction(fractions(numerics), numerics) - exact(numerics)
    high, low = error.max(axis=1), error.min(axis=1)
    assert (high > 0).all() and (low < 0).all()
    # Half the gap lies above and half below, so that only the roundings are left of the sum.
    assert (np.abs(high + low) <= 2 * rounding(numerics)).all()


@pytest.mark.parametrize("numerics", TABLES)
def test_weights_never_rise(numerics: Numerics) -> None:
    y = exp2_fraction(fractions(numerics).ravel(), numerics)
    assert (np.diff(y) <= 0).all()


@pytest.mark.parametrize("numerics", TABLES)
def test_weight_of_the_reference_itself(numerics: Numerics) -> None:
    one = 1 << numerics.weight_bits
    y = int(exp2_fraction(np.array([0]), numerics)[0])
    assert y < one
    assert one - y <= one * relative_gap(numerics) / 2 + rounding(numerics)


@pytest.mark.parametrize("numerics", TABLES)
def test_every_weight_lies_on_its_chord(numerics: Numerics) -> None:
    d = fractions(numerics).ravel()
    assert exp2_fraction(d, numerics).tolist() == [reference.exp2_fraction(int(n), numerics) for n in d]


@pytest.mark.parametrize("numerics", [*TABLES, pytest.param(NARROW, id="22-4-4")])
def test_bases_are_lower_by_half_the_gap_and_half_a_unit(numerics: Numerics) -> None:
    one, part = 2.0**numerics.weight_bits, np.linspace(0, 1, 4097)
    for i, chord in enumerate(chords(numerics)):
        left, right = (one * 2.0 ** (-(i + end) / numerics.exp_segments) for end in (0, 1))
        # The gap is sought on a grid, which misses its top by far less than matters.
        gap = (left + (right - left) * part - one * np.exp2(-(i + part) / numerics.exp_segments)).max()
        assert chord.base == round(left - gap / 2 - 0.5)


@pytest.mark.parametrize("numerics", [*TABLES, pytest.param(NARROW, id="22-4-4")])
def test_table_fits_its_fields(numerics: Numerics) -> None:
    table = chords(numerics)
    assert len(table) == numerics.exp_segments
    assert all(0 < chord.base < 1 << numerics.weight_bits for chord in table)
    # The steepest slope needs all bits: with one bit more of fraction it would not fit.
    assert max(chord.slope for chord in table).bit_length() == SLOPE_BITS
    assert all(chord.slope > 0 for chord in table)


@pytest.mark.parametrize("numerics", TABLES)
def test_slopes_are_precise_enough_not_to_count(numerics: Numerics) -> None:
    steps = 2**numerics.score_frac / numerics.exp_segments
    off = steps * 0.5 / 2**numerics.slope_frac
    assert off <= 2**numerics.weight_bits * relative_gap(numerics) / 2 / 100
