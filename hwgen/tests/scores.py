"""Small machines with score programs."""

from typing import Any

from golden.bitexact.numerics import Numerics
from golden.scoremod import Argument, Builder, Program
from hwgen.params import Params
from hwgen.tests.bench import tiny


def program(words: int = 0, *, bias: bool = False, sink: bool = False) -> Program:
    """Adds an entry of a table of so many words, and the bias, to the score."""
    builder = Builder(Numerics())
    score = builder.input("score")
    if words:
        score = builder.add(score, builder.table(Argument("table", words, -100, 100, table=True), builder.input("kv")))
    if bias:
        score = builder.add(score, builder.input("bias"))
    outputs = {"score": score} | ({"sink": builder.constant(3)} if sink else {})
    return builder.program(outputs)


def scored(words: int = 0, *, bias: bool = False, sink: bool = False, **changes: Any) -> Params:
    """A small machine with that program."""
    return tiny(score=program(words, bias=bias, sink=sink), **changes)
