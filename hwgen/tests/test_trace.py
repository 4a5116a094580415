"""Traced score functions compute what the same Python functions compute on arrays of float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from golden.bitexact.numerics import Numerics
from golden.scoremod import evaluate
from hwgen import scoremod
from hwgen.errors import InputError
from hwgen.scoremod import BiasTensor, Parameter, Table, Traced, library, trace, where
from hwgen.scoremod.partition import Partition
from hwgen.tests.score_mods import MODS, combined, roles

NUMERICS = Numerics()
UNIT = 2.0**-NUMERICS.score_frac
LOG2E = math.log2(math.e)
SHAPE = (2, 8, 24, 40)

INEXACT = {"softcap": 32.0, "half_capped": 12.0, "decaying_gate": 8.0}
"""How far a score is from the exact one before its last rounding, in units of 2^-20, where that is more than 4: tanh is
right within 2^-20 and multiplied by 20 log2(e) or 7.3 log2(e), 2^x within 2^-22 and multiplied by a score."""


def before_rounding(name: str) -> float:
    """The same in units of a score. Constants and products have 22 fraction bits."""
    return INEXACT.get(name, 4.0) * 2.0**-20 / UNIT


def operands(seed: int = 0, shape: tuple[int, ...] = SHAPE, spread: float = 4.0):
    """Codes of scores, and the inputs of a function on arrays."""
    rng = np.random.default_rng(seed)
    codes = np.rint(rng.normal(0, spread, shape) / UNIT).astype(np.int64)
    b, h, q, kv = np.ogrid[tuple(slice(n) for n in shape)]
    return codes, {"b": b, "h": h, "q": q, "kv": kv}


def run(traced: Traced, codes, indices, overrides=None, **inputs):
    """(score in units, seen) of a program."""
    found = evaluate(traced.program, {"score": codes, **indices, **inputs}, traced.codes(overrides))
    score = found.get("score", codes)
    return np.broadcast_to(score, codes.shape), np.broadcast_to(found.get("seen", 1), codes.shape) != 0


def reference(function, codes, indices):
    """(score in units as a real number, seen) of a function on arrays."""
    order = [indices[name] for name in ("b", "h", "q", "kv")]
    if function in MODS.values() and "mask_mod" in roles(function):
        return codes.astype(float), np.broadcast_to(function(*order), codes.shape)
    natural = np.broadcast_to(function(codes * UNIT / LOG2E, *order), codes.shape)
    seen = natural != -np.inf
    return np.where(seen, natural, 0) * LOG2E / UNIT, seen


def check(traced, function, codes, indices, units, overrides=None):
    """Equal masks; scores within half a unit of rounding and `units` of whatever comes before."""
    score, seen = run(traced, codes, indices, overrides)
    with traced.overriding(overrides):
        want, want_seen = reference(function, codes, indices)
    np.testing.assert_array_equal(seen, want_seen)
    assert seen.any()
    assert (np.abs(score - want)[seen] <= 0.5 + units).all()


@pytest.mark.parametrize("name", MODS)
def test_values(name: str) -> None:
    traced = trace(**roles(MODS[name]))
    codes, indices = operands()
    check(traced, MODS[name], codes, indices, before_rounding(name))


def test_all_of_them_in_one_program() -> None:
    function = combined(MODS)
    traced = trace(function)
    codes, indices = operands(1, (2, 4, 12, 16))
    for i, name in enumerate(MODS):
        check(traced, function, codes, indices, before_rounding(name), {"which": i})


def test_other_contents() -> None:
    traced = trace(MODS["step_times_index"])
    codes, indices = operands(2)
    before = run(traced, codes, indices)[0]
    check(traced, MODS["step_times_index"], codes, indices, 1, {"step": -0.2})
    assert (run(traced, codes, indices, {"step": -0.2})[0] != before).any()
    traced = trace(MODS["bucketed"])
    check(traced, MODS["bucketed"], codes, indices, 1, {"weights": np.full((8, 8), 3.9), "bucket": np.zeros(64)})


def operations(program) -> list[str]:
    return [node.op for node in program.nodes]


def test_units_cost_nothing_where_something_absorbs_them() -> None:
    assert "multiply" not in operations(trace(lambda s, b, h, q, k: s + Table([1.0, 2.5], "t")[h]).program)
    assert "multiply" not in operations(trace(lambda s, b, h, q, k: where(s > 3.7, s - 1.1, s)).program)
    assert operations(trace(MODS["alibi"]).program).count("multiply") == 2  # the other one flattens the index
    assert operations(trace(MODS["head_gate"]).program).count("multiply") == 1
    assert operations(trace(MODS["softcap"]).program).count("multiply") == 2
    assert operations(trace(lambda s, b, h, q, k: (s / 50.0) * 50.0).program) == ["input"]


def test_a_power_of_two_is_a_shift() -> None:
    table = Table([0.3, 0.7], "t")
    traced = trace(lambda s, b, h, q, k: 2 * (s / 4) + table[h] + table[h] / 8)
    assert [a.name for a in traced.program.arguments] == ["t"]
    constants = [n for n in traced.program.nodes if n.op == "constant"]
    assert all(n.number == 1 for n in constants)


def test_a_table_in_two_units_is_two_arguments() -> None:
    table = Table([0.3, 0.7], "t")

    def mod(s, b, h, q, k):
        return scoremod.tanh(table[h] + 0.1 * s) + table[h] + s

    traced = trace(mod)
    assert len(traced.program.arguments) == 2 and list(traced.sources) == ["t"]
    codes, indices = operands()
    check(traced, mod, codes, indices, 1, {"t": [0.9, 0.2]})


def test_what_is_used_twice_is_made_once() -> None:
    def mod(s, b, h, q, k):
        x = Table([0.3, 0.7], "t")[h]
        for _ in range(60):
            x = where(k > q, x, 0.5 * x) - x / 4
        return s + x

    assert len(trace(mod).program.nodes) < 1000


def test_what_is_used_twice_is_as_fine_as_each_use_needs() -> None:
    tables = Table([0.3, 0.7], "t"), Table([0.1, -0.4], "u")

    def mod(s, b, h, q, k):
        x = tables[0][h] + tables[1][b]
        return s + x / 1024 + x

    codes, indices = operands(8)
    check(trace(mod), mod, codes, indices, 0.1)


def test_integers_are_exact() -> None:
    table = Table([5, -3, 1 << 20, 6, 7, 8, 9, -50], "t", low=-(1 << 20), high=1 << 20)
    size = Parameter("n", 37, 0, 1000)

    def mask(b, h, q, k):
        x = (q * 3 - k) * 5 + table[h] - (-size)
        y = (x >> 2) + (x << 1) + x % 8 + (x // 16) + (x & 12) + ((q | 5) ^ (k & 3)) + abs(-x)
        return scoremod.maximum(y, -100) * 2 - scoremod.minimum(x, 7) > 1900

    traced = trace(mask_mod=mask)
    codes, indices = operands(3)
    _, seen = run(traced, codes, indices, {"n": 500})
    with traced.overriding({"n": 500}):
        want = mask(*(indices[i] for i in ("b", "h", "q", "kv")))
    np.testing.assert_array_equal(seen, np.broadcast_to(want, codes.shape))
    assert seen.any() and not seen.all()


def test_booleans() -> None:
    def mask(b, h, q, k):
        x, y = q < k, np.True_ & (b == 0)
        return ((x ^ y) == (h > 1)) | (x != scoremod.logical_or(y, False)) & ~scoremod.where(x, y, k > 3) | (q < 2.5)

    traced = trace(mask_mod=mask)
    codes, indices = operands(4)
    want = mask(*(indices[i] for i in ("b", "h", "q", "kv")))
    np.testing.assert_array_equal(run(traced, codes, indices)[1], np.broadcast_to(want, codes.shape))


def test_hidden_scores_survive_what_keeps_them_hidden() -> None:
    inf = float("-inf")

    def mod(s, b, h, q, k):
        x = where(k > q, inf, s) * 2.0 - 1.0
        y = where(h == 0, scoremod.minimum(x, 3.0), scoremod.maximum(x, where(b == 0, inf, -0.5)))
        return 0.5 * y + where(k == 3, inf, 0)

    codes, indices = operands(5)
    check(trace(mod), mod, codes, indices, 1)


def test_bias_tensor() -> None:
    rng = np.random.default_rng(6)
    natural = rng.normal(0, 2, (1, 8, 24, 40))
    tensor = BiasTensor(np.where(rng.random(natural.shape) < 0.3, -np.inf, natural))
    function = library.bias(tensor)
    traced = trace(function)
    assert traced.bias is tensor and {"bias", "hidden"} <= set(traced.program.inputs)
    codes, indices = operands(6)
    hidden = np.broadcast_to(np.isneginf(tensor.array), codes.shape)
    bias = np.rint(np.where(hidden, 0, natural) * LOG2E / UNIT).astype(np.int64)
    score, seen = run(traced, codes, indices, bias=bias, hidden=hidden.astype(np.int64))
    want, want_seen = reference(function, codes, indices)
    np.testing.assert_array_equal(seen, want_seen)
    assert (np.abs(score - want)[seen] <= 0.5).all()


def test_boolean_bias_and_finite_bias() -> None:
    mask = BiasTensor(np.eye(5, dtype=bool)[None, None])
    traced = trace(mask_mod=library.bias(mask))
    assert traced.program.inputs == ("hidden",)
    assert evaluate(traced.program, {"hidden": [0, 1]})["seen"].tolist() == [1, 0]
    assert library.bias(mask)(0, 0, np.arange(3), np.array([0, 0, 2])).tolist() == [True, False, True]
    finite = BiasTensor(np.ones((1, 1, 4, 4)), finite=True)
    traced = trace(lambda s, b, h, q, k: s + Table([0.5, -2.0], "t")[h] * finite[b, h, q, k])
    assert "hidden" not in traced.program.inputs and "seen" not in traced.program.output


def test_sink() -> None:
    traced = trace(sink=library.sink([0.5, -3.25, 20.0]))
    codes = evaluate(traced.program, {"h": np.arange(3)}, traced.codes())["sink"]
    np.testing.assert_array_equal(codes, np.rint(np.array([0.5, -3.25, 20.0]) * LOG2E / UNIT))
    assert set(traced.program.output) == {"sink"}


@pytest.mark.parametrize("score_frac", [8, 16])
def test_other_numerics(score_frac: int) -> None:
    numerics = Numerics(score_frac=score_frac)
    traced = trace(MODS["softcap"], numerics=numerics)
    codes = np.array([3 << score_frac, -(200 << score_frac)])
    found = evaluate(traced.program, {"score": codes})["score"]
    want = 20 * np.tanh(codes * 2.0**-score_frac / LOG2E / 20) * LOG2E * 2**score_frac
    assert (np.abs(found - want) <= 0.5 + 10 * 2.0 ** (score_frac - 20)).all()


def test_what_is_not_needed_is_not_made() -> None:
    unused = Table([1.0], "unused")
    traced = trace(lambda s, b, h, q, k: where(unused[h] > 0, s, s), lambda b, h, q, k: (k <= q) & True)
    assert set(traced.program.output) == {"seen"} and traced.contents == {} and traced.words().shape == (0,)


def test_words_lie_in_the_order_of_the_program() -> None:
    traced = trace(MODS["bucketed"])
    codes, words = traced.codes(), traced.words()
    assert words.dtype == np.int32 and words.shape == (traced.program.argument_words,)
    for argument in traced.program.arguments:
        at = traced.program.argument_offset(argument.name)
        np.testing.assert_array_equal(words[at : at + argument.size], codes[argument.name])


def test_overrides_are_checked() -> None:
    traced = trace(MODS["bucketed"])
    for overrides, text in (
        ({"wieghts": 1}, "did you mean 'weights'"),
        ({"weights": [1.0]}, r"shape \(8, 8\)"),
        ({"weights": np.full((8, 8), 4.5)}, r"-4 \.\. 4, not 4.5"),
        ({"weights": np.full((8, 8), np.nan)}, r"-4 \.\. 4, not nan"),
        ({"bucket": np.full(64, 0.5)}, "integers"),
    ):
        with pytest.raises(InputError, match=text):
            traced.codes(overrides)


def test_ends_of_ranges_are_stored_exactly_where_they_can_be() -> None:
    table = Table([-0.75, 0.1], "t", low=-0.75, high=0.75)
    traced = trace(lambda s, b, h, q, k: s * table[h])
    (argument,) = traced.program.arguments
    assert argument.frac >= 24 and argument.high == 0.75 * 2**argument.frac == -argument.low
    traced.codes({"t": [-0.75, 0.75]})


def test_the_same_table_made_twice_is_one() -> None:
    traced = trace(lambda s, b, h, q, k: s + Table([0.5, 1], "t")[h], lambda b, h, q, k: k < Table([2, 3], "n")[b])
    assert [a.name for a in traced.program.arguments] == ["t", "n"]
    traced = trace(lambda s, b, h, q, k: s + Table([0.5, 1])[h] + Table([0.5, 1])[b])
    assert len({a.name for a in traced.program.arguments}) == 2


def test_partition_keeps_the_lane_small() -> None:
    part = Partition(trace(MODS["alibi"]).program, NUMERICS)
    assert "table" not in operations(part.lane) and "table" in operations(part.query)


def test_defaults_of_ranges() -> None:
    assert (Table([3, 5]).low, Table([3, 5]).high) == (0, 7)
    assert (Table([-3, 5]).low, Table([-3, 5]).high) == (-8, 7)
    assert (Table([0.3]).low, Table([-0.3, 0.4]).low, Table([-0.5]).low) == (0, -0.5, -0.5)
    for arguments in (([np.inf],), ([],), (["a"],), ([1], "no word"), ([5], "t", 0, 4), ([5.0], "t", 7, 0), (3,)):
        with pytest.raises(InputError):
            Table(*arguments)
    with pytest.raises(InputError):
        Parameter("p", [1, 2], 0, 3)


def test_parameters_are_numbers_outside_of_a_trace() -> None:
    p = Parameter("p", 3, 0, 10)
    assert (p + 1, 1 - p, -p, abs(p), p == 3, int(p), float(p)) == (4, -2, -3, 3, True, 3, 3.0)
    np.testing.assert_array_equal(np.arange(3) * p, [0, 3, 6])
    np.testing.assert_array_equal(where(np.arange(3) < p, p, 0), [3, 3, 3])
    np.testing.assert_array_equal(Table(np.arange(5))[np.array([-1, 2, 9])], [0, 2, 4])
