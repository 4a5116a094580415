"""Traced values: what a score function computes with while a program is made of it.

Every operation adds nodes to a program. What hardware cannot be made of is refused with the line of the user's
function. The functions of this module (`where`, `minimum`, ...) take NumPy arrays as well, so that the same score
function runs on numbers.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import golden
import hwgen
from golden.bitexact.numerics import Numerics
from golden.scoremod.builder import Builder, ProgramError
from golden.scoremod.program import Argument
from hwgen.errors import ScoreError
from hwgen.scoremod.real import (
    LN2,
    MULTIPLIER_BITS,
    ONE,
    STORED_FRAC,
    Factor,
    Real,
    constant,
    fixed,
    joined,
    negated,
    product,
    scaled,
    shifted,
)

MASKED = float("-inf")
"""What `where` gives in place of a score to hide a key."""

_INSIDE = tuple(str(Path(module.__file__).parent) + "/" for module in (hwgen, golden, np) if module.__file__)


def place() -> str:
    """`file:line` of the innermost frame that belongs to the user."""
    frame, own = sys._getframe(1), ""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_INSIDE) or "/tests/" in name:
            return f"{name}:{frame.f_lineno}"
        own, frame = f"{name}:{frame.f_lineno}", frame.f_back  # type: ignore[assignment]
    return own


def refuse(text: str, where: str | None = None) -> NoReturn:
    """Raises ScoreError with the user's line, or with the place that is given."""
    raise ScoreError(f"{where or place()}: {text}")


class Source:
    """A parameter, table or bias: numbers that are known at run time only. `contents` are those to start with."""

    name: str | None
    kind: str
    low: float
    high: float
    size: int = 1
    table: bool = False

    def now(self) -> Any:
        """What stands for it in an expression: a traced value while a function is traced, else a number."""
        raise NotImplementedError

    def same(self, other: Source) -> bool:
        """Whether nothing tells the two apart."""
        raise NotImplementedError


