"""tanh and 2^x of score programs: how exact, and where they are not quite what the curve is."""

import numpy as np
import numpy.typing as npt
import pytest

from golden.scoremod.functions import (
    EXP2_SEGMENTS,
    FUNCTION_FRAC,
    TANH_LIMIT,
    TANH_SEGMENTS,
    exp2_codes,
    exp2_parabolas,
    tanh_codes,
    tanh_parabolas,
)
from golden.scoremod.program import Format

Codes = npt.NDArray[np.int64]
ONE = 1 << FUNCTION_FRAC
WIDE = Format(0, 1 << 60, FUNCTION_FRAC)
# The whole of tanh's range was measured once; 2.84 units is the worst, 2 the deepest step down.
TANH_ERROR = 2.85 / ONE
TANH_STEP_DOWN = 2
EXP2_ERROR = 2.0**-21.5


def codes_up_to(limit: int, segments: int) -> Codes:
    """Codes 0 .. limit, rising: every 59th, and those around the ends of the segments."""
    edges = np.arange(segments + 1)[:, None] * (limit // segments) + np.arange(-3, 4)
    codes = np.concatenate([np.arange(0, limit, 59), edges.reshape(-1)])
    return np.unique(codes[(codes >= 0) & (codes < limit)])


def test_tanh() -> None:
    codes = codes_up_to(TANH_LIMIT * ONE, TANH_SEGMENTS)
    got = tanh_codes(codes)
    assert np.abs(got / ONE - np.tanh(codes / ONE)).max() <= TANH_ERROR < 2.0**-20.48
    assert got.min() == got[0] == 0 and got.max() <= ONE
    assert np.diff(got).min() >= -TANH_STEP_DOWN
    assert np.array_equal(tanh_codes(-codes), -got)


def test_tanh_of_large_arguments_is_the_last_one() -> None:
    codes = np.array([TANH_LIMIT * ONE - 1, TANH_LIMIT * ONE, TANH_LIMIT * ONE + 1, 1 << 40, (1 << 61) - 1])
    got = tanh_codes(codes)
    assert len(set(got.tolist())) == 1
    assert 1 - got[0] / ONE <= 2.0**-21
    assert np.array_equal(tanh_codes(-codes), -got)


def test_exp2() -> None:
    codes = codes_up_to(ONE, EXP2_SEGMENTS)
    got = exp2_codes(codes, WIDE)
    assert np.abs(got / ONE / np.exp2(codes / ONE) - 1).max() <= EXP2_ERROR
    # It never falls, not even where it goes on with the next power of two.
    assert np.diff(np.append(got, exp2_codes(np.array([ONE]), WIDE))).min() >= 0


@pytest.mark.parametrize("frac", [0, 14, 22, 30])
def test_exp2_is_rounded_down_to_its_format(frac: int) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(-40 * ONE, 20 * ONE, 5000)
    got = exp2_codes(codes, Format(0, 1 << 60, frac))
    want = np.exp2(codes / ONE + frac)
    assert (got <= want * (1 + EXP2_ERROR)).all()
    assert (got > want * (1 - EXP2_ERROR) - 1).all()


def test_exp2_is_clamped_to_its_format() -> None:
    codes = np.array([-70 * ONE, -ONE, 0, ONE, 3 * ONE, 30 * ONE])
    assert exp2_codes(codes, Format(1, 9, 1)).tolist() == [1, 1, 2, 4, 9, 9]


@pytest.mark.parametrize("table", [tanh_parabolas(), exp2_parabolas()], ids=["tanh", "exp2"])
def test_coefficients_are_narrow(table: tuple[tuple[int, int, int], ...]) -> None:
    # A multiplier of 27 by 18 bits takes the slope; the base is a result.
    for base, slope, curve in table:
        assert 0 <= base <= 2 * ONE
        assert -(1 << 18) <= slope < 1 << 18
        assert -(1 << 17) <= curve < 1 << 17
