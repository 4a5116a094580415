"""How many operations of which kind a cascade takes, as formulas in its ranks.

An operator in an expression is counted once for each point of the space that its own operands span: the exponential
in `exp(QK[m,p] - GM[p]) * V[f,m]` M*P times, the product F*M*P times. A reduction is counted once for each value that
goes into it, the first one too. What an Einsum only renames or partitions is no operation, and initial values, which
are written once, are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from golden.cascade.cascade import Cascade
from golden.cascade.einsum import Access, Apply, Condition, Einsum, Expression, accesses, rank_of, variables
from golden.cascade.formula import Formula
from golden.cascade.operators import OPERATORS, REDUCTIONS
from golden.cascade.ranks import Ranks


def operations(cascade: Cascade) -> dict[str, dict[str, Formula]]:
    """Operations of each Einsum by kind: what `OPERATORS` and `REDUCTIONS` call them."""
    return {e.name: _of_einsum(cascade, e) for e in cascade.einsums}


def total(cascade: Cascade) -> dict[str, Formula]:
    """Operations of all Einsums together, by kind."""
    found: dict[str, Formula] = {}
    for kinds in operations(cascade).values():
        for kind, formula in kinds.items():
            found[kind] = found.get(kind, Formula()) + formula
    return dict(sorted(found.items()))


def _of_einsum(cascade: Cascade, einsum: Einsum) -> dict[str, Formula]:
    found: dict[str, Formula] = {}

    def add(kind: str, over: tuple[str, ...]) -> None:
        found[kind] = found.get(kind, Formula()) + Formula.product(_sizes(cascade.space, einsum, over))

    def visit(expression: Expression) -> None:
        if not isinstance(expression, Apply):
            return
        # What is made of numbers and sizes alone is known before anything is computed.
        if any(isinstance(a, Access) and not cascade.is_size(a) for a in accesses(expression)):
            add(OPERATORS[expression.operator].kind, variables(expression))
        for operand in expression.operands:
            visit(operand)

    visit(einsum.expression)
    if einsum.reduced:
        space = dict.fromkeys((*einsum.output.variables, *variables(einsum.expression)))
        add(REDUCTIONS[einsum.reduce].kind, tuple(space))
    return found


def _sizes(ranks: Ranks, einsum: Einsum, over: tuple[str, ...]) -> list[str]:
    """Factors of the number of points that variables span; two that a filter ties together are one factor `|k<=i|`."""
    tied = {v: c for v, c in einsum.conditions.items() if v in over and c.variable in over}
    factors = [pairs(v, c) for v, c in tied.items()]
    free = [v for v in over if v not in tied and v not in {c.variable for c in tied.values()}]
    return factors + whole(ranks, [rank_of(v) for v in free])


def pairs(variable: str, condition: Condition) -> str:
    """What the number of pairs is called that a filter lets through."""
    return f"|{variable}{condition}|"


def whole(ranks: Ranks, names: list[str]) -> list[str]:
    """Ranks, with all parts of a partition replaced by what they make together, and other names by the first."""
    found = [leaf for name in names for leaf in ranks.leaves(name)]
    for rank, parts in ranks.of.items():
        while len(parts) > 1 and all(part in found for part in parts):
            for part in parts:
                found.remove(part)
            found.append(rank)
    return found


def with_pairs(cascade: Cascade, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes, and the numbers of pairs that the cascade's filters let through."""
    found = dict(sizes)
    for einsum in cascade.all:
        for variable, condition in einsum.conditions.items():
            left = np.arange(sizes[rank_of(variable)])[:, None]
            right = np.arange(sizes[rank_of(condition.variable)])[None, :] + condition.shift
            compare = {"<=": left <= right, "<": left < right, ">=": left >= right, ">": left > right}
            found[pairs(variable, condition)] = int(np.count_nonzero(compare[condition.relation]))
    return found
