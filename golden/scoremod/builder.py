"""Builds score programs: formats follow from formats, equal nodes are one, constants are folded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from golden.bitexact.numerics import Numerics
from golden.scoremod.evaluate import apply
from golden.scoremod.functions import FUNCTION_FRAC
from golden.scoremod.program import (
    ARGUMENT_BITS,
    BOOLEAN,
    MAX_BITS,
    OUTPUTS,
    Argument,
    Format,
    Node,
    Program,
    extract,
    input_format,
    unsigned_format,
)

COMPARISONS = ("less", "less_equal", "equal")


class ProgramError(ValueError):
    """A node that cannot be made."""


class Builder:
    """Collects the nodes of a program; every method gives the number of the node that has the wanted value.

    Where an operation needs operands of one fraction, the coarser one is moved to the finer one, which is exact. Raises
    ProgramError if a value would need more than MAX_BITS bits.
    """

    def __init__(self, numerics: Numerics) -> None:
        self.numerics = numerics
        self.nodes: list[Node] = []
        self.arguments: dict[str, Argument] = {}
        self._places: dict[Node, int] = {}

    def format(self, i: int) -> Format:
        return self.nodes[i].format

    def is_constant(self, i: int) -> bool:
        return self.nodes[i].op == "constant"

    def node(self, node: Node) -> int:
        """An equal node that is there, a constant if all operands are constants, or a new node."""
        if node.format.width > MAX_BITS:
            raise ProgramError(f"{node.op} needs {node.format.width} bits; at most {MAX_BITS} are supported")
        if node.args and node.op != "table" and all(self.is_constant(i) for i in node.args):
            code = int(apply(node, [np.int64(self.nodes[i].number) for i in node.args]))  # type: ignore[misc]
            exact = Format(code, code, node.format.frac, node.format.boolean)
            node = Node("constant", BOOLEAN if node.format.boolean else exact, number=code)
        if node not in self._places:
            self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return self._places[node]

    # Leaves

    def input(self, name: str) -> int:
        """`score`, `bias`, `hidden`, or an index b, h, q, kv."""
        return self.node(Node("input", input_format(name, self.numerics), name=name))

    def constant(self, code: int, frac: int = 0) -> int:
        """`code * 2^-frac`, with as few fraction bits as that takes."""
        while frac > 0 and code % 2 == 0:
            code, frac = code // 2, frac - 1
        return self.node(Node("constant", Format(code, code, frac), number=code))

    def boolean(self, value: bool) -> int:
        return self.node(Node("constant", BOOLEAN, number=int(value)))

    def argument(self, argument: Argument) -> None:
        """Make a parameter or table known. Raises ProgramError if another one has its name or it is too wide."""
        if argument.format.width + (not argument.format.signed) > ARGUMENT_BITS:
            width = argument.format.width
            raise ProgramError(f"{argument.name} needs {width} bits; at most {ARGUMENT_BITS} are stored")
        if self.arguments.setdefault(argument.name, argument) != argument:
            raise ProgramError(f"there are two arguments called {argument.name!r}")

    def parameter(self, argument: Argument) -> int:
        self.argument(argument)
        return self.node(Node("parameter", argument.format, name=argument.name))

    def table(self, argument: Argument, index: int) -> int:
        """The entry at an index, which is clamped to the table."""
        self.argument(argument)
        return self.node(Node("table", argument.format, (index,), name=argument.name))

    # Arithmetic

    def add(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        for x, y in ((a, b), (b, a)):
            if self.is_constant(x) and self.nodes[x].number == 0:
                return y
        f, g = self.format(a), self.format(b)
        return self.node(Node("add", Format(f.low + g.low, f.high + g.high, f.frac), (min(a, b), max(a, b))))

    def subtract(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        if self.is_constant(b) and self.nodes[b].number == 0:
            return a
        f, g = self.format(a), self.format(b)
        return self.node(Node("subtract", Format(f.low - g.high, f.high - g.low, f.frac), (a, b)))

    def negate(self, a: int) -> int:
        if self.nodes[a].op == "negate":
            return self.nodes[a].args[0]
        f = self.format(a)
        return self.node(Node("negate", Format(-f.high, -f.low, f.frac), (a,)))

    def absolute(self, a: int) -> int:
        f = self.format(a)
        if f.low >= 0:
            return a
        return self.node(Node("absolute", Format(0, max(f.high, -f.low), f.frac), (a,)))

    def minimum(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        f, g = self.format(a), self.format(b)
        if a == b or f.high <= g.low:
            return a
        if g.high <= f.low:
            return b
        kept = Format(min(f.low, g.low), min(f.high, g.high), f.frac)
        return self.node(Node("minimum", kept, (min(a, b), max(a, b))))

    def maximum(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        f, g = self.format(a), self.format(b)
        if a == b or f.low >= g.high:
            return a
        if g.low >= f.high:
            return b
        kept = Format(max(f.low, g.low), max(f.high, g.high), f.frac)
        return self.node(Node("maximum", kept, (min(a, b), max(a, b))))

    def multiply(self, a: int, b: int) -> int:
        """The exact product, with the fraction bits of both."""
        for x, y in ((a, b), (b, a)):
            if self.is_constant(x) and self.format(x).frac == 0 and self.nodes[x].number == 1:
                return y
        f, g = self.format(a), self.format(b)
        ends = [x * y for x in (f.low, f.high) for y in (g.low, g.high)]
        product = Format(min(ends), max(ends), f.frac + g.frac)
        return self.node(Node("multiply", product, (min(a, b), max(a, b))))

    def quantise(self, a: int, frac: int) -> int:
        """With another number of fraction bits, rounded to nearest, half up."""
        f = self.format(a)
        change = frac - f.frac
        if change == 0:
            return a
        if change > 0:
            return self.node(Node("left", Format(f.low << change, f.high << change, frac), (a,), change))
        half = 1 << (-change - 1)
        kept = Format((f.low + half) >> -change, (f.high + half) >> -change, frac)
        return self.node(Node("round", kept, (a,), -change))

    def aligned(self, a: int, b: int) -> tuple[int, int]:
        frac = max(self.format(a).frac, self.format(b).frac)
        return self.quantise(a, frac), self.quantise(b, frac)

    def clamp(self, a: int, low: int, high: int) -> int:
        """Kept in the codes low .. high."""
        f = self.format(a)
        if f.low >= low and f.high <= high:
            return a
        kept = Format(min(max(f.low, low), high), max(min(f.high, high), low), f.frac)
        return self.node(Node("clamp", kept, (a,)))

    # Integers

    def left(self, a: int, bits: int) -> int:
        """`a << bits` of an integer."""
        f = self.format(a)
        return a if bits == 0 else self.node(Node("left", Format(f.low << bits, f.high << bits, f.frac), (a,), bits))

    def right(self, a: int, bits: int) -> int:
        """`a >> bits`, the floor of `a / 2^bits`."""
        f = self.format(a)
        return a if bits == 0 else self.node(Node("right", Format(f.low >> bits, f.high >> bits, f.frac), (a,), bits))

    def low(self, a: int, bits: int) -> int:
        """The lowest bits as a number that is not negative: `a` modulo `2^bits`."""
        f = self.format(a)
        if f.low >= 0 and f.high < 1 << bits:
            return a
        return self.node(Node("low", unsigned_format(bits), (a,), bits))

    # Conditions

    def less(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        f, g = self.format(a), self.format(b)
        if f.high < g.low or f.low >= g.high:
            return self.boolean(f.high < g.low)
        return self.node(Node("less", BOOLEAN, (a, b)))

    def less_equal(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        f, g = self.format(a), self.format(b)
        if f.high <= g.low or f.low > g.high:
            return self.boolean(f.high <= g.low)
        return self.node(Node("less_equal", BOOLEAN, (a, b)))

    def equal(self, a: int, b: int) -> int:
        a, b = self.aligned(a, b)
        f, g = self.format(a), self.format(b)
        if f.high < g.low or f.low > g.high:
            return self.boolean(False)
        return self.node(Node("equal", BOOLEAN, (min(a, b), max(a, b))))

    def both(self, a: int, b: int) -> int:
        """and, bit by bit of numbers that are not negative."""
        for x, y in ((a, b), (b, a)):
            if self.format(x).boolean and self.is_constant(x):
                return y if self.nodes[x].number else x
        return a if a == b else self._bitwise("and", a, b)

    def either(self, a: int, b: int) -> int:
        """or, likewise."""
        for x, y in ((a, b), (b, a)):
            if self.format(x).boolean and self.is_constant(x):
                return x if self.nodes[x].number else y
        return a if a == b else self._bitwise("or", a, b)

    def differ(self, a: int, b: int) -> int:
        """Exclusive or, likewise."""
        return self._bitwise("xor", a, b)

    def _bitwise(self, op: str, a: int, b: int) -> int:
        f, g = self.format(a), self.format(b)
        result = BOOLEAN if f.boolean and g.boolean else unsigned_format(max(f.width, g.width))
        return self.node(Node(op, result, (min(a, b), max(a, b))))

    def invert(self, a: int) -> int:
        """not."""
        if self.nodes[a].op == "not":
            return self.nodes[a].args[0]
        return self.node(Node("not", BOOLEAN, (a,)))

    def select(self, condition: int, a: int, b: int) -> int:
        if self.is_constant(condition):
            return a if self.nodes[condition].number else b
        if a == b:
            return a
        f, g = self.format(a), self.format(b)
        if f.boolean and g.boolean:
            return self.node(Node("select", BOOLEAN, (condition, a, b)))
        a, b = self.aligned(a, b)
        f, g = self.format(a), self.format(b)
        kept = Format(min(f.low, g.low), max(f.high, g.high), f.frac)
        return self.node(Node("select", kept, (condition, a, b)))

    # Functions

    def tanh(self, a: int) -> int:
        one = 1 << FUNCTION_FRAC
        return self.node(Node("tanh", Format(-one, one, FUNCTION_FRAC), (self.quantise(a, FUNCTION_FRAC),)))

    def exp2(self, a: int, frac: int = FUNCTION_FRAC) -> int:
        """2^a with `frac` fraction bits."""
        argument = self.quantise(a, FUNCTION_FRAC)
        highest = (self.format(argument).high >> FUNCTION_FRAC) + 1
        if highest + frac >= MAX_BITS:
            raise ProgramError(f"exp2 of up to {highest} needs {highest + frac + 1} bits; at most {MAX_BITS} fit")
        high = 1 << (highest + frac) if highest + frac >= 0 else 0
        return self.node(Node("exp2", Format(0, high, frac), (argument,)))

    # The whole

    def program(self, outputs: Mapping[str, int]) -> Program:
        """The program of the named outputs, scores among them rounded to the fraction of scores. Raises ProgramError if
        a sink depends on a score or a key."""
        frac = self.numerics.score_frac
        outputs = {name: self.quantise(i, frac) if name in ("score", "sink") else i for name, i in outputs.items()}
        whole = Program(tuple(self.nodes), tuple(outputs.items()), tuple(self.arguments.values()))
        assert set(outputs) <= set(OUTPUTS)
        if "sink" in outputs and not whole.dependences()[outputs["sink"]] <= {"b", "h", "q"}:
            raise ProgramError("a sink may depend on b, h and q only")
        return extract(whole, outputs.items())
