"""Error measures on numbers small enough to work out by hand."""

import math

import numpy as np
import pytest

from golden.error import ErrorReport, max_abs, relative_rmse, rounding_ratio, rounding_rmse
from golden.formats import BF16, FP16, quantise

NAN, INF = math.nan, math.inf


def test_by_hand() -> None:
    got, want = [3.0, 4.5], [3.0, 4.0]
    assert max_abs(got, want) == 0.5
    assert relative_rmse(got, want) == 0.5 / 5.0


def test_largest_difference_counts_whatever_its_sign() -> None:
    assert max_abs([1.0, -7.0, 2.0], [1.5, -4.0, 2.0]) == 3.0


def test_the_reference_is_want() -> None:
    assert relative_rmse([2.0], [1.0]) == 1.0
    assert relative_rmse([1.0], [2.0]) == 0.5


def test_nan_in_both_is_left_out() -> None:
    got, want = [NAN, 3.0, 4.5], [NAN, 3.0, 4.0]
    assert max_abs(got, want) == 0.5
    assert relative_rmse(got, want) == 0.1
    assert max_abs([NAN], [NAN]) == relative_rmse([NAN], [NAN]) == 0.0


def test_equal_infinities_are_left_out() -> None:
    got, want = [-INF, 3.0, 4.5], [-INF, 3.0, 4.0]
    assert max_abs(got, want) == 0.5
    assert relative_rmse(got, want) == 0.1


@pytest.mark.parametrize(
    ("got", "want"), [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (1.0, INF), (INF, -INF), (NAN, INF), (INF, NAN), (0.0, -INF)]
)
def test_one_that_is_not_finite_is_an_infinite_error(got: float, want: float) -> None:
    assert max_abs([1.0, got], [1.0, want]) == INF
    assert relative_rmse([1.0, got], [1.0, want]) == INF
    assert rounding_ratio([1.1, got], [1.1, want], BF16) == INF


def test_zeros_and_nothing() -> None:
    assert relative_rmse([0.0, -0.0], [0.0, 0.0]) == 0.0
    assert relative_rmse([0.0, 1e-9], [0.0, 0.0]) == INF
    assert max_abs([], []) == relative_rmse([], []) == rounding_rmse([], BF16) == 0.0
    assert rounding_ratio([], [], BF16) == 1.0


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**1000])
def test_no_square_leaves_the_range(size: float) -> None:
    assert relative_rmse([3.0 * size, 4.5 * size], [3.0 * size, 4.0 * size]) == 0.1


def test_rounding_alone() -> None:
    # A quarter of a bf16 step above 1 and three quarters of one, each a quarter away from the nearest number.
    want = np.array([1 + 2.0**-9, 1 + 3 * 2.0**-9])
    assert rounding_rmse(want, BF16) == relative_rmse([1.0, 1 + 2.0**-7], want)
    assert rounding_rmse(want[:1], BF16) == 2.0**-9 / (1 + 2.0**-9)
    assert rounding_rmse(want, FP16) == 0.0


def test_rounding_of_nan_and_infinity_costs_nothing() -> None:
    assert rounding_rmse([NAN, INF, -INF, 1.0], BF16) == 0.0


def test_overflow_of_the_format_costs_everything() -> None:
    assert rounding_rmse([1e6], FP16) == INF
    assert rounding_ratio([1e6 + 1], [1e6], FP16) == 0.0
    assert rounding_ratio([NAN], [1e6], FP16) == INF


def test_ratio_of_the_rounded_answer_is_one() -> None:
    want = np.random.default_rng(11).normal(size=1000)
    assert rounding_ratio(quantise(want, BF16), want, BF16) == 1.0
    assert rounding_ratio(want, want, BF16) == 0.0
    assert rounding_ratio(quantise(want, BF16), want, FP16) > 7.0


def test_ratio_when_rounding_costs_nothing() -> None:
    assert rounding_ratio([1.0, 2.0], [1.0, 2.0], BF16) == 1.0
    assert rounding_ratio([1.0, 2.5], [1.0, 2.0], BF16) == INF


def test_report_holds_all_four() -> None:
    want = np.random.default_rng(12).normal(size=(4, 5))
    got = want + 2.0**-10
    assert ErrorReport.measure(got, want, BF16) == ErrorReport(
        max_abs=max_abs(got, want),
        relative_rmse=relative_rmse(got, want),
        rounding_rmse=rounding_rmse(want, BF16),
        ratio=relative_rmse(got, want) / rounding_rmse(want, BF16),
    )


def test_shapes_must_agree() -> None:
    for measure in (max_abs, relative_rmse):
        with pytest.raises(ValueError, match=r"same shape, got \(1, 2\) and \(2,\)"):
            measure([[1.0, 2.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="same shape"):
        ErrorReport.measure([1.0], [1.0, 1.0], BF16)