class Tracer:
    """What is collected while functions are traced: the nodes, and where the numbers of every argument come from."""

    def __init__(self, numerics: Numerics) -> None:
        self.builder = Builder(numerics)
        self.open = True
        self.sources: dict[str, Source] = {}
        self.origin: dict[str, Source] = {}
        self.bias: Any = None
        self._arguments: dict[tuple[str, str], list[Argument]] = {}

    # Leaves

    def input(self, name: str) -> Value:
        node = self.builder.input(name)
        if name == "score":
            return Value(self, "real", real=fixed(self.builder, node, LN2), scored=True)
        return self.integer(node)

    def boolean(self, node: int, scored: bool = False) -> Value:
        return Value(self, "boolean", node=node, scored=scored)

    def integer(self, node: int, scored: bool = False) -> Value:
        return Value(self, "integer", node=node, scored=scored)

    def named(self, source: Source) -> str:
        """The name of a source, which gets one if it has none."""
        for name, known in self.sources.items():
            if known is source or (source.name == name and known.same(source)):
                return name
        taken = self.sources.keys() | self.origin.keys()
        name = source.name or next(n for n in (f"table_{i}" for i in range(len(taken) + 1)) if n not in taken)
        if name in taken:
            refuse(f"there are two arguments called {name!r}; give one of them another name")
        self.sources[name] = source
        return name

    def source(self, source: Source, index: int | None = None) -> Value:
        """An element of a table, or a parameter."""
        if source.kind == "real":
            return Value(self, "real", real=Real(partial(self._stored, source, index, place()), ONE, True))
        try:
            node = self._read(self._argument(source, int(source.low), int(source.high), 0, 1.0), index)
        except ProgramError as error:
            refuse(str(error))
        if source.kind == "boolean":
            return self.boolean(self.builder.equal(node, self.builder.constant(1)))
        return self.integer(node)

    def _read(self, argument: Argument, index: int | None) -> int:
        return self.builder.parameter(argument) if index is None else self.builder.table(argument, index)

    def _argument(self, source: Source, low: int, high: int, frac: int, factor: float) -> Argument:
        """A source as it is stored in one unit, with at least `frac` fraction bits; another unit, another argument."""
        name = self.named(source)
        key = (name, f"{factor:.12e}")
        stored = self._arguments.setdefault(key, [])
        for known in stored:
            if known.frac >= frac:
                return known
        own, count = name, 1
        while own in self.origin or (own != name and own in self.sources):
            count += 1
            own = f"{name}_{count}"
        stored.append(Argument(own, source.size, low, high, frac, factor, source.table))
        self.origin[own] = source
        return stored[-1]

    def _stored(self, source: Source, index: int | None, where: str, factor: Factor, most: int) -> int:
        mantissa, exponent = factor.split()
        span = max(abs(source.low), abs(source.high)) / mantissa
        frac = max(min(most - exponent, STORED_FRAC), 0)
        while frac >= 0 and round(span * 2.0**frac) >= 1 << (MULTIPLIER_BITS - 1):
            frac -= 1
        if frac < 0:
            size = f"{span * mantissa:g}"
            refuse(f"{source.name or 'an argument'} may be as large as {size}, which is out of range", where)
        low, high = (round(end / mantissa * 2.0**frac) for end in (source.low, source.high))
        node = self._read(self._argument(source, low, high, frac, 1 / mantissa), index)
        node = shifted(self.builder, node, -exponent)
        return self.builder.quantise(node, min(self.builder.format(node).frac, most))

    # Values

    def lift(self, x: Any, mask: bool = False) -> Value:
        """A traced value of anything that may stand in an expression; -inf only if `mask`."""
        if isinstance(x, Source):
            x = x.now()
        if isinstance(x, np.ndarray) and x.ndim == 0:
            x = x.item()
        if isinstance(x, Value):
            if x.tracer is not self:
                refuse("a traced value is used outside of the function that it was made for")
            return x
        if isinstance(x, bool | np.bool_):
            return self.boolean(self.builder.boolean(bool(x)))
        if isinstance(x, int | np.integer):
            number = int(x)
            return Value(self, "integer", node=self.builder.constant(number), number=Fraction(number))
        if isinstance(x, float | np.floating):
            if mask and x == MASKED:
                zero = constant(self.builder, Fraction(0))
                return Value(self, "real", real=zero, hidden=self.builder.boolean(True))
            if not math.isfinite(x):
                refuse(f'the constant {x} cannot be used; only where(condition, score, float("-inf")) takes one')
            return Value(self, "real", real=constant(self.builder, Fraction(float(x))), number=Fraction(float(x)))
        if isinstance(x, np.ndarray | list | tuple):
            refuse("an array or list meets a traced value; put it into a Table and index that")
        if x is None:
            refuse("None where a value is needed; does a function lack its return?")
        if hasattr(x, "__getitem__") and not isinstance(x, str):
            refuse(f"{type(x).__name__} where a value is needed; index it")
        refuse(f"a {type(x).__name__} where a number or a traced value is needed")


_active: ContextVar[Tracer | None] = ContextVar("active", default=None)


def active() -> Tracer | None:
    """The tracer at work, if there is one."""
    return _active.get()


@contextmanager
def tracing(numerics: Numerics) -> Iterator[Tracer]:
    """Within it, tables and parameters become parts of a program."""
    tracer = Tracer(numerics)
    token = _active.set(tracer)
    try:
        yield tracer
    except ProgramError as error:
        refuse(str(error))
    finally:
        tracer.open = False
        _active.reset(token)


# Operations. Each takes traced values of one tracer.


def _real(x: Value) -> Real:
    if x.kind == "boolean":
        refuse("a boolean is used as a number; where(condition, 1, 0) makes one of it")
    if x.kind == "real":
        return x.real  # type: ignore[return-value]
    builder = x.tracer.builder
    return constant(builder, x.number) if x.number is not None else fixed(builder, x.node, ONE)


