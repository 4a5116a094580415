"""Accelerators with score programs, each of which stands for many: run-time parameters choose among functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from golden import bitexact
from golden.formats import CodeArray, encode
from golden.scoremod.evaluate import evaluate
from hwgen.params import Params
from hwgen.scoremod import BiasTensor, Parameter, Table, Traced, library, trace
from hwgen.scoremod.block_list import Pages, encode_list, machine_list
from rtl_tests.harness.configurations import ACCELERATORS, BASE
from rtl_tests.harness.layers import Layer, Score, layer, stack
from rtl_tests.harness.score_mods import MODS, combined

BATCHES, HEADS, POSITIONS = 3, 9, 64
"""Most batch entries, query heads and positions of the random layers, for tables."""


@dataclass(frozen=True)
class Machine:
    """Changes to BASE, what is traced, and whether segments may be listed."""

    changes: dict[str, Any]
    functions: Callable[[], dict[str, Any]]
    listed: bool = False


def _numbers(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, shape)


def _bounded() -> dict[str, Any]:
    """A window whose ends are anywhere, within lengths; sinks; dropout."""
    first, last = (Parameter(f"window_{name}", 0, -POSITIONS, POSITIONS) for name in ("first", "last"))
    lengths = library.key_lengths([7] * BATCHES)

    def mask(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        return (q_idx + first <= kv_idx) & (kv_idx <= q_idx + last) & lengths(b, h, q_idx, kv_idx)

    return {"mask_mod": mask, "sink": library.sink(_numbers(HEADS)), "dropout": library.dropout(0.3)}


def _prefix() -> dict[str, Any]:
    """Several functions one behind the other, under a prefix mask."""
    changed = library.chain(library.softcap(20.0), library.alibi(HEADS), library.t5_bias(_numbers(HEADS, 8)))
    return {"score_mod": changed, "mask_mod": library.prefix_lm([3] * BATCHES)}


def _random() -> dict[str, Any]:
    """A bias from memory, and dropout."""
    return {"score_mod": library.bias(BiasTensor(np.zeros((1, 1, 1, 1)))), "dropout": library.dropout(0.3)}


def _documents() -> dict[str, Any]:
    """Nothing tells where documents begin but a list; what they see further is told by a tensor."""
    rng = np.random.default_rng(3)
    ids = Table(np.sort(rng.integers(0, 4, (BATCHES, POSITIONS))), "document_ids", low=0, high=3)
    mask = library.both(library.documents(ids), library.bias(BiasTensor(np.ones((1, 1, 1, 1), dtype=bool))))
    return {"mask_mod": mask, "score_mod": library.relative_bias(_numbers(HEADS, 9))}


def nothing(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
    return kv_idx < 0


def one_key(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
    return kv_idx == 3


def everything(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
    return kv_idx >= 0


def named_library() -> dict[str, Callable[..., Any]]:
    """Functions of the library that give or hide scores and need no bounds, by name."""
    score_mods = {"library_alibi": library.alibi(HEADS), "library_symmetric": library.alibi(HEADS, symmetric=True)}
    score_mods |= {"library_softcap": library.softcap(9.0), "relative_bias": library.relative_bias(_numbers(HEADS, 9))}
    score_mods |= {"t5_bias": library.t5_bias(_numbers(HEADS, 16, seed=6), max_distance=20)}
    documents = library.documents(np.arange(POSITIONS) // 5)
    masks = {"causal": library.causal(2), "window": library.window(4, 1), "documents": documents}
    masks |= {"lengths": library.key_lengths([9, 0, 5]), "prefix": library.prefix_lm([4, 0, 11])}
    return score_mods | masks | {f.__name__: f for f in (nothing, one_key, everything)}


FUNCTIONS = MODS | named_library()
"""What the machine of all functions chooses from."""

MACHINES = {
    "functions": Machine({}, lambda: {"score_mod": combined(FUNCTIONS)}),
    "bounds": Machine({"cols": 4, "lanes": 2, "head_e": 16, "head_f": 16}, _bounded),
    "prefix": Machine(ACCELERATORS["bus of 64"], _prefix),
    "random": Machine(ACCELERATORS["bus of 32"], _random),
    "documents": Machine(ACCELERATORS["bus of 512"], _documents, listed=True),
}


@cache
def traced(name: str) -> Traced:
    """The score program of a machine."""
    numerics = Params(BASE.replace(MACHINES[name].changes)).numerics
    return trace(**MACHINES[name].functions(), numerics=numerics)


@cache
def machine(name: str) -> Params:
    """The parameters of a machine."""
    made = MACHINES[name]
    choices = made.changes | {"score": traced(name).program, "block_list": made.listed}
    return Params(BASE.replace(choices))


def arguments(rng: np.random.Generator, name: str, **known: Any) -> dict[str, np.ndarray]:
    """Codes of all arguments: those to begin with, or any that they may hold; `known` ones are as given."""
    codes = dict(traced(name).codes())
    for argument in traced(name).program.arguments:
        if argument.name in known:
            codes[argument.name] = np.broadcast_to(known[argument.name], argument.size).copy()
        elif rng.random() < 0.5:
            codes[argument.name] = rng.integers(argument.low, argument.high + 1, argument.size)
    return codes


def bias_tensor(rng: np.random.Generator, base: Layer, core: Params) -> CodeArray:
    """A bias for a layer, some of its dimensions of one entry; numbers of any size, some of them hiding, few of them
    no numbers."""
    shape = (*base.q.shape[:3], base.k.shape[2])
    sizes = [n if rng.random() < 0.7 else 1 for n in shape]
    values = rng.standard_normal(sizes) * 2.0 ** rng.integers(-12, 6, sizes)
    values[rng.random(sizes) < 0.2] = -np.inf
    if rng.random() < 0.3:
        values.flat[rng.integers(values.size)] = rng.choice([np.nan, np.inf])
    return encode(values, core.input)


def score_layer(rng: np.random.Generator, name: str, largest: int = 20, **known: int) -> Layer:
    """A random layer for a machine, with random arguments and, where it reads them, a bias and a list."""
    core = machine(name)
    changed = scored(rng, name, layer(rng, core, largest), **known)
    return listed(rng, changed) if core.config.block_list and rng.random() >= 0.2 else changed


def scored(rng: np.random.Generator, name: str, base: Layer, **known: Any) -> Layer:
    """A layer with random arguments for a machine's program and, if it reads one, a bias."""
    core = machine(name)
    bias = bias_tensor(rng, base, core) if core.has_bias else None
    return replace(base, score=Score(params=core, arguments=arguments(rng, name, **known), bias=bias))


