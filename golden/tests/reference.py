"""The numbers contract written a second time: scalar, in Python integers and fractions, one query after the other.

Slow and plain on purpose. Nothing of `golden.bitexact` and `golden.scoremod` is used but the parameters, the programs,
the tables of chords and parabolas (data that is part of the contract) and the names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import ml_dtypes
import numpy as np

from golden.bitexact import Job, Numerics
from golden.bitexact.exp2 import chords
from golden.formats import FloatFormat
from golden.scoremod import Node, Program
from golden.scoremod.functions import Parabola, exp2_parabolas, tanh_parabolas

NATIVE = {"bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32}


class Row(NamedTuple):
    """A converted row: `value = element * 2^(exponent - (W-1))`."""

    elements: list[int]
    exponent: int
    poisoned: bool


class Outcome(NamedTuple):
    """What one query ends with, in the order of `golden.bitexact.Result`."""

    out: list[int]
    rm: int
    rd: int
    empty: bool
    poisoned: bool
    saturated: bool


def power(exponent: int) -> Fraction:
    """2^exponent, exactly."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def exact_value(code: int, fmt: FloatFormat) -> Fraction:
    """The number behind a code; the largest exponent field is read like any other."""
    mantissa = code & ((1 << fmt.mantissa_bits) - 1)
    field = code >> fmt.mantissa_bits & ((1 << fmt.exponent_bits) - 1)
    significand = mantissa + (1 << fmt.mantissa_bits if field else 0)
    magnitude = significand * power(max(field, 1) - fmt.bias - fmt.mantissa_bits)
    return -magnitude if code >> (fmt.bits - 1) else magnitude


def is_special(code: int, fmt: FloatFormat) -> bool:
    """NaN or infinity."""
    return code >> fmt.mantissa_bits & ((1 << fmt.exponent_bits) - 1) == (1 << fmt.exponent_bits) - 1


def convert_row(codes: Sequence[int], numerics: Numerics) -> Row:
    """The exponent is the least one with all magnitudes below `2^e`, but not less than the smallest normal number's."""
    fmt, bits = numerics.input, numerics.operand_bits - 1
    values = [exact_value(int(code), fmt) for code in codes]
    largest = max(map(abs, values))
    exponent = max(2 - fmt.bias, floor_log2(largest) + 1) if largest else 2 - fmt.bias
    limit = (1 << bits) - 1
    # `round` takes a fraction to the nearest integer, ties to even.
    elements = [max(-limit, min(limit, round(value * power(bits - exponent)))) for value in values]
    return Row(elements, exponent, any(is_special(int(code), fmt) for code in codes))


def floor_log2(magnitude: Fraction) -> int:
    """The largest e with 2^e <= magnitude, for a magnitude above 0."""
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return guess if power(guess) <= magnitude else guess - 1


def nearest_code(value: Fraction, fmt: FloatFormat, negative: bool) -> int:
    """Code of `value` rounded once; `negative` gives a zero its sign."""
    magnitude = abs(value)
    rounded = Fraction(0)
    if magnitude:
        step = power(max(floor_log2(magnitude), 1 - fmt.bias) - fmt.mantissa_bits)
        rounded = round(magnitude / step) * step
    # Beyond the largest finite number there is only infinity; anything else is a number of the format, its cast exact.
    number = math.inf if rounded >= power(fmt.bias + 1) else float(rounded)
    native = np.array([-number if negative else number]).astype(NATIVE[fmt.name])
    return int(native.view(fmt.dtype)[0])


def score(qk: int, query: Row, key: Row, job: Job, numerics: Numerics) -> tuple[int, bool]:
    """x in units of 2^-sf, and whether it was clamped."""
    shift = job.scale.exponent + query.exponent + key.exponent - 2 * (numerics.operand_bits - 1) + numerics.score_frac
    product = qk * job.scale.mantissa
    limit = 2 ** (11 + numerics.score_frac) - 1
    # By contract, a product whose last bit weighs more than a unit of x is out of range whatever it is.
    if product and shift > 0:
        return (limit if product > 0 else -limit), True
    x = round(product * power(shift))
    return max(-limit, min(limit, x)), abs(x) > limit


