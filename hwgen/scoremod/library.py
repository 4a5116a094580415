"""Score functions that people use, written in the language of `hwgen.scoremod`.

Each function gives a `score_mod(score, b, h, q_idx, kv_idx)`, a `mask_mod(b, h, q_idx, kv_idx)` or a `sink(b, h,
q_idx)`. Where a number may differ between batch entries or heads, a sequence makes a table of it, loaded at run time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from golden.bitexact.numerics import Numerics
from golden.scoremod.program import KEEP_FRAC
from hwgen.errors import InputError
from hwgen.scoremod.arguments import BiasTensor, Parameter, Table
from hwgen.scoremod.trace import MaskMod, ScoreMod, Traced, trace
from hwgen.scoremod.values import Source, maximum, minimum, where
from hwgen.scoremod.values import tanh as _tanh

LONGEST = 1 << 20
"""Largest length of a sequence."""

UNBOUNDED = -1


def _per_batch(value: Any, name: str) -> Callable[[Any], Any]:
    """The number that belongs to a batch entry: one for all (a number or a Parameter), or one for each."""
    if isinstance(value, Table):
        return lambda b: value[b]
    if isinstance(value, Source) or np.ndim(value) == 0:
        return lambda b: value
    table = Table(value, name, low=0, high=LONGEST)
    return lambda b: table[b]


def causal(offset: Any = 0) -> MaskMod:
    """Query i sees the keys j <= i + offset. The offset is a number, a Parameter, or a sequence or table with one for
    each batch entry (>= 0): the number of keys before the first query, as with a cache."""
    of = _per_batch(offset, "causal_offsets")
    return lambda b, h, q_idx, kv_idx: kv_idx <= q_idx + of(b)


def window(left: int, right: int) -> MaskMod:
    """Query i sees the keys i - left <= j <= i + right, -1 meaning no limit: sliding window attention (Beltagy et al.,
    Longformer, 2020), with the numbers of FlashAttention's `window_size`."""

    def mask(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        after = True if left == UNBOUNDED else q_idx - left <= kv_idx
        before = True if right == UNBOUNDED else kv_idx <= q_idx + right
        return after & before

    return mask


def key_lengths(lengths: Any) -> MaskMod:
    """Batch entry b has the first `lengths[b]` keys only: padding."""
    of = _per_batch(lengths, "key_lengths")
    return lambda b, h, q_idx, kv_idx: kv_idx < of(b)


def prefix_lm(prefix: Any) -> MaskMod:
    """Causal, but the first `prefix` keys (one number, or one for each batch entry) are seen by every query: a prefix
    language model (Raffel et al., T5, 2020)."""
    of = _per_batch(prefix, "prefix")
    return lambda b, h, q_idx, kv_idx: (kv_idx <= q_idx) | (kv_idx < of(b))


def documents(q_ids: ArrayLike, kv_ids: ArrayLike | None = None) -> MaskMod:
    """A query sees the keys of its own document: sequences packed into one. Ids are (positions,) or (batch, positions);
    those of the keys are the queries' if not given."""
    queries = q_ids if isinstance(q_ids, Table) else Table(q_ids, "document_ids")
    keys = queries if kv_ids is None else kv_ids if isinstance(kv_ids, Table) else Table(kv_ids, "key_document_ids")

    def of(table: Table, b: Any, i: Any) -> Any:
        return table[i] if len(table.shape) == 1 else table[b, i]

    return lambda b, h, q_idx, kv_idx: of(queries, b, q_idx) == of(keys, b, kv_idx)


def alibi_slopes(heads: int) -> list[float]:
    """The slopes of the ALiBi paper: for a power of two n, the geometric sequence from 2^(-8/n) to 2^-8; for another
    number those of the power of two below, then every other one of the power of two above."""
    n = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * (i + 1) / n) for i in range(n)]
    return slopes + [2.0 ** (-4 * (2 * i + 1) / n) for i in range(heads - n)]