def _placed(builder: Builder, real: Real) -> Real:
    """A number that is made later than its line: errors still name that line, and it is made once for all units that
    are powers of two apart."""
    if not real.flexible:
        return real
    line = place()
    made: dict[str, list[tuple[int, int, int]]] = {}

    def emit(factor: Factor, most: int) -> int:
        mantissa, exponent = factor.split()
        found = made.setdefault(f"{mantissa:.12e}", [])
        for known, bits, node in found:
            if known - bits <= exponent - most:
                # It is there in a unit that is a power of two away, and at least as fine.
                node = shifted(builder, node, known - exponent)
                return builder.quantise(node, min(builder.format(node).frac, max(most, 0)))
        try:
            node = real.emit(factor, most)
        except ProgramError as error:
            refuse(str(error) + ADVICE, line)
        found.append((exponent, most, node))
        return node

    return Real(emit, real.factor, True)


ADVICE = "; minimum and maximum make a number narrower"


def _value(x: Value, real: Real, *others: Value, hidden: int | None = None) -> Value:
    scored = any(v.scored for v in (x, *others))
    return Value(x.tracer, "real", real=_placed(x.tracer.builder, real), hidden=hidden, scored=scored)


def _numbers(name: str, *values: Value) -> bool:
    """Whether all are integers. Booleans are refused."""
    for x in values:
        if x.kind == "boolean":
            refuse(f"{name} of a boolean; where(condition, a, b) chooses between numbers")
    return all(x.kind == "integer" for x in values)


def _whole(name: str, *values: Value) -> None:
    if not _numbers(name, *values):
        refuse(f"{name} of a number that is no integer; indices, integer tables and integer parameters are integers")


def _exposed(name: str, *values: Value) -> None:
    """Refuses numbers that may be -inf."""
    if any(x.hidden is not None for x in values):
        refuse(
            f"{name} of a number that may be -inf; it can be added to, scaled by a positive constant, chosen by where, "
            "minimum and maximum, and returned (a BiasTensor with finite=True is never -inf)"
        )


def _either(tracer: Tracer, *conditions: int | None) -> int | None:
    found = [c for c in conditions if c is not None]
    return None if not found else found[0] if len(found) == 1 else tracer.builder.either(*found)


def _integers(x: Value, node: int, *others: Value) -> Value:
    return x.tracer.integer(node, any(v.scored for v in (x, *others)))


def add(a: Value, b: Value) -> Value:
    builder = a.tracer.builder
    if _numbers("+", a, b):
        return _integers(a, builder.add(a.node, b.node), b)
    real = joined(builder, builder.add, [(_real(a), a.scored), (_real(b), b.scored)])
    return _value(a, real, b, hidden=_either(a.tracer, a.hidden, b.hidden))


def subtract(a: Value, b: Value) -> Value:
    builder = a.tracer.builder
    if _numbers("-", a, b):
        return _integers(a, builder.subtract(a.node, b.node), b)
    _exposed("-", b)
    real = joined(builder, builder.subtract, [(_real(a), a.scored), (_real(b), b.scored)])
    return _value(a, real, b, hidden=a.hidden)


def multiply(a: Value, b: Value) -> Value:
    builder = a.tracer.builder
    if a.scored and b.scored:
        refuse("a product of two numbers that both depend on the score; one of its factors must not")
    if _numbers("*", a, b):
        return _integers(a, builder.multiply(a.node, b.node), b)
    for x, y in ((a, b), (b, a)):
        if y.number is not None:
            return _times(x, y.number)
    _exposed("*", a, b)
    return _value(a, product(builder, _real(a), _real(b), a.scored or b.real_leaf()), b)


def _times(x: Value, number: Fraction) -> Value:
    builder = x.tracer.builder
    if number > 0:
        return _value(x, scaled(_real(x), number), hidden=x.hidden)
    _exposed("multiplication by 0 or less", x)
    if number == 0:
        return _value(x, constant(builder, Fraction(0)))
    return _value(x, negated(builder, scaled(_real(x), -number)))


