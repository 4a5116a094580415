"""The range of keys derived from a mask holds every key that is seen, and no more where the mask is a range."""

from __future__ import annotations

import numpy as np
import pytest

from golden.bitexact.numerics import Numerics
from golden.scoremod import evaluate
from hwgen.errors import ScoreError
from hwgen.scoremod import Parameter, Table, logical_not, maximum, minimum, trace, where
from hwgen.scoremod.bounds import LAST_KEY, bounds
from hwgen.scoremod.library import both, causal, documents, either, key_lengths, prefix_lm, window

NUMERICS = Numerics()
LENGTHS = Table([0, 5, 17, 40], "lengths", low=0, high=64)
OFFSETS = Table([-5, 0, 3, 30], "offsets", low=-64, high=64)
SIZE = Parameter("size", 9, 0, 64)
SHIFT = Parameter("shift", -4, -64, 64)
FLAG = Parameter("flag", True, False, True)
BATCHES, QUERIES, KEYS, HEADS = 4, 30, 44, 2


def ranges(mask, overrides=None, inside: int = KEYS):
    """(low, high, seen): (B, Q) the derived ends limited to the keys there are, and (B, H, Q, K)."""
    traced = trace(mask_mod=mask)
    found = bounds(traced.program, NUMERICS)
    assert found is not None
    b, h, q, kv = np.ogrid[:BATCHES, :HEADS, :QUERIES, :inside]
    codes = traced.codes(overrides)
    assert set(found.program.inputs) <= {"b", "q"} and set(found.program.output) == {"low", "high"}
    assert {a.name for a in found.program.arguments} <= set(codes)
    ends = evaluate(found.program, {"b": b[:, 0, :, 0], "q": q[0, 0, :, 0][None]}, codes)
    low, high = (np.broadcast_to(ends[name], (BATCHES, QUERIES)) for name in ("low", "high"))
    assert ((low >= 0) & (low <= LAST_KEY + 1) & (high >= -1) & (high <= LAST_KEY)).all()
    assert (np.diff(low) >= 0).all() and (np.diff(high) >= 0).all()
    seen = evaluate(traced.program, {"b": b, "h": h, "q": q, "kv": kv}, codes)["seen"] != 0
    return low, high, np.broadcast_to(seen, (BATCHES, HEADS, QUERIES, inside))


