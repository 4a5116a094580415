"""Attention as a function of NumPy arrays, computed by the simulated accelerator or by one of its models.

`hwgen.attention` is this module's `attention`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.backends import BACKENDS, Device, Task, open_device
from hwgen.config import Config
from hwgen.errors import InputError
from hwgen.params import Params
from hwgen.presets import PRESETS
from hwgen.presets import preset as named_preset
from hwgen.problem import FloatArray, Problem, checked_mask
from hwgen.score_functions import ScoreFunctions, require_arguments, score_functions
from hwgen.scoremod import Traced, trace
from hwgen.scoremod.block_list import alike_in_slots

DEFAULT = "sim"
"""The preset if nobody says, and the backend is no device."""

Integers = NDArray[np.integer[Any]]


def attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    causal_offset: int | Integers | None = None,
    causal: str | int | Integers | None = None,
    kv_lengths: int | Integers | None = None,
    window: tuple[int, int] | None = None,
    attn_mask: NDArray[Any] | None = None,
    softcap: float | None = None,
    alibi_slopes: NDArray[Any] | None = None,
    sink: NDArray[Any] | None = None,
    score_mod: Callable[..., Any] | None = None,
    mask_mod: Callable[..., Any] | None = None,
    score_arguments: dict[str, Any] | None = None,
    dropout_p: float = 0.0,
    dropout_seed: int = 0,
    block_mask: Any = None,
    block_table: Integers | None = None,
    return_lse: bool = False,
    preset: str | Config | None = None,
    backend: str | Device = "rtl",
    return_stats: bool = False,
) -> Any:
    """softmax(scale q k^T) v over the keys that each query sees, with whatever is to be done to the scores in between.

    Scores are scaled, then come softcap, score_mod, ALiBi and an additive attn_mask, then all masks, the softmax (with
    a sink) and dropout. Only what scale, one causal rule and key lengths say runs on every machine; anything else makes
    a score program that becomes part of the machine.

    Parameters
    ----------
    q, k, v
        (B, Hq, L, E), (B, Hkv, S, E), (B, Hkv, S, F) of one type: float16, float32 or ml_dtypes.bfloat16. Query head h
        uses key/value head h // (Hq / Hkv).
    scale
        Factor on the scores, 1/sqrt(E) by default.
    causal
        Query i sees key j only if j <= i + offset. "top_left": offset 0; "bottom_right": the last query sees the last
        key, offset = keys - L; or the offset itself, which may be negative, or one for each batch entry.
    is_causal, causal_offset
        The same with an offset of 0 or as given. Without a causal rule causal_offset says where the queries of a window
        or of ALiBi stand.
    kv_lengths
        Only so many keys exist, 0 .. S: one number, or one for each batch entry.
    window
        (left, right), -1 for no bound: query i stands at p = i + offset and sees p - left <= j <= p + right. The offset
        is that of the causal rule; without one keys - L.
    attn_mask
        Boolean (True: may see) or of the inputs' type (added to the scores; -inf hides); broadcasts to (B, Hq, L, S).
    softcap
        Scores become softcap * tanh(score / softcap); None or 0 for none.
    alibi_slopes
        (Hq,) or (B, Hq): adds -slope * |p - j|, p as for the window.
    sink
        (Hq,): a score per head that takes weight and gives no value; -inf for all heads is none.
    score_mod, mask_mod, score_arguments
        Functions (score, b, h, q_idx, kv_idx) -> score and (b, h, q_idx, kv_idx) -> whether seen, see
        `hwgen.scoremod`; other numbers for their Parameters and Tables, by name.
    dropout_p, dropout_seed
        Weights are dropped with this probability, the others divided by 1 - dropout_p; the same seed drops the same.
    block_mask
        A mask of `hwgen.scoremod.block_list.create_block_mask`: joins all others, and blocks it hides are skipped.
    block_table
        (B, pages): k and v are pools (pages, Hkv, page size, E or F), and key j of batch entry b is row j % page size
        of page block_table[b, j // page size]. Needs kv_lengths.
    return_lse, return_stats
        Give the log-sum-exp of each query's scores too; and what the accelerator counted.
    preset
        Name or configuration of the accelerator; its number formats become that of the inputs. "sim" by default, or
        the one that a device is.
    backend
        "rtl": the Verilog of the accelerator in a simulator; "bitexact": the integer model of it, equal in every bit;
        "exact": float64, rounded once; "board:PORT": an accelerator on a board behind a serial port; or a device that
        is open already.

    Returns
    -------
    out (B, Hq, L, F) of the inputs' type, or a tuple of it and, as asked for, lse (B, Hq, L) of float32 and a dict: the
    accelerator's counters, `utilisation` (useful multiply-accumulates over possible ones), `saturated`, `poisoned` and
    the `seconds` of simulator or device. A query that sees no key gives 0 and an lse of -inf, or its sink; one that
    sees NaN or infinity, NaN. docs/semantics.md compares every corner with other implementations.

    Raises
    ------
    InputError, ConfigError, ScoreError
        If the arguments make no sense or a function cannot be made into hardware, before anything is built.
    MissingTool, SimulationError, or another HwgenError of a device
        If the simulator cannot be built or the run fails.
    """
    options = {name: value for name, value in locals().items() if name not in ("q", "k", "v")}
    problem = Problem.checked(q, k, v, options)
    if return_stats and backend in BACKENDS and backend != "rtl":
        raise InputError(f"return_stats needs backend='rtl' or a device: backend {backend!r} counts nothing")
    if isinstance(backend, str) and backend in BACKENDS:
        out, lse, stats = BACKENDS[backend](make_task(problem, DEFAULT if preset is None else preset), return_lse)
    else:
        with open_device(backend) if isinstance(backend, str) else nullcontext(backend) as device:
            task = make_task(problem, device.config if preset is None else preset)
            out, lse, stats = device.run(task, return_lse)
    results: list[Any] = [out]
    if return_lse:
        results.append(lse.astype(np.float32))
    if return_stats:
        results.append(stats)
    return results[0] if len(results) == 1 else tuple(results)


def make_task(problem: Problem, preset: str | Config) -> Task:
    """The problem on a machine. Raises InputError or ConfigError if they do not fit."""
    params = _fitting_params(preset, problem)
    try:
        params.numerics.encode_scale(problem.scale)
    except ValueError as error:
        raise InputError(str(error)) from None
    shown = _shown(problem, params)
    functions = score_functions(problem, block_mask=shown is None)
    traced = _traced(functions, problem, params)
    program = None if traced is None else traced.program
    if params.score not in (None, program):
        raise InputError(
            "the configuration's score program is not the one these arguments make; leave `score` out of the "
            "configuration, it is made of the arguments"
        )
    listed = problem.scores.block_mask is not None or problem.pages is not None
    if program is not None or listed:
        params = Params(params.config.replace({"score": program, "block_list": listed or params.config.block_list}))
        _require_keys(problem, params, "the configuration")
    return Task(problem=problem, functions=functions, params=params, traced=traced, shown=shown)


def _shown(problem: Problem, params: Params) -> NDArray[np.bool_] | None:
    """The block mask (B, Hq, L, S) if a list of segments says all of it, so that it need not be part of a program."""
    if problem.scores.block_mask is None:
        return None
    shape = problem.shape
    seen = np.broadcast_to(problem.scores.block_mask.seen, (shape.B, shape.Hq, shape.L, shape.S))
    return seen if alike_in_slots(seen, params, shape.Hq // shape.Hkv) else None


def _traced(functions: ScoreFunctions, problem: Problem, params: Params) -> Traced | None:
    """The score program and its arguments, None if none is needed. Raises ScoreError or InputError if it cannot be
    made."""
    require_arguments(problem, functions)
    if functions.plain:
        return None
    traced = trace(
        functions.score_mod,
        functions.mask_mod,
        sink=functions.sink,
        dropout=functions.dropout,
        numerics=params.numerics,
    )
    traced.codes(problem.scores.overrides)
    if traced.bias is not None:
        shape = problem.shape
        checked_mask("the BiasTensor", traced.bias.array, problem.q.dtype, (shape.B, shape.Hq, shape.L, shape.S))
    return traced


def _fitting_params(preset: str | Config, problem: Problem) -> Params:
    """The accelerator's parameters. Raises ConfigError or, if it is too small, InputError."""
    if not isinstance(preset, str | Config):
        raise InputError(f"preset must be a name or a hwgen.config.Config, not {preset!r}")
    config = named_preset(preset) if isinstance(preset, str) else preset
    what = f"preset {preset!r}" if isinstance(preset, str) else "the configuration"
    params = Params(config.replace({"in_format": problem.fmt.name, "out_format": problem.fmt.name}))
    for letter, field in (("E", "head_e"), ("F", "head_f")):
        size, limit = getattr(problem.shape, letter), getattr(config, field)
        if size > limit:
            too_large = f"head dimension {letter}={size} is too large for {what} ({field}={limit})"
            raise InputError(f"{too_large}; {_remedy(problem)}")
    _require_keys(problem, params, what)
    return params


def _require_keys(problem: Problem, params: Params, what: str) -> None:
    """Raises InputError if there are more keys than a query may see."""
    keys, most = problem.shape.S, params.most_keys
    if keys > most:
        sink = ", with one for the sink" if params.has_sink else ""
        limit = f"up to {most} (key_bits={params.config.key_bits}{sink})"
        remedy = f"; {_remedy(problem)}" if keys + params.has_sink <= 1 << Config.key_bits else ""
        raise InputError(f"S={keys} keys are too many for {what}, which takes {limit}{remedy}")


def _remedy(problem: Problem) -> str:
    """Which preset is large enough."""
    e, f = problem.shape.E, problem.shape.F
    keys = problem.shape.S + (problem.scores.sink is not None)
    configs = {name: entry.config for name, entry in PRESETS.items()}
    fitting = {n: c for n, c in configs.items() if c.head_e >= e and c.head_f >= f and keys <= 1 << c.key_bits}
    # The one with least to spare, and of several the one with the smallest arrays.
    spare = {name: (config.head_e + config.head_f, Params(config).macs) for name, config in fitting.items()}
    if spare:
        return f"preset {min(spare, key=spare.__getitem__)!r} is large enough"
    base = PRESETS["sim"].config
    sizes = {"head_e": -(-e // base.rows_e) * base.rows_e, "head_f": -(-f // base.rows_f) * base.rows_f}
    changes = ", ".join(f"{field}={max(size, getattr(base, field))}" for field, size in sizes.items())
    return f"no preset is large enough, a hwgen.config.Config({changes}) would be"