def divide(a: Value, b: Value) -> Value:
    if b.number is None:
        refuse("division by something that is no constant; multiply by a Table or Parameter of reciprocals")
    if b.number == 0:
        refuse("division by 0")
    _numbers("/", a)
    return _times(a, 1 / b.number)


def negate(a: Value) -> Value:
    builder = a.tracer.builder
    if _numbers("-", a):
        return _integers(a, builder.negate(a.node))
    _exposed("-", a)
    return _value(a, negated(builder, _real(a)))


def absolute_value(a: Value) -> Value:
    builder = a.tracer.builder
    if _numbers("abs", a):
        return _integers(a, builder.absolute(a.node))
    _exposed("abs", a)
    return _value(a, joined(builder, builder.absolute, [(_real(a), a.scored)]))


def least(a: Value, b: Value) -> Value:
    builder = a.tracer.builder
    if _numbers("minimum", a, b):
        return _integers(a, builder.minimum(a.node, b.node), b)
    real = joined(builder, builder.minimum, [(_real(a), a.scored), (_real(b), b.scored)])
    return _value(a, real, b, hidden=_either(a.tracer, a.hidden, b.hidden))


def greatest(a: Value, b: Value) -> Value:
    builder = a.tracer.builder
    if _numbers("maximum", a, b):
        return _integers(a, builder.maximum(a.node, b.node), b)
    real = joined(builder, builder.maximum, [(_real(a), a.scored), (_real(b), b.scored)])
    larger = _value(a, real, b)
    for x, y in ((a, b), (b, a)):
        if x.hidden is not None:
            larger = choose(a.tracer.boolean(x.hidden), _value(y, _real(y)), larger)
    if a.hidden is not None and b.hidden is not None:
        larger.hidden = builder.both(a.hidden, b.hidden)
    return larger


def compare(name: str, a: Value, b: Value) -> Value:
    """`name` is a method of Builder: less, less_equal or equal."""
    tracer, scored = a.tracer, a.scored or b.scored
    if name == "equal" and a.kind == b.kind == "boolean":
        return tracer.boolean(tracer.builder.invert(tracer.builder.differ(a.node, b.node)), scored)
    method = getattr(tracer.builder, name)
    if _numbers("a comparison", a, b):
        return tracer.boolean(method(a.node, b.node), scored)
    _exposed("a comparison", a, b)
    ab = [(_real(a), a.scored), (_real(b), b.scored)]
    node = joined(tracer.builder, method, ab)
    return tracer.boolean(node.node(node.factor), scored)


def choose(condition: Value, a: Value, b: Value) -> Value:
    tracer, builder = condition.tracer, condition.tracer.builder
    if condition.kind != "boolean":
        refuse("the condition of where is no boolean; compare a number with something")
    scored = condition.scored or a.scored or b.scored
    if a.kind == b.kind and a.kind != "real":
        node = builder.select(condition.node, a.node, b.node)
        return Value(tracer, a.kind, node=node, scored=scored)
    if "boolean" in (a.kind, b.kind):
        refuse("where chooses between a boolean and a number")
    hidden = None
    if a.hidden is not None or b.hidden is not None:
        never = builder.boolean(False)
        ends = (never if x.hidden is None else x.hidden for x in (a, b))
        hidden = _choose_boolean(builder, condition.node, *ends)
    always = builder.boolean(True)
    if a.hidden == always or b.hidden == always:
        # What is hidden may be anything.
        seen = b if a.hidden == always else a
        return _value(seen, _real(seen), condition, hidden=hidden)
    select = partial(builder.select, condition.node)
    real = joined(builder, select, [(_real(a), a.scored), (_real(b), b.scored)])
    return _value(a, real, b, condition, hidden=hidden)


def _choose_boolean(builder: Builder, condition: int, a: int, b: int) -> int:
    """A choice of which one side is often a constant."""
    true, false = builder.boolean(True), builder.boolean(False)
    if a == true:
        return builder.either(condition, b)
    if b == true:
        return builder.either(builder.invert(condition), a)
    if a == false:
        return builder.both(builder.invert(condition), b)
    if b == false:
        return builder.both(condition, a)
    return builder.select(condition, a, b)


