"""The reciprocal of a denominator: never too large, and nearly right."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.control.drain import step_layout
from hwgen.params import Params
from hwgen.softmax.reciprocal import (
    INDEX_BITS,
    Reciprocal,
    divisor_layout,
    newton_steps,
    normal_bits,
    quotient_bits,
    reciprocal_frac,
    reciprocal_latency,
)
from hwgen.tests.bench import clocked, tiny

SHAPES = [
    pytest.param(tiny(), id="bf16"),
    pytest.param(tiny(out_format="fp16", weight_bits=18), id="fp16"),
    pytest.param(tiny(out_format="fp32"), id="fp32"),
    pytest.param(tiny(weight_bits=8, operand_bits=8, accumulator_bits=32), id="narrow"),
    pytest.param(tiny(weight_bits=31, accumulator_bits=52), id="long-denominator"),
]


def results(rd: list[int], seed: int) -> list[dict[str, int]]:
    """Results of clean queries with some references."""
    rng = np.random.default_rng(seed)
    references = rng.integers(-2200, 2300, (len(rd), 2)).tolist()
    return [{"rm": a, "rmv": b, "rd": d, "empty": 0, "poisoned": 0} for d, (a, b) in zip(rd, references, strict=True)]


def divisors(cycles: list[dict[str, int]], params: Params) -> list[Any]:
    """What comes out for each result, one a cycle."""
    latency = reciprocal_latency(params)
    seen = clocked(Reciprocal(params), [{"result": result} for result in cycles], ["divisor"], latency)
    return [divisor_layout(params).from_bits(bits) for (bits,) in seen[latency:]]


def interval_ends(params: Params) -> list[int]:
    """The table's inverse is worst at the ends of its intervals, and exact rounding is hardest beside them."""
    low = params.numerics.denominator_bits - 1 - INDEX_BITS
    edges = [(128 + i) << low for i in range(129)]
    return [edge + hair for edge in edges for hair in (-1, 0, 1) if (edge + hair).bit_length() == low + 1 + INDEX_BITS]


def random_denominators(seed: int, params: Params, count: int) -> list[int]:
    """Denominators of every length."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, params.numerics.denominator_bits + 1, count)
    return [int(rng.integers(1 << (int(n) - 1), 1 << int(n))) for n in lengths]


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_divisor_and_inverse(seed: int, params: Params) -> None:
    rd = interval_ends(params) + random_denominators(seed, params, 300) + [1, 2, 3]
    width, unit = normal_bits(params), 2 ** reciprocal_frac(params)
    for d, got in zip(rd, divisors(results(rd, seed), params), strict=True):
        assert got.divisor == d << (width - d.bit_length())
        product = Fraction(int(got.inverse), unit) * Fraction(int(got.divisor), 2**width)
        assert 1 - Fraction(1, 2 ** (quotient_bits(params) + 4)) <= product <= 1


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_exponent_makes_up_for_both_normalisations(seed: int, params: Params) -> None:
    n = params.numerics
    cycles = results(random_denominators(seed, params, 200), seed)
    for result, got in zip(cycles, divisors(cycles, params), strict=True):
        # The numerator is taken as a fraction of accumulator_bits - 1 bits, the denominator as one of its own length.
        power = n.accumulator_bits - 1 - result["rd"].bit_length() + n.drop - (n.operand_bits - 1)
        assert got.exponent == result["rmv"] - result["rm"] + power
        assert not (got.empty or got.poisoned)


@pytest.mark.parametrize("void", [0, 1])
def test_flags(void: int) -> None:
    params = tiny()
    flags = [(empty, poisoned) for empty in (0, 1) for poisoned in (0, 1)]
    cycles = [
        {"result": {"rm": 0, "rmv": 0, "rd": 5, "empty": e, "poisoned": p}, "step_in": {"valid": 1, "void": void}}
        for e, p in flags
    ]
    latency = reciprocal_latency(params)
    seen = clocked(Reciprocal(params), cycles, ["divisor.empty", "divisor.poisoned"], latency)[latency:]
    # A slot that was never visited has no result: what lies in its place is of an earlier block.
    assert seen == [(1, 0)] * 4 if void else seen == flags


@pytest.mark.parametrize("params", SHAPES)
def test_step_keeps_in_step(params: Params) -> None:
    rng = np.random.default_rng(1)
    steps = [int(rng.integers(1 << step_layout(params).size)) for _ in range(60)]
    latency = reciprocal_latency(params)
    seen = clocked(Reciprocal(params), [{"step_in": step} for step in steps], ["step_out"], latency)
    assert [step for (step,) in seen[latency:]] == steps
    assert latency == 7 + 5 * newton_steps(params)
