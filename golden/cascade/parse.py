"""The text of an Einsum: `LM[m1,p] = max over m0: BQK[m1,m0,p]`.

    einsum     = access "=" [reduction "over" variables ":"] expression
    expression = sums and products of numbers, `inf`, accesses, function(expression, ...) and brackets
    access     = NAME ["[" index, ... "]"]
    index      = variable [+ number] [":" variable (<= < >= >) variable [+ number]], a coordinate, or m1*M0+m0

Variables are lower case, ranks and tensors begin with a capital letter. What is missing on the left is added up unless
a reduction says otherwise.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NoReturn

from golden.cascade.einsum import (
    Access,
    AnyIndex,
    Apply,
    Condition,
    Coordinate,
    Einsum,
    Expression,
    Index,
    Joined,
    Number,
    rank_of,
)
from golden.cascade.errors import CascadeError, Place, did_you_mean
from golden.cascade.operators import OPERATORS, REDUCTIONS

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z]\w*)|(?P<sign><=|>=|[-+*/=\[\](),:<>]))"
)
_WORDS = {"sum": "add"} | {name: name for name in REDUCTIONS}
"""How reductions are called in a text."""

_FUNCTIONS = sorted(set(OPERATORS) - {"add", "sub", "mul", "divide", "neg"})


@dataclass(frozen=True)
class Token:
    """kind: number, name, sign or end;  start: characters in front of it."""

    kind: str
    text: str
    start: int


def einsum(text: str, place: Place | None = None) -> Einsum:
    """The Einsum a text says. `place` is where the text begins.

    Raises
    ------
    CascadeError
        With the place of what cannot be understood.
    """
    start = place or Place("", 1, 1, text)
    try:
        return _Parser(text, start).einsum()
    except RecursionError:
        raise CascadeError("brackets or signs stand too deep in each other", start) from None


def stop(text: str, place: Place | None = None) -> tuple[str, str]:
    """Variable and rank of a stopping condition `m1 >= M1`. Raises CascadeError."""
    return _Parser(text, place or Place("", 1, 1, text)).stop()


class _Parser:
    def __init__(self, text: str, place: Place) -> None:
        self.place = place
        self.tokens: list[Token] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                start = end - len(text[position:end].lstrip())
                raise CascadeError(f"unexpected {text[start]!r}", place.after(start))
            kind = match.lastgroup or ""
            self.tokens.append(Token(kind, match[kind], match.start(kind)))
            position = match.end()
        self.tokens.append(Token("end", "", end))
        self.at = 0

    # Tokens

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def where(self, token: Token) -> Place:
        return self.place.after(token.start)

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise CascadeError(message, self.where(token or self.next))

    def wanted(self, what: str) -> NoReturn:
        self.fail(f"expected {what}, not {self.next.text!r}" if self.next.text else f"expected {what} at the end")

    def take(self, *texts: str) -> Token | None:
        """The next token if it is one of these signs."""
        if self.next.kind == "sign" and self.next.text in texts:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def need(self, text: str) -> None:
        if not self.take(text):
            self.wanted(repr(text))

    def name(self, what: str, capital: bool | None = None) -> Token:
        token = self.next
        if token.kind != "name" or (capital is not None and token.text[0].isupper() != capital):
            self.wanted(what)
        self.at += 1
        return token

    def whole(self) -> int:
        token = self.next
        if token.kind != "number" or not token.text.isdecimal():
            self.wanted("a whole number")
        self.at += 1
        return int(token.text)

    # Grammar

    def einsum(self) -> Einsum:
        start = self.next
        output = self.access()
        for index in output.indices:
            if isinstance(index, Joined) or (isinstance(index, Index) and index.condition):
                self.fail(f"{index} cannot stand on the left", start)
        self.need("=")
        reduce, over = self.reduction()
        value = self.expression()
        if self.next.kind != "end":
            self.wanted("an operator")
        result = Einsum(output, value, reduce or "add", self.where(start))
        if reduce is not None:
            self.check_reduction(result, {token.text: token for token in over})
        return result

    def reduction(self) -> tuple[str | None, list[Token]]:
        token, following = self.next, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if token.kind != "name" or following.text != "over":
            return None, []
        if token.text not in _WORDS:
            self.fail(f"unknown reduction {token.text!r}{did_you_mean(token.text, _WORDS)}")
        self.at += 2
        over = [self.name("a variable", capital=False)]
        while self.take(","):
            over.append(self.name("a variable", capital=False))
        self.need(":")
        return _WORDS[token.text], over

    def check_reduction(self, result: Einsum, over: dict[str, Token]) -> None:
        for variable, token in over.items():
            if variable in result.output.variables:
                self.fail(f"{variable} stands on the left, so it is not reduced", token)
            if variable not in result.reduced:
                self.fail(f"{variable} does not occur on the right", token)
        missing = [v for v in result.reduced if v not in over]
        if missing:
            text = f"{', '.join(missing)} is missing on the left and not among what is reduced; one Einsum reduces once"
            self.fail(text, next(iter(over.values())))

    def stop(self) -> tuple[str, str]:
        variable = self.name("a variable", capital=False).text
        self.need(">=")
        rank = self.name("a rank", capital=True).text
        if self.next.kind != "end":
            self.wanted("nothing more")
        return variable, rank

    def expression(self) -> Expression:
        value = self.product()
        while sign := self.take("+", "-"):
            value = Apply("add" if sign.text == "+" else "sub", (value, self.product()))
        return value

    def product(self) -> Expression:
        value = self.factor()
        while sign := self.take("*", "/"):
            value = Apply("mul" if sign.text == "*" else "divide", (value, self.factor()))
        return value

    def factor(self) -> Expression:
        if self.take("-"):
            return Apply("neg", (self.factor(),))
        if self.take("("):
            value = self.expression()
            self.need(")")
            return value
        token = self.next
        if token.kind == "number":
            self.at += 1
            return Number(float(token.text))
        if token.kind == "name" and token.text == "inf":
            self.at += 1
            return Number(math.inf)
        if token.kind == "name" and self.tokens[self.at + 1].text == "(":
            return self.function()
        return self.access()

    def function(self) -> Expression:
        token = self.name("a function")
        if token.text not in _FUNCTIONS:
            self.fail(f"unknown function {token.text!r}{did_you_mean(token.text, _FUNCTIONS)}", token)
        self.need("(")
        operands = [self.expression()]
        while self.take(","):
            operands.append(self.expression())
        self.need(")")
        try:
            return Apply(token.text, tuple(operands))
        except CascadeError as error:
            raise CascadeError(error.message, self.where(token)) from None

    def access(self) -> Access:
        token = self.name("a tensor, which begins with a capital letter", capital=True)
        indices: list[AnyIndex] = []
        if self.take("["):
            indices.append(self.index())
            while self.take(","):
                indices.append(self.index())
            self.need("]")
        return Access(token.text, tuple(indices), self.where(token))

    def index(self) -> AnyIndex:
        start = self.next
        if start.kind == "number":
            return Coordinate(None, self.whole())
        token = self.name("an index")
        if token.text[0].isupper():
            return Coordinate(token.text, self.shift())
        ahead = self.tokens[self.at : self.at + 3]
        # A tensor behind the sign means that a bracket is missing.
        if len(ahead) == 3 and ahead[2].text != "[" and self.take("*"):
            return self.joined(token)
        shift = self.shift()
        if not self.take(":"):
            return Index(token.text, shift)
        again = self.name("the index's variable", capital=False)
        if again.text != token.text:
            self.fail(f"the filter of {token.text} must begin with {token.text}", again)
        relation = self.take("<=", "<", ">=", ">")
        if relation is None:
            self.wanted("one of <= < >= >")
        variable = self.name("a variable", capital=False).text
        return Index(token.text, shift, Condition(relation.text, variable, self.shift()))

    def shift(self) -> int:
        sign = self.take("+", "-")
        return 0 if sign is None else self.whole() * (1 if sign.text == "+" else -1)

    def joined(self, first: Token) -> Joined:
        """The rest of `m2*M1*M0+m1*M0+m0` behind the first `*`."""
        variables, strides = [first.text], [[self.name("a rank", capital=True).text]]
        while self.take("*"):
            strides[-1].append(self.name("a rank", capital=True).text)
        while self.take("+"):
            variables.append(self.name("a variable", capital=False).text)
            strides.append([])
            while self.take("*"):
                strides[-1].append(self.name("a rank", capital=True).text)
        ranks = [rank_of(v) for v in variables]
        if strides != [ranks[i + 1 :] for i in range(len(ranks))]:
            self.fail("an index of a partitioned rank is written m1*M0+m0, or m2*M1*M0+m1*M0+m0", first)
        return Joined(tuple(variables))