def exp2_fraction(d: int, numerics: Numerics) -> int:
    """2^-(d / 2^sf) by the chord that d lies on."""
    steps = 2**numerics.score_frac // numerics.exp_segments
    chord = chords(numerics)[d // steps]
    return chord.base - chord.slope * (d % steps) // 2**numerics.slope_frac


def parabola(table: Sequence[Parabola], segment: int, rest: int) -> int:
    """`base + (slope + curve r) r` with coefficients of 2^-17 and r of 2^-22, rounded down behind either product."""
    base, slope, curve = table[segment]
    return base + (slope + curve * rest // 2**22) * rest // 2**17


def tanh_code(code: int) -> int:
    """tanh in units of 2^-22 from 256 parabolas over 0 .. 8, none above 1."""
    if code < 0:
        return -tanh_code(-code)
    size = min(code, 2**25 - 1)
    return min(parabola(tanh_parabolas(), size // 2**17, size % 2**17), 2**22)


def exp2_code(code: int, node: Node) -> int:
    """2^x of x in units of 2^-22 from 64 parabolas over 0 .. 1, rounded down."""
    whole, part = divmod(code, 2**22)
    value = parabola(exp2_parabolas(), part // 2**16, part % 2**16)
    moved = math.floor(value * power(whole + node.format.frac - 22))
    return min(max(moved, node.format.low), node.format.high)


def rounded(code: int, bits: int) -> int:
    """To the nearest multiple of 2^bits, half up, in units of that."""
    return math.floor(Fraction(code, 2**bits) + Fraction(1, 2))


OPERATIONS: dict[str, Callable[..., int]] = {
    "add": lambda _, a, b: a + b,
    "subtract": lambda _, a, b: a - b,
    "negate": lambda _, a: -a,
    "absolute": lambda _, a: abs(a),
    "minimum": lambda _, a, b: min(a, b),
    "maximum": lambda _, a, b: max(a, b),
    "multiply": lambda _, a, b: a * b,
    "left": lambda node, a: a * 2**node.number,
    "right": lambda node, a: a // 2**node.number,
    "round": lambda node, a: rounded(a, node.number),
    "low": lambda node, a: a % 2**node.number,
    "less": lambda _, a, b: int(a < b),
    "less_equal": lambda _, a, b: int(a <= b),
    "equal": lambda _, a, b: int(a == b),
    "and": lambda _, a, b: a & b,
    "or": lambda _, a, b: a | b,
    "xor": lambda _, a, b: a ^ b,
    "not": lambda _, a: int(not a),
    "select": lambda _, c, a, b: a if c else b,
    "clamp": lambda node, a: min(max(a, node.format.low), node.format.high),
    "constant": lambda node: node.number,
    "tanh": lambda _, a: tanh_code(a),
    "exp2": lambda node, a: exp2_code(a, node),
}


def run_program(
    program: Program, inputs: Mapping[str, int], arguments: Mapping[str, Sequence[int]] | None = None
) -> dict[str, int]:
    """Codes of the outputs for one pair, in Python integers."""
    values: list[int] = []
    for node in program.nodes:
        operands = [values[i] for i in node.args]
        if node.op == "input":
            value = inputs[node.name]
        elif node.op in ("parameter", "table"):
            stored = (arguments or {})[node.name]
            value = stored[min(max(operands[0], 0), len(stored) - 1) if operands else 0]
        else:
            value = OPERATIONS[node.op](node, *operands)
        values.append(value)
    return {name: values[i] for name, i in program.outputs}


def bias_score(code: int, numerics: Numerics) -> tuple[int, bool, bool]:
    """Score units of a bias element, whether it hides its key, whether it poisons."""
    if is_special(code, numerics.input):
        hides = code == (numerics.input.infinity | 1 << (numerics.input.bits - 1))
        return 0, hides, not hides
    units = exact_value(code, numerics.input) * 2**numerics.score_frac
    limit = 2 ** (11 + numerics.score_frac) - 1
    x = math.floor(units * round(math.log2(math.e) * 2**22) / 2**22 + Fraction(1, 2))
    return max(-limit, min(limit, x)), False, False


class Modified(NamedTuple):
    """A pair behind the score program."""

    x: int
    clamped: bool
    poisoned: bool
    seen: bool
    kept: bool
    keep_factor: int
    keep_shift: int


def modified(i: int, j: int, x: int, job: Job, numerics: Numerics) -> Modified:
    """The outputs of the score program of a job, if it has one, for query i and key j."""
    if job.score is None:
        return Modified(x, False, False, True, True, 2**17, 0)
    inputs = {"score": x, "b": job.score.batch, "h": job.score.head, "q": i, "kv": j}
    poisoned = False
    if job.score.bias is not None:
        inputs["bias"], inputs["hidden"], poisoned = bias_score(int(job.score.bias[i, j]), numerics)
    arguments = {name: np.ravel(np.asarray(codes)).tolist() for name, codes in job.score.arguments.items()}
    got = run_program(job.score.program, inputs, arguments)
    new, limit = got.get("score", x), 2 ** (11 + numerics.score_frac) - 1
    seen = bool(got.get("seen", 1))
    factor, shift = (got.get("keep_factor", 2**17), got.get("keep_shift", 0)) if "keep" in got else (2**17, 0)
    return Modified(max(-limit, min(limit, new)), new > limit, poisoned, seen, bool(got.get("keep", 1)), factor, shift)


def sink_score(i: int, job: Job, numerics: Numerics) -> int | None:
    """The sink of query i; what a program says about a pair does not change it."""
    if job.score is None or "sink" not in job.score.program.output:
        return None
    inputs = {"score": 0, "bias": 0, "hidden": 0, "b": job.score.batch, "h": job.score.head, "q": i, "kv": 0}
    arguments = {name: np.ravel(np.asarray(codes)).tolist() for name, codes in job.score.arguments.items()}
    limit = 2 ** (11 + numerics.score_frac) - 1
    return max(-limit, min(limit, run_program(job.score.program, inputs, arguments)["sink"]))


def attend_query(i: int, query: Row, keys: list[Row], values: list[Row], job: Job, numerics: Numerics) -> Outcome:
    """Query i over all keys it sees: the online softmax with shifts of any length."""
    rm = rmv = rd = 0
    rnv = [0] * len(values[0].elements)
    empty, unvalued, poisoned, saturated = True, True, False, False
    sink = sink_score(i, job, numerics)
    if sink is not None:
        rm, empty = math.ceil(Fraction(sink, 2**numerics.score_frac)), False
        rd = exp2_fraction(rm * 2**numerics.score_frac - sink, numerics)
    for j in range(job.keys):
        if job.causal and j > i + job.offset:
            continue
        qk = sum(a * b for a, b in zip(query.elements, keys[j].elements, strict=True))
        scaled, clamped = score(qk, query, keys[j], job, numerics)
        pair = modified(i, j, scaled, job, numerics)
        if not pair.seen:
            continue
        bad = query.poisoned or keys[j].poisoned or values[j].poisoned or pair.poisoned
        poisoned, saturated = poisoned or bad, saturated or ((clamped or pair.clamped) and not bad)
        c = math.ceil(Fraction(pair.x, 2**numerics.score_frac))
        y = exp2_fraction(c * 2**numerics.score_frac - pair.x, numerics)
        new_rm = c if empty else max(rm, c)
        rd = (0 if empty else rd >> (new_rm - rm)) + (y >> (new_rm - c))
        rm, empty = new_rm, False
        if not pair.kept:
            continue
        reference = c + values[j].exponent + pair.keep_shift
        new_rmv = reference if unvalued else max(rmv, reference)
        weight = (y * pair.keep_factor // 2**17) >> (new_rmv - reference)
        back = 0 if unvalued else new_rmv - rmv
        rnv = [(old >> back) + (weight * v >> numerics.drop) for old, v in zip(rnv, values[j].elements, strict=True)]
        rmv, unvalued = new_rmv, False
    out = output_row(rnv, rd, rmv - rm, empty, poisoned, numerics)
    return Outcome(out, rm, rd, empty, poisoned, saturated)


def output_row(rnv: list[int], rd: int, exponent: int, empty: bool, poisoned: bool, numerics: Numerics) -> list[int]:
    """`RNV * 2^(RMV - RM) / RD`, rounded once; 0 of nothing, NaN of what is poisoned."""
    fmt = numerics.output
    if empty:
        return [0] * len(rnv)
    if poisoned:
        return [fmt.quiet_nan] * len(rnv)
    unit = power(exponent + numerics.drop - (numerics.operand_bits - 1))
    return [nearest_code(Fraction(total, rd) * unit, fmt, total < 0) for total in rnv]
