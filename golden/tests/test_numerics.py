"""Widths of the numbers contract: the largest magnitudes fit, and would not fit one bit less."""

import math
import re
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from golden.bitexact.attention import Scores, scale_scores, stream
from golden.bitexact.convert import Block, convert_rows
from golden.bitexact.numerics import EXPONENT_BITS, REFERENCE_BITS, Numerics, ScaleCode
from golden.formats import FORMATS

NUMERICS = [
    pytest.param(Numerics(), id="default"),
    pytest.param(Numerics(weight_bits=18), id="Pw18"),
    pytest.param(Numerics(score_frac=16, exp_segments=64, accumulator_bits=47), id="all-dropped"),
    pytest.param(Numerics(accumulator_bits=63), id="widest"),
    pytest.param(Numerics(operand_bits=24, weight_bits=16, scale_bits=12, accumulator_bits=44), id="W24"),
    pytest.param(
        Numerics(
            operand_bits=8, weight_bits=8, score_frac=6, exp_segments=8, scale_bits=8, accumulator_bits=26, key_bits=12
        ),
        id="small",
    ),
    pytest.param(Numerics(operand_bits=12, weight_bits=12, accumulator_bits=44), id="nothing-dropped"),
]
MANY_KEYS = 6
ONE = ScaleCode(1, 0)


def signed_bits(value: int) -> int:
    """Bits of the narrowest signed field that holds value."""
    return (value if value >= 0 else ~value).bit_length() + 1


def equal_keys(numerics: Numerics, keys: int, element: int) -> tuple[int, int]:
    """RD and RNV after `keys` keys of one integer score whose values are all `element`: every shift is by 0."""
    x = np.zeros((1, keys), dtype=np.int64)
    zeros = np.zeros(keys, dtype=np.int64)
    values = Block(np.full((keys, 1), element, dtype=np.int64), zeros, zeros.astype(bool))
    none, every = np.zeros((1, keys), dtype=bool), np.ones((1, keys), dtype=bool)
    state = stream(Scores(x, seen=every, poisoned=none, clamped=none, kept=every), values, numerics)
    return int(state.rd[0]), int(state.rnv[0, 0])


@pytest.mark.parametrize("numerics", NUMERICS)
def test_denominator_holds_all_keys_at_the_largest_weight(numerics: Numerics) -> None:
    keys, weight = 1 << numerics.key_bits, (1 << numerics.weight_bits) - 1
    assert (keys * weight).bit_length() == numerics.denominator_bits
    y, _ = equal_keys(numerics, 1, 0)
    assert y <= weight
    assert [equal_keys(numerics, m, 0)[0] for m in range(1, MANY_KEYS)] == [m * y for m in range(1, MANY_KEYS)]
    assert (keys * y).bit_length() == numerics.denominator_bits


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "negative"])
def test_accumulator_holds_all_keys_at_the_largest_product(numerics: Numerics, sign: int) -> None:
    keys, largest = 1 << numerics.key_bits, (1 << (numerics.operand_bits - 1)) - 1
    term = sign * ((1 << numerics.weight_bits) - 1) * largest >> numerics.drop
    assert signed_bits(keys * term) == numerics.accumulator_bits
    _, one = equal_keys(numerics, 1, sign * largest)
    assert abs(one) <= abs(term)
    sums = [equal_keys(numerics, m, sign * largest)[1] for m in range(1, MANY_KEYS)]
    assert sums == [m * one for m in range(1, MANY_KEYS)]
    assert signed_bits(keys * one) == numerics.accumulator_bits


def test_a_shift_to_the_right_never_enlarges() -> None:
    values = np.arange(-300, 301)
    for amount in range(64):
        assert (np.abs(values >> amount) <= np.abs(values)).all()


@pytest.mark.parametrize("head", [1, 2, 3, 5, 32, 48, 63, 64, 65, 128, 257, 511, 512])
@pytest.mark.parametrize("operand_bits", [18, 16])
def test_scores_of_all_largest_operands_just_fit(operand_bits: int, head: int) -> None:
    numerics = Numerics(operand_bits=operand_bits, in_format="fp32", accumulator_bits=52)
    codes = np.full((1, head), numerics.input.infinity - 1, dtype=np.uint32)
    row = convert_rows(codes, numerics).elements[0]
    largest = int(row @ row)
    assert largest == head * (2 ** (operand_bits - 1) - 1) ** 2
    assert signed_bits(largest) == signed_bits(-largest) == numerics.qk_bits(head)


