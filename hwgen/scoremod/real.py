"""Real numbers in a traced function: integers of a program, each with what its unit is worth.

A score counts units of ln(2), and whatever meets a score has to as well. A `Real` therefore says in which unit it would
like to be and can be asked for itself in another one. Constants, tables and parameters are simply stored in the unit
that is wanted, a product passes the wish on to one of its factors, and only what can do neither is multiplied by a
constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from golden.scoremod.builder import Builder, ProgramError
from golden.scoremod.program import MAX_BITS

REAL_FRAC = 22
"""Fraction bits that a real number keeps, if its unit is at most 1."""

MULTIPLIER_BITS = 26
"""Significant bits of a constant that something is multiplied by, and of a stored argument with its sign."""

STORED_FRAC = 30
"""Most fraction bits of an argument."""

CONSTANT_LIMIT = 1 << 20
"""Constants that are added to or compared with a real number are smaller."""

COARSEST = 17
"""Fraction bits that a factor keeps where a product would have too many bits."""

RATIO_LIMIT = Fraction(1 << 40)
"""Between this and its reciprocal lies what a real number may be multiplied by."""


@dataclass(frozen=True)
class Factor:
    """The positive number `ratio * ln(2)^power`."""

    ratio: Fraction = Fraction(1)
    power: int = 0

    def __mul__(self, other: Factor) -> Factor:
        return Factor(self.ratio * other.ratio, self.power + other.power)

    def __truediv__(self, other: Factor) -> Factor:
        return Factor(self.ratio / other.ratio, self.power - other.power)

    def number(self) -> Fraction:
        """Exact if the power is 0, else within 2^-50."""
        return self.ratio * Fraction(math.log(2) ** self.power) if self.power else self.ratio

    def split(self) -> tuple[float, int]:
        """(m, e) with the factor m * 2^e and 1/2 < m <= 1."""
        mantissa, exponent = math.frexp(self.number())
        return (1.0, exponent - 1) if mantissa == 0.5 else (mantissa, exponent)


ONE = Factor()
LN2 = Factor(power=1)


def fraction_bits(factor: Factor) -> int:
    """Fraction bits that numbers in units of `factor * 2^-bits` keep: a unit is never below 2^-REAL_FRAC."""
    return REAL_FRAC + max(0, factor.split()[1])


@dataclass(frozen=True, eq=False)
class Real:
    """A real number that is to come.

    emit:     (factor, most) gives a node whose number times `factor` is this one; constants and arguments in it have at
              most `most` fraction bits
    factor:   the unit it would like to be in
    flexible: other units cost nothing
    """

    emit: Callable[[Factor, int], int]
    factor: Factor
    flexible: bool

    def node(self, factor: Factor, most: int | None = None) -> int:
        return self.emit(factor, fraction_bits(factor) if most is None else most)


def fixed(builder: Builder, node: int, factor: Factor) -> Real:
    """A node that is there."""

    def emit(wanted: Factor, most: int) -> int:
        return rescaled(builder, node, factor / wanted, min(most, fraction_bits(wanted)))

    return Real(emit, factor, False)


def constant(builder: Builder, number: Fraction) -> Real:
    """A constant, which any unit can hold."""

    def emit(factor: Factor, most: int) -> int:
        if abs(number) >= CONSTANT_LIMIT:
            raise ProgramError(
                f"the constant {float(number):g} is out of range: constants that meet a real number lie within "
                '+-2^20; where(condition, score, float("-inf")) hides a key'
            )
        code = number / factor.number()
        frac = most
        if most > fraction_bits(factor) and code:
            frac = min(most, max(MULTIPLIER_BITS - 1 - math.frexp(code)[1], 0))
        return builder.constant(round(code * 2**frac), frac)

    return Real(emit, ONE, True)


def scaled(real: Real, number: Fraction) -> Real:
    """Times a positive constant: only its unit changes."""
    by = Factor(number)
    return Real(lambda factor, most: real.emit(factor / by, most), real.factor * by, real.flexible)


def negated(builder: Builder, real: Real) -> Real:
    return Real(lambda factor, most: builder.negate(real.emit(factor, most)), real.factor, real.flexible)


def multiplied(builder: Builder, a: int, b: int) -> int:
    """The product of two nodes; where it would be too wide, of factors rounded to COARSEST fraction bits at most."""
    for _ in range(2):
        excess = builder.format(a).width + builder.format(b).width - MAX_BITS
        if builder.is_constant(a) or (builder.format(b).frac > builder.format(a).frac and not builder.is_constant(b)):
            a, b = b, a
        frac = builder.format(a).frac
        if excess > 0 and frac > COARSEST and not builder.is_constant(a):
            a = builder.quantise(a, max(frac - excess, COARSEST))
    return builder.multiply(a, b)


def product(builder: Builder, a: Real, b: Real, b_takes_unit: bool) -> Real:
    """`a b`; where both are flexible, `b_takes_unit` says which of them the wish for a unit is passed on to."""

    def limited(node: int, factor: Factor) -> int:
        return builder.quantise(node, min(builder.format(node).frac, fraction_bits(factor)))

    if not a.flexible and not b.flexible:
        factor = a.factor * b.factor
        node = multiplied(builder, a.node(a.factor, STORED_FRAC), b.node(b.factor, STORED_FRAC))
        return fixed(builder, limited(node, factor), factor)
    if not b.flexible or (a.flexible and not b_takes_unit):
        a, b = b, a

    def emit(factor: Factor, most: int) -> int:
        node = multiplied(builder, a.node(a.factor, STORED_FRAC), b.node(factor / a.factor, STORED_FRAC))
        return limited(node, factor)

    return Real(emit, a.factor * b.factor, True)


def common(numbers: list[tuple[Real, bool]]) -> Factor:
    """The unit in which numbers meet; each comes with whether it depends on the score."""
    stiff = [(real, scored) for real, scored in numbers if not real.flexible] or numbers
    scores = [real for real, scored in stiff if scored]
    scored = scores or [real for real, _ in stiff]
    as_scores = [real for real in scored if real.factor.power == 1 and real.factor.split()[0] == LN2.split()[0]]
    if scores and len(stiff) < len(numbers) and all(real.factor.power == 0 for real in scores):
        # The unit has to become that of scores in the end; before it meets others it is narrower.
        return LN2
    return (as_scores or scored)[0].factor


def joined(builder: Builder, operation: Callable[..., int], numbers: list[tuple[Real, bool]]) -> Real:
    """Numbers brought to one unit and given to an operation whose result has that unit too."""
    factor = common(numbers)
    reals = [real for real, _ in numbers]

    def emit(factor: Factor, most: int) -> int:
        return operation(*(real.node(factor, most) for real in reals))

    if all(real.flexible for real in reals):
        return Real(emit, factor, True)
    return fixed(builder, emit(factor, fraction_bits(factor)), factor)


def shifted(builder: Builder, node: int, bits: int) -> int:
    """Times `2^bits`."""
    if builder.is_constant(node):
        f, number = builder.format(node), builder.nodes[node].number
        return builder.constant(number << max(bits, 0), f.frac + max(-bits, 0))
    return builder.left(node, bits) if bits >= 0 else builder.multiply(node, builder.constant(1, -bits))


def rescaled(builder: Builder, node: int, factor: Factor, frac: int) -> int:
    """Times a factor, with at most `frac` fraction bits. Powers of two are shifts; another factor has MULTIPLIER_BITS
    bits. Raises ProgramError if it is out of range."""
    number = factor.number()
    if not 1 / RATIO_LIMIT <= number <= RATIO_LIMIT:
        raise ProgramError(f"a number is multiplied by {float(number):g}; only 2^-40 to 2^40 can be")
    exponent = MULTIPLIER_BITS - math.frexp(number)[1]
    code = round(number * Fraction(2) ** exponent)
    zeros = (code & -code).bit_length() - 1
    code, exponent = code >> zeros, exponent - zeros
    if code == 1:
        node = shifted(builder, node, -exponent)
    elif exponent >= 0:
        node = multiplied(builder, node, builder.constant(code, exponent))
    else:
        node = multiplied(builder, node, builder.constant(code << -exponent))
    return builder.quantise(node, min(builder.format(node).frac, frac))
