"""The library's functions against what their sources define, on arrays and as programs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from golden.bitexact.numerics import Numerics
from golden.scoremod import evaluate
from golden.scoremod.program import KEEP_FRAC
from hwgen.errors import InputError
from hwgen.scoremod import BiasTensor, Parameter, library, trace
from hwgen.scoremod.library import LIBRARY, Dropout, dropout
from hwgen.scoremod.partition import Partition

SHAPE = (2, 4, 30, 36)
B, H, Q, K = np.ogrid[tuple(slice(n) for n in SHAPE)]
UNIT = 2.0 ** -Numerics().score_frac
LOG2E = math.log2(math.e)


def seen(mask) -> np.ndarray:
    """(B, H, Q, K) of a mask, which is the same on arrays and as a program."""
    traced = trace(mask_mod=mask)
    found = evaluate(traced.program, {"b": B, "h": H, "q": Q, "kv": K}, traced.codes())["seen"]
    want = np.broadcast_to(mask(B, H, Q, K), SHAPE)
    np.testing.assert_array_equal(np.broadcast_to(found, SHAPE) != 0, want)
    return want


def full(mask) -> np.ndarray:
    return np.broadcast_to(mask, SHAPE)


def test_masks() -> None:
    np.testing.assert_array_equal(seen(library.causal()), full(K <= Q))
    np.testing.assert_array_equal(seen(library.causal(-2)), full(K <= Q - 2))
    np.testing.assert_array_equal(seen(library.causal([3, 0])), full(Q + np.array([3, 0])[B] >= K))
    np.testing.assert_array_equal(seen(library.causal(Parameter("o", 4, -9, 9))), full(K <= Q + 4))
    np.testing.assert_array_equal(seen(library.window(3, 1)), full((Q - K <= 3) & (K - Q <= 1)))
    np.testing.assert_array_equal(seen(library.window(-1, 1)), full(K - Q <= 1))
    np.testing.assert_array_equal(seen(library.window(0, -1)), full(K >= Q))
    np.testing.assert_array_equal(seen(library.key_lengths([7, 0])), full(np.array([7, 0])[B] > K))
    np.testing.assert_array_equal(seen(library.prefix_lm(9)), full((K <= Q) | (K < 9)))
    np.testing.assert_array_equal(seen(library.prefix_lm([9, 2])), full((K <= Q) | (np.array([9, 2])[B] > K)))
    ids = np.arange(36) // 7
    np.testing.assert_array_equal(seen(library.documents(ids)), full(ids[Q] == ids[K]))
    both = np.stack([ids, ids[::-1]])
    np.testing.assert_array_equal(seen(library.documents(both, both)), full(both[B, Q] == both[B, K]))
    parts = library.causal(), library.key_lengths([20, 30])
    np.testing.assert_array_equal(seen(library.both(*parts)), seen(parts[0]) & seen(parts[1]))
    np.testing.assert_array_equal(seen(library.either(*parts)), seen(parts[0]) | seen(parts[1]))


def scores(mod, most: float = 1.0) -> np.ndarray:
    """(B, H, Q, K) natural scores of a score_mod on arrays; the program is as close as rounding and `most` units."""
    codes = np.rint(np.random.default_rng(3).normal(0, 5, SHAPE) / UNIT).astype(np.int64)
    traced = trace(mod)
    found = evaluate(traced.program, {"score": codes, "b": B, "h": H, "q": Q, "kv": K}, traced.codes())["score"]
    want = mod(codes * UNIT / LOG2E, B, H, Q, K)
    assert (np.abs(found - want * LOG2E / UNIT) <= most).all()
    return want - codes * UNIT / LOG2E


def test_alibi() -> None:
    slopes = np.array(library.alibi_slopes(4))
    np.testing.assert_array_equal(slopes, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8])
    np.testing.assert_allclose(scores(library.alibi(4)), full(slopes[H] * (K - Q)), atol=1e-12)
    np.testing.assert_allclose(scores(library.alibi(slopes, symmetric=True)), full(-slopes[H] * abs(K - Q)), atol=1e-12)
    twelve = library.alibi_slopes(12)
    assert twelve[:8] == library.alibi_slopes(8) and twelve[8:] == library.alibi_slopes(16)[:8:2]


def test_softcap() -> None:
    x = np.linspace(-300, 300, 101)
    np.testing.assert_allclose(library.softcap(50)(x, 0, 0, 0, 0), 50 * np.tanh(x / 50))
    scores(library.softcap(30.0))
    for cap in (0, -1.0, np.inf):
        with pytest.raises(InputError):
            library.softcap(cap)


def test_relative_bias() -> None:
    table = np.random.default_rng(0).normal(0, 1, (4, 9))
    distance = np.clip(K - Q, -4, 4) + 4
    np.testing.assert_allclose(scores(library.relative_bias(table)), full(table[H, distance]), atol=1e-12)
    distance = np.clip(K - Q, -8, 0) + 8
    np.testing.assert_allclose(scores(library.relative_bias(table, left=8)), full(table[H, distance]), atol=1e-12)


def t5_bucket(relative: np.ndarray, bidirectional: bool, buckets: int, most: int) -> np.ndarray:
    """As in the authors' mesh-tensorflow code."""
    bucket, n = np.zeros_like(relative), -relative
    if bidirectional:
        buckets //= 2
        bucket, n = bucket + (n < 0) * buckets, np.abs(n)
    else:
        n = np.maximum(n, 0)
    exact = buckets // 2
    large = np.log(np.maximum(n, 1) / exact) / math.log(most / exact) * (buckets - exact)
    return bucket + np.where(n < exact, n, np.minimum(exact + large.astype(np.int64), buckets - 1))


