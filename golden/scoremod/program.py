"""Score programs: what becomes of a score between the scale and the softmax, as a graph of integer operations.

A program is data, shared by the integer model, which evaluates it (`golden.scoremod.evaluate`), and the hardware, which
is made from it. Every node has a format, so both compute with the same integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.numerics import Numerics

MAX_BITS = 62
"""Widest integer in a program: NumPy's are 64 bits wide, and a rounding adds a bit."""

ARGUMENT_BITS = 32
"""Width of a parameter or a table's entry as it is stored in memory, sign included."""

INDEX_BITS = {"b": 16, "h": 16, "q": 20, "kv": 20}
"""Widths of the indices of batch, query head, query position and key position."""

OUTPUTS = ("score", "seen", "keep", "keep_factor", "keep_shift", "sink")
"""What a program may give; see `Program`."""

KEEP_FRAC = 17
"""Fraction bits of `keep_factor`, which is at most 1."""

MOST_KEEP_SHIFT = 63
"""Largest `keep_shift`."""



@dataclass(frozen=True)
class Format:
    """Integers low .. high, each worth 2^-frac; or, if `boolean`, false and true as 0 and 1."""

    low: int
    high: int
    frac: int = 0
    boolean: bool = False

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def width(self) -> int:
        """Bits that hold every integer of the format, the sign included; at least 1."""
        if self.signed:
            return max(self.high.bit_length(), (~self.low).bit_length()) + 1
        return max(self.high.bit_length(), 1)

    def __str__(self) -> str:
        if self.boolean:
            return "bool"
        sign = "s" if self.signed else "u"
        return f"{sign}{self.width}" + (f".{self.frac}" if self.frac else "")


BOOLEAN = Format(0, 1, 0, True)


def unsigned_format(bits: int) -> Format:
    """All integers of so many bits."""
    return Format(0, (1 << bits) - 1)


def input_format(name: str, numerics: Numerics) -> Format:
    """Format of an input: the scaled score and the bias in units of log2(e) 2^-sf, an index, or whether the bias hides
    the key. Raises KeyError if there is none of that name."""
    if name in ("score", "bias"):
        return Format(-numerics.score_max, numerics.score_max, numerics.score_frac)
    return BOOLEAN if name == "hidden" else unsigned_format(INDEX_BITS[name])


@dataclass(frozen=True)
class Argument:
    """A parameter (size 1) or a table (size > 1, or `table` set) whose numbers are known only at run time.

    A number r is stored as the integer `rint(r * factor * 2^frac)`, which lies in low .. high.
    """

    name: str
    size: int
    low: int
    high: int
    frac: int = 0
    factor: float = 1.0
    table: bool = False

    @property
    def format(self) -> Format:
        return Format(self.low, self.high, self.frac)

    def encode(self, values: Any) -> NDArray[np.int64]:
        """Integers (size,) of numbers. Raises ValueError for a wrong number of them, or one that is not finite or out
        of range."""
        numbers = np.asarray(values, dtype=np.float64).reshape(-1)
        if len(numbers) != self.size:
            raise ValueError(f"{self.name} needs {self.size} numbers, not {len(numbers)}")
        unit = self.factor * 2.0**self.frac
        with np.errstate(over="ignore", invalid="ignore"):
            codes = np.rint(numbers * unit)
        bad = np.flatnonzero(~((codes >= self.low) & (codes <= self.high)))
        if len(bad):
            span = f"{min(self.low / unit, self.high / unit):g} .. {max(self.low / unit, self.high / unit):g}"
            raise ValueError(f"{self.name} must lie in {span}, not {numbers[bad[0]]:g}")
        return codes.astype(np.int64)


@dataclass(frozen=True)
class Node:
    """One operation. `args` are numbers of earlier nodes; what `number` and `name` mean depends on the operation:

    input (name), constant (number), parameter (name), table (name; index, clamped to the table), add, subtract, negate,
    absolute, minimum, maximum, multiply, left (<< number), right (>> number, floor), round (right with half a unit
    added before), low (the lowest `number` bits, unsigned), less, less_equal, equal, and, or, xor, not, select
    (condition, then if true, then if false), clamp (to the format's range), tanh, exp2.
    """

    op: str
    format: Format
    args: tuple[int, ...] = ()
    number: int = 0
    name: str = ""


@dataclass(frozen=True)
class Program:
    """Nodes in an order in which every node comes behind its arguments, all of them needed for some output.

    outputs: (name, node):
        score:       the new score, sf fraction bits, clamped when it leaves the program; by default as it came
        seen:        whether the query sees the key; by default it does
        keep:        whether dropout keeps the pair; by default it does
        keep_factor, keep_shift: kept weights are multiplied by `keep_factor * 2^-KEEP_FRAC * 2^keep_shift`
        sink:        a score that takes weight and gives nothing (of b, h and q only)
    """

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]
    arguments: tuple[Argument, ...] = ()

    @property
    def output(self) -> dict[str, int]:
        return dict(self.outputs)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that are used."""
        return tuple(node.name for node in self.nodes if node.op == "input")

    @property
    def argument_words(self) -> int:
        """Words of all arguments, which lie one behind the other."""
        return sum(argument.size for argument in self.arguments)

    def argument(self, name: str) -> Argument:
        return next(argument for argument in self.arguments if argument.name == name)

    def argument_offset(self, name: str) -> int:
        """Where an argument begins among the words of all."""
        offset = 0
        for argument in self.arguments:
            if argument.name == name:
                return offset
            offset += argument.size
        raise KeyError(name)

    def dependences(self) -> list[frozenset[str]]:
        """For each node the inputs it depends on."""
        found: list[frozenset[str]] = []
        for node in self.nodes:
            own = frozenset({node.name}) if node.op == "input" else frozenset()
            found.append(own.union(*(found[i] for i in node.args)))
        return found


def extract(program: Program, outputs: Iterable[tuple[str, int]], renamed: Mapping[int, str] | None = None) -> Program:
    """The part of a program that `outputs` need; nodes in `renamed` become inputs of that name and format."""
    outputs, renamed = tuple(outputs), dict(renamed or {})
    needed: set[int] = set()
    stack = [node for _, node in outputs]
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            if i not in renamed:
                stack += program.nodes[i].args
    order = sorted(needed)
    place = {i: at for at, i in enumerate(order)}
    nodes = []
    for i in order:
        node = program.nodes[i]
        if i in renamed:
            nodes.append(Node("input", node.format, name=renamed[i]))
        else:
            nodes.append(Node(node.op, node.format, tuple(place[a] for a in node.args), node.number, node.name))
    used = {node.name for node in nodes if node.op in ("parameter", "table")}
    arguments = tuple(argument for argument in program.arguments if argument.name in used)
    return Program(tuple(nodes), tuple((name, place[i]) for name, i in outputs), arguments)