@pytest.mark.parametrize("numerics", NUMERICS)
def test_scaled_scores_fit_64_bits_for_every_head_accepted(numerics: Numerics) -> None:
    heads = 2 ** (63 - numerics.scale_bits - 2 * (numerics.operand_bits - 1))
    assert heads >= 1
    numerics.check_head(heads)
    operand, mantissa = 2 ** (numerics.operand_bits - 1) - 1, 2**numerics.scale_bits - 1
    assert 2**62 // 2 < heads * operand**2 * mantissa < 2**63
    with pytest.raises(ValueError, match=f"head dimension {heads + 1} with .* needs 64 score bits; at most 63"):
        numerics.check_head(heads + 1)


@pytest.mark.parametrize("numerics", NUMERICS)
def test_scores_are_clamped_to_their_width(numerics: Numerics) -> None:
    limit = numerics.score_max
    assert signed_bits(limit) == signed_bits(-limit) == numerics.score_bits
    # With this exponent a product is worth its own number of units of x.
    exponent = 2 * (numerics.operand_bits - 1) - numerics.score_frac
    qk = np.array([[limit - 1, limit, limit + 1, 2 * limit, 2**40, 0]], dtype=np.int64)
    zeros = np.zeros(6, dtype=np.int64)
    for sign in (1, -1):
        x, clamped = scale_scores(sign * qk, zeros[:1], zeros, ScaleCode(1, exponent), numerics)
        assert (sign * x).tolist() == [[limit - 1, limit, limit, limit, limit, 0]]
        assert clamped.tolist() == [[False, False, True, True, True, False]]


@pytest.mark.parametrize("numerics", NUMERICS)
def test_a_shift_to_the_left_clamps_all_but_zero(numerics: Numerics) -> None:
    exponent = 2 * (numerics.operand_bits - 1) - numerics.score_frac + 1
    x, clamped = scale_scores(np.array([[1, 0, -1]]), np.array([0]), np.zeros(3, int), ScaleCode(1, exponent), numerics)
    assert x.tolist() == [[numerics.score_max, 0, -numerics.score_max]]
    assert clamped.tolist() == [[True, False, True]]


def test_references_fit_their_width() -> None:
    ceilings = [math.ceil(Fraction(sign * Numerics().score_max, 2**14)) for sign in (1, -1)]
    assert ceilings == [2**11, 1 - 2**11]
    for fmt in FORMATS.values():
        exponents = [1 - fmt.bias + 1, fmt.max_exponent_field - fmt.bias + 1]
        assert all(signed_bits(e) <= EXPONENT_BITS for e in exponents)
        assert all(signed_bits(c + e) <= REFERENCE_BITS for c in ceilings for e in exponents)


