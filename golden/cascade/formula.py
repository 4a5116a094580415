"""Sums of products of sizes: `2*E*M*P + F*P`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Formula:
    """terms: pairs of a product's sizes, in alphabetical order, and how often it is there; no pair twice, none 0."""

    terms: tuple[tuple[tuple[str, ...], int], ...] = ()

    @classmethod
    def product(cls, names: Iterable[str], times: int = 1) -> Formula:
        """times * name * name ..."""
        return _formula({tuple(sorted(names)): times})

    def __add__(self, other: Formula) -> Formula:
        total = Counter(dict(self.terms))
        total.update(dict(other.terms))
        return _formula(total)

    def value(self, sizes: Mapping[str, int]) -> int:
        """The number it is for sizes. Raises KeyError if one is missing."""
        return sum(times * prod(sizes[name] for name in names) for names, times in self.terms)

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        return " + ".join(
            "*".join([str(times)] * (times != 1 or not names) + list(names)) for names, times in self.terms
        )


def _formula(terms: Mapping[tuple[str, ...], int]) -> Formula:
    return Formula(tuple(sorted(((names, times) for names, times in terms.items() if times), key=_order)))


def _order(term: tuple[tuple[str, ...], int]) -> tuple[int, tuple[str, ...]]:
    return -len(term[0]), term[0]
