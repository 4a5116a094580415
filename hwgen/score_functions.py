"""The arguments of `hwgen.attention` as functions of single scores: one score_mod, one mask_mod, a sink and a dropout.

The same functions are traced into a score program and called with NumPy arrays by the exact model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.control.descriptor_rules import MAX_LENGTH
from hwgen.errors import InputError
from hwgen.problem import SINK_LIMIT, IntArray, Problem
from hwgen.scoremod import BiasTensor, Parameter, Table, library

Function = Callable[..., Any]

POSITION_LIMIT = MAX_LENGTH
"""Largest magnitude of a position or of a bound on keys that a program takes as an argument."""

SLOPE_LIMIT = 1.0
"""Usual ALiBi slopes are at most this."""


@dataclass(frozen=True, kw_only=True)
class ScoreFunctions:
    """What `hwgen.scoremod.trace` takes; None where there is nothing to do.

    causal, offset: the causal rule, if the one that every machine has is enough
    """

    score_mod: Function | None
    mask_mod: Function | None
    sink: Function | None
    dropout: Any
    causal: bool
    offset: int

    @property
    def plain(self) -> bool:
        """Scale, causal rule and key lengths say all: no score program is needed."""
        return all(part is None for part in (self.score_mod, self.mask_mod, self.sink, self.dropout))


def score_functions(problem: Problem, block_mask: bool = True) -> ScoreFunctions:
    """Compose what the arguments ask for, in the order: softcap, score_mod, ALiBi, attn_mask; and all masks, the block
    mask only if asked for."""
    scores, positions = problem.scores, problem.positions
    mods: list[Function] = []
    masks: list[Function] = []
    if scores.softcap:
        mods.append(library.softcap(scores.softcap))
    if scores.score_mod is not None:
        mods.append(scores.score_mod)
    if scores.slopes is not None:
        mods.append(distance_bias(scores.slopes, positions.offset))
    if scores.attn_mask is not None:
        tensor = library.bias(BiasTensor(scores.attn_mask))
        (masks if scores.attn_mask.dtype == np.bool_ else mods).append(tensor)
    last = positions.uniform_last
    if positions.first is not None:
        masks.append(from_first(positions.first))
    if positions.last is not None and last is None:
        masks.append(up_to_last(positions.last))
    if scores.mask_mod is not None:
        masks.append(scores.mask_mod)
    if block_mask and scores.block_mask is not None:
        masks.append(scores.block_mask.mask_mod)
    return ScoreFunctions(
        score_mod=library.chain(*mods) if mods else None,
        mask_mod=library.both(*masks) if masks else None,
        sink=None if scores.sink is None else library.sink(Table(scores.sink, "sinks", -SINK_LIMIT, SINK_LIMIT)),
        dropout=None if scores.dropout is None else library.dropout(*scores.dropout),
        causal=last is not None,
        offset=last or 0,
    )


def per_batch(name: str, values: IntArray) -> Callable[[Any], Any]:
    """A function of b that gives one of `values` (B,): an argument of the program, so that other values need no other
    machine."""
    if (values == values[0]).all():
        parameter = Parameter(name, int(values[0]), -POSITION_LIMIT, POSITION_LIMIT)
        return lambda b: parameter
    table = Table(values, name, -POSITION_LIMIT, POSITION_LIMIT)
    return lambda b: table[b]


def distance_bias(slopes: NDArray[np.float64], offset: IntArray) -> Function:
    """-slope * |q + offset - kv|, slopes (Hq,) or (B, Hq)."""
    # One range for all usual slopes, so that they are one machine.
    limit = SLOPE_LIMIT if np.abs(slopes).max() <= SLOPE_LIMIT else None
    table = Table(slopes, "alibi_slopes", limit and -limit, limit)
    shift = per_batch("alibi_offset", offset)

    def modify(score: Any, b: Any, h: Any, q: Any, kv: Any) -> Any:
        slope = table[h] if slopes.ndim == 1 else table[b, h]
        return score - slope * abs(q + shift(b) - kv)

    return modify


def from_first(first: IntArray) -> Function:
    """Sees keys from `first[b] + q` on."""
    shift = per_batch("window_first", first)
    return lambda b, h, q, kv: q + shift(b) <= kv


def up_to_last(last: IntArray) -> Function:
    """Sees keys up to `last[b] + q`."""
    shift = per_batch("window_last", last)
    return lambda b, h, q, kv: kv <= q + shift(b)


def blind_to_poison(score_mod: Function) -> Function:
    """`score_mod` that sees 0 in place of NaN: what a poisoned row holds must not decide whether it is seen."""
    return lambda score, *place: score_mod(np.where(np.isnan(score), 0.0, score), *place)


def require_arguments(problem: Problem, functions: ScoreFunctions) -> None:
    """Raises InputError if there are overrides and nothing that has arguments."""
    if problem.scores.overrides and functions.plain:
        names = ", ".join(problem.scores.overrides)
        raise InputError(f"score_arguments gives {names}, but no score function is used that has arguments")
