"""The range of keys that a mask leaves a query, where its graph shows one."""

from __future__ import annotations

from dataclasses import dataclass

from golden.bitexact.numerics import Numerics
from golden.scoremod.builder import Builder, ProgramError
from golden.scoremod.program import INDEX_BITS, Node, Program, extract

LAST_KEY = (1 << INDEX_BITS["kv"]) - 1

QUERY = frozenset({"b", "q"})
BATCH = frozenset({"b"})


@dataclass(frozen=True)
class Bounds:
    """A program of q and b (and arguments) with outputs `low` (0 .. 2^20) and `high` (-1 .. 2^20 - 1): a key outside
    low <= kv <= high is not seen by query q, none is if low > high. Both never fall as q rises."""

    program: Program


@dataclass(frozen=True)
class _Form:
    """`sign * (kv >> shift) + rest`. The rest is a node of the new program; as q rises, it rises (1), stays (0), falls
    (-1) or does anything (None)."""

    sign: int
    shift: int
    rest: int
    slope: int | None


@dataclass(frozen=True)
class _End:
    """One end of a range, a node; `real` if keys make it, not only a condition that holds for all keys of a query."""

    node: int
    real: bool


@dataclass(frozen=True)
class _Range:
    """None is an end that is not known."""

    low: _End | None = None
    high: _End | None = None


def _together(*slopes: int | None) -> int | None:
    """The slope of a sum, or of what lies between its arguments."""
    if None in slopes:
        return None
    found = {s for s in slopes if s}
    return 0 if not found else found.pop() if len(found) == 1 else None


def _opposite(slope: int | None) -> int | None:
    return None if slope is None else -slope


