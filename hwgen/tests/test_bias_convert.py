"""Bias elements in score units against the definition in fractions and against the golden model."""

import math
from fractions import Fraction

import numpy as np
import pytest

from golden.bitexact.numerics import Numerics
from golden.formats import FloatFormat, decode, encode
from golden.scoremod.bias import bias_codes
from hwgen.params import Params
from hwgen.softmax.bias_convert import BiasConvert
from hwgen.softmax.scale import ScoreScale
from hwgen.tests.bench import clocked, tiny

FORMATS = ("bf16", "fp16", "fp32")
FRACS = (4, 14, 16, 18)
LOG2E = Fraction(round(math.log2(math.e) * 2**22), 2**22)


def machine(in_format: str, score_frac: int) -> Params:
    segments = min(Numerics.exp_segments, 1 << (score_frac - 1))
    weight_bits = min(Numerics.weight_bits, score_frac + 16)
    return tiny(in_format=in_format, score_frac=score_frac, exp_segments=segments, weight_bits=weight_bits)


def expected(code: int, params: Params) -> tuple[int, int, int]:
    """x, hidden and poison of an element, from the number it stands for."""
    fmt, numerics = params.input, params.numerics
    value = float(decode(fmt.dtype(code), fmt))
    if not math.isfinite(value):
        hidden = value == -math.inf
        return 0, int(hidden), int(not hidden)
    x = math.floor(Fraction(value) * LOG2E * 2**numerics.score_frac + Fraction(1, 2))
    return max(-numerics.score_max, min(numerics.score_max, x)), 0, 0


def nearby(fmt: FloatFormat, value: float) -> list[int]:
    """The codes around that of a positive number."""
    code = int(encode(np.float64(value), fmt))
    return list(range(max(code - 3, 0), min(code + 4, fmt.infinity)))


def codes_of(params: Params, seed: int) -> list[int]:
    """Both signs of: the ends of every range of codes, numbers around ties and around the clamp, random ones."""
    fmt, n, rng = params.input, params.numerics, np.random.default_rng(seed)
    hidden_one = 1 << fmt.mantissa_bits
    found = [0, 1, 2, hidden_one - 1, hidden_one, hidden_one + 1, fmt.infinity - 1, fmt.infinity, fmt.infinity + 1]
    found += [fmt.quiet_nan, (1 << (fmt.bits - 1)) - 1]
    for half in (1, 3, 5, 7, 9, 2 * n.score_max - 1, 2 * n.score_max + 1):
        found += nearby(fmt, half / 2 / float(LOG2E) / 2**n.score_frac)
    # Every exponent, with the smallest, the largest and some significands between them.
    for field in range(fmt.max_exponent_field + 1):
        found += [(field << fmt.mantissa_bits) + int(m) for m in (0, hidden_one - 1, *rng.integers(hidden_one, size=2))]
    # Exponents that give neither 0 nor the largest score.
    middle = np.clip(fmt.bias + rng.integers(-n.score_frac - 3, 12, 500), 0, fmt.max_exponent_field - 1)
    found += ((middle << fmt.mantissa_bits) + rng.integers(hidden_one, size=500)).tolist()
    return [code | sign << (fmt.bits - 1) for code in found for sign in (0, 1)]


@pytest.mark.parametrize("score_frac", FRACS)
@pytest.mark.parametrize("in_format", FORMATS)
def test_elements(in_format: str, score_frac: int) -> None:
    params = machine(in_format, score_frac)
    codes = codes_of(params, score_frac)
    want = [expected(code, params) for code in codes]
    seen = clocked(
        BiasConvert(params), [{"bits": code} for code in codes], ["x", "hidden", "poison"], BiasConvert.LATENCY
    )
    assert seen[BiasConvert.LATENCY :] == want
    golden = bias_codes(np.array(codes, dtype=params.input.dtype), params.numerics)
    assert list(zip(*(part.astype(int).tolist() for part in golden), strict=True)) == want
    # The codes reach every kind of result.
    limit = params.numerics.score_max
    assert {hidden for _, hidden, _ in want} == {poison for _, _, poison in want} == {0, 1}
    found = {x for x, _, _ in want}
    assert {-limit, limit, 0, -1, 1} <= found and len(found) > 300


@pytest.mark.parametrize("in_format", FORMATS)
def test_halves_are_rounded_up(in_format: str) -> None:
    params = machine(in_format, 14)
    # The lowest one of log2(e) has the weight 2^-21, so that of 64 log2(e) in units of 2^-14 is a half.
    scores = [64 * k * LOG2E * 2**14 for k in (1, -1, 3, -3, 7, -7)]
    assert all(score.denominator == 2 for score in scores)
    codes = encode(np.array([64.0 * k for k in (1, -1, 3, -3, 7, -7)]), params.input)
    seen = clocked(BiasConvert(params), [{"bits": int(code)} for code in codes], ["x"], BiasConvert.LATENCY)
    assert seen[BiasConvert.LATENCY :] == [(score + Fraction(1, 2),) for score in scores]


def test_elements_are_there_before_the_scaled_score() -> None:
    assert BiasConvert.LATENCY <= ScoreScale.LATENCY - 1
