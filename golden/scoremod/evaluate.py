"""Runs a score program on integers: the meaning of every operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.scoremod.functions import exp2_codes, tanh_codes
from golden.scoremod.program import Node, Program

Codes = NDArray[np.int64]

# Operations of codes alone; those that need the node or its arguments' formats are in `apply`.
SIMPLE: dict[str, Callable[..., Codes]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "negate": lambda a: -a,
    "absolute": np.abs,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "multiply": lambda a, b: a * b,
    "less": lambda a, b: (a < b).astype(np.int64),
    "less_equal": lambda a, b: (a <= b).astype(np.int64),
    "equal": lambda a, b: (a == b).astype(np.int64),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "not": lambda a: 1 - a,
    "select": lambda c, a, b: np.asarray(np.where(c != 0, a, b)),
}


def apply(node: Node, operands: list[Codes]) -> Codes:
    """Codes of a node that is no input and no argument."""
    n = node.number
    if node.op in SIMPLE:
        return SIMPLE[node.op](*operands)
    if node.op == "constant":
        return np.int64(n)  # type: ignore[return-value]
    (a,) = operands
    if node.op == "left":
        return a << n
    if node.op == "right":
        return a >> n
    if node.op == "round":
        return (a + (1 << (n - 1))) >> n
    if node.op == "low":
        return a & ((1 << n) - 1)
    if node.op == "clamp":
        return np.clip(a, node.format.low, node.format.high)
    if node.op == "tanh":
        return tanh_codes(a)
    if node.op == "exp2":
        return exp2_codes(a, node.format)
    raise ValueError(f"unknown operation {node.op!r}")


def evaluate(
    program: Program, inputs: Mapping[str, ArrayLike], arguments: Mapping[str, ArrayLike] | None = None
) -> dict[str, Codes]:
    """Codes of every output, from codes of the inputs (of any shapes that broadcast) and of the arguments."""
    stored = {name: np.asarray(codes, dtype=np.int64).reshape(-1) for name, codes in (arguments or {}).items()}
    values: list[Codes] = []
    for node in program.nodes:
        operands = [values[i] for i in node.args]
        if node.op == "input":
            value = np.asarray(inputs[node.name], dtype=np.int64)
        elif node.op == "parameter":
            value = stored[node.name][0]
        elif node.op == "table":
            table = stored[node.name]
            value = table[np.clip(operands[0], 0, len(table) - 1)]
        else:
            value = apply(node, operands)
        values.append(np.asarray(value, dtype=np.int64))
    return {name: values[i] for name, i in program.outputs}
