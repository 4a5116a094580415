"""Attention as a function of NumPy arrays, computed by the simulated accelerator or by one of its models.

`hwgen.attention` is this module's `attention`.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from golden import bitexact, exact
from golden.exact import Shape, check_shapes
from golden.formats import BF16, FP16, FP32, CodeArray, FloatFormat, encode
from hwgen.config import Config, did_you_mean
from hwgen.control.descriptor import MAX_COUNT
from hwgen.control.descriptor_rules import MAX_GROUP, MAX_LENGTH, MAX_QUERIES
from hwgen.errors import InputError
from hwgen.params import Params
from hwgen.presets import PRESETS
from hwgen.presets import preset as named_preset
from hwgen.progress import step

FloatArray = NDArray[Any]
"""Of type float16, float32 or ml_dtypes.bfloat16."""

TYPES: dict[np.dtype[Any], FloatFormat] = {
    np.dtype(ml_dtypes.bfloat16): BF16,
    np.dtype(np.float16): FP16,
    np.dtype(np.float32): FP32,
}


def attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    causal_offset: int = 0,
    kv_lengths: int | NDArray[np.integer[Any]] | None = None,
    return_lse: bool = False,
    preset: str | Config = "sim",
    backend: str = "rtl",
    return_stats: bool = False,
) -> Any:
    """softmax(scale q k^T) v over the keys that each query sees.

    Parameters
    ----------
    q, k, v
        (B, Hq, L, E), (B, Hkv, S, E), (B, Hkv, S, F) of one type: float16, float32 or ml_dtypes.bfloat16. Query head h
        uses key/value head h // (Hq / Hkv).
    scale
        Factor on the scores, 1/sqrt(E) by default.
    is_causal, causal_offset
        If causal, query i sees key j only if j <= i + causal_offset, which may be negative.
    kv_lengths
        Only so many keys exist, 0 .. S: one number, or one for each batch entry.
    return_lse, return_stats
        Give the log-sum-exp of each query's scores too; and what the accelerator counted.
    preset
        Name or configuration of the accelerator; its number formats become that of the inputs.
    backend
        "rtl": the Verilog of the accelerator in a simulator; "bitexact": the integer model of it, equal in every bit;
        "exact": float64, rounded once.

    Returns
    -------
    out (B, Hq, L, F) of the inputs' type, or a tuple of it and, as asked for, lse (B, Hq, L) of float32 and a dict: the
    accelerator's counters, `utilisation` (useful multiply-accumulates over possible ones), `saturated`, `poisoned` and
    the simulator's `seconds`. A query that sees no key gives 0 and an lse of -inf; one that sees NaN or infinity, NaN.

    Raises
    ------
    InputError, ConfigError
        If the arguments make no sense, before anything is built.
    MissingTool, SimulationError
        If the simulator cannot be built or the run fails.
    """
    problem = _Problem.checked(q, k, v, scale, is_causal, causal_offset, kv_lengths)
    if backend not in BACKENDS:
        raise InputError(f"unknown backend {backend!r}{did_you_mean(str(backend), BACKENDS)}")
    if return_stats and backend != "rtl":
        raise InputError(f"return_stats needs backend='rtl': backend {backend!r} counts nothing")
    params = _fitting_params(preset, problem)
    try:
        params.numerics.encode_scale(problem.scale)
    except ValueError as error:
        raise InputError(str(error)) from None
    out, lse, stats = BACKENDS[backend](problem, params, return_lse)
    results: list[Any] = [out]
    if return_lse:
        results.append(lse.astype(np.float32))
    if return_stats:
        results.append(stats)
    return results[0] if len(results) == 1 else tuple(results)


@dataclass(frozen=True)
class _Problem:
    """Checked arguments; arrays in native byte order, `lengths` (B,) only if there were any."""

    q: FloatArray
    k: FloatArray
    v: FloatArray
    shape: Shape
    fmt: FloatFormat
    scale: float
    causal: bool
    offset: int
    lengths: NDArray[np.int64] | None

    @classmethod
    def checked(
        cls, q: Any, k: Any, v: Any, scale: Any, is_causal: bool, causal_offset: Any, kv_lengths: Any
    ) -> _Problem:
        """Raises InputError for whatever the accelerator does not take, but for what depends on its configuration."""
        fmt = _format_of({"q": q, "k": k, "v": v})
        try:
            shape = check_shapes(q, k, v)
        except ValueError as error:
            raise InputError(str(error)) from None
        _check_sizes(shape)
        offset = _whole_number("causal_offset", causal_offset)
        if abs(offset) > MAX_LENGTH:
            raise InputError(f"causal_offset must lie in -{MAX_LENGTH} .. {MAX_LENGTH}, not {offset}")
        if offset and not is_causal:
            raise InputError(f"causal_offset={offset} has no effect without is_causal=True")
        q, k, v = (array.astype(array.dtype.newbyteorder("="), copy=False) for array in (q, k, v))
        factor, lengths = _checked_scale(scale, shape), _checked_lengths(kv_lengths, shape)
        return cls(q, k, v, shape, fmt, factor, bool(is_causal), offset, lengths)

    def codes(self) -> tuple[CodeArray, CodeArray, CodeArray]:
        """q, k and v as bit patterns."""

        def codes(array: FloatArray) -> CodeArray:
            return np.ascontiguousarray(array).view(np.dtype(self.fmt.dtype))

        return codes(self.q), codes(self.k), codes(self.v)

    def numbers(self, codes: CodeArray) -> FloatArray:
        """Bit patterns as numbers of the inputs' type."""
        return codes.view(self.q.dtype)


