"""The numbers contract written a second time: scalar, in Python integers and fractions, one query after the other.

Slow and plain on purpose. Nothing of `golden.bitexact` is used but the parameters, the table of chords (data that is
part of the contract) and the names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import ml_dtypes
import numpy as np

from golden.bitexact import Job, Numerics
from golden.bitexact.exp2 import chords
from golden.formats import FloatFormat

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


def attend_query(i: int, query: Row, keys: list[Row], values: list[Row], job: Job, numerics: Numerics) -> Outcome:
    """Query i over all keys it sees: the online softmax with shifts of any length."""
    rm = rmv = rd = 0
    rnv = [0] * len(values[0].elements)
    empty, poisoned, saturated = True, False, False
    for j in range(job.keys):
        if job.causal and j > i + job.offset:
            continue
        qk = sum(a * b for a, b in zip(query.elements, keys[j].elements, strict=True))
        x, clamped = score(qk, query, keys[j], job, numerics)
        bad = query.poisoned or keys[j].poisoned or values[j].poisoned
        poisoned, saturated = poisoned or bad, saturated or (clamped and not bad)
        c = math.ceil(Fraction(x, 2**numerics.score_frac))
        y = exp2_fraction(c * 2**numerics.score_frac - x, numerics)
        new_rm = c if empty else max(rm, c)
        new_rmv = c + values[j].exponent if empty else max(rmv, c + values[j].exponent)
        weight = y >> (new_rmv - c - values[j].exponent)
        rd = (0 if empty else rd >> (new_rm - rm)) + (y >> (new_rm - c))
        back = 0 if empty else new_rmv - rmv
        rnv = [(old >> back) + (weight * v >> numerics.drop) for old, v in zip(rnv, values[j].elements, strict=True)]
        rm, rmv, empty = new_rm, new_rmv, False
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
