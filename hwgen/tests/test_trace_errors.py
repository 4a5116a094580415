"""What a score function may not do is refused with its line and with what to do instead."""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
import pytest

from hwgen import scoremod
from hwgen.errors import InputError, ScoreError
from hwgen.scoremod import BiasTensor, Parameter, Table, exp2, library, maximum, minimum, tanh, trace, where

INF = float("inf")
TABLE = Table([1.0, 2.0], "table")
PAIRS = Table([[1, 2], [3, 4]], "pairs")
WIDE = Parameter("wide", 1.0, -1e6, 1e6)
BIAS = BiasTensor(np.zeros((1, 1, 4, 4)))
OTHER = BiasTensor(np.zeros((1, 1, 4, 4)))
NUMBERS = [1, 2, 3]
ARRAY = np.arange(4.0)

SCORE = {
    "if": (lambda s, b, h, q, k: s if q > k else -s, r"where\("),
    "and": (lambda s, b, h, q, k: where(q > k and k > 2, s, -s), r"use where.*&"),
    "or": (lambda s, b, h, q, k: where(q > k or k > 2, s, -s), "brackets"),
    "not": (lambda s, b, h, q, k: where(not q > k, s, -s), "~"),
    "chained": (lambda s, b, h, q, k: where(2 < q < k, s, -s), "chained comparisons"),
    "max": (lambda s, b, h, q, k: max(s, 0.0), "maximum"),
    "np.tanh": (lambda s, b, h, q, k: np.tanh(s), r"numpy\.tanh .*use tanh of hwgen\.scoremod"),
    "np.where": (lambda s, b, h, q, k: np.where(q > k, s, 0), r"numpy\.where .*use where"),
    "np.sin": (lambda s, b, h, q, k: np.sin(s), r"numpy\.sin .*supported are"),
    "np.add.reduce": (lambda s, b, h, q, k: np.add.reduce(s), "numpy.add"),
    "np.sum": (lambda s, b, h, q, k: np.sum(s), "traced value"),
    "np.clip": (lambda s, b, h, q, k: np.clip(s, 0, 1), "minimum and maximum"),
    "math.tanh": (lambda s, b, h, q, k: math.tanh(s), "math of a traced value"),
    "math.floor": (lambda s, b, h, q, k: math.floor(s), "round integers down"),
    "float": (lambda s, b, h, q, k: float(s), "not known yet"),
    "int": (lambda s, b, h, q, k: int(s), "not known yet"),
    "round": (lambda s, b, h, q, k: round(s), "round"),
    "complex": (lambda s, b, h, q, k: complex(s), "complex"),
    "iteration": (lambda s, b, h, q, k: sum(x for x in s), "iterated"),
    "length": (lambda s, b, h, q, k: s * len(q), "length"),
    "range": (lambda s, b, h, q, k: s + len(range(q)), "Table"),
    "list": (lambda s, b, h, q, k: s + NUMBERS[h], "use a Table"),
    "array": (lambda s, b, h, q, k: s + ARRAY[h], "Table"),
    "array operand": (lambda s, b, h, q, k: s + ARRAY, "put it into a Table"),
    "operand of an array": (lambda s, b, h, q, k: ARRAY * s, "put it into a Table"),
    "index of a value": (lambda s, b, h, q, k: s[h], "cannot be indexed"),
    "assignment": (lambda s, b, h, q, k: s.__setitem__(0, 1), "cannot be indexed"),
    "in": (lambda s, b, h, q, k: s * (3 in q), "`in`"),
    "method": (lambda s, b, h, q, k: s.clamp(0, 1), "has no 'clamp'"),
    "power": (lambda s, b, h, q, k: s**2, r"\*\*"),
    "matmul": (lambda s, b, h, q, k: s @ s, "operation"),
    "divmod": (lambda s, b, h, q, k: divmod(q, 4)[0] + s, "operation"),
    "square": (lambda s, b, h, q, k: s * s, "both depend on the score"),
    "hidden square": (lambda s, b, h, q, k: s * where(s > 0, 1, 2), "both depend on the score"),
    "nan": (lambda s, b, h, q, k: s + float("nan"), "nan"),
    "inf": (lambda s, b, h, q, k: where(q > k, s, INF), "inf"),
    "minus inf": (lambda s, b, h, q, k: s + -INF, "only where"),
    "large": (lambda s, b, h, q, k: where(q > k, s, -1e9), "out of range.*hides a key"),
    "large factor": (lambda s, b, h, q, k: s * 1e20, "2\\^40"),
    "small factor": (lambda s, b, h, q, k: s * 3e-20, "2\\^-40"),
    "string": (lambda s, b, h, q, k: s + "1", "a number"),
    "none": (lambda s, b, h, q, k: None, "return"),
    "boolean": (lambda s, b, h, q, k: q > k, "not a boolean; a mask_mod"),
    "boolean number": (lambda s, b, h, q, k: s * (q > k), "where"),
    "boolean choice": (lambda s, b, h, q, k: where(q > k, s, q > k), "between a boolean and a number"),
    "condition": (lambda s, b, h, q, k: where(q, s, 0), "condition of where is no boolean"),
    "logical": (lambda s, b, h, q, k: where(scoremod.logical_not(q), s, 0), "logical function of a number"),
    "missing brackets": (lambda s, b, h, q, k: where(q & (k > 3), s, 0), "brackets"),
    "negative bits": (lambda s, b, h, q, k: s + ((q - k) | 1), "may be negative"),
    "real bits": (lambda s, b, h, q, k: s & 1, "no integer"),
    "invert": (lambda s, b, h, q, k: s + ~q, "booleans only"),
    "real floor": (lambda s, b, h, q, k: s // 2, "no integer"),
    "floor by 6": (lambda s, b, h, q, k: s + q // 6, "nearest are 4 and 8"),
    "modulo 100": (lambda s, b, h, q, k: s + q % 100, "nearest are 64 and 128"),
    "modulo 0": (lambda s, b, h, q, k: s + q % 0, "nearest are 1 and 2"),
    "modulo a value": (lambda s, b, h, q, k: s + q % k, "no integer constant"),
    "shift by a value": (lambda s, b, h, q, k: s + (q << k), "no integer constant"),
    "shift down": (lambda s, b, h, q, k: s + (q << -1), "0 to 61"),
    "division": (lambda s, b, h, q, k: s / TABLE[h], "reciprocals"),
    "division by 0": (lambda s, b, h, q, k: s / 0, "division by 0"),
    "table by a real": (lambda s, b, h, q, k: TABLE[s], "index must be an integer"),
    "table dimensions": (lambda s, b, h, q, k: s + PAIRS[h], "2 dimensions"),
    "table itself": (lambda s, b, h, q, k: s + TABLE, "without an index"),
    "table loop": (lambda s, b, h, q, k: s + sum(TABLE), "iterated"),
    "bias itself": (lambda s, b, h, q, k: s + BIAS, "without its index"),
    "bias index": (lambda s, b, h, q, k: s + BIAS[b, h, k, q], "no other index"),
    "two biases": (lambda s, b, h, q, k: s + BIAS[b, h, q, k] + OTHER[b, h, q, k], "two BiasTensors"),
    "hidden product": (lambda s, b, h, q, k: s * BIAS[b, h, q, k], "may be -inf"),
    "hidden minus": (lambda s, b, h, q, k: s - BIAS[b, h, q, k], "may be -inf"),
    "hidden comparison": (lambda s, b, h, q, k: where(BIAS[b, h, q, k] > 0, s, 0), "may be -inf"),
    "hidden tanh": (lambda s, b, h, q, k: tanh(where(q > k, s, -INF)), "may be -inf"),
    "hidden negation": (lambda s, b, h, q, k: -where(q > k, s, -INF), "may be -inf"),
    "hidden abs": (lambda s, b, h, q, k: abs(where(q > k, s, -INF)), "may be -inf"),
    "hidden times negative": (lambda s, b, h, q, k: where(q > k, s, -INF) * -2, "may be -inf"),
    "exp2 of much": (lambda s, b, h, q, k: exp2(s), "at most 62.*minimum"),
    "width": (lambda s, b, h, q, k: s * (q * (k - h) * (q + 1)), "at most 62"),
    "late width": (lambda s, b, h, q, k: s + TABLE[h] * (q * k * 8), "at most 62"),
    "wide table": (lambda s, b, h, q, k: s * Table([1e9], "big")[h], "out of range"),
    "wide integer": (lambda s, b, h, q, k: s + Table([1 << 40], "far")[h], "at most 32 are stored"),
    "same name": (lambda s, b, h, q, k: s + Table([1.5], "table")[h] + TABLE[h], "two arguments called 'table'"),
    "boolean function": (lambda s, b, h, q, k: s + tanh(q > k), "tanh of a boolean"),
    "dictionary": (lambda s, b, h, q, k: s + {0: 1}, "dict where a value is needed; index it"),
    "few parameters": (lambda s, b: s, r"takes \(score, b, h, q_idx, kv_idx\)"),
}

MASK = {
    "real": (lambda b, h, q, k: q - 0.5, "must give a boolean, not a real"),
    "integer": (lambda b, h, q, k: q & 1, "must give a boolean, not a integer"),
    "five parameters": (lambda s, b, h, q, k: q > k, r"takes \(b, h, q_idx, kv_idx\)"),
}


def line(function) -> str:
    """What its errors begin with: these functions stand in one line."""
    return f"{re.escape(__file__)}:{inspect.getsourcelines(function)[1]}: "


@pytest.mark.parametrize("name", SCORE)
def test_score_mod(name: str) -> None:
    function, text = SCORE[name]
    with pytest.raises(ScoreError, match=f"(?s)^{line(function)}.*{text}"):
        trace(function)


@pytest.mark.parametrize("name", MASK)
def test_mask_mod(name: str) -> None:
    function, text = MASK[name]
    with pytest.raises(ScoreError, match=f"^{line(function)}.*{text}"):
        trace(mask_mod=function)


def test_torch_functions_are_named() -> None:
    def mod(score, b, h, q_idx, kv_idx):
        return type(score).__torch_function__(torch_clamp, (), (score,))

    def torch_clamp() -> None: ...

    torch_clamp.__name__ = "clamp"
    with pytest.raises(ScoreError, match=r"torch\.clamp .*minimum and maximum"):
        trace(mod)


def test_the_line_is_the_innermost_one_of_the_user() -> None:
    def helper(x):
        return x + \
            NUMBERS  # fmt: skip

    def mod(score, b, h, q_idx, kv_idx):
        return helper(score)

    first = inspect.getsourcelines(helper)[1]
    with pytest.raises(ScoreError, match=f":{first + 1}: "):
        trace(mod)


def test_the_line_of_a_product_that_is_made_later() -> None:
    def mod(score, b, h, q_idx, kv_idx):
        wide = TABLE[h] * (q_idx * kv_idx * q_idx)
        return score + wide

    with pytest.raises(ScoreError, match=f":{inspect.getsourcelines(mod)[1] + 1}: .*minimum and maximum"):
        trace(mod)


def test_a_value_does_not_outlive_its_function() -> None:
    kept = []
    trace(lambda s, b, h, q, k: kept.append(s) or s * 2)
    with pytest.raises(ScoreError, match="after its function was traced"):
        kept[0] + 1
    with pytest.raises(ScoreError, match="outside of the function"):
        trace(lambda s, b, h, q, k: s + kept[0])


def test_nothing_to_trace() -> None:
    with pytest.raises(ScoreError, match="nothing to trace"):
        trace()
    with pytest.raises(ScoreError, match="nothing to trace"):
        trace(mask_mod=lambda b, h, q, k: True)
    with pytest.raises(ScoreError, match="must be a function"):
        trace(3)


def test_sinks() -> None:
    with pytest.raises(ScoreError, match="not a boolean"):
        trace(sink=lambda b, h, q: q > 3)
    with pytest.raises(ScoreError, match="may not be -inf"):
        trace(sink=lambda b, h, q: where(q > 3, 1.0, -INF))
    with pytest.raises(ScoreError, match=r"takes \(b, h, q_idx\)"):
        trace(sink=lambda s, b, h, q, k: s)


def test_library_functions_name_the_line_that_uses_them() -> None:
    def mod(score, b, h, q_idx, kv_idx):
        return library.alibi([0.5, 0.25])(score, b, q_idx > 3, q_idx, kv_idx)

    with pytest.raises(ScoreError, match=f":{inspect.getsourcelines(mod)[1] + 1}: .*index must be an integer"):
        trace(mod)


def test_numbers_that_are_narrow_enough_pass() -> None:
    trace(lambda s, b, h, q, k: exp2(minimum(s, 8.0)))
    trace(lambda s, b, h, q, k: s * maximum(minimum(WIDE, 2.0), -2.0))


def test_what_is_known_costs_nothing() -> None:
    """A product with 0 is 0; what only one side of a choice may hide needs no choice."""
    zero, none = trace(lambda s, b, h, q, k: s * 0 + k), trace(lambda s, b, h, q, k: 0.0 + k)
    assert zero.program.output == none.program.output
    for program in (
        trace(lambda s, b, h, q, k: where(q > k, BIAS[b, h, q, k], s)).program,
        trace(lambda s, b, h, q, k: where(q > k, s, BIAS[b, h, q, k])).program,
    ):
        ops = [node.op for node in program.nodes if node.format.boolean]
        assert "and" in ops and "select" not in ops


def test_biases() -> None:
    with pytest.raises(InputError, match=r"a bias has 4 dimensions \(batch, head, query, key\), not shape \(3, 4\)"):
        BiasTensor(np.zeros((3, 4)))
    with pytest.raises(InputError, match="a bias with finite=True holds -inf"):
        BiasTensor(np.full((1, 1, 1, 1), -INF), finite=True)


def test_a_table_is_indexed_with_integers_outside_of_a_function_too() -> None:
    assert TABLE[np.array([1, 0, 9])].tolist() == [2.0, 1.0, 2.0]
    with pytest.raises(ScoreError, match="indexed with float64; an index must be an integer"):
        TABLE[np.array([0.5])]
