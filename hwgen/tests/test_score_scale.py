"""Scaling of scores against the golden model."""

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.attention import scale_scores
from golden.bitexact.numerics import ScaleCode
from hwgen.params import Params
from hwgen.softmax.scale import LIMB, ScoreScale
from hwgen.tests.bench import clocked, tiny

SHAPES = [
    pytest.param(tiny(), id="default"),
    pytest.param(tiny(head_e=512, rows_e=256), id="widest"),
    pytest.param(tiny(operand_bits=4, head_e=4, scale_bits=4, accumulator_bits=48), id="one-limb"),
    pytest.param(tiny(operand_bits=8, head_e=4, scale_bits=24, score_frac=8, exp_segments=8), id="exactly-a-limb"),
]


def assert_scaled(qk: list[int], exponents: list[int], mantissa: int, params: Params) -> None:
    """x and its flag, one a cycle, LATENCY cycles later; exponents come a cycle behind their scores."""
    cycles: list[dict[str, int]] = [{"qk": q, "mantissa": mantissa} for q in qk] + [{}]
    for cycle, exponent in zip(cycles[1:], exponents, strict=True):
        cycle["exponent"] = exponent
    seen = clocked(ScoreScale(params), cycles, ["x", "clamped"], ScoreScale.LATENCY - 1)
    zero = np.zeros(1, dtype=np.int64)
    x, clamped = scale_scores(np.array([qk]), zero, np.array(exponents), ScaleCode(mantissa, 0), params.numerics)
    assert seen[ScoreScale.LATENCY :] == list(zip(x[0].tolist(), clamped[0].tolist(), strict=True))


def random_scores(rng: np.random.Generator, count: int, params: Params) -> list[int]:
    """Scores of any length up to the largest there are."""
    most = params.config.head_e * (2 ** (params.config.operand_bits - 1) - 1) ** 2
    lengths, signs = rng.integers(1, params.qk_bits, count), rng.choice([1, -1], count)
    return [min(most, int(rng.integers(1 << int(n)))) * int(s) for n, s in zip(lengths, signs, strict=True)]


def exponent_of(amount: npt.NDArray[np.int64], params: Params) -> list[int]:
    """The sum of exponents that asks for a shift to the right by `amount`."""
    n = params.numerics
    return (2 * (n.operand_bits - 1) - n.score_frac - amount).tolist()


def mantissas(rng: np.random.Generator, params: Params) -> list[int]:
    """The largest, the smallest, zero, and some in between, of both signs."""
    top = 1 << params.numerics.scale_bits
    return [top - 1, 1 - top, top // 2, -top // 2, 0, *rng.integers(top // 2, top, 2).tolist()]


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_random_scores(seed: int, params: Params) -> None:
    rng = np.random.default_rng(seed)
    for mantissa in mantissas(rng, params):
        amount = rng.integers(-4, 70, 150)
        assert_scaled(random_scores(rng, 150, params), exponent_of(amount, params), mantissa, params)


@pytest.mark.parametrize("params", SHAPES)
def test_ties(params: Params) -> None:
    # With a mantissa of one unit the product is the score itself: odd multiples of a half, and their neighbours.
    half = [(n << amount >> 1, amount) for amount in range(1, params.qk_bits - 3) for n in (1, -1, 3, -3, 5, -5)]
    pairs = [(q + hair, amount) for q, amount in half for hair in (-1, 0, 1)]
    pairs = [(q, amount) for q, amount in pairs if abs(q) < 2 ** (params.qk_bits - 1)]
    assert len(pairs) > 30
    scores, amounts = (list(column) for column in zip(*pairs, strict=True))
    assert_scaled(scores, exponent_of(np.array(amounts), params), 1, params)


def test_clamping_starts_above_the_largest_score() -> None:
    params = tiny()
    limit = params.numerics.score_max
    scores = [limit - 1, limit, limit + 1, -limit, -limit - 1, 2 * limit + 1, -2 * limit - 2, 0]
    assert_scaled(scores, exponent_of(np.zeros(8, dtype=np.int64), params), 1, params)
    # The same, reached by rounding.
    scores = [2 * limit, 2 * limit + 1, 2 * limit + 2, -2 * limit - 1]
    assert_scaled(scores, exponent_of(np.ones(4, dtype=np.int64), params), 1, params)


@pytest.mark.parametrize("params", SHAPES)
def test_shifts_far_out(params: Params) -> None:
    amounts = np.array([-1, -2, -300, -900, 61, 62, 63, 64, 65, 127, 128, 300, 900])
    most = params.config.head_e * (2 ** (params.config.operand_bits - 1) - 1) ** 2
    top = 2**params.numerics.scale_bits - 1
    for mantissa in (top, -top):
        for score in (most, -most, 1, -1, 0):
            assert_scaled([score] * len(amounts), exponent_of(amounts, params), mantissa, params)


def test_shapes_cover_one_and_several_limbs() -> None:
    limbs = [-(-shape.values[0].qk_bits // LIMB) for shape in SHAPES]
    assert limbs == [3, 3, 1, 1]
    assert SHAPES[3].values[0].qk_bits == LIMB