def hyperbolic_tangent(a: Value) -> Value:
    _numbers("tanh", a)
    _exposed("tanh", a)
    builder = a.tracer.builder
    return _value(a, fixed(builder, builder.tanh(_real(a).node(ONE)), ONE))


def power_of_two(a: Value) -> Value:
    _numbers("exp2", a)
    _exposed("exp2", a)
    builder = a.tracer.builder
    return _value(a, fixed(builder, builder.exp2(_real(a).node(ONE)), ONE))


def _is_mask(x: Value) -> int | None:
    """n if x is the constant 2^n - 1, else None."""
    n = None if x.number is None else int(x.number)
    return n.bit_length() if n is not None and n >= 0 and n & (n + 1) == 0 else None


def bitwise(name: str, a: Value, b: Value) -> Value:
    """`name` is a method of Builder: both, either or differ."""
    sign = {"both": "&", "either": "|", "differ": "^"}[name]
    builder, scored = a.tracer.builder, a.scored or b.scored
    if a.kind == b.kind == "boolean":
        return a.tracer.boolean(getattr(builder, name)(a.node, b.node), scored)
    if "boolean" in (a.kind, b.kind):
        refuse(f"{sign} of a boolean and a number; comparisons need brackets: (q >= kv) {sign} (q < n)")
    _whole(sign, a, b)
    nodes = [a.node, b.node]
    if name == "both":
        for i, x in ((0, b), (1, a)):
            if x.number is not None and x.number >= 0:
                nodes[i] = builder.low(nodes[i], max(int(x.number).bit_length(), 1))
                if _is_mask(x):
                    return _integers(a, nodes[i], b)
    if any(builder.format(node).low < 0 for node in nodes):
        refuse(f"{sign} of a number that may be negative; `& (2**n - 1)` takes its lowest bits first")
    return _integers(a, getattr(builder, name)(*nodes), b)


def invert(a: Value) -> Value:
    if a.kind != "boolean":
        refuse("~ of a number; it is supported on booleans only")
    return a.tracer.boolean(a.tracer.builder.invert(a.node), a.scored)


def _constant(name: str, b: Value) -> int:
    if b.number is None or b.kind != "integer":
        refuse(f"{name} by something that is no integer constant")
    return int(b.number)


def shift(name: str, a: Value, b: Value) -> Value:
    """`name` is << or >>."""
    _whole(name, a)
    bits = _constant(name, b)
    if not 0 <= bits < 62:
        refuse(f"{name} by {bits}; 0 to 61 are supported")
    builder = a.tracer.builder
    return _integers(a, builder.left(a.node, bits) if name == "<<" else builder.right(a.node, bits))


def divide_whole(name: str, a: Value, b: Value) -> Value:
    """`name` is // or %."""
    _whole(name, a)
    by = _constant(name, b)
    if by < 1 or by & (by - 1):
        below = 1 << (max(by, 1).bit_length() - 1)
        refuse(
            f"{name} by {by}; powers of two are supported, the nearest are {below} and {2 * below}. A Table can hold "
            "any function of an index"
        )
    bits, builder = by.bit_length() - 1, a.tracer.builder
    if name == "//":
        return _integers(a, builder.right(a.node, bits))
    return _integers(a, builder.low(a.node, bits) if bits else builder.constant(0))


Operation = Callable[..., "Value"]


def _greater(name: str, a: Value, b: Value) -> Value:
    return compare(name, b, a)


def _unequal(a: Value, b: Value) -> Value:
    return invert(compare("equal", a, b))


def _reversed(operation: Operation) -> Operation:
    return lambda a, b: operation(b, a)