def listed(rng: np.random.Generator, base: Layer, pages: Sequence[Pages] | None = None) -> Layer:
    """A layer with a list that shows all its program does, and some of what that hides."""
    assert base.score is not None
    core = base.score.params
    seen = np.zeros((*base.q.shape[:3], base.k.shape[2]), dtype=bool)
    for at, (q, k, job) in zip(np.ndindex(seen.shape[:2]), base.heads(), strict=True):
        mask = bitexact.seen_pairs(q, k, job, core.numerics)
        seen[at][:, : mask.shape[1]] = mask
    # What the program hides may be shown: it is hidden then.
    seen |= rng.random(seen.shape) < rng.choice([0.0, 0.02, 0.5])
    group = base.q.shape[1] // base.k.shape[1]
    lengths = np.broadcast_to(base.k.shape[2] if base.lengths is None else base.lengths, base.q.shape[:1])
    segments = encode_list(machine_list(seen, core, group, pages, lengths))
    return replace(base, score=replace(base.score, segments=segments))


def dropout_edges(rng: np.random.Generator, name: str, count: int = 8) -> list[Layer]:
    """Pairs, each alone in a layer, that are kept by the least that a threshold can be told apart by, and the same
    pairs not kept."""
    program, wide = traced(name).program, {"window_first": -POSITIONS, "window_last": POSITIONS}
    pair = {"b": 0, "h": 0, "q": 0, "kv": 0}
    layers = []
    for seed in range(count):
        codes = arguments(rng, name, dropout_seed=seed, key_lengths=POSITIONS, **wide)

        def kept(threshold: int, codes: dict[str, np.ndarray] = codes) -> bool:
            given = codes | {"dropout_threshold": np.array([threshold])}
            return bool(np.all(evaluate(program, pair, given)["keep"]))

        low, high = 0, (1 << 30) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if kept(middle) else (low, middle - 1)
        for threshold in (low, low + 1):
            own = codes | {"dropout_threshold": np.array([threshold])}
            q, k, v = (stack(rng, (1, 1, 1, n), machine(name)) for n in (1, 1, 3))
            layers.append(Layer(q, k, v, scale=1.0, score=Score(params=machine(name), arguments=own)))
    return layers