def _format_of(arrays: dict[str, Any]) -> FloatFormat:
    """The number format that all arrays have."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{name} must be a NumPy array, not {type(array).__name__}")
        if array.dtype.newbyteorder("=") not in TYPES:
            raise InputError(f"{name} must be of type bfloat16 (of ml_dtypes), float16 or float32, not {array.dtype}")
    types = [array.dtype.newbyteorder("=") for array in arrays.values()]
    if len(set(types)) > 1:
        raise InputError(f"q, k and v must have the same type, not {', '.join(map(str, types))}")
    return TYPES[types[0]]


def _check_sizes(shape: Shape) -> None:
    group = shape.Hq // shape.Hkv
    named = (("batch entry", "B", shape.B), ("query", "L", shape.L), ("key", "S", shape.S))
    for what, letter, size in named:
        if size == 0:
            raise InputError(f"there must be at least one {what}, got {letter}=0")
    limits = (("B", shape.B, MAX_COUNT), ("Hq", shape.Hq, MAX_COUNT), ("L", shape.L, MAX_LENGTH))
    for name, size, limit in (*limits, ("S", shape.S, MAX_LENGTH), ("Hq / Hkv", group, MAX_GROUP)):
        if size > limit:
            raise InputError(f"{name} can be up to {limit}, not {size}")
    if shape.L * group > MAX_QUERIES:
        raise InputError(f"L times Hq / Hkv can be up to {MAX_QUERIES}, not {shape.L * group}")


def _whole_number(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be a whole number, not {value!r}") from None


def _checked_scale(scale: Any, shape: Shape) -> float:
    if scale is None:
        return 1 / math.sqrt(shape.E)
    try:
        factor = float(scale)
    except (TypeError, ValueError):
        raise InputError(f"scale must be a number, not {scale!r}") from None
    if not math.isfinite(factor):
        raise InputError(f"scale must be finite, not {factor!r}")
    return factor


def _checked_lengths(kv_lengths: Any, shape: Shape) -> NDArray[np.int64] | None:
    """(B,), or None if there are none."""
    if kv_lengths is None:
        return None
    lengths = np.asarray(kv_lengths)
    if lengths.dtype.kind not in "iu" or lengths.shape not in ((), (shape.B,)):
        got = f"{lengths.dtype} of shape {lengths.shape}"
        raise InputError(f"kv_lengths must be a whole number or one for each of {shape.B} batch entries, got {got}")
    outside = lengths[(lengths < 0) | (lengths > shape.S)]
    if outside.size:
        raise InputError(f"kv_lengths must lie in 0 .. {shape.S} (the rows of k), not {int(outside.flat[0])}")
    return np.broadcast_to(lengths.astype(np.int64), (shape.B,))


def _fitting_params(preset: str | Config, problem: _Problem) -> Params:
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
    return params


def _remedy(problem: _Problem) -> str:
    """Which preset is large enough."""
    e, f = problem.shape.E, problem.shape.F
    configs = {name: entry.config for name, entry in PRESETS.items()}
    # The one with least to spare, and of several the one with the smallest arrays.
    spare = {n: (c.head_e + c.head_f, Params(c).macs) for n, c in configs.items() if c.head_e >= e and c.head_f >= f}
    if spare:
        return f"preset {min(spare, key=spare.__getitem__)!r} is large enough"
    base = PRESETS["sim"].config
    sizes = {"head_e": -(-e // base.rows_e) * base.rows_e, "head_f": -(-f // base.rows_f) * base.rows_f}
    changes = ", ".join(f"{field}={max(size, getattr(base, field))}" for field, size in sizes.items())
    return f"no preset is large enough, a hwgen.config.Config({changes}) would be"


def _run_exact(problem: _Problem, params: Params, lse: bool) -> tuple[FloatArray, NDArray[Any], dict[str, Any]]:
    q, k, v = (array.astype(np.float64) for array in (problem.q, problem.k, problem.v))
    masks = {"causal": problem.causal, "offset": problem.offset, "key_lengths": problem.lengths}
    result = exact.attention(q, k, v, scale=problem.scale, **masks)  # type: ignore[arg-type]
    return problem.numbers(encode(result.out, problem.fmt)), result.lse, {}


def _run_bitexact(problem: _Problem, params: Params, lse: bool) -> tuple[FloatArray, NDArray[Any], dict[str, Any]]:
    masks = {"causal": problem.causal, "offset": problem.offset, "key_lengths": problem.lengths}
    q, k, v = problem.codes()
    result = bitexact.attention(q, k, v, params.numerics, scale=problem.scale, **masks)  # type: ignore[arg-type]
    return problem.numbers(result.out), result.lse(params.numerics), {}


def _run_rtl(problem: _Problem, params: Params, lse: bool) -> tuple[FloatArray, NDArray[Any], dict[str, Any]]:
    from hwgen.sim import layout, system
    from hwgen.sim.layer import run_placed

    image = layout.Image(params)
    code = params.numerics.encode_scale(problem.scale)
    masks = {"causal": problem.causal, "offset": problem.offset, "key_lengths": problem.lengths}
    placed = image.add(*problem.codes(), scale=code, lse=lse, **masks)  # type: ignore[arg-type]
    bits = system.memory_bits_for(image.size)
    with step("generating and building the simulator (once)"):
        build = system.build_system(params, memory_bits=bits)
    with step("simulating"):
        outputs, run = run_placed(build, image, placed)
    counters = run.last.counters
    useful = counters["pairs"] * (problem.shape.E + problem.shape.F)
    stats = {"utilisation": useful / (counters["cycles"] * params.macs), "seconds": run.seconds}
    stats |= {"saturated": run.last.saturated, "poisoned": run.last.poisoned}
    natural = outputs.natural_lse(params.numerics) if lse else np.empty(0)
    return problem.numbers(outputs.out), natural, counters | stats


BACKENDS = {"rtl": _run_rtl, "bitexact": _run_bitexact, "exact": _run_exact}
