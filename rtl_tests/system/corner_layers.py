"""Layers in which something is as large, as small or as even as it can be, for the machine without a score program."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from golden.bitexact.attention import weights
from golden.bitexact.exp2 import exp2_fraction
from golden.bitexact.normalise import bit_length
from golden.formats import CodeArray, decode, encode
from hwgen.params import Params
from hwgen.sim.layout import Arrangement
from hwgen.softmax.reciprocal import INDEX_BITS
from rtl_tests.harness.layers import Layer, stack

UNIT = math.log(2.0)
"""A scale of this makes a score the product of its q and k in units of base 2."""


def numbers(core: Params, values: Any, *shape: int) -> CodeArray:
    return encode(np.asarray(values, dtype=np.float64).reshape(shape), core.input)


def ties(core: Params) -> list[Layer]:
    """Scores that lie half way between two that can be told apart, and those around the largest and smallest."""
    rng = np.random.default_rng(4)
    layers = []
    # With odd numbers on both sides every product is a tie, and rows of any size need every shift.
    for power, first, step in (
        (-15, -255, 8),
        (-15, 1, 2),
        (-16, -200, 3),
        (0, -2100, 64),
        (0, 2048 - 40, 1),
        (3, -16, 1),
    ):
        q = numbers(core, [1, -1, 0.5, 3, 0, 7, -15, 31, -61, 127, 255], 1, 1, 11, 1)
        k = numbers(core, np.arange(first, first + 64 * step, step), 1, 1, 64, 1)
        layers.append(Layer(q, k, stack(rng, (1, 1, 64, 3), core), scale=2.0**power * UNIT))
    return layers


def single_scores(core: Params) -> list[Layer]:
    """Heads of one key, whose LSE is the score itself: powers of two of both signs and what is next to them, ties at
    every distance from the point, scores far beyond the largest."""
    rng = np.random.default_rng(12)
    q = numbers(core, [1, 255 / 256, 129 / 128, 3, 13, 171], 1, 1, 6, 1)
    powers = np.exp2(np.arange(-24, 40))
    layers = []
    for factor, scale in (
        (1.0, 1.0),
        (-1.0, 1.0),
        (-255 / 256, 1.0),
        (1.0, 1 - 2.0**-18),
        (-1.0, 2.0**-14),
        (3.0, 2.0**-16),
    ):
        k = numbers(core, factor * powers, 1, 64, 1, 1)
        layers.append(Layer(np.repeat(q, 64, 1), k, stack(rng, (1, 64, 1, 1), core), scale=scale * UNIT))
    # Nearly all digits of the product are ones.
    e, power = core.config.head_e, np.exp2(np.arange(-24, 40))[:, None]
    q, k = (numbers(core, 255 / 256 * size * np.ones((64, e)), 1, 64, 1, e) for size in (1, power))
    layers.append(Layer(q, k, stack(rng, (1, 64, 1, 1), core), scale=528400 / 2**19 * UNIT))
    return layers


def jumps(core: Params) -> Layer:
    """Many equal keys, one whose score is larger by the query's number, and smaller ones again: sums are shifted by
    every amount that there is, and weights too."""
    rng = np.random.default_rng(10)
    q = numbers(core, np.arange(70), 1, 1, 70, 1)
    k = numbers(core, np.repeat([0.0, 1.0, 2.0, 0.0], (40, 1, 1, 2)), 1, 1, 44, 1)
    return Layer(q, k, stack(rng, (1, 1, 44, 3), core), scale=UNIT)


def even_distance(core: Params) -> int:
    """Units of score by which a key is smaller than another if their weights add up to a power of two."""
    n = core.numerics
    y = exp2_fraction(np.arange(1 << n.score_frac), n)
    for down in range(1, n.weight_bits):
        fits = np.flatnonzero(int(y[0]) + (y >> down) == 1 << n.weight_bits)
        if len(fits):
            return int(down << n.score_frac) + int(fits[0])
    raise ValueError("no two weights add up to a power of two")


def even_quotients(core: Params, heads: int, pairs: int, top: int, seed: int) -> Layer:
    """Denominators that are powers of two, so that quotients end within a few digits and many are ties; their size is
    about 2^top and less, and of all lengths."""
    rng, n = np.random.default_rng(seed), core.numerics
    distance = even_distance(core)
    shape = 1, heads, 2 * pairs, core.config.head_f
    # The second key of a pair has the smaller weight and values larger by as much: each gives half of the digits.
    lift = np.tile([0.0, float(distance >> n.score_frac)], pairs)[:, None]
    values = rng.choice([-1, 1], shape) * rng.integers(128, 256, shape) / 256
    values *= np.exp2(top + lift - rng.integers(0, 3, shape) * (rng.random(shape) < 0.5))
    keys = numbers(core, np.tile([0.0, -1.0], heads * pairs), 1, heads, 2 * pairs, 1)
    q = numbers(core, np.ones(heads), 1, heads, 1, 1)
    return Layer(q, keys, encode(values, core.input), scale=distance / (1 << n.score_frac) * UNIT)


EVEN_STEPS = [*range(15), 14]
"""Keys that are smaller than the largest by so many units of base 2 weigh nearly as much again as that one."""


def taken_apart(core: Params, total: int, weights: list[int]) -> list[int]:
    """Elements of no more digits than a number has, whose products with weights, as they are added to a numerator, give
    a number exactly."""
    n, digits, found = core.numerics, core.input.mantissa_bits + 1, []
    for weight in weights:
        whole = -(-(total << n.drop) // weight)
        unit = max(whole.bit_length() - digits, 0)
        element = whole >> unit << unit
        if element * weight >> n.drop > total:
            element -= 1 << unit
        found.append(element)
        total -= element * weight >> n.drop
    if total:
        raise ValueError(f"{total} of a numerator are left")
    return found


def even_means(core: Params, heads: int, top: int) -> tuple[Layer, int]:
    """Quotients that are ties of the output format and to be rounded up. The largest score is `top`; the second result
    is that of a sink, in units of a score, which weighs what the keys lack of a power of two."""
    n, f, keys = core.numerics, core.config.head_f, len(EVEN_STEPS)
    y = exp2_fraction(np.arange(1 << n.score_frac), n)
    weights = [int(y[0]) >> step for step in EVEN_STEPS]
    lack = (2 << n.weight_bits) - sum(weights)
    down = next(down for down in range(n.weight_bits) if (y >> down == lack).any())
    distance = (down << n.score_frac) + int(np.flatnonzero(y >> down == lack)[0])
    one, digits = n.operand_bits - 2, core.output.mantissa_bits + 1
    values = np.full((1, heads, keys, f), 1.0)
    for number, (head, column) in enumerate(np.ndindex(heads, f - 1)):
        # A digit more than there is place for, an odd number, and so is its half.
        mean = (1 << digits) + (4 * number + 3) % (1 << digits)
        elements = taken_apart(core, mean << one + n.weight_bits - n.drop - digits - 1, weights)
        values[0, head, :, 1 + column] = np.ldexp(elements, -one)
    k = numbers(core, np.tile(top - np.array(EVEN_STEPS), heads), 1, heads, keys, 1)
    layer = Layer(numbers(core, np.ones(heads), 1, heads, 1, 1), k, encode(values, core.input), scale=UNIT)
    return layer, (top << n.score_frac) - distance


def divisors(core: Params) -> Layer:
    """Denominators for which the reciprocal's table is least right: those of two keys, apart by many distances, that
    lie a little above the lower end of one of its intervals."""
    rng, n = np.random.default_rng(13), core.numerics
    q = np.unique(encode(np.exp2(rng.uniform(-5, 4, 20000)), core.input))
    ceiling, y = weights(np.rint(-decode(q, core.input) * (1 << n.score_frac)).astype(np.int64), n)
    total = exp2_fraction(np.array([0]), n) + (y >> -ceiling)
    place = np.ldexp(total, INDEX_BITS + 1 - bit_length(total)) % 1
    chosen = rng.choice(q[place < 0.1], (1, 8, 64, 1))
    v = encode(rng.standard_normal((1, 8, 2, core.config.head_f)), core.input)
    return Layer(chosen, numbers(core, np.tile([0.0, -1.0], 8), 1, 8, 2, 1), v, scale=UNIT)


def most_heads(core: Params) -> Layer:
    """As many heads for one key as there can be."""
    rng = np.random.default_rng(11)
    tensors = (stack(rng, (1, heads, 1, 1), core) for heads in (4096, 1, 1))
    return Layer(*tensors, scale=1.0, lse=False)


def plain(core: Params, seed: int, *shape: int, **others: Any) -> Layer:
    """Batches, heads, key/value heads, queries, keys, E and F."""
    rng = np.random.default_rng(seed)
    b, heads, kv_heads, queries, keys, e, f = shape
    tensors = (stack(rng, s, core) for s in ((b, heads, queries, e), (b, kv_heads, keys, e), (b, kv_heads, keys, f)))
    return Layer(*tensors, scale=0.4, **others)


def long(core: Params) -> list[Layer]:
    """More keys than the buffers hold, read once for every block; one query of many heads; many blocks of few keys."""
    e, f = core.config.head_e, core.config.head_f
    return [
        plain(core, 5, 1, 1, 1, 2 * core.block + 3, 70, e, f, causal=True, offset=5),
        plain(core, 6, 1, 7, 1, 1, 150, e, f, offset=5),
        plain(core, 7, 1, 3, 1, 60, 3, e, f, offset=5),
    ]


def narrow(core: Params) -> list[Layer]:
    """Heads so small that a visit takes a cycle: one query before many keys; blocks that end with a single query, one
    behind the other; and rows of K much longer than those of V, or the other way round."""
    e, f, block = core.config.head_e, core.config.head_f, core.block
    return [
        plain(core, 14, 1, 1, 1, 1, 90, 1, 1),
        plain(core, 15, 1, 4, 4, block + 1, 40, 4, 4),
        plain(core, 16, 1, 12, 12, block + 1, 5, 2, 3),
        plain(core, 17, 2, 3, 3, 5 * block, 3, e, 1, causal=True, offset=1),
        plain(core, 18, 2, 3, 3, 5 * block, 3, 1, f, causal=True, offset=1),
        plain(core, 19, 6, 2, 1, 7, 9, 3, 5, lengths=np.array([9, 0, 4, 1, 8, 5])),
        plain(core, 34, 1, 40, 40, 1, 1, e, 1),
        plain(core, 35, 1, 40, 40, 1, 1, 1, f),
        odd_rows(core),
    ]


def odd_rows(core: Params, kv_heads: int = 2) -> Layer:
    """Rows of O of two elements with one of nobody's between them: they begin in every lane of a word, and come one
    behind the other."""
    apart = {"o": Arrangement(gaps=(1, 0, 0), shift=1)}
    return plain(core, 37, 1, kv_heads, kv_heads, 2 * core.block + 1, 1, 1, 2, arrange=apart)


def pages(core: Params) -> list[Layer]:
    """Keys of one word that begin everywhere in a burst, for a full block and a single query behind it: wherever the
    second block begins, once its first row is there and the second one comes with the next burst. And heads whose keys
    take two bursts, their values one."""
    found = [plain(core, 38, 1, 40, 40, 1, 3, core.config.head_e, 1)]
    for shift in range(core.config.burst_beats):
        at = {name: Arrangement(shift=4 * shift) for name in "kv"}
        # With short rows of V two bursts of K may be in flight, the second one of a single row.
        found += [plain(core, 36, 1, 1, 1, core.block + 1, 20, 4, f, arrange=at) for f in (4, 1)]
    return found


def left_over(core: Params) -> tuple[list[Layer], list[Layer]]:
    """Blocks whose last column saturates and is poisoned; and single queries, in whose blocks nobody may look at what
    is left of it there."""
    rng, block, cols = np.random.default_rng(20), core.block, core.config.cols
    last = np.arange(2 * block) % cols == cols - 1
    full = []
    for value in (2.0**40, math.nan):
        q = numbers(core, np.where(last, value, 1.0), 1, 1, 2 * block, 1)
        full.append(Layer(q, numbers(core, [1, -1, 2], 1, 1, 3, 1), stack(rng, (1, 1, 3, 3), core), scale=UNIT))
    return full, [plain(core, seed, 1, 1, 1, 1, 3, 1, 3) for seed in (21, 22, 23)]