OPERATORS: dict[str, Operation] = {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "truediv": divide,
    "floordiv": partial(divide_whole, "//"),
    "mod": partial(divide_whole, "%"),
    "lshift": partial(shift, "<<"),
    "rshift": partial(shift, ">>"),
    "and": partial(bitwise, "both"),
    "or": partial(bitwise, "either"),
    "xor": partial(bitwise, "differ"),
}
COMPARISONS: dict[str, Operation] = {
    "lt": partial(compare, "less"),
    "le": partial(compare, "less_equal"),
    "gt": partial(_greater, "less"),
    "ge": partial(_greater, "less_equal"),
    "eq": partial(compare, "equal"),
    "ne": _unequal,
}
UNARY: dict[str, Operation] = {"neg": negate, "pos": lambda a: a, "abs": absolute_value, "invert": invert}

SUPPORTED = (
    "supported are + - * abs, / by constants, comparisons, & | ^ ~, << >> // % of integers by constants, where, "
    "minimum, maximum, tanh, exp2, logical_and, logical_or, logical_not, Table, Parameter and BiasTensor"
)


def run(operation: Operation, *operands: Any) -> Any:
    """An operation of which an operand is a traced value."""
    tracer = next(x.tracer for x in operands if isinstance(x, Value))
    if not tracer.open:
        refuse("a traced value is used after its function was traced")
    try:
        return operation(*(tracer.lift(x) for x in operands))
    except ProgramError as error:
        refuse(str(error) + ADVICE)


def _refusing(text: str) -> Callable[..., NoReturn]:
    def refused(self: Value, *args: Any, **options: Any) -> NoReturn:
        refuse(text)

    return refused


NUMPY_OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "left_shift": "lshift",
    "right_shift": "rshift",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}
"""The functions that NumPy makes of an operator whose left side is one of its scalars."""


class Value:
    """A traced value.

    kind:   boolean, integer or real
    node:   of a boolean or an integer
    real:   of a real number
    hidden: node of the condition under which it is -inf
    scored: it depends on the score
    number: of a constant
    """

    def __init__(
        self,
        tracer: Tracer,
        kind: str,
        *,
        node: int = -1,
        real: Real | None = None,
        hidden: int | None = None,
        scored: bool = False,
        number: Fraction | None = None,
    ) -> None:
        if hidden == tracer.builder.boolean(False):
            hidden = None
        self.tracer, self.kind, self.node, self.real = tracer, kind, node, real
        self.hidden, self.scored, self.number = hidden, scored, number

    def real_leaf(self) -> bool:
        """A number that takes any unit: an argument or a constant, or a choice or sum of those."""
        return self.kind == "real" and self.real is not None and self.real.flexible and not self.scored

    __hash__ = None  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        scalars = all(isinstance(x, Value) or np.ndim(x) == 0 for x in inputs)
        if not scalars:
            refuse("an array or list meets a traced value; put it into a Table and index that")
        if method == "__call__" and ufunc.__name__ in NUMPY_OPERATORS and not options:
            found = NUMPY_OPERATORS[ufunc.__name__]
            return run((OPERATORS | COMPARISONS)[found], *inputs)
        _foreign("numpy", ufunc.__name__)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> NoReturn:
        _foreign("numpy", function.__name__)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), options: Any = None) -> NoReturn:
        _foreign("torch", getattr(function, "__name__", str(function)))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"a traced value has no {name!r}; {SUPPORTED}")

    def __repr__(self) -> str:
        return f"<traced {self.kind}>"

    __bool__ = _refusing(
        "Python's if, and, or, not, min, max and chained comparisons need a value that is not known yet: use "
        "where(condition, a, b), &, |, ~, minimum, maximum, and brackets around each comparison"
    )
    __index__ = _refusing("a traced value as an index of a list or array, or as a count: use a Table")
    __iter__ = _refusing("a traced value is one number and cannot be iterated over")
    __len__ = _refusing("a traced value is one number and has no length")
    __getitem__ = _refusing("a traced value is one number and cannot be indexed")
    __setitem__ = _refusing("a traced value is one number and cannot be indexed")
    __contains__ = _refusing("a traced value is one number; `in` does not work with it")
    __array__ = _refusing("a traced value cannot become an array; use a Table for look-ups")
    __float__ = _refusing("float() or a function of math of a traced value, which is not known yet; " + SUPPORTED)
    __complex__ = _refusing("complex() of a traced value; " + SUPPORTED)
    __int__ = _refusing("int() of a traced value, which is not known yet; `>>` and `//` round integers down")
    __round__ = _refusing("round() of a traced value; " + SUPPORTED)
    __trunc__ = __floor__ = __ceil__ = _refusing("rounding of a traced value; `>>` and `//` round integers down")
    __pow__ = __rpow__ = _refusing("** of a traced value; " + SUPPORTED)
    __matmul__ = __rmatmul__ = __divmod__ = __rdivmod__ = _refusing("an operation of a traced value; " + SUPPORTED)