@pytest.mark.parametrize("bidirectional", [True, False])
def test_t5_bias(bidirectional: bool) -> None:
    table = np.random.default_rng(1).normal(0, 1, (4, 16))
    mod = library.t5_bias(table, bidirectional, max_distance=20)
    want = table[H, t5_bucket(K - Q, bidirectional, 16, 20)]
    np.testing.assert_allclose(scores(mod), full(want), atol=1e-12)


def test_bias() -> None:
    array = np.random.default_rng(2).normal(0, 1, (1, 4, 30, 36))
    np.testing.assert_array_equal(library.bias(array)(0.0, B, H, Q, K), full(array))
    mask = array > 0
    np.testing.assert_array_equal(library.bias(BiasTensor(mask))(B, H, Q, K), full(mask))
    assert trace(mask_mod=library.bias(mask)).bias.kind == "boolean"


def test_sink() -> None:
    np.testing.assert_array_equal(library.sink([1.0, 2.0])(0, np.array([1, 0]), 0), [2.0, 1.0])
    assert library.sink(0.0)(0, 3, 0) == 0.0
    assert evaluate(trace(sink=library.sink(1.0)).program, {})["sink"] == round(LOG2E / UNIT)


def test_chain_is_in_order() -> None:
    mod = library.chain(library.alibi([0.5]), library.softcap(3.0))
    np.testing.assert_allclose(mod(2.0, 0, 0, 9, 4), 3 * np.tanh((2 - 2.5) / 3))


@pytest.mark.parametrize("name", LIBRARY)
def test_examples(name: str) -> None:
    traced = LIBRARY[name]()
    assert traced.program.outputs and len(traced.words()) == traced.program.argument_words
    assert LIBRARY[name](Numerics(score_frac=10)).program.outputs
    assert LIBRARY[name]().program == traced.program


# Dropout


def kept(d: Dropout, queries: int = 512, keys: int = 512, b: int = 0, h: int = 0, first: int = 0) -> np.ndarray:
    return d.keep(b, h, first + np.arange(queries)[:, None], np.arange(keys)[None])


def test_dropout_program_equals_the_function() -> None:
    traced = trace(dropout=dropout(0.3, 11))
    for d in (dropout(0.3, 11), dropout(0.7, (1 << 31) - 1)):
        b, h, q, kv = 3, np.array([0, 9])[:, None, None], np.array([0, 5, (1 << 20) - 1])[:, None], np.arange(300)
        found = evaluate(traced.program, {"b": b, "h": h, "q": q, "kv": kv}, traced.codes(d.overrides()))
        np.testing.assert_array_equal(found["keep"] != 0, d.keep(b, h, q, kv))
        with traced.overriding(None):
            scale = int(found["keep_factor"]) * 2.0**-KEEP_FRAC * 2.0 ** int(found["keep_shift"])
        assert scale == pytest.approx(1 / (1 - d.probability), rel=2.0**-17)


