"""Bias elements as scores, against fractions and against float64."""

import math

import numpy as np
import pytest

from golden.bitexact import Numerics
from golden.formats import FORMATS, decode, encode
from golden.scoremod.bias import LOG2E_CODE, LOG2E_FRAC, bias_codes
from golden.tests.reference import bias_score

NAMES = list(FORMATS)


def numerics_of(name: str, score_frac: int = 14) -> Numerics:
    """Numbers with elements of this format."""
    return Numerics(in_format=name, score_frac=score_frac)


@pytest.mark.parametrize("score_frac", [8, 14, 18])
@pytest.mark.parametrize("name", NAMES)
def test_equals_fractions(name: str, score_frac: int) -> None:
    numerics = numerics_of(name, score_frac)
    fmt = numerics.input
    rng = np.random.default_rng(1)
    # Every exponent field with both signs and the mantissas at the ends, and any codes.
    mantissas = [0, 1, 1 << (fmt.mantissa_bits - 1), (1 << fmt.mantissa_bits) - 1]
    fields = np.arange(1 << (fmt.exponent_bits + 1))[:, None] << fmt.mantissa_bits
    codes = np.concatenate([(fields | mantissas).reshape(-1), rng.integers(0, 1 << fmt.bits, 2000)]).astype(fmt.dtype)
    got = bias_codes(codes, numerics)
    want = [bias_score(code, numerics) for code in codes.tolist()]
    assert list(zip(*(part.tolist() for part in got), strict=True)) == want
    assert np.abs(got.x).max() == numerics.score_max


@pytest.mark.parametrize("name", NAMES)
def test_is_the_score_within_a_rounding(name: str) -> None:
    numerics = numerics_of(name)
    codes = encode(np.random.default_rng(2).normal(size=4000) * 30, numerics.input)
    want = decode(codes, numerics.input) * math.log2(math.e) * 2**numerics.score_frac
    assert LOG2E_CODE.bit_length() == 23
    off = np.abs(want) * 2.0 ** -(LOG2E_FRAC + 1)
    assert (np.abs(bias_codes(codes, numerics).x - want) <= 0.5 + off).all()


@pytest.mark.parametrize("name", NAMES)
def test_specials(name: str) -> None:
    numerics = numerics_of(name)
    codes = encode(np.array([[math.nan, math.inf, -math.inf], [0.0, -0.0, 1e-30]]), numerics.input)
    x, hidden, poison = bias_codes(codes, numerics)
    assert x.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert hidden.tolist() == [[False, False, True], [False] * 3]
    assert poison.tolist() == [[True, True, False], [False] * 3]


def test_half_is_rounded_up() -> None:
    # Twice the score of 64 is an odd number of units: half the constant without its factor of two.
    codes = encode(np.array([64.0, -64.0]), FORMATS["bf16"])
    odd = LOG2E_CODE // 2
    assert odd % 2 == 1
    assert bias_codes(codes, numerics_of("bf16")).x.tolist() == [(odd + 1) // 2, -(odd // 2)]