def _method(operation: Operation) -> Callable[..., Any]:
    return lambda *operands: run(operation, *operands)


for _name, _operation in (OPERATORS | COMPARISONS | UNARY).items():
    setattr(Value, f"__{_name}__", _method(_operation))
for _name, _operation in OPERATORS.items():
    setattr(Value, f"__r{_name}__", _method(_reversed(_operation)))

INSTEAD = {
    "absolute": "abs()",
    "abs": "abs()",
    "clip": "minimum and maximum",
    "clamp": "minimum and maximum",
    "fmin": "minimum",
    "fmax": "maximum",
    "min": "minimum",
    "max": "maximum",
    "where": "where",
    "minimum": "minimum",
    "maximum": "maximum",
    "tanh": "tanh",
    "exp2": "exp2",
    "exp": "exp2(x * log2(e))",
    "logical_and": "logical_and or &",
    "logical_or": "logical_or or |",
    "logical_not": "logical_not or ~",
}


def _foreign(library: str, name: str) -> NoReturn:
    hint = f"use {INSTEAD[name]} of hwgen.scoremod" if name in INSTEAD else SUPPORTED
    refuse(f"{library}.{name} of a traced value; {hint}")


# Functions for users, of traced values, numbers or arrays


def _now(x: Any) -> Any:
    return x.now() if isinstance(x, Source) else x


def _function(operation: Operation, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    def of(*operands: Any) -> Any:
        operands = tuple(_now(x) for x in operands)
        return run(operation, *operands) if any(isinstance(x, Value) for x in operands) else otherwise(*operands)

    return of


_minimum = _function(least, np.minimum)
_maximum = _function(greatest, np.maximum)
_tanh = _function(hyperbolic_tangent, np.tanh)
_exp2 = _function(power_of_two, np.exp2)


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`. Where one of both is `float("-inf")`, the key is hidden."""
    operands = tuple(_now(x) for x in (condition, a, b))
    tracer = next((x.tracer for x in operands if isinstance(x, Value)), None)
    if tracer is None:
        return np.where(*operands)
    return run(lambda c, *_: choose(c, *(tracer.lift(x, mask=True) for x in operands[1:])), operands[0], *(
        x for x in operands[1:] if isinstance(x, Value)
    ))  # fmt: skip


def minimum(a: Any, b: Any) -> Any:
    """The lesser of two numbers."""
    return _minimum(a, b)


def maximum(a: Any, b: Any) -> Any:
    """The greater of two numbers."""
    return _maximum(a, b)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return _tanh(x)


def exp2(x: Any) -> Any:
    """2 to the power of a number, of which hardware must know that it is not large: `exp2(minimum(x, 8))`."""
    return _exp2(x)


def logical_and(a: Any, b: Any) -> Any:
    """`a & b` of booleans."""
    return operator.and_(_condition(a), _condition(b))


def logical_or(a: Any, b: Any) -> Any:
    """`a | b` of booleans."""
    return operator.or_(_condition(a), _condition(b))


def logical_not(a: Any) -> Any:
    """`~ a` of a boolean."""
    return operator.invert(_condition(a))


def _condition(x: Any) -> Any:
    x = _now(x)
    if isinstance(x, Value):
        if x.kind != "boolean":
            refuse("a logical function of a number; compare it with something")
        return x
    return np.asarray(x, dtype=np.bool_)[()]
