"""Score programs for the lanes' tests, and what has to become of pairs of queries and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from golden.bitexact.attention import Scores
from golden.bitexact.numerics import Numerics
from golden.scoremod import Argument, Builder, Program, evaluate
from golden.scoremod.bias import bias_codes
from golden.scoremod.program import INDEX_BITS, KEEP_FRAC
from hwgen.params import Params
from hwgen.tests.bench import tiny

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

INDICES = tuple(INDEX_BITS)


def _mixed(builder: Builder) -> int:
    """A number of the indices of query, key and head that looks random."""
    factors = {"q": 37, "kv": 29, "h": 5}
    q, kv, h = (builder.multiply(builder.input(name), builder.constant(n)) for name, n in factors.items())
    return builder.low(builder.right(builder.add(builder.add(q, kv), h), 2), 4)


def _score(builder: Builder, bias: bool) -> dict[str, int]:
    """Scores times a parameter, plus a number of the query and one of the key, plus the bias; they leave the range."""
    factor = Argument("factor", 1, -40, 40, 3)
    slopes = Argument("slopes", 5, -3000, 3000, 4, table=True)
    places = Argument("places", 6, -900, 900, 4, table=True)
    total = builder.multiply(builder.input("score"), builder.parameter(factor))
    total = builder.add(total, builder.table(slopes, builder.low(builder.input("h"), 3)))
    total = builder.add(total, builder.table(places, builder.low(builder.input("kv"), 3)))
    return {"score": builder.add(total, builder.input("bias")) if bias else total}


def _seen(builder: Builder, bias: bool) -> dict[str, int]:
    mixed = builder.less(_mixed(builder), builder.constant(11))
    return {"seen": builder.both(mixed, builder.invert(builder.input("hidden"))) if bias else mixed}


def _dropout(builder: Builder) -> dict[str, int]:
    """With a factor for each head and a shift for each key."""
    factors = Argument("factors", 8, 0, 1 << KEEP_FRAC, table=True)
    shifts = Argument("shifts", 4, 0, 9, table=True)
    return {
        "keep": builder.less(_mixed(builder), builder.constant(8)),
        "keep_factor": builder.table(factors, builder.low(builder.input("h"), 3)),
        "keep_shift": builder.table(shifts, builder.low(builder.add(builder.input("b"), builder.input("kv")), 2)),
    }


def _sink(builder: Builder) -> dict[str, int]:
    """Some beyond the range of scores."""
    limit = builder.numerics.score_max + 999
    sinks = Argument("sinks", 7, -limit, limit, builder.numerics.score_frac, table=True)
    return {"sink": builder.table(sinks, builder.low(builder.input("q"), 3))}


def programs(numerics: Numerics) -> dict[str, Program]:
    """Programs by what they have; `key` and `query` decide in one part what no other part looks at."""

    def build(*makers: Any) -> Program:
        builder, outputs = Builder(numerics), {}
        for maker in makers:
            outputs |= maker(builder)
        return builder.program(outputs)

    return {
        "key": build(lambda b: {"seen": b.less(b.low(b.input("kv"), 2), b.constant(3))}),
        "query": build(lambda b: {"score": b.subtract(b.input("q"), b.constant(1 << 19))}),
        "tanh": build(lambda b: {"score": b.tanh(b.input("score"))}),
        "score": build(lambda b: _score(b, False)),
        "bias": build(lambda b: _score(b, True), lambda b: _seen(b, True)),
        "sink": build(_sink),
        "dropout": build(_dropout),
        "keep": build(lambda b: {"keep": b.less(b.input("q"), b.input("kv"))}),
        "everything": build(lambda b: _score(b, True), lambda b: _seen(b, True), _dropout, _sink),
    }


PROGRAMS = programs(tiny().numerics)


def random_arguments(rng: np.random.Generator, program: Program) -> dict[str, Ints]:
    """Codes of all arguments, the ends of their ranges among them."""
    codes = {a.name: rng.integers(a.low, a.high + 1, a.size) for a in program.arguments}
    for argument in program.arguments:
        if argument.size > 1:
            codes[argument.name][:2] = argument.low, argument.high
    return codes


def writes(program: Program, arguments: Mapping[str, Ints]) -> list[dict[str, Any]]:
    """Cycles that write all arguments."""
    words = [int(code) for a in program.arguments for code in arguments[a.name]]
    cycles = [{"argument": {"valid": 1, "address": i, "data": word}} for i, word in enumerate(words)]
    return [*cycles, {"argument.valid": 0}]


def random_bias(rng: np.random.Generator, shape: tuple[int, ...], params: Params) -> npt.NDArray[np.unsignedinteger]:
    """Codes of the input format: any, numbers of the size of scores, infinities."""
    bits, fmt = params.input.bits, params.input
    anything = rng.integers(0, 1 << bits, shape)
    exponents = rng.integers(fmt.bias - 6, fmt.bias + 11, shape) << fmt.mantissa_bits
    sized = (anything & ~(fmt.max_exponent_field << fmt.mantissa_bits)) | exponents
    infinite = fmt.max_exponent_field << fmt.mantissa_bits | rng.integers(0, 2, shape) << (bits - 1)
    chosen = np.choose(rng.choice(3, shape, p=[0.1, 0.8, 0.1]), [anything, sized, infinite])
    return chosen.astype(fmt.dtype)


def become(
    program: Program, numerics: Numerics, scores: Scores, inputs: Mapping[str, Any], arguments: Mapping[str, Ints]
) -> Scores:
    """What a program makes of pairs. Inputs are `bias` (codes of elements) and indices, all of shapes that broadcast to
    that of the scores; a sink is that of the last key."""
    bias = bias_codes(inputs["bias"], numerics) if "bias" in inputs else None
    values = {name: inputs[name] for name in INDICES} | {"score": scores.x}
    if bias is not None:
        values |= {"bias": bias.x, "hidden": bias.hidden}
    outputs = {name: np.broadcast_to(v, scores.x.shape) for name, v in evaluate(program, values, arguments).items()}
    x, limit, nothing = outputs.get("score", scores.x), numerics.score_max, np.ones_like(scores.seen)
    seen = scores.seen & outputs.get("seen", nothing).astype(bool)
    return Scores(
        np.clip(x, -limit, limit),
        seen,
        scores.poisoned if bias is None else scores.poisoned | bias.poison,
        scores.clamped | (x > limit),
        seen & outputs.get("keep", nothing).astype(bool),
        outputs.get("keep_factor"),
        outputs.get("keep_shift"),
        np.clip(outputs["sink"], -limit, limit)[..., -1] if "sink" in outputs else None,
    )