class _Finder:
    """Builds ends of ranges out of the nodes of a program."""

    def __init__(self, program: Program, numerics: Numerics) -> None:
        self.source = program
        self.dependences = program.dependences()
        self.builder = Builder(numerics)
        self.copies: dict[int, int] = {}
        self.forms: dict[int, _Form | None] = {}
        self.ranges: dict[tuple[int, bool], _Range] = {}

    def copy(self, i: int) -> int:
        """The same value in the new program."""
        if i not in self.copies:
            node = self.source.nodes[i]
            if node.op in ("parameter", "table"):
                self.builder.argument(self.source.argument(node.name))
            args = tuple(self.copy(a) for a in node.args)
            self.copies[i] = self.builder.node(Node(node.op, node.format, args, node.number, node.name))
        return self.copies[i]

    def slope(self, i: int) -> int | None:
        """Of a node of q and b."""
        node = self.source.nodes[i]
        if self.dependences[i] <= BATCH:
            return 0
        if node.op == "input":
            return 1
        slopes = [self.slope(a) for a in node.args]
        if node.op in ("add", "minimum", "maximum", "left", "right", "round", "clamp"):
            return _together(*slopes)
        if node.op == "subtract":
            return _together(slopes[0], _opposite(slopes[1]))
        if node.op == "negate":
            return _opposite(slopes[0])
        if node.op == "select" and slopes[0] == 0:
            return _together(*slopes[1:])
        if node.op == "multiply" and 0 in slopes:
            by = self.source.nodes[node.args[slopes.index(0)]].format
            slope = slopes[1 - slopes.index(0)]
            return slope if by.low >= 0 else _opposite(slope) if by.high <= 0 else None
        return None

    def form(self, i: int) -> _Form | None:
        """Of an integer."""
        if i not in self.forms:
            self.forms[i] = self._form(i) if self.source.nodes[i].format.frac == 0 else None
        return self.forms[i]

    def _form(self, i: int) -> _Form | None:
        node = self.source.nodes[i]
        if self.dependences[i] <= QUERY:
            return _Form(0, 0, self.copy(i), self.slope(i))
        if node.op == "input" and node.name == "kv":
            return _Form(1, 0, self.builder.constant(0), 0)
        if node.op not in ("add", "subtract", "negate", "right"):
            return None
        parts = [self.form(a) for a in node.args]
        first = parts[0]
        if first is None:
            return None
        if node.op == "negate":
            return _Form(-first.sign, first.shift, self.builder.negate(first.rest), _opposite(first.slope))
        if node.op == "right":
            whole = first.sign == 1 and first.rest == self.builder.constant(0)
            return _Form(1, first.shift + node.number, first.rest, 0) if whole else None
        second = parts[1]
        if second is None:
            return None
        return self.difference(first, second) if node.op == "subtract" else self.sum(first, second)

    def sum(self, a: _Form, b: _Form) -> _Form | None:
        sign = a.sign + b.sign
        if (a.sign and b.sign and a.shift != b.shift) or abs(sign) > 1:
            return None
        return _Form(
            sign, a.shift if a.sign else b.shift, self.builder.add(a.rest, b.rest), _together(a.slope, b.slope)
        )

    def difference(self, a: _Form, b: _Form) -> _Form | None:
        return self.sum(a, _Form(-b.sign, b.shift, self.builder.negate(b.rest), _opposite(b.slope)))

    def range(self, i: int, wanted: bool = True) -> _Range:
        """Of the keys for which a boolean can be `wanted`."""
        key = (i, wanted)
        if key not in self.ranges:
            self.ranges[key] = self._range(i, wanted)
        return self.ranges[key]

    def _range(self, i: int, wanted: bool) -> _Range:
        node = self.source.nodes[i]
        if self.dependences[i] <= BATCH:
            return self.condition(i, wanted)
        if node.op == "not":
            return self.range(node.args[0], not wanted)
        if node.op in ("and", "or"):
            parts = [self.range(a, wanted) for a in node.args]
            return (self.all_of if (node.op == "and") == wanted else self.any_of)(*parts)
        if node.op == "select":
            condition, a, b = node.args
            return self.any_of(
                self.all_of(self.range(condition), self.range(a, wanted)),
                self.all_of(self.range(condition, False), self.range(b, wanted)),
            )
        if node.op in ("less", "less_equal"):
            a, b = node.args if wanted else node.args[::-1]
            return self.compared(a, b, strictly=(node.op == "less") == wanted)
        if node.op == "equal" and wanted:
            a, b = node.args
            return self.all_of(self.compared(a, b, False), self.compared(b, a, False))
        return _Range()

    def condition(self, i: int, wanted: bool) -> _Range:
        """All keys or none."""
        holds, constant = self.copy(i), self.builder.constant
        ends = (constant(0), constant(LAST_KEY + 1)), (constant(LAST_KEY), constant(-1))
        low, high = (self.builder.select(holds, *(pair if wanted else pair[::-1])) for pair in ends)
        return _Range(_End(low, False), _End(high, False))

    def compared(self, a: int, b: int, strictly: bool) -> _Range:
        """`a <= b`, or `a < b` if strictly."""
        node = self.source.nodes[a]
        if node.op == "absolute" and not self.dependences[a] <= QUERY:
            inner, limit = self.form(node.args[0]), self.form(b)
            if inner is None or limit is None:
                return _Range()
            minus = self.difference(_Form(0, 0, self.builder.constant(0), 0), inner)
            assert minus is not None
            return self.all_of(self.ordered(inner, limit, strictly), self.ordered(minus, limit, strictly))
        first, second = self.form(a), self.form(b)
        return _Range() if first is None or second is None else self.ordered(first, second, strictly)

    def ordered(self, a: _Form, b: _Form, strictly: bool) -> _Range:
        """Likewise of forms."""
        builder, form = self.builder, self.difference(a, b)
        if form is None or form.sign == 0:
            return _Range()
        # sign * (kv >> shift) + edge <= 0
        edge = builder.add(form.rest, builder.constant(1)) if strictly else form.rest
        if form.sign == 1 and form.slope in (0, -1):
            top = builder.left(builder.negate(edge), form.shift)
            return _Range(high=_End(builder.add(top, builder.constant((1 << form.shift) - 1)), True))
        if form.sign == -1 and form.slope in (0, 1):
            return _Range(low=_End(builder.left(edge, form.shift), True))
        return _Range()

    def all_of(self, a: _Range, b: _Range) -> _Range:
        def end(x: _End | None, y: _End | None, nearer) -> _End | None:
            if x is None or y is None:
                return x or y
            return _End(nearer(x.node, y.node), x.real or y.real)

        return _Range(end(a.low, b.low, self.builder.maximum), end(a.high, b.high, self.builder.minimum))

    def any_of(self, a: _Range, b: _Range) -> _Range:
        def end(x: _End | None, y: _End | None, further) -> _End | None:
            return None if x is None or y is None else _End(further(x.node, y.node), x.real or y.real)

        return _Range(end(a.low, b.low, self.builder.minimum), end(a.high, b.high, self.builder.maximum))


def bounds(program: Program, numerics: Numerics) -> Bounds | None:
    """None if `seen` bounds nothing.

    Comparisons bound kv where their sides are sums of kv (or its highest bits) and of what depends on q, b and
    arguments alone, and the bound does not fall with q. What depends on h or the score, or a table looked up by q or
    kv, does not.
    """
    if "seen" not in program.output:
        return None
    finder = _Finder(program, numerics)
    builder = finder.builder
    try:
        found = finder.range(program.output["seen"])
        low, high = (end if end is not None and end.real else None for end in (found.low, found.high))
        if low is None and high is None:
            return None
        ends = {
            "low": builder.constant(0) if low is None else builder.clamp(low.node, 0, LAST_KEY + 1),
            "high": builder.constant(LAST_KEY) if high is None else builder.clamp(high.node, -1, LAST_KEY),
        }
        whole = Program(tuple(builder.nodes), (), tuple(builder.arguments.values()))
        return Bounds(extract(whole, ends.items()))
    except ProgramError:
        return None