def test_dropout_needs_no_multiplier_and_little_in_the_lanes() -> None:
    part = Partition(trace(dropout=dropout(0.1)).program, Numerics())
    operations = [[node.op for node in program.nodes] for program in (part.query, part.key, part.lane)]
    assert all("multiply" not in found for found in operations)
    assert [found.count("add") for found in operations][2] == 4
    assert set(part.query.inputs) == {"b", "h", "q"} and part.key.inputs == ("kv",)


def test_dropout_numbers() -> None:
    for p in (0, 1e-9, 0.1, 0.5, 0.75, 0.999, 1):
        o = dropout(p).overrides()
        assert 1 << 16 < o["dropout_factor"] <= 1 << 17 and o["dropout_shift"] >= 0
        if p < 1:
            scale = o["dropout_factor"] * 2.0 ** (o["dropout_shift"] - KEEP_FRAC)
            assert scale == pytest.approx(1 / (1 - p), rel=2.0**-16)
        trace(dropout=dropout(0.2)).codes(o)
    assert kept(dropout(0)).all() and not kept(dropout(1)).any()
    for arguments in ((-0.1,), (1.1,), (0.1, -1), (0.1, 1 << 31), (math.nan,)):
        with pytest.raises(InputError):
            dropout(*arguments)


def standard(pattern: np.ndarray, p: float) -> np.ndarray:
    """With mean 0 and variance 1 if every pair is kept with 1 - p."""
    return (pattern - (1 - p)) / math.sqrt(p * (1 - p))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 123456789])
def test_dropout_looks_random(p: float, seed: int) -> None:
    """Sums of n independent numbers of variance 1 stay within 6 sqrt(n), but for one in 10^9; here are fewer
    than 10^7. Rows and columns that have a pattern in common make the squares of their products larger
    than n."""
    z = standard(kept(dropout(p, seed)), p)
    n = len(z)
    assert abs(z.sum()) < 6 * n
    for axis in (0, 1):
        assert (np.abs(z.sum(axis=axis)) < 6 * math.sqrt(n)).all()
    for products in (z @ z.T, z.T @ z):
        # Of two patterns that are rarely dropped the product has a heavier tail.
        np.fill_diagonal(products, 0)
        assert (np.abs(products) < 7.5 * math.sqrt(n)).all()
        assert 0.96 < (products**2).sum() / (n * (n - 1)) / n < 1.04


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_neighbours_and_rectangles_are_independent(p: float) -> None:
    """Also sums of products over the corners of rectangles, which show a pattern made by xor of rows and columns."""
    z = standard(kept(dropout(p, 5)), p)
    n = len(z)
    for i in (0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 256):
        for j in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256):
            corners = z[: n - i, : n - j], z[i:, j:], z[: n - i, j:], z[i:, : n - j]
            products = [corners[0] * corners[1], corners[2] * corners[3]] + [np.prod(corners, axis=0)] * (i > 0)
            for product in products:
                assert abs(product.sum()) < 6 * math.sqrt(product.size)


def test_heads_batches_seeds_and_places_are_independent() -> None:
    p = 0.5
    first = standard(kept(dropout(p, 0)), p)
    others = [kept(dropout(p, seed)) for seed in (1, 2, 3, 1 << 12, 1 << 16, 1 << 30)]
    others += [kept(dropout(p, 0), h=h) for h in (1, 2, 7, 64)] + [kept(dropout(p, 0), b=b) for b in (1, 2, 32)]
    others += [kept(dropout(p, 0), first=q) for q in (512, 1 << 12, 1 << 19)] + [kept(dropout(p, 0)).T]
    for other in others:
        z = standard(other, p)
        for a, b in ((first, z), (first[1:], z[:-1]), (first[:, 1:], z[:, :-1]), (first[1:, 1:], z[:-1, :-1])):
            assert abs((a * b).sum()) < 6 * math.sqrt(a.size)
