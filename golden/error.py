"""How far a result is from the answer wanted, in absolute terms and next to the error that rounding alone costs.

All measures take arrays of one shape, any shape, and compare in float64. Positions where both hold NaN, or both the
same infinity, agree and are left out. Where only one holds NaN or infinity the error is infinite. Results of formats
coded as integers are decoded first.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from golden.formats import FloatArray, FloatFormat, quantise


def max_abs(got: npt.ArrayLike, want: npt.ArrayLike) -> float:
    """Largest absolute difference; 0 if there is nothing to compare. Raises ValueError if the shapes differ."""
    difference, _ = _compared(got, want)
    return float(np.max(np.abs(difference), initial=0.0))


def relative_rmse(got: npt.ArrayLike, want: npt.ArrayLike) -> float:
    """sqrt(sum (got - want)^2 / sum want^2).

    0 if there is no difference at all, infinite if there is one and `want` is all zeros. Raises ValueError if the
    shapes differ.
    """
    difference, reference = _compared(got, want)
    return _quotient(_norm(difference), _norm(reference), equal=0.0)


def rounding_rmse(want: npt.ArrayLike, fmt: FloatFormat) -> float:
    """Relative RMSE of `want` rounded to `fmt`: what even the exact answer loses on its way into the format."""
    exact = np.asarray(want, dtype=np.float64)
    return relative_rmse(quantise(exact, fmt), exact)


def rounding_ratio(got: npt.ArrayLike, want: npt.ArrayLike, fmt: FloatFormat) -> float:
    """Relative RMSE of `got` as a multiple of `rounding_rmse`: 1 is as good as the exact answer, rounded.

    If rounding costs nothing the ratio is 1 for an exact `got` and infinite otherwise. Raises ValueError if the shapes
    differ.
    """
    return _quotient(relative_rmse(got, want), rounding_rmse(want, fmt), equal=1.0)


@dataclass(frozen=True)
class ErrorReport:
    """The four measures of one comparison: `max_abs` in the unit of the data, the others without unit."""

    max_abs: float
    relative_rmse: float
    rounding_rmse: float
    ratio: float

    @classmethod
    def measure(cls, got: npt.ArrayLike, want: npt.ArrayLike, fmt: FloatFormat) -> Self:
        """Compare `got` with `want`, for results rounded to `fmt`. Raises ValueError if the shapes differ."""
        return cls(
            max_abs=max_abs(got, want),
            relative_rmse=relative_rmse(got, want),
            rounding_rmse=rounding_rmse(want, fmt),
            ratio=rounding_ratio(got, want, fmt),
        )


def _compared(got: npt.ArrayLike, want: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """(got - want, want) at the positions that count, flat; the difference is infinite where only one is not finite."""
    result, reference = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    if result.shape != reference.shape:
        raise ValueError(f"got and want must have the same shape, got {result.shape} and {reference.shape}")
    agree = (np.isnan(result) & np.isnan(reference)) | (np.isinf(result) & (result == reference))
    result, reference = result[~agree], reference[~agree]
    finite = np.isfinite(result) & np.isfinite(reference)
    difference = np.where(finite, result, np.inf) - np.where(finite, reference, 0.0)
    return difference, np.where(finite, reference, 0.0)


def _norm(values: FloatArray) -> float:
    """Euclidean norm, scaled by the largest magnitude so that no square leaves the range of float64."""
    peak = float(np.max(np.abs(values), initial=0.0))
    if peak == 0.0 or math.isinf(peak):
        return peak
    return peak * math.sqrt(float(np.sum(np.square(values / peak))))


def _quotient(error: float, unit: float, *, equal: float) -> float:
    """error / unit, where an infinite error stays infinite and 0 / 0 is `equal`."""
    if unit == 0.0:
        return equal if error == 0.0 else math.inf
    return math.inf if math.isinf(error) else error / unit
