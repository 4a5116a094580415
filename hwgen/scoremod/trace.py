"""Score programs from Python functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.bitexact.numerics import Numerics
from golden.scoremod.builder import ProgramError
from golden.scoremod.program import Program
from hwgen.errors import InputError, ScoreError
from hwgen.scoremod.arguments import BiasTensor, Stored, contents
from hwgen.scoremod.real import LN2
from hwgen.scoremod.values import Tracer, Value, _real, refuse, tracing

ScoreMod = Callable[..., Any]
"""`score_mod(score, b, h, q_idx, kv_idx)` gives the new score."""

MaskMod = Callable[..., Any]
"""`mask_mod(b, h, q_idx, kv_idx)` says whether the query sees the key."""


@dataclass(frozen=True, eq=False)
class Traced:
    """A score program, and what its arguments hold to begin with.

    sources: the tables and parameters by name
    origin:  for every argument of the program the source it holds; a source may be stored in several units
    bias:    the bias that the program reads, if any
    """

    program: Program
    sources: Mapping[str, Stored] = field(repr=False)
    origin: Mapping[str, Stored] = field(repr=False)
    bias: BiasTensor | None = field(repr=False)

    @property
    def contents(self) -> dict[str, NDArray[Any]]:
        """The numbers of every table and parameter to begin with."""
        return {name: source.values for name, source in self.sources.items()}

    def _checked(self, overrides: Mapping[str, ArrayLike] | None) -> dict[str, NDArray[Any]]:
        from hwgen.config import did_you_mean

        for name in overrides or {}:
            if name not in self.sources:
                raise InputError(f"the score program has no argument {name!r}{did_you_mean(name, self.sources)}")
        return {name: self.sources[name].check(values) for name, values in (overrides or {}).items()}

    def codes(self, overrides: Mapping[str, ArrayLike] | None = None) -> dict[str, NDArray[np.int64]]:
        """Integers (size,) of every argument of the program. Raises InputError for overrides of unknown names or wrong
        numbers."""
        numbers = self.contents | self._checked(overrides)
        names = {id(source): name for name, source in self.sources.items()}
        try:
            return {
                argument.name: argument.encode(numbers[names[id(self.origin[argument.name])]])
                for argument in self.program.arguments
            }
        except ValueError as error:
            raise InputError(str(error)) from None

    def words(self, overrides: Mapping[str, ArrayLike] | None = None) -> NDArray[np.int32]:
        """`codes` as they lie in memory: int32 (program.argument_words,)."""
        codes = self.codes(overrides)
        parts = [codes[argument.name].astype(np.int32) for argument in self.program.arguments]
        return np.concatenate([np.zeros(0, dtype=np.int32), *parts])

    def overriding(self, overrides: Mapping[str, ArrayLike] | None) -> AbstractContextManager[None]:
        """Within it the traced functions, run on arrays, see the overrides. Raises InputError as `codes` does."""
        return contents({id(self.sources[name]): values for name, values in self._checked(overrides).items()})


def trace(
    score_mod: ScoreMod | None = None,
    mask_mod: MaskMod | None = None,
    *,
    sink: Callable[..., Any] | None = None,
    dropout: Any = None,
    numerics: Numerics | None = None,
) -> Traced:
    """The program of the functions.

    Parameters
    ----------
    score_mod
        (score, b, h, q_idx, kv_idx) -> score; scores are natural, as in softmax(score).
    mask_mod
        (b, h, q_idx, kv_idx) -> boolean, whether the query sees the key.
    sink
        (b, h, q_idx) -> the score of a key that takes weight and has no value.
    dropout
        A `hwgen.scoremod.library.Dropout`.
    numerics
        Number formats that the program is for; only `score_frac` matters.

    The functions run once, on traced values: they describe the computation with operators and the functions of
    `hwgen.scoremod`, and have no data-dependent control flow. Raises ScoreError, which names the line, for all else.
    """
    numerics = numerics or Numerics()
    with tracing(numerics) as tracer:
        builder = tracer.builder
        indices = [tracer.input(name) for name in ("b", "h", "q", "kv")]
        outputs: dict[str, int] = {}
        seen = builder.boolean(True)
        if score_mod is not None:
            score = tracer.input("score")
            result = _call(tracer, score_mod, "score_mod", (score, *indices))
            outputs["score"] = _score_node(tracer, result, score_mod, "score_mod")
            if result.hidden is not None:
                seen = builder.invert(result.hidden)
        if mask_mod is not None:
            result = _call(tracer, mask_mod, "mask_mod", tuple(indices))
            if result.kind != "boolean":
                refuse(f"a mask_mod must give a boolean, not a {result.kind} number", _defined(mask_mod))
            seen = builder.both(seen, result.node)
        if seen != builder.boolean(True):
            outputs["seen"] = seen
        if sink is not None:
            result = _call(tracer, sink, "sink", tuple(indices[:3]))
            if result.hidden is not None:
                refuse("a sink may not be -inf", _defined(sink))
            outputs["sink"] = _score_node(tracer, result, sink, "sink")
        if dropout is not None:
            outputs |= _dropout_outputs(tracer, dropout, indices)
        if outputs.get("score") == builder.input("score") and len(outputs) > 1:
            del outputs["score"]
        if not outputs:
            raise ScoreError("there is nothing to trace: the functions neither change a score nor hide a key")
        program = builder.program(outputs)
    return _finished(tracer, program)


def _defined(function: Callable[..., Any]) -> str:
    """`file:line` of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


NAMES = {
    "score_mod": "score, b, h, q_idx, kv_idx",
    "mask_mod": "b, h, q_idx, kv_idx",
    "sink": "b, h, q_idx",
}


def _call(tracer: Tracer, function: Callable[..., Any], role: str, arguments: tuple[Value, ...]) -> Value:
    if not callable(function):
        raise ScoreError(f"{role} must be a function of ({NAMES[role]}), not {function!r}")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        refuse(f"a {role} takes ({NAMES[role]}): {error}", _defined(function))
    except ValueError:
        pass  # Some callables have no signature.
    found = function(*arguments)
    try:
        return tracer.lift(found)
    except ScoreError as error:
        # The function has returned, so that its frame is gone.
        refuse(f"what the {role} returns: {str(error).split(': ', 1)[-1]}", _defined(function))


def _score_node(tracer: Tracer, result: Value, function: Callable[..., Any], role: str) -> int:
    """A natural score in units of the softmax."""
    if result.kind == "boolean":
        refuse(f"a {role} must give a score, not a boolean; a mask_mod gives one", _defined(function))
    try:
        return tracer.builder.quantise(_real(result).node(LN2), tracer.builder.numerics.score_frac)
    except ProgramError as error:
        refuse(f"what the {role} returns: {error}", _defined(function))


def _dropout_outputs(tracer: Tracer, dropout: Any, indices: list[Value]) -> dict[str, int]:
    kept = tracer.lift(dropout.keep(*indices))
    factor = tracer.source(dropout.factor).node
    return {"keep": kept.node, "keep_factor": factor, "keep_shift": tracer.source(dropout.shift).node}


def _finished(tracer: Tracer, program: Program) -> Traced:
    """With the names of the sources for the first unit in which the program holds them."""
    used = {argument.name for argument in program.arguments}
    origin = {name: source for name, source in tracer.origin.items() if name in used}
    alive = {id(source) for source in origin.values()}
    sources = {name: source for name, source in tracer.sources.items() if id(source) in alive}
    return Traced(program, sources, origin, tracer.bias)  # type: ignore[arg-type]