TIGHT = {
    "causal": causal(),
    "causal, negative offset": causal(-3),
    "causal, offsets": causal(OFFSETS),
    "causal, parameter": causal(SHIFT),
    "window": window(7, 3),
    "window to the left": both(causal(), window(9, -1)),
    "window to the right": window(-1, 2),
    "lengths": key_lengths(LENGTHS),
    "prefix": prefix_lm(LENGTHS),
    "prefix and lengths": both(prefix_lm(SIZE), key_lengths(LENGTHS)),
    "distance": lambda b, h, q, k: abs(q - k) <= SIZE,
    "distance, other way": lambda b, h, q, k: abs(k - q + 2) < LENGTHS[b],
    "blocks": lambda b, h, q, k: (q >> 3) == (k >> 3),
    "blocks, division": lambda b, h, q, k: (k // 4 <= q // 4) & (k // 4 + 2 > q // 4),
    "not": lambda b, h, q, k: ~(k > q + 1),
    "not a union": lambda b, h, q, k: ~((k > q + 1) | (k < q - SIZE)),
    "chosen": lambda b, h, q, k: where(FLAG, k <= q, abs(k - q) < 3),
    "chosen for a batch": lambda b, h, q, k: where(b == 2, (k <= q) & (k > q - 5), k < LENGTHS[b]),
    "only if": lambda b, h, q, k: FLAG & (k <= q) | ~FLAG & (k <= 3),
    "larger": lambda b, h, q, k: k <= (q + 3) * 2 - SIZE,
    "times": lambda b, h, q, k: k <= q * SIZE - 9,
    "equal": lambda b, h, q, k: k - OFFSETS[b] == q,
    "hidden": lambda b, h, q, k: k <= maximum(q, LENGTHS[b]),
}


@pytest.mark.parametrize("name", TIGHT)
@pytest.mark.parametrize("flag", [True, False])
def test_ranges(name: str, flag: bool) -> None:
    """The ends are the first and the last key that are seen."""
    mask, overrides = TIGHT[name], {"flag": flag} if "flag" in trace(mask_mod=TIGHT[name]).sources else None
    low, high, seen = ranges(mask, overrides)
    seen = seen[:, 0]
    keys = np.arange(KEYS)
    first = np.where(seen, keys, KEYS).min(axis=-1)
    last = np.where(seen, keys, -1).max(axis=-1)
    some = seen.any(axis=-1)
    assert some.any()
    np.testing.assert_array_equal(np.minimum(low, KEYS)[some], first[some])
    np.testing.assert_array_equal(np.minimum(high, KEYS - 1)[some], last[some])
    assert (low > np.minimum(high, KEYS - 1))[~some].all()


NONE = {
    "head": lambda b, h, q, k: k <= q + h,
    "falls": lambda b, h, q, k: k <= 100 - q,
    "documents": documents(list(range(50))),
    "table of queries": lambda b, h, q, k: k < LENGTHS[q],
    "bits": lambda b, h, q, k: (k & 3) < 2,
    "union with the unknown": either(causal(), lambda b, h, q, k: (k & 7) == 0),
    "queries": lambda b, h, q, k: q < 10,
    "batches": lambda b, h, q, k: b < 2,
    "far": lambda b, h, q, k: abs(q - k) > 4,
    "unequal": lambda b, h, q, k: k != q,
    "sum": lambda b, h, q, k: k + q < 50,
    "times something of any sign": lambda b, h, q, k: k <= q * SHIFT,
    "steps down": lambda b, h, q, k: k <= where(q < 9, 20, q),
    "twice": lambda b, h, q, k: k + k <= q,
    "real": lambda b, h, q, k: k * 0.3 <= q,
    "union of both sides": lambda b, h, q, k: (k <= q) | (k > q + 3),
}


@pytest.mark.parametrize("name", NONE)
def test_no_range(name: str) -> None:
    assert bounds(trace(mask_mod=NONE[name]).program, NUMERICS) is None


def test_scores_and_hidden_biases_bound_nothing() -> None:
    assert bounds(trace(lambda s, b, h, q, k: where(s > 0, s, float("-inf"))).program, NUMERICS) is None
    assert bounds(trace(lambda s, b, h, q, k: s * 2).program, NUMERICS) is None
    found = bounds(trace(lambda s, b, h, q, k: where((s > 0) & (k <= q), s, float("-inf"))).program, NUMERICS)
    assert found is not None and found.program.inputs == ("q",)


def test_a_part_that_is_known_bounds_the_whole() -> None:
    low, high, seen = ranges(both(causal(), documents([i // 5 for i in range(64)])))
    np.testing.assert_array_equal(high[0], np.arange(QUERIES))
    assert (low == 0).all()


def random_mask(rng: np.random.Generator, depth: int = 3):
    """A function that runs on traced values."""

    def pick(*options):
        return options[int(rng.integers(len(options)))]

    def number(depth: int):
        if depth == 0:
            c = int(rng.integers(-9, 30))
            return pick(
                lambda b, h, q, k: q,
                lambda b, h, q, k: k,
                lambda b, h, q, k: k,
                lambda b, h, q, k: h,
                lambda b, h, q, k: b,
                lambda b, h, q, k: c,
                lambda b, h, q, k: LENGTHS[b],
                lambda b, h, q, k: OFFSETS[k],
                lambda b, h, q, k: SHIFT,
            )
        x, y = number(depth - 1), number(depth - 1)
        n = int(rng.integers(0, 4))
        return pick(
            lambda *i: x(*i) + y(*i),
            lambda *i: x(*i) - y(*i),
            lambda *i: x(*i) - y(*i),
            lambda *i: -x(*i),
            lambda *i: abs(x(*i)),
            lambda *i: x(*i) >> n,
            lambda *i: x(*i) * (n - 1),
            lambda *i: minimum(x(*i), y(*i)),
            lambda *i: maximum(x(*i), y(*i)),
            lambda *i: where(i[0] < n, x(*i), y(*i)),
            x,
        )

    def condition(depth: int):
        if depth == 0:
            x, y = number(int(rng.integers(0, 3))), number(int(rng.integers(0, 2)))
            return pick(
                lambda *i: x(*i) <= y(*i),
                lambda *i: x(*i) < y(*i),
                lambda *i: x(*i) >= y(*i),
                lambda *i: x(*i) == y(*i),
                lambda *i: (i[3] >= i[2]) & (x(*i) == x(*i)),
                lambda *i: i[3] <= maximum(i[2], 0) + 2,
                lambda *i: FLAG & (x(*i) != y(*i)),
            )
        x, y, z = (condition(depth - 1) for _ in range(3))
        return pick(
            lambda *i: x(*i) & y(*i),
            lambda *i: x(*i) & y(*i),
            lambda *i: x(*i) | y(*i),
            lambda *i: logical_not(x(*i)),
            lambda *i: where(z(*i), x(*i), y(*i)),
            x,
        )

    return condition(depth)


def test_random_masks() -> None:
    rng = np.random.default_rng(7)
    bounded = narrowed = 0
    for _ in range(300):
        mask = random_mask(rng)
        try:
            traced = trace(mask_mod=mask)
        except ScoreError as error:
            assert "nothing to trace" in str(error)
            continue
        if bounds(traced.program, NUMERICS) is None:
            continue
        low, high, seen = ranges(mask)
        kv = np.arange(KEYS)
        inside = (kv >= low[..., None]) & (kv <= high[..., None])
        assert not (seen & ~inside[:, None]).any()
        bounded += 1
        narrowed += bool((~inside).any() and seen.any())
    assert bounded > 60 and narrowed > 30
