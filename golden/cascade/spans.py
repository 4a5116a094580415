"""Sets of coordinates of a rank, as they follow from what an element reads: intervals, and products of intervals.

A bound is a base and a distance. The base is the first coordinate of a rank, its end (the size: one behind the last
coordinate), or a coordinate that is not known here and has a name. So `RM[m]`, which needs all that is in front of m,
needs first+0 .. m-1, and `RM[M]` needs first+0 .. end-1, which is everything.

Where a rank begins and ends, an interval may be empty that is not elsewhere; what is said here holds inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

FIRST, END = "first", "end"


class Bound(NamedTuple):
    """base + distance."""

    base: str
    distance: int

    def moved(self, by: int) -> Bound:
        return Bound(self.base, self.distance + by)

    def at_most(self, other: Bound) -> bool:
        """Whether this bound is known not to lie behind another one, both being coordinates that elements have."""
        if self.base == other.base:
            return self.distance <= other.distance
        return (self.base == FIRST and self.distance <= 0) or (other.base == END and other.distance >= -1)


class Span(NamedTuple):
    """All coordinates low .. high."""

    low: Bound
    high: Bound

    def placed(self, at: Mapping[str, Span]) -> Span | None:
        """The union of this span for all values of the names in its bounds; None if it is empty."""
        low = at[self.low.base].low.moved(self.low.distance) if self.low.base in at else self.low
        high = at[self.high.base].high.moved(self.high.distance) if self.high.base in at else self.high
        if (high.base == FIRST and high.distance < 0) or (low.base == END and low.distance >= 0):
            return None
        low = Bound(FIRST, 0) if low.base == FIRST and low.distance < 0 else low
        high = Bound(END, -1) if high.base == END and high.distance >= 0 else high
        return Span(low, high)

    def limited(self, reach: int) -> Span:
        """The span with bounds that lie further than `reach` from their name moved to the first or last coordinate: so
        far only a recurrence goes, and it goes on."""
        low, high = self
        if low.base not in (FIRST, END) and low.distance < -reach:
            low = Bound(FIRST, 0)
        if high.base not in (FIRST, END) and high.distance > reach:
            high = Bound(END, -1)
        return Span(low, high)

    def holds(self, other: Span) -> bool:
        return self.low.at_most(other.low) and other.high.at_most(self.high)

    def joined(self, other: Span) -> Span | None:
        """Both together, if nothing is known to lie between them."""
        if not (self.low.at_most(other.high.moved(1)) and other.low.at_most(self.high.moved(1))):
            return None
        lows = [a for a, b in ((self.low, other.low), (other.low, self.low)) if a.at_most(b)]
        highs = [a for a, b in ((self.high, other.high), (other.high, self.high)) if b.at_most(a)]
        return Span(lows[0], highs[0]) if lows and highs else None


EVERY = Span(Bound(FIRST, 0), Bound(END, -1))

Product = tuple[Span, ...]
"""One span for each leaf of a rank: all their combinations."""


class Spans:
    """A union of products, none of which holds another."""

    def __init__(self, products: Iterable[Product] = ()) -> None:
        self.products: list[Product] = []
        for product in products:
            self.add(product)

    def add(self, product: Product) -> bool:
        """Take in a product; whether there was anything new in it."""
        if any(_holds(old, product) for old in self.products):
            return False
        for old in self.products:
            both = _joined(old, product)
            if both is not None:
                self.products.remove(old)
                return self.add(both) or True
        self.products = [old for old in self.products if not _holds(product, old)] + [product]
        return True

    def __bool__(self) -> bool:
        return bool(self.products)

    @property
    def everything(self) -> bool:
        return any(all(span == EVERY for span in product) for product in self.products)


def _holds(a: Product, b: Product) -> bool:
    return all(x.holds(y) for x, y in zip(a, b, strict=True))


def _joined(a: Product, b: Product) -> Product | None:
    """Two products as one, if they differ in one leaf only, and lie together there."""
    different = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    if len(different) != 1:
        return None
    (i,) = different
    both = a[i].joined(b[i])
    return None if both is None else (*a[:i], both, *a[i + 1 :])
