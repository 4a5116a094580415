"""What a cascade must fulfil to mean something. Every check says where the mistake is written, if that is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from golden.cascade.einsum import (
    Access,
    AnyIndex,
    Apply,
    Coordinate,
    Einsum,
    Expression,
    Index,
    Joined,
    rank_of,
    variables,
)
from golden.cascade.errors import CascadeError, Place, did_you_mean

if TYPE_CHECKING:
    from golden.cascade.cascade import Cascade

_NAME = re.compile(r"[A-Z][A-Za-z0-9_]*")
_RANK = re.compile(r"[A-Z][A-Z0-9_]*")


def structure(cascade: Cascade) -> None:
    """Names, and who makes what: all that is asked before the outputs are known."""
    places = cascade.places
    if not cascade.einsums:
        raise CascadeError("a cascade needs at least one Einsum", places.get("einsums"))
    for tensor, ranks in cascade.inputs.items():
        _matches(_NAME, "tensor", tensor, places.get(tensor))
        for rank in ranks:
            _matches(_RANK, "rank", rank, places.get(tensor))
        if len(set(ranks)) != len(ranks):
            raise CascadeError(f"{tensor} has a rank twice; give it another name under `ranks`", places.get(tensor))
    for whole, parts in cascade.ranks.items():
        for rank in (whole, *parts):
            _matches(_RANK, "rank", rank, places.get(whole))
        if not parts:
            raise CascadeError(f"{whole} needs parts, or the rank it is another name of", places.get(whole))
    try:
        space = cascade.space
    except CascadeError as error:
        raise CascadeError(error.message, places.get("ranks")) from None
    _stops(cascade)
    for rank in cascade.sizes:
        if rank not in space.names:
            raise CascadeError(f"unknown rank {rank!r}{did_you_mean(rank, space.names)}", places.get("sizes"))
    if cascade.over is not None and cascade.over not in space.roots:
        raise CascadeError(
            f"`over` must be a rank that is no part of another{did_you_mean(cascade.over, space.roots)}",
            places.get("over"),
        )
    for group in (cascade.einsums, cascade.initial):
        seen: set[str] = set()
        for einsum in group:
            if einsum.name in seen:
                raise CascadeError(f"{einsum.name} is made twice", einsum.place)
            if einsum.name in cascade.inputs:
                raise CascadeError(f"{einsum.name} comes in, so no Einsum can make it", einsum.place)
            seen.add(einsum.name)


def _stops(cascade: Cascade) -> None:
    for variable, rank in cascade.stop.items():
        place = cascade.places.get("stop")
        for name in (rank_of(variable), rank):
            if name not in cascade.space.names:
                raise CascadeError(f"unknown rank {name!r}{did_you_mean(name, cascade.space.names)}", place)
        if not cascade.space.same(rank_of(variable), rank):
            text = f"{variable} runs over {rank_of(variable)}, so it must stop at `{variable} >= {rank_of(variable)}`"
            raise CascadeError(text, place)


def _matches(pattern: re.Pattern[str], what: str, name: str, place: Place | None) -> None:
    if not isinstance(name, str) or not pattern.fullmatch(name):
        shape = "capital letters and digits" if pattern is _RANK else "a capital letter, then letters and digits"
        raise CascadeError(f"a {what} is called by {shape}, not {name!r}", place)


def meaning(cascade: Cascade) -> None:
    """Accesses, initial values, outputs, and that everything can be computed in some order."""
    for einsum in cascade.all:
        for access in einsum.accesses:
            _access(cascade, access)
        _conditions(einsum)
        if einsum not in cascade.initial:
            _output(cascade, einsum)
        _terms(einsum)
    _initial(cascade)
    for name in cascade.outputs:
        if name not in cascade.tensors or name in cascade.inputs:
            made = [e.name for e in cascade.einsums]
            raise CascadeError(f"no Einsum makes {name!r}{did_you_mean(name, made)}", cascade.places.get("outputs"))
    read = {a.tensor for e in cascade.all for a in e.accesses}
    for name in cascade.inputs:
        if name not in read:
            raise CascadeError(f"{name} comes in, but nothing reads it", cascade.places.get(name))
    _order(cascade)


def _output(cascade: Cascade, einsum: Einsum) -> None:
    names, output = cascade.space.names, einsum.output
    if len(set(output.variables)) != len(output.variables):
        raise CascadeError(f"{output} has a variable twice", output.place)
    shifted = [i for i in output.indices if isinstance(i, Index) and i.shift]
    for index in output.indices:
        if not isinstance(index, Index):
            text = f"{index} is one coordinate: only initial values are given coordinate by coordinate"
            raise CascadeError(text, output.place)
        rank = rank_of(index.variable)
        if rank not in names:
            raise CascadeError(f"{index.variable} runs over {rank}{_unknown(rank, names)}", output.place)
        if index.variable not in (*variables(einsum.expression), *(c.variable for c in einsum.conditions.values())):
            raise CascadeError(f"{index.variable} stands on the left only", output.place)
        if index.shift and (index.shift != 1 or index.variable not in cascade.stop or len(shifted) > 1):
            raise CascadeError(_iteration(cascade, index, len(shifted)), output.place)


def _unknown(name: str, allowed: Iterable[str]) -> str:
    return f", which is unknown{did_you_mean(name, allowed)}"


def _iteration(cascade: Cascade, index: Index, shifted: int) -> str:
    v = index.variable
    if shifted > 1:
        return "only one rank of a tensor can be iterative"
    if v not in cascade.stop:
        return f"{index} on the left makes {rank_of(v)} iterative: it needs the stopping condition {v} >= {rank_of(v)}"
    return f"an iterative rank goes on by one coordinate: {v}+1, not {index}"


def _access(cascade: Cascade, access: Access) -> None:
    names = cascade.space.names
    if access.tensor not in cascade.tensors:
        if not access.indices and access.tensor in names:
            return
        kind = "tensor" if access.indices else "tensor or rank"
        raise CascadeError(
            f"unknown {kind} {access.tensor!r}{did_you_mean(access.tensor, cascade.tensors)}", access.place
        )
    ranks = cascade.tensors[access.tensor]
    if len(access.indices) != len(ranks):
        declared = f"{access.tensor}[{','.join(r.lower() for r in ranks)}]" if ranks else "none"
        text = f"{access} has {len(access.indices)} indices, but {access.tensor} has {len(ranks)} ranks: {declared}"
        raise CascadeError(text, access.place)
    if len(set(access.variables)) != len(access.variables):
        raise CascadeError(f"{access} has a variable twice", access.place)
    for dimension, (index, rank) in enumerate(zip(access.indices, ranks, strict=True)):
        _index(cascade, access, index, rank, cascade.iterative.get(access.tensor) == dimension)


def _index(cascade: Cascade, access: Access, index: AnyIndex, rank: str, iterative: bool) -> None:
    space, place = cascade.space, access.place
    if isinstance(index, Joined):
        if space.of.get(rank, ()) != tuple(rank_of(v) for v in index.variables):
            raise CascadeError(f"{index} does not go through {rank}, which is not partitioned so", place)
        return
    if isinstance(index, Coordinate):
        if index.rank is not None and (index.rank not in space.names or not space.same(index.rank, rank)):
            raise CascadeError(f"{index} is no coordinate of {rank}", place)
        if index.rank is None and index.shift < 0 or (index.rank and index.shift > -(not iterative)):
            last = rank if iterative else f"{rank}-1"
            raise CascadeError(f"coordinates of {access.tensor} along {rank} end at {last}, so {index} is none", place)
        return
    run = rank_of(index.variable)
    if run not in space.names or not space.same(run, rank):
        known = [v.lower() for v in space.names if space.same(v, rank)]
        raise CascadeError(f"{index.variable} does not run over {rank}{did_you_mean(index.variable, known)}", place)
    if index.shift not in ((0, 1) if iterative else (0,)):
        allowed = f"{index.variable} and {index.variable}+1" if iterative else f"{index.variable} alone"
        raise CascadeError(f"{index} leaves the coordinates of {access.tensor}; allowed is {allowed}", place)


def _conditions(einsum: Einsum) -> None:
    found: dict[str, object] = {}
    for access in einsum.accesses:
        for index in access.indices:
            if not isinstance(index, Index) or index.condition is None:
                continue
            if found.setdefault(index.variable, index.condition) != index.condition:
                raise CascadeError(f"{index.variable} has two filters", access.place)
            if index.condition.variable not in variables(einsum.expression) + einsum.output.variables:
                text = f"{index.condition.variable}, with which {index.variable} is compared, occurs nowhere else"
                raise CascadeError(text, access.place)
            if index.variable == index.condition.variable:
                raise CascadeError(f"{index.variable} is compared with itself", access.place)


def _terms(einsum: Einsum) -> None:
    """A term of a sum without the variable that is reduced would be added once for each of its coordinates."""

    def visit(expression: Expression) -> None:
        if not isinstance(expression, Apply) or expression.operator not in ("add", "sub", "neg"):
            absent = [v for v in einsum.reduced if v not in variables(expression)]
            if absent:
                text = f"{expression} does not depend on {absent[0]} and would be added once for each; use two Einsums"
                raise CascadeError(text, einsum.place)
            return
        for operand in expression.operands:
            visit(operand)

    if einsum.reduce == "add":
        visit(einsum.expression)


def _initial(cascade: Cascade) -> None:
    given = {e.name: e for e in cascade.initial}
    for einsum in cascade.initial:
        if einsum.name not in cascade.iterative:
            text = f"{einsum.name} is not iterative, so it has no initial value"
            raise CascadeError(text + did_you_mean(einsum.name, cascade.iterative), einsum.place)
        ranks, dimension = cascade.tensors[einsum.name], cascade.iterative[einsum.name]
        if len(einsum.output.indices) != len(ranks):
            raise CascadeError(f"{einsum.name} has {len(ranks)} ranks, not {len(einsum.output.indices)}", einsum.place)
        for i, (index, rank) in enumerate(zip(einsum.output.indices, ranks, strict=True)):
            wanted = "0" if i == dimension else rank.lower()
            if str(index) != wanted:
                raise CascadeError(
                    f"an initial value of {einsum.name} has the index {wanted}, not {index}", einsum.place
                )
    for einsum in cascade.einsums:
        if einsum.name in cascade.iterative and einsum.name not in given:
            indices = [str(i) for i in einsum.output.indices]
            indices[cascade.iterative[einsum.name]] = "0"
            text = f"{einsum.name} needs an initial value {einsum.name}[{','.join(indices)}]"
            raise CascadeError(text, einsum.place)


def _order(cascade: Cascade) -> None:
    """No tensor needs itself, but for what an iterative one held a step before."""
    needs = {e.name: cascade.dependences(e.name, within_step=True) - set(cascade.inputs) for e in cascade.einsums}
    circle = cycle(needs)
    if circle:
        einsum = next(e for e in cascade.einsums if e.name == circle[0])
        chain = " needs ".join([*circle, circle[0]])
        raise CascadeError(f"{chain}: nothing can be computed first", einsum.place)


def cycle(needs: Mapping[str, set[str]]) -> list[str]:
    """Names that need each other in a circle, if there are any."""
    left = dict(needs)
    while free := [name for name, wanted in left.items() if not wanted & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    path = [next(iter(left))]
    while path.count(path[-1]) == 1:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) : -1]
