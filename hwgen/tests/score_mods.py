"""Score functions of many kinds, for tests of whatever is made of them. All run on arrays too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwgen.scoremod import Parameter, Table, exp2, library, logical_and, logical_not, maximum, minimum, tanh, where

MASKED = float("-inf")

rng = np.random.default_rng(2026)
GATES = Table(rng.uniform(-2, 2, 8), "gates", low=-2, high=2)
SLOPES = Table(rng.uniform(0, 0.5, (2, 8)), "slopes", low=0, high=0.5)
BUCKET = Table([min(d.bit_length(), 7) for d in range(64)], "bucket", low=0, high=7)
WEIGHTS = Table(rng.standard_normal((8, 8)), "weights", low=-4, high=4)
PAGES = Table(rng.permutation(32), "pages", low=0, high=31)
PAGE_BIAS = Table(rng.uniform(-3, 3, 32), "page_bias", low=-3, high=3)
LOCAL = Table(np.arange(8) % 3 == 0, "local_heads")
STEP = Parameter("step", 0.03, -0.25, 0.25)
DECAY = Parameter("decay", 0.05, 0.0, 1.0)
LIMIT = Parameter("limit", 5, 0, 100)
SHIFT = Parameter("shift", -3, -(1 << 20), 1 << 20)


def alibi(score, b, h, q_idx, kv_idx):
    return score + SLOPES[b, h] * (kv_idx - q_idx)


def softcap(score, b, h, q_idx, kv_idx):
    return 20.0 * tanh(score / 20.0)


def half_capped(score, b, h, q_idx, kv_idx):
    """Two units meet: the score's own and that of the hyperbolic tangent."""
    return 0.5 * score + 7.3 * tanh(0.2 * score - 0.01 * (q_idx - kv_idx))


def nested_selects(score, b, h, q_idx, kv_idx):
    near = abs(q_idx - kv_idx) < 4
    return where(near, where(score > 1.5, 1.5 + (score - 1.5) / 4, score), where(kv_idx % 8 == 0, score, score - 2.0))


def table_of_tables(score, b, h, q_idx, kv_idx):
    return score + PAGE_BIAS[PAGES[kv_idx & 31]]


def step_times_index(score, b, h, q_idx, kv_idx):
    return score - STEP * minimum(kv_idx, 1023) + 3.0 * STEP


def decaying_gate(score, b, h, q_idx, kv_idx):
    return score * exp2(-(DECAY * abs(q_idx - kv_idx)))


def head_gate(score, b, h, q_idx, kv_idx):
    return score * GATES[h]


def gated_both_ways(score, b, h, q_idx, kv_idx):
    gated = score * GATES[h]
    return where(gated > 1.0, tanh(gated), maximum(-3.0 * gated, gated - 0.25))


def bucketed(score, b, h, q_idx, kv_idx):
    return score + WEIGHTS[h, BUCKET[minimum(abs(q_idx - kv_idx), 63)]]


def negated_absolute(score, b, h, q_idx, kv_idx):
    return -abs(score - GATES[h] * 2.5) * 0.7


def clipped(score, b, h, q_idx, kv_idx):
    return minimum(maximum(score, -1.25), 2.75 + SLOPES[b, h])


def masked_blocks(score, b, h, q_idx, kv_idx):
    same = (q_idx >> 3) == (kv_idx >> 3)
    return where(same | (kv_idx < LIMIT), score, MASKED)


def masked_and_changed(score, b, h, q_idx, kv_idx):
    return where(LOCAL[h] & (q_idx - kv_idx > 6), MASKED, score) + where(kv_idx <= q_idx + SHIFT, 0.0, MASKED) + 0.125


def checkered(b, h, q_idx, kv_idx):
    return ((q_idx ^ kv_idx) & 5) != 4


def strided(b, h, q_idx, kv_idx):
    """The sparse pattern of strided attention: near keys and every fourth one, for some heads."""
    near = logical_and(kv_idx <= q_idx, q_idx - kv_idx < 4)
    return where(LOCAL[h], near, near | ((kv_idx & 3) == 3) & logical_not(kv_idx > q_idx))


def shifted_window(b, h, q_idx, kv_idx):
    return library.both(library.causal(SHIFT), library.window(9, 3))(b, h, q_idx, kv_idx)


SCORE_MODS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        alibi,
        softcap,
        half_capped,
        nested_selects,
        table_of_tables,
        step_times_index,
        decaying_gate,
        head_gate,
        gated_both_ways,
        bucketed,
        negated_absolute,
        clipped,
        masked_blocks,
        masked_and_changed,
    )
}
MASK_MODS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (checkered, strided, shifted_window)}
MODS = SCORE_MODS | MASK_MODS
"""By name; score_mods take five arguments, mask_mods four."""


def is_mask(function: Callable[..., Any]) -> bool:
    return len(inspect.signature(function).parameters) == 4


def roles(function: Callable[..., Any]) -> dict[str, Any]:
    """The function as an argument of `trace`."""
    return {"mask_mod" if is_mask(function) else "score_mod": function}


def combined(mods: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """One score_mod that does what the mod with the number `which`, a run-time parameter, does."""
    which = Parameter("which", 0, 0, max(len(mods) - 1, 1))

    def modify(score, b, h, q_idx, kv_idx):
        def one(function):
            if is_mask(function):
                return where(function(b, h, q_idx, kv_idx), score, MASKED)
            return function(score, b, h, q_idx, kv_idx)

        functions = list(mods.values())
        found = one(functions[-1])
        for i in reversed(range(len(functions) - 1)):
            found = where(which == i, one(functions[i]), found)
        return found

    return modify