@pytest.mark.parametrize(
    ("name", "low", "high", "others"),
    [
        ("operand_bits", 4, 24, {4: {"accumulator_bits": 50}}),
        ("weight_bits", 4, 31, {4: {"accumulator_bits": 40}, 31: {"accumulator_bits": 60}}),
        ("score_frac", 4, 18, {4: {"exp_segments": 8, "weight_bits": 20}}),
        ("scale_bits", 4, 24, {}),
        ("accumulator_bits", 16, 63, {16: {"operand_bits": 8, "weight_bits": 8, "key_bits": 4}}),
        ("key_bits", 1, 24, {1: {"accumulator_bits": 40}, 24: {"accumulator_bits": 52}}),
    ],
)
def test_limits(name: str, low: int, high: int, others: dict[int, dict[str, int]]) -> None:
    for value in (low, high):
        assert getattr(Numerics(**{name: value, **others.get(value, {})}), name) == value  # type: ignore[arg-type]
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=rf"^{name} must lie in {low} \.\. {high}, not {value}$"):
            Numerics(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("segments", [-4, 0, 1, 3, 33, 1 << 14])
def test_segments_must_be_a_power_of_two_with_room_for_chords(segments: int) -> None:
    with pytest.raises(ValueError, match=rf"power of two from 2 to 2\^\(score_frac-1\) = 8192, not {segments}$"):
        Numerics(exp_segments=segments)
    assert [Numerics(exp_segments=n).segment_bits for n in (2, 8192)] == [1, 13]


def test_accumulator_must_hold_what_is_summed() -> None:
    choices = {"operand_bits": 12, "weight_bits": 14, "key_bits": 20}
    accepted = [Numerics(accumulator_bits=n, **choices).drop for n in (35, 46)]  # type: ignore[arg-type]
    assert accepted == [11, 0]
    for bits in (34, 47):
        with pytest.raises(ValueError, match=rf"accumulator_bits={bits} cannot hold .* must lie in 35 \.\. 46$"):
            Numerics(accumulator_bits=bits, **choices)  # type: ignore[arg-type]


@pytest.mark.parametrize("edge", ["in_format", "out_format"])
def test_formats_are_known_ones(edge: str) -> None:
    with pytest.raises(ValueError, match="did you mean 'bf16'"):
        Numerics(**{edge: "bf61"})  # type: ignore[arg-type]
    numerics = Numerics(**{edge: "fp16"})  # type: ignore[arg-type]
    assert {numerics.input.name, numerics.output.name} == {"bf16", "fp16"}
    assert (numerics.input if edge == "in_format" else numerics.output).name == "fp16"


def log2_e() -> Fraction:
    """log2(e) to 60 digits."""
    with localcontext() as context:
        context.prec = 60
        return Fraction(1 / Decimal(2).ln())


@pytest.mark.parametrize("scale_bits", [4, 12, 20, 24])
@pytest.mark.parametrize("seed", range(2))
def test_scale_is_within_half_a_unit(seed: int, scale_bits: int) -> None:
    rng = np.random.default_rng(seed)
    numerics = Numerics(scale_bits=scale_bits)
    scales = [*np.ldexp(rng.uniform(0.5, 1.0, 200), rng.integers(-99, 101, 200)), 1.0, 0.125, 2.0**-100, 2.0**100]
    for scale in map(float, scales):
        code = numerics.encode_scale(scale)
        unit, exact = Fraction(2) ** code.exponent, Fraction(scale) * log2_e()
        # Half a unit, and what log2(e) loses by being a double.
        assert abs(code.mantissa * unit - exact) <= unit / 2 + exact / 2**53
        assert 1 << (scale_bits - 1) <= code.mantissa < 1 << scale_bits
        assert numerics.encode_scale(-scale) == ScaleCode(-code.mantissa, code.exponent)


def test_scale_that_rounds_up_to_a_power_of_two_keeps_its_width() -> None:
    for scale_bits in (4, 20, 24):
        # A quarter of a unit below 1, in units of log2(e).
        scale = (1 - 2.0 ** -(scale_bits + 2)) * math.log(2)
        code = Numerics(scale_bits=scale_bits).encode_scale(scale)
        assert code == ScaleCode(1 << (scale_bits - 1), 1 - scale_bits)


def test_scale_of_nothing() -> None:
    assert Numerics().encode_scale(0.0) == Numerics().encode_scale(-0.0) == ScaleCode(0, 0)


@pytest.mark.parametrize("scale", [math.inf, -math.inf, math.nan])
def test_scale_must_be_finite(scale: float) -> None:
    with pytest.raises(ValueError, match=f"^scale must be finite, not {scale!r}$"):
        Numerics().encode_scale(scale)


@pytest.mark.parametrize("scale", [math.nextafter(2.0**100, math.inf), -1.7e308, math.nextafter(2.0**-100, 0), 5e-324])
def test_scale_must_be_moderate(scale: float) -> None:
    message = f"scale must have a magnitude between 2^-100 and 2^100, not {scale!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Numerics().encode_scale(scale)


@pytest.mark.parametrize(("weight_bits", "score_frac"), [(31, 12), (26, 7), (23, 4)])
def test_slopes_must_fit(weight_bits: int, score_frac: int) -> None:
    excess = weight_bits - score_frac
    message = f"weight_bits - score_frac must be at most 18, the width of a chord's slope, not {excess}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Numerics(
            weight_bits=weight_bits,
            score_frac=score_frac,
            exp_segments=4,
            accumulator_bits=weight_bits + 22,
        )