def alibi(slopes: Any, symmetric: bool = False) -> ScoreMod:
    """`score + slope[h] (j - i)`: attention with linear biases (Press et al., 2022). `slopes` is one for each query
    head, or the number of heads. For attention that is not causal `symmetric` gives `score - slope[h] |j - i|`."""
    slopes = alibi_slopes(slopes) if isinstance(slopes, int) else slopes
    table = slopes if isinstance(slopes, Table) else Table(slopes, "alibi_slopes", low=0)

    def modify(score: Any, b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        distance = -abs(kv_idx - q_idx) if symmetric else kv_idx - q_idx
        return score + table[h] * distance

    return modify


def softcap(cap: float) -> ScoreMod:
    """`cap tanh(score / cap)`: Gemma 2 (2024) caps its scores at 50."""
    if not (math.isfinite(cap) and cap > 0):
        raise InputError(f"softcap needs a positive number, not {cap!r}")
    return lambda score, b, h, q_idx, kv_idx: cap * _tanh(score / cap)


def relative_bias(table: ArrayLike, left: int | None = None) -> ScoreMod:
    """`score + table[h, j - i + left]`, (heads, distances), the ends standing for whatever is further away: a learned
    bias of clipped distances (Shaw et al., 2018). `left` is the middle of the table if not given."""
    stored = table if isinstance(table, Table) else Table(table, "relative_bias")
    last = stored.shape[1] - 1
    before = last // 2 if left is None else left

    def modify(score: Any, b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        return score + stored[h, minimum(maximum(kv_idx - q_idx + before, 0), last)]

    return modify


def t5_buckets(buckets: int = 32, max_distance: int = 128) -> list[int]:
    """T5's bucket of every distance 0 .. max_distance on one side: one each up to half of the buckets, then spaced
    logarithmically."""
    exact = buckets // 2
    found = []
    for n in range(max_distance + 1):
        step = 0.0 if n < exact else math.log(n / exact) / math.log(max_distance / exact) * (buckets - exact)
        found.append(n if n < exact else min(exact + int(step), buckets - 1))
    return found


def t5_bias(table: ArrayLike, bidirectional: bool = True, max_distance: int = 128) -> ScoreMod:
    """`score + table[h, bucket(j - i)]`, (heads, buckets): T5's relative position bias (Raffel et al., 2020). In the
    bidirectional form the upper half of the buckets is for keys behind the query; else those share bucket 0."""
    stored = table if isinstance(table, Table) else Table(table, "t5_bias")
    side = stored.shape[1] // 2 if bidirectional else stored.shape[1]
    bucket = Table(t5_buckets(side, max_distance), "t5_buckets")

    def modify(score: Any, b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        ahead = kv_idx - q_idx
        distance = abs(ahead) if bidirectional else maximum(-ahead, 0)
        found = bucket[minimum(distance, max_distance)]
        return score + stored[h, where(ahead > 0, found + side, found) if bidirectional else found]

    return modify


def bias(tensor: Any) -> Any:
    """A tensor (batch, heads, queries, keys), sizes of 1 stretched: of numbers a score_mod that adds it, of booleans a
    mask_mod that says what is seen."""
    stored = tensor if isinstance(tensor, BiasTensor) else BiasTensor(tensor)
    if stored.kind == "boolean":
        return lambda b, h, q_idx, kv_idx: stored[b, h, q_idx, kv_idx]
    return lambda score, b, h, q_idx, kv_idx: score + stored[b, h, q_idx, kv_idx]


def sink(values: Any) -> Callable[..., Any]:
    """A score for each query head (or one for all) that takes weight and gives no value: the learned sinks of gpt-oss
    (2025); 0 gives softmax-off-by-one."""
    if isinstance(values, Parameter | float | int):
        return lambda b, h, q_idx: values
    table = values if isinstance(values, Table) else Table(values, "sinks")
    return lambda b, h, q_idx: table[h]


WORD = 0xFFFFFFFF
HASH_BITS = 30
"""Bits of the number that decides whether a pair is kept: with the threshold for none it fits an argument."""


def _word(x: Any) -> Any:
    return x & WORD


def _turned(x: Any, bits: int) -> Any:
    """A word rotated to the left."""
    return _word(x << bits) | (x >> (32 - bits))


def _mixed(x: Any) -> Any:
    """Bob Jenkins' 32-bit integer hash, which needs no multiplication."""
    x = _word(x + 0x7ED55D16 + _word(x << 12))
    x = (x ^ 0xC761C23C) ^ (x >> 19)
    x = _word(x + 0x165667B1 + _word(x << 5))
    x = _word(x + 0xD3A2646C) ^ _word(x << 9)
    x = _word(x + 0xFD7046C5 + _word(x << 3))
    return (x ^ 0xB55A4F09) ^ (x >> 16)


def pair_hash(seed: Any, b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
    """32 bits of a pair. A word of (seed, b, h, q) and one of (seed, kv) are hashed thoroughly, once a query and once a
    key; what mixes both runs for every pair and is short. Each word enters it more than once: a function of their sum
    alone, as short as this, would give rows whose words lie close the same pattern."""
    query = _mixed(_word(_mixed(_word(_mixed(seed) + (b << 16) + h)) + q_idx))
    key = _mixed(_word(_mixed(seed ^ 0x3C6EF372) + kv_idx))
    x = _turned(_word(query + key), 13) ^ query
    x = _word(x + _word(x << 9))
    x = _turned(x, 16) ^ key
    x = _word(x + _word(x << 7))
    x = x ^ _turned(x, 16)
    return _word(x + _word(x << 5))


@dataclass(frozen=True)
class Dropout:
    """Attention dropout: a pair's weight is dropped with `probability`, and kept ones are scaled by 1 / (1 - it); which
    ones is a function of the seed (31 bits) and the pair's indices. Raises InputError for numbers out of range."""

    probability: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise InputError(f"a dropout probability lies in 0 .. 1, not {self.probability!r}")
        if not 0 <= self.seed < 1 << 31:
            raise InputError(f"a dropout seed lies in 0 .. 2^31 - 1, not {self.seed!r}")

    def overrides(self) -> dict[str, int]:
        """What the parameters of a program traced with dropout must hold for this probability and seed."""
        scale = 1.0 if self.probability == 1 else 1 / (1 - self.probability)
        mantissa, shift = math.frexp(scale)
        factor = round(mantissa * (1 << KEEP_FRAC))
        if factor == 1 << (KEEP_FRAC - 1):
            factor, shift = 2 * factor, shift - 1
        threshold = round(self.probability * (1 << HASH_BITS))
        return {
            "dropout_seed": self.seed,
            "dropout_threshold": threshold,
            "dropout_factor": factor,
            "dropout_shift": shift,
        }

    def _parameter(self, name: str, low: int, high: int) -> Parameter:
        return Parameter(name, self.overrides()[name], low, high)

    @cached_property
    def _seed(self) -> Parameter:
        return self._parameter("dropout_seed", 0, (1 << 31) - 1)

    @cached_property
    def _threshold(self) -> Parameter:
        return self._parameter("dropout_threshold", 0, 1 << HASH_BITS)

    @cached_property
    def factor(self) -> Parameter:
        """Kept weights are multiplied by factor * 2^-KEEP_FRAC * 2^shift; 2^16 < factor <= 2^17."""
        return self._parameter("dropout_factor", (1 << (KEEP_FRAC - 1)) + 1, 1 << KEEP_FRAC)

    @cached_property
    def shift(self) -> Parameter:
        return self._parameter("dropout_shift", 0, 63)

    def keep(self, b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        """Whether a pair is kept; of traced values or of arrays."""
        return pair_hash(self._seed, b, h, q_idx, kv_idx) >> (32 - HASH_BITS) >= self._threshold


def dropout(p: float, seed: int = 0) -> Dropout:
    """Attention dropout of probability p, for `trace(dropout=...)`."""
    return Dropout(p, seed)


def both(*masks: MaskMod) -> MaskMod:
    """Seen where every one of the masks says so."""

    def mask(*indices: Any) -> Any:
        found: Any = True
        for part in masks:
            found = found & part(*indices)
        return found

    return mask


def either(*masks: MaskMod) -> MaskMod:
    """Seen where any of the masks says so."""

    def mask(*indices: Any) -> Any:
        found: Any = False
        for part in masks:
            found = found | part(*indices)
        return found

    return mask


def chain(*score_mods: ScoreMod) -> ScoreMod:
    """One after the other, each on the score that the one before gives."""

    def modify(score: Any, *indices: Any) -> Any:
        for part in score_mods:
            score = part(score, *indices)
        return score

    return modify


@dataclass(frozen=True)
class Example:
    """A function of this library with arguments as they occur: called, it is traced."""

    about: str
    arguments: Callable[[], Mapping[str, Any]] = field(repr=False)

    def __call__(self, numerics: Numerics | None = None) -> Traced:
        return trace(**self.arguments(), numerics=numerics)


def _relative(heads: int, distances: int) -> Sequence[Sequence[float]]:
    return [[2.0 ** -(h % 4) * math.cos(d) for d in range(distances)] for h in range(heads)]


LIBRARY: dict[str, Example] = {
    "causal": Example("causal", lambda: {"mask_mod": causal()}),
    "window": Example("a window of 256 keys to the left", lambda: {"mask_mod": window(256, 0)}),
    "key_lengths": Example("lengths of 8 batch entries", lambda: {"mask_mod": key_lengths([64] * 8)}),
    "prefix_lm": Example("prefixes of 8 batch entries", lambda: {"mask_mod": prefix_lm([16] * 8)}),
    "documents": Example(
        "causal within the documents of 64 positions",
        lambda: {"mask_mod": both(causal(), documents([i // 16 for i in range(64)]))},
    ),
    "alibi": Example("ALiBi for 8 heads", lambda: {"score_mod": alibi(8), "mask_mod": causal()}),
    "softcap": Example("scores capped at 50", lambda: {"score_mod": softcap(50.0)}),
    "relative_bias": Example(
        "8 heads, distances up to 32", lambda: {"score_mod": relative_bias(_relative(8, 65))}
    ),
    "t5_bias": Example("T5 for 8 heads and 32 buckets", lambda: {"score_mod": t5_bias(_relative(8, 32))}),
    "bias": Example("a bias from memory", lambda: {"score_mod": bias(np.zeros((1, 1, 1, 1)))}),
    "bias_mask": Example("a mask from memory", lambda: {"mask_mod": bias(np.ones((1, 1, 1, 1), dtype=bool))}),
    "sink": Example("a sink for each of 8 heads", lambda: {"sink": sink([0.5] * 8)}),
    "dropout": Example("dropout of a tenth", lambda: {"dropout": dropout(0.1)}),
    "gemma": Example(
        "softcap and a causal window", lambda: {"score_mod": softcap(50.0), "mask_mod": window(256, 0)}
    ),
    "gpt_oss": Example("sinks and a causal window", lambda: {"mask_mod": window(127, 0), "sink": sink([0.5] * 8)}),
}
