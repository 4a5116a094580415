"""What a cascade computes: its Einsums on float64 arrays, all points of an Einsum at once.

Only the tensors that need each other across the steps of an iterative rank are computed step by step.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.cascade.cascade import Cascade
from golden.cascade.check import cycle
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
from golden.cascade.errors import CascadeError, did_you_mean
from golden.cascade.operators import OPERATORS, REDUCTIONS

Array = NDArray[np.float64]


def evaluate(
    cascade: Cascade, inputs: Mapping[str, ArrayLike], sizes: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Every tensor that the cascade makes, float64, with its ranks as axes in the order they are written.

    Parameters
    ----------
    inputs
        An array for each tensor that comes in, with its ranks as axes.
    sizes
        Of ranks that the arrays do not show: of a partition one part, unless the parts themselves come in. An
        iterative rank of a tensor has one coordinate more than its size.

    Raises
    ------
    CascadeError
        If an array is missing or unknown, or sizes contradict each other; if an operator cannot take a value.
    """
    arrays = _checked(cascade, inputs)
    run = _Run(cascade, _sizes(cascade, arrays, sizes or {}), arrays)
    # Infinities are values here: a maximum begins at -inf, and exp(-inf) is 0.
    with np.errstate(all="ignore"):
        for names in groups(cascade):
            run.make(names)
    return {e.name: run.arrays[e.name] for e in cascade.einsums}


def groups(cascade: Cascade) -> Iterator[list[str]]:
    """Tensors in an order in which they can be made; those that need each other over iterative steps stand together,
    in the order in which a step makes them."""
    needs = {e.name: cascade.dependences(e.name) - set(cascade.inputs) for e in cascade.einsums}
    reach = {name: _reached(name, needs) for name in needs}
    left = dict(needs)
    while left:
        for name in list(left):
            group = [n for n in left if n == name or (n in reach[name] and name in reach[n])]
            if not any(need in left and need not in group for n in group for need in left[n]):
                yield _stepwise(cascade, group)
                for member in group:
                    del left[member]
                break


def _reached(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        new = needs[todo.pop()] - found
        found |= new
        todo += new
    return found


def _stepwise(cascade: Cascade, group: list[str]) -> list[str]:
    """The members of a group in the order in which one step makes them."""
    needs = {name: cascade.dependences(name, within_step=True) & set(group) for name in group}
    assert not cycle(needs)
    order: list[str] = []
    while len(order) < len(group):
        order += [n for n in group if n not in order and needs[n] <= set(order)]
    return order


def _checked(cascade: Cascade, inputs: Mapping[str, ArrayLike]) -> dict[str, Array]:
    for name in inputs:
        if name not in cascade.inputs:
            raise CascadeError(f"unknown input {name!r}{did_you_mean(name, cascade.inputs)}")
    missing = [name for name in cascade.inputs if name not in inputs]
    if missing:
        raise CascadeError(f"{cascade.name} needs an array for {', '.join(missing)}")
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in inputs.items()}
    for name, ranks in cascade.inputs.items():
        if arrays[name].ndim != len(ranks):
            raise CascadeError(f"{name} has the ranks {', '.join(ranks)}, not an array of shape {arrays[name].shape}")
    return arrays


def _sizes(cascade: Cascade, arrays: Mapping[str, Array], given: Mapping[str, int]) -> dict[str, int]:
    sizes, of = dict(given), {rank: "what was given" for rank in given}
    for name, ranks in cascade.inputs.items():
        for rank, size in zip(ranks, arrays[name].shape, strict=True):
            if sizes.setdefault(rank, size) != size:
                raise CascadeError(f"{rank} is {size} in {name} and {sizes[rank]} in {of[rank]}")
            of.setdefault(rank, name)
    return cascade.space.sizes(sizes)


