"""How far results are from exact attention, in units of the output format's last place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.formats import FloatArray, FloatFormat, quantise
from hwgen.checked import Checked
from hwgen.compare import outputs

BIN = 1 / 32
REACH = 1.5
"""The histogram goes from -REACH to REACH; what lies beyond is counted at its ends."""


def last_place(values: FloatArray, fmt: FloatFormat) -> FloatArray:
    """The distance of the format's numbers around each value: 2^(exponent - mantissa bits), of subnormals the least."""
    _, exponent = np.frexp(values)
    lowest = 1 - fmt.bias
    normal = np.where(values == 0, lowest, np.maximum(exponent - 1, lowest))
    return np.ldexp(1.0, normal - fmt.mantissa_bits)


@dataclass(frozen=True)
class Accuracy:
    """Errors of the outputs that are numbers. An answer that nearly cancels to zero has a tiny last place, so that few
    errors of an ordinary size are many last places: they are counted, their size says nothing.

    edges:       (N + 1,) of the bins, in last places
    measured:    (N,) outputs by their error;  rounded: the same for the exact answer, rounded to the format
    as_rounded:  share of the outputs that are the exact answer, correctly rounded
    within_one:  share of those whose error is at most one last place
    outputs:     how many were compared;  others: results that are NaN or infinite
    """

    edges: NDArray[np.float64]
    measured: NDArray[np.int64]
    rounded: NDArray[np.int64]
    as_rounded: float
    within_one: float
    outputs: int
    others: int


def accuracy(checked: Checked) -> Accuracy:
    """Of all outputs of a run. They differ from the exact answer by rounding and by what the machine adds."""
    fmt = checked.params.output
    got, want = (values.reshape(-1) for values in outputs(checked.result, checked.problem, checked.params))
    finite = np.isfinite(got) & np.isfinite(want)
    got, want = got[finite], want[finite]
    best = quantise(want, fmt)
    unit = last_place(want, fmt)
    errors, least = (got - want) / unit, (best - want) / unit
    edges = np.arange(-REACH, REACH + BIN / 2, BIN)
    inside = np.nextafter(REACH, 0)
    counts = [np.histogram(np.clip(e, -inside, inside), edges)[0] for e in (errors, least)]
    shares = [float(np.mean(good)) if len(got) else 1.0 for good in (got == best, np.abs(errors) <= 1)]
    return Accuracy(
        edges=edges,
        measured=counts[0],
        rounded=counts[1],
        as_rounded=shares[0],
        within_one=shares[1],
        outputs=len(got),
        others=int((~finite).sum()),
    )
