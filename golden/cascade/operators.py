"""The operators of Einsums, and what they do to float64 arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Operator:
    """A map operator: how many operands it takes, what it computes, and what it is called in counts of operations."""

    operands: int
    compute: Callable[..., Array]
    kind: str


@dataclass(frozen=True)
class Reduction:
    """A reduce operator: `reduce(array, axis=...)`, the value that changes nothing, and its name in counts."""

    reduce: Callable[..., Array]
    identity: float
    kind: str


def shift(x: Array, n: Array) -> Array:
    """x * 2^n for whole n, exact unless it leaves float64; n may be -inf, which gives 0.

    Raises
    ------
    ValueError
        If n is not whole.
    """
    if np.any((n != np.rint(n)) & ~np.isnan(n)):
        raise ValueError("the second operand of ldexp must be whole")
    # Beyond 2^14 every float64 has left the range on either side.
    steps = np.nan_to_num(np.clip(n, -(1 << 14), 1 << 14)).astype(np.int64)
    return np.where(np.isneginf(n), 0.0, np.ldexp(x, steps))


def exponent(x: Array) -> Array:
    """The whole e with 2^(e-1) <= |x| < 2^e; 0 for 0."""
    return np.frexp(x)[1].astype(np.float64)


OPERATORS = {
    "add": Operator(2, np.add, "add"),
    "sub": Operator(2, np.subtract, "sub"),
    "mul": Operator(2, np.multiply, "mul"),
    "divide": Operator(2, np.divide, "divide"),
    "max": Operator(2, np.maximum, "max"),
    "min": Operator(2, np.minimum, "min"),
    "ldexp": Operator(2, shift, "shift"),
    "neg": Operator(1, np.negative, "neg"),
    "abs": Operator(1, np.abs, "abs"),
    "square": Operator(1, np.square, "mul"),
    "sqrt": Operator(1, np.sqrt, "sqrt"),
    "rsqrt": Operator(1, lambda x: 1.0 / np.sqrt(x), "rsqrt"),
    "reciprocal": Operator(1, lambda x: 1.0 / x, "divide"),
    "exp": Operator(1, np.exp, "exp"),
    "exp2": Operator(1, np.exp2, "exp"),
    "log": Operator(1, np.log, "log"),
    "log2": Operator(1, np.log2, "log"),
    "tanh": Operator(1, np.tanh, "tanh"),
    "ceil": Operator(1, np.ceil, "round"),
    "floor": Operator(1, np.floor, "round"),
    "exponent": Operator(1, exponent, "exponent"),
}

INFIX = {"add": "+", "sub": "-", "mul": "*", "divide": "/"}
"""Operators that are written between their operands, and the negation in front."""

REDUCTIONS = {
    "add": Reduction(np.sum, 0.0, "add"),
    "max": Reduction(np.max, -np.inf, "max"),
    "min": Reduction(np.min, np.inf, "min"),
    "mul": Reduction(np.prod, 1.0, "mul"),
}
