"""Extended Einsums as objects: indices, expressions, and the Einsum itself; their text is how they are written.

Variables are lower case and run over the rank of the same name in upper case: `m1` over `M1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from golden.cascade.errors import CascadeError, Place, did_you_mean
from golden.cascade.operators import INFIX, OPERATORS, REDUCTIONS

_PRECEDENCE = {"add": 1, "sub": 1, "mul": 2, "divide": 2, "neg": 3}


def rank_of(variable: str) -> str:
    """The rank a variable runs over."""
    return variable.upper()


def _shifted(name: str, shift: int) -> str:
    return name + (f"{shift:+d}" if shift else "")


@dataclass(frozen=True)
class Condition:
    """A filter: of the coordinates of an index only those `relation` (<=, <, >=, >) `variable` + `shift` take part."""

    relation: str
    variable: str
    shift: int = 0

    def __str__(self) -> str:
        return f"{self.relation}{_shifted(self.variable, self.shift)}"


@dataclass(frozen=True)
class Index:
    """All coordinates of a rank, one after the other: `m`, `m+1`, or `k : k<=i`."""

    variable: str
    shift: int = 0
    condition: Condition | None = None

    def __str__(self) -> str:
        text = _shifted(self.variable, self.shift)
        return text if self.condition is None else f"{text} : {self.variable}{self.condition}"


@dataclass(frozen=True)
class Joined:
    """All coordinates of a partitioned rank by those of its parts, the outermost first: `m1*M0+m0`."""

    variables: tuple[str, ...]

    def __str__(self) -> str:
        ranks = [rank_of(v) for v in self.variables]
        return "+".join("*".join((v, *ranks[i + 1 :])) for i, v in enumerate(self.variables))


@dataclass(frozen=True)
class Coordinate:
    """One coordinate: a number, or the size of a rank plus a number: `0`, `M1`, `M1-1`."""

    rank: str | None
    shift: int = 0

    def __str__(self) -> str:
        return str(self.shift) if self.rank is None else _shifted(self.rank, self.shift)


AnyIndex: TypeAlias = Index | Joined | Coordinate


class Expression:
    """What can stand on the right of an Einsum. Python's operators make larger ones of it."""

    def __add__(self, other: Expression | float) -> Apply:
        return Apply("add", (self, as_expression(other)))

    def __sub__(self, other: Expression | float) -> Apply:
        return Apply("sub", (self, as_expression(other)))

    def __mul__(self, other: Expression | float) -> Apply:
        return Apply("mul", (self, as_expression(other)))

    def __truediv__(self, other: Expression | float) -> Apply:
        return Apply("divide", (self, as_expression(other)))

    def __neg__(self) -> Apply:
        return Apply("neg", (self,))


@dataclass(frozen=True)
class Number(Expression):
    """A constant, not negative; may be infinite."""

    value: float

    def __str__(self) -> str:
        whole = self.value == self.value // 1 and self.value < 1e15
        return str(int(self.value)) if whole else repr(self.value)


@dataclass(frozen=True)
class Access(Expression):
    """Elements of a tensor, `QK[m,p]`. Without indices it is a tensor without ranks or, if there is none of that name,
    the size of a rank."""

    tensor: str
    indices: tuple[AnyIndex, ...] = ()
    place: Place | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.tensor + (f"[{','.join(map(str, self.indices))}]" if self.indices else "")

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of the indices in order; one that only a condition names is not among them."""
        found: list[str] = []
        for index in self.indices:
            found += index.variables if isinstance(index, Joined) else []
            found += [index.variable] if isinstance(index, Index) else []
        return tuple(found)


@dataclass(frozen=True)
class Apply(Expression):
    """An operator of `OPERATORS` on operands.

    Raises
    ------
    CascadeError
        If there is no such operator or it takes another number of operands.
    """

    operator: str
    operands: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise CascadeError(f"unknown operator {self.operator!r}{did_you_mean(self.operator, OPERATORS)}")
        wanted = OPERATORS[self.operator].operands
        if len(self.operands) != wanted:
            raise CascadeError(f"{self.operator} takes {wanted} operand{'s'[: wanted > 1]}, not {len(self.operands)}")

    def __str__(self) -> str:
        if self.operator not in _PRECEDENCE:
            return f"{self.operator}({', '.join(map(str, self.operands))})"
        if self.operator == "neg":
            return f"-{self._inner(0, strict=True)}"
        return f"{self._inner(0)} {INFIX[self.operator]} {self._inner(1, strict=True)}"

    def _inner(self, i: int, strict: bool = False) -> str:
        """An operand, in brackets if it binds less than this operator; `strict`: or as much."""
        operand, own = self.operands[i], _PRECEDENCE[self.operator]
        binds = _PRECEDENCE.get(operand.operator, 9) if isinstance(operand, Apply) else 9
        return f"({operand})" if binds < own or (strict and binds == own) else str(operand)


def as_expression(value: Expression | float) -> Expression:
    """An expression as it is; of a number a constant."""
    if isinstance(value, Expression):
        return value
    number = Number(abs(float(value)))
    return Apply("neg", (number,)) if value < 0 else number


def accesses(expression: Expression) -> Iterator[Access]:
    """Every access in an expression, from left to right."""
    if isinstance(expression, Access):
        yield expression
    elif isinstance(expression, Apply):
        for operand in expression.operands:
            yield from accesses(operand)


def variables(expression: Expression) -> tuple[str, ...]:
    """The variables an expression runs over, each once, in the order in which they come."""
    return tuple(dict.fromkeys(v for access in accesses(expression) for v in access.variables))


@dataclass(frozen=True)
class Einsum:
    """`output = expression`, at every point of the space that the variables span. What is missing on the left is
    reduced with the operator `reduce` of `REDUCTIONS`.

    Raises
    ------
    CascadeError
        If there is no such operator.
    """

    output: Access
    expression: Expression
    reduce: str = "add"
    place: Place | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.reduce not in REDUCTIONS:
            raise CascadeError(f"unknown reduction {self.reduce!r}{did_you_mean(self.reduce, REDUCTIONS)}", self.place)
        if not self.reduced:
            # Without anything to reduce the operator means nothing: Einsums that say the same are equal.
            object.__setattr__(self, "reduce", "add")

    @property
    def name(self) -> str:
        """The tensor it gives."""
        return self.output.tensor

    @property
    def reduced(self) -> tuple[str, ...]:
        """Variables on the right that are missing on the left."""
        return tuple(v for v in variables(self.expression) if v not in self.output.variables)

    @property
    def accesses(self) -> tuple[Access, ...]:
        """What it reads, sizes of ranks included."""
        return tuple(accesses(self.expression))

    @property
    def conditions(self) -> dict[str, Condition]:
        """The filter of each variable that has one."""
        found = (i for a in self.accesses for i in a.indices if isinstance(i, Index))
        return {i.variable: i.condition for i in found if i.condition is not None}

    def __str__(self) -> str:
        over = "" if self.reduce == "add" else f"{self.reduce} over {', '.join(self.reduced)}: "
        return f"{self.output} = {over}{self.expression}"