@dataclass
class _Run:
    """arrays: what is there already;  at: the coordinate of each variable that is being stepped."""

    cascade: Cascade
    sizes: dict[str, int]
    arrays: dict[str, Array]
    at: dict[str, int] = field(default_factory=dict)

    def make(self, names: list[str]) -> None:
        """Compute tensors that need each other, or a single one."""
        for name in names:
            if name in self.cascade.iterative:
                self.begin(name)
        einsums = {e.name: e for e in self.cascade.einsums if e.name in names}
        needs = {n: self.cascade.dependences(n) & set(names) for n in names}
        if not any(needs.values()):
            (name,) = names
            self.store(einsums[name])
            return
        (variable,) = self.stepped(names)
        for name in names:
            if name not in self.arrays:
                self.arrays[name] = np.full([self.sizes[r] for r in self.cascade.tensors[name]], np.nan)
        for step in range(self.sizes[rank_of(variable)]):
            self.at = {variable: step}
            for name in names:
                self.store(einsums[name])
        self.at = {}

    def stepped(self, names: list[str]) -> set[str]:
        """The variable over which tensors need each other."""
        found = set()
        for einsum in self.cascade.einsums:
            index = self.cascade.iterative.get(einsum.name) if einsum.name in names else None
            if index is not None:
                found.add(einsum.output.variables[index])
        if len(found) != 1:
            raise CascadeError(f"{', '.join(names)} need each other over more than one iterative rank")
        return found

    def begin(self, name: str) -> None:
        """An iterative tensor with its initial value at coordinate 0."""
        shape = [self.sizes[r] for r in self.cascade.tensors[name]]
        dimension = self.cascade.iterative[name]
        shape[dimension] += 1
        self.arrays[name] = np.full(shape, np.nan)
        (initial,) = (e for e in self.cascade.initial if e.name == name)
        self.arrays[name][(slice(None),) * dimension + (0,)] = self.value(initial, initial.output.variables)

    def store(self, einsum: Einsum) -> None:
        """Compute an Einsum, at the present step if one of its variables is stepped."""
        value = self.value(einsum, tuple(v for v in einsum.output.variables if v not in self.at))
        if not self.at and einsum.name not in self.cascade.iterative:
            self.arrays[einsum.name] = value
            return
        place = tuple(self.place(i) for i in einsum.output.indices)
        self.arrays[einsum.name][place] = value

    def place(self, index: AnyIndex) -> int | slice:
        """Where on an axis the coordinates of an index lie."""
        if isinstance(index, Coordinate):
            return index.shift + (0 if index.rank is None else self.sizes[index.rank])
        assert isinstance(index, Index)
        if index.variable in self.at:
            return self.at[index.variable] + index.shift
        return slice(index.shift, index.shift + self.sizes[rank_of(index.variable)])

    # Values

    def value(self, einsum: Einsum, output: tuple[str, ...]) -> Array:
        """The Einsum's value with the variables `output` as axes."""
        reduced = einsum.reduced
        axes = output + reduced
        shape = [self.sizes[rank_of(v)] for v in axes]
        fast = self.product(einsum, axes, output) if einsum.reduce == "add" and not einsum.conditions else None
        if fast is not None:
            return fast
        value: Array = np.broadcast_to(self.expression(einsum.expression, axes), shape)
        reduction = REDUCTIONS[einsum.reduce]
        for variable, condition in einsum.conditions.items():
            value = np.where(self.passes(variable, condition, axes), value, reduction.identity)
        if reduced:
            value = np.asarray(reduction.reduce(value, axis=tuple(range(len(output), len(axes)))))
        return np.array(value)

    def product(self, einsum: Einsum, axes: tuple[str, ...], output: tuple[str, ...]) -> Array | None:
        """The sum of a plain product of tensors without an array of all its terms; None if it is something else."""
        factors = _factors(einsum.expression)
        if factors is None or not einsum.reduced or any(self.cascade.is_size(a) for a in factors):
            return None
        letter = dict(zip(axes, string.ascii_letters, strict=False))
        operands, terms = [], []
        for access in factors:
            array, names = self.read(access)
            operands.append(array)
            terms.append("".join(letter[v] for v in names))
        text = f"{','.join(terms)}->{''.join(letter[v] for v in output)}"
        return np.asarray(np.einsum(text, *operands, optimize=True))

    def expression(self, expression: Expression, axes: tuple[str, ...]) -> Array:
        """Its value, broadcast along axes on which it does not depend."""
        if isinstance(expression, Number):
            return np.full((1,) * len(axes), expression.value)
        if isinstance(expression, Access):
            return self.aligned(expression, axes)
        assert isinstance(expression, Apply)
        operands = [self.expression(operand, axes) for operand in expression.operands]
        try:
            return OPERATORS[expression.operator].compute(*operands)
        except ValueError as error:
            raise CascadeError(f"{expression}: {error}") from None

    def aligned(self, access: Access, axes: tuple[str, ...]) -> Array:
        if self.cascade.is_size(access):
            return np.full((1,) * len(axes), float(self.sizes[access.tensor]))
        array, names = self.read(access)
        order = [names.index(v) for v in axes if v in names]
        shape = [self.sizes[rank_of(v)] if v in names else 1 for v in axes]
        return array.transpose(order).reshape(shape)

    def read(self, access: Access) -> tuple[Array, list[str]]:
        """What an access reads, and the variable of each of its axes."""
        place: list[int | slice] = []
        shape: list[int] = []
        names: list[str] = []
        for index in access.indices:
            place.append(slice(None) if isinstance(index, Joined) else self.place(index))
            if isinstance(index, Coordinate) or (isinstance(index, Index) and index.variable in self.at):
                continue
            parts = index.variables if isinstance(index, Joined) else (index.variable,)
            shape += [self.sizes[rank_of(v)] for v in parts]
            names += parts
        array = self.arrays[access.tensor][tuple(place)].reshape(shape)
        # Only a part of a partitioned rank may be stepped.
        for variable in [v for v in names if v in self.at]:
            array = np.asarray(array.take(self.at[variable], axis=names.index(variable)))
            names.remove(variable)
        return array, names

    def passes(self, variable: str, condition: Condition, axes: tuple[str, ...]) -> NDArray[np.bool_]:
        """Where a filter lets a point through."""

        def coordinates(name: str) -> Array:
            if name in self.at:
                return np.full((1,) * len(axes), float(self.at[name]))
            shape = [self.sizes[rank_of(v)] if v == name else 1 for v in axes]
            return np.arange(self.sizes[rank_of(name)], dtype=np.float64).reshape(shape)

        left, right = coordinates(variable), coordinates(condition.variable) + condition.shift
        compare = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}[condition.relation]
        return np.asarray(compare(left, right))


def _factors(expression: Expression) -> list[Access] | None:
    """The tensors of a plain product, None if it is not one."""
    if isinstance(expression, Access):
        return [expression]
    if not isinstance(expression, Apply) or expression.operator != "mul":
        return None
    sides = [_factors(operand) for operand in expression.operands]
    return None if any(side is None for side in sides) else [a for side in sides if side is not None for a in side]
