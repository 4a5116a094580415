"""A difference of one bit must be found, counted once and named with its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.bitexact.numerics import REFERENCE_BITS
from golden.formats import BF16, decode, encode
from hwgen.compare import Difference, compare, golden_results, measure_error
from hwgen.inputs import Problem
from hwgen.tests.fakes import TINY, agreeing, random_problem, with_flipped_bit, without_lse

HEADS = 2


def poisoned_problem() -> Problem:
    """Query 1 of head (0, 1) and key 8 of head (1, 0), which only causal queries from 5 on see, hold no numbers."""
    problem = random_problem(causal=True, offset=3)
    q, k = problem.q.copy(), problem.k.copy()
    q[0, 1, 1, 3] = BF16.quiet_nan
    k[1, 0, 8, 0] = BF16.infinity
    return replace(problem, q=q, k=k)


def test_equal_results() -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    comparison = compare(agreeing(golden), golden, HEADS, TINY)
    rows = 2 * HEADS * 6
    assert comparison.by_quantity == {
        "O": (rows * 8 * 16,) * 2,
        "RM": (rows * REFERENCE_BITS,) * 2,
        "RD": (rows * TINY.numerics.denominator_bits,) * 2,
        "flags": (rows * 2 + 2,) * 2,
    }
    assert comparison.bits == comparison.equal == sum(bits for bits, _ in comparison.by_quantity.values())
    assert comparison.first is None


@pytest.mark.parametrize(
    ("head", "name", "index", "bit", "quantity", "where"),
    [
        (3, "out", (5, 7), 0, "O", " at b=1 h=1 p=5 f=7"),
        (0, "out", (0, 0), 15, "O", " at b=0 h=0 p=0 f=0"),
        (1, "rm", (2,), 13, "RM", " at b=0 h=1 p=2"),
        (2, "rd", (4,), 45, "RD", " at b=1 h=0 p=4"),
        (2, "empty", (1,), 0, "empty", " at b=1 h=0 p=1"),
        (1, "poisoned", (3,), 0, "poisoned", " at b=0 h=1 p=3"),
    ],
)
def test_single_bit(head: int, name: str, index: tuple[int, ...], bit: int, quantity: str, where: str) -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    result = with_flipped_bit(agreeing(golden), head, name, index, bit)
    comparison = compare(result, golden, HEADS, TINY)
    assert comparison.bits - comparison.equal == 1
    first = comparison.first
    assert first is not None
    assert first.quantity == quantity
    assert first.row == (*divmod(head, HEADS), index[0])
    assert first.element == (index[1] if quantity == "O" else None)
    mask = (1 << first.bits) - 1
    assert (first.got ^ first.want) & mask == 1 << bit
    assert str(first).startswith(f"{quantity}{where}: got 0x")


def test_sign_bit_counts_once() -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    result = agreeing(golden)
    for bit in (0, REFERENCE_BITS - 1):
        result = with_flipped_bit(result, 0, "rm", (3,), bit)
    assert result.heads[0].rm[3] * golden[0].rm[3] < 0
    comparison = compare(result, golden, HEADS, TINY)
    assert comparison.bits - comparison.equal == 2


def test_first_of_several() -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    result = agreeing(golden)
    # In query 2 the reference differs too, and before it RD of query 1; an element of a later head comes last.
    for head, name, index in ((2, "out", (0, 0)), (1, "out", (2, 5)), (1, "rm", (2,)), (1, "rd", (1,))):
        result = with_flipped_bit(result, head, name, index, 3)
    comparison = compare(result, golden, HEADS, TINY)
    assert comparison.bits - comparison.equal == 4
    assert comparison.first is not None
    assert (comparison.first.quantity, comparison.first.row) == ("RD", (0, 1, 1))
    result = with_flipped_bit(result, 1, "rd", (1,), 3)
    again = compare(result, golden, HEADS, TINY).first
    assert again is not None
    assert (again.quantity, again.row, again.element) == ("O", (0, 1, 2), 5)


def test_nobody_asked_for_lse() -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    result = without_lse(agreeing(golden))
    comparison = compare(result, golden, HEADS, TINY)
    bits = 2 * HEADS * 6 * 8 * 16
    assert comparison.by_quantity == {"O": (bits, bits), "RM": (0, 0), "RD": (0, 0), "flags": (2, 2)}
    assert comparison.first is None
    comparison = compare(with_flipped_bit(result, 1, "out", (4, 2), 9), golden, HEADS, TINY)
    assert comparison.bits - comparison.equal == 1
    assert comparison.first is not None
    assert (comparison.first.quantity, comparison.first.row) == ("O", (0, 1, 4))


@pytest.mark.parametrize("name", ["saturated", "poisoned"])
def test_status_bits(name: str) -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    change: dict[str, Any] = {name: True}
    comparison = compare(replace(agreeing(golden), **change), golden, HEADS, TINY)
    assert comparison.bits - comparison.equal == 1
    assert comparison.first == Difference(name, None, None, 1, 0, 1)
    assert str(comparison.first) == f"{name}: got 0x1, want 0x0"


def test_values_of_a_difference() -> None:
    got, want = (int(encode(np.array([x]), BF16)[0]) for x in (-1.5, 0.375))
    difference = Difference("O", (0, 3, 17), 2, got, want, 16, (-1.5, 0.375))
    assert str(difference) == "O at b=0 h=3 p=17 f=2: got 0xbfc0, want 0x3ec0 (-1.5, want 0.375)"
    negative = Difference("RM", (0, 0, 0), None, -2, 5, REFERENCE_BITS)
    assert str(negative) == "RM at b=0 h=0 p=0: got 0x3ffe, want 0x0005 (-2, want 5)"


def test_poisoned_rows_are_named() -> None:
    problem = poisoned_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    result = agreeing(golden)
    comparison = compare(result, golden, HEADS, TINY)
    assert comparison.bits == comparison.equal
    assert comparison.poisoned == 2
    assert comparison.poisoned_rows == [(0, 1, 1), (1, 0, 5)]
    error = measure_error(result, problem, TINY)
    assert np.isfinite(error.relative_rmse)
    assert error.ratio < 1.1


def test_error_is_against_exact_attention() -> None:
    problem = random_problem()
    golden = golden_results(problem.jobs(TINY), TINY)
    result = agreeing(golden)
    before = measure_error(result, problem, TINY)
    assert 0 < before.relative_rmse < 4e-3
    assert before.ratio < 1.1
    old = decode(result.heads[2].out, BF16)[3, 4]
    # Bit 14 is the top of the exponent: a number below 2 becomes gigantic.
    after = measure_error(with_flipped_bit(result, 2, "out", (3, 4), 14), problem, TINY)
    assert abs(old) < 2
    assert after.max_abs > 1e30
