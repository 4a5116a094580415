"""Passes counted element by element: every point of every Einsum is a node of a graph, and what can be read before what
is looked up there. Nothing of the analysis in `golden.cascade` is used, only the Einsums as they are written."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from golden.cascade.cascade import Cascade
from golden.cascade.einsum import Access, Coordinate, Einsum, Index, Joined, variables

Element = tuple[str, tuple[int, ...]]
COMPARE = {"<=": int.__le__, "<": int.__lt__, ">=": int.__ge__, ">": int.__gt__}


@dataclass(eq=False)
class Point:
    """One point of an Einsum: what it reads by which access, and where it stands.

    others: values of the variables that have nothing to do with the rank
    touched: (access, coordinate) along the rank, for accesses whose tensor has an element for each coordinate
    place:   the coordinate (of the outermost part) at which it works, None if it has nothing to do with the rank
    """

    einsum: int
    reads: list[Element]
    writes: Element
    others: tuple[int, ...]
    touched: list[tuple[int, int]]
    place: int | None
    before: list[Point] = field(default_factory=list)
    ancestors: int = 0
    bit: int = 0


class Elements:
    """The graph of all points of a cascade for one rank and small sizes."""

    def __init__(self, cascade: Cascade, rank: str, sizes: dict[str, int]) -> None:
        self.cascade, self.sizes = cascade, cascade.space.sizes(sizes)
        self.leaves = cascade.space.leaves(rank)
        self.points = [p for i, e in enumerate(cascade.all) for p in self._points(i, e)]
        writers: dict[Element, list[Point]] = defaultdict(list)
        for n, point in enumerate(self.points):
            point.bit = 1 << n
            writers[point.writes].append(point)
        for point in self.points:
            point.before = [w for element in point.reads for w in writers[element]]
        self.order = self._sorted()
        for point in self.order:
            for before in point.before:
                point.ancestors |= before.ancestors | before.bit
        self.writers = writers

    def _points(self, number: int, einsum: Einsum) -> Iterator[Point]:
        names = list(dict.fromkeys((*einsum.output.variables, *variables(einsum.expression))))
        reads = self.cascade.reads(einsum)
        for values in itertools.product(*(range(self.sizes[v.upper()]) for v in names)):
            at = dict(zip(names, values, strict=True))
            if all(COMPARE[c.relation](at[v], at[c.variable] + c.shift) for v, c in einsum.conditions.items()):
                touched = [(j, self.flat(a, at)) for j, a in enumerate(reads) if self.whole(a.tensor)]
                yield Point(
                    number,
                    [(a.tensor, self.coordinates(a, at)) for a in reads],
                    (einsum.name, self.coordinates(einsum.output, at)),
                    tuple(at[v] for v in names if not self.own(v)),
                    touched,
                    self.place(einsum, at),
                )

    def coordinates(self, access: Access, at: dict[str, int]) -> tuple[int, ...]:
        return tuple(self.coordinate(i, at) for i in access.indices)

    def coordinate(self, index: Any, at: dict[str, int]) -> int:
        if isinstance(index, Coordinate):
            return index.shift + (self.sizes[index.rank] if index.rank else 0)
        if isinstance(index, Index):
            return at[index.variable] + index.shift
        assert isinstance(index, Joined)
        total = 0
        for v in index.variables:
            total = total * self.sizes[v.upper()] + at[v]
        return total

    def own(self, variable: str) -> bool:
        return any(leaf in self.leaves for leaf in self.cascade.space.leaves(variable.upper()))

    def whole(self, tensor: str) -> bool:
        found = [leaf for r in self.cascade.tensors[tensor] for leaf in self.cascade.space.leaves(r)]
        return all(leaf in found for leaf in self.leaves)

    def flat(self, access: Access, at: dict[str, int]) -> int:
        """The coordinate along the rank, of all its parts together."""
        total = 0
        for leaf in self.leaves:
            for index, rank in zip(access.indices, self.cascade.tensors[access.tensor], strict=True):
                if leaf not in self.cascade.space.leaves(rank):
                    continue
                if isinstance(index, Joined) or (rank != leaf and len(self.leaves) > 1):
                    return self.coordinate(index, at)
                total = total * self.sizes[leaf] + self.coordinate(index, at)
        return total

    def place(self, einsum: Einsum, at: dict[str, int]) -> int | None:
        names = [
            v for a in einsum.accesses if a.tensor in self.cascade.tensors and self.whole(a.tensor) for v in a.variables
        ]
        names = [v for v in names if self.own(v)]
        if not names:
            return None
        variable = names[0]
        inner = 1
        if len(self.leaves) > 1 and variable.upper() not in self.leaves:
            for leaf in self.leaves[1:]:
                inner *= self.sizes[leaf]
        elif len(self.leaves) > 1:
            outer = [v for v in names if v.upper() == self.leaves[0]]
            variable = outer[0]
        return at[variable] // inner

    def _sorted(self) -> list[Point]:
        left = {p: len(p.before) for p in self.points}
        after: dict[Point, list[Point]] = defaultdict(list)
        for p in self.points:
            for q in p.before:
                after[q].append(p)
        ready = [p for p in self.points if not left[p]]
        for p in ready:
            for q in after[p]:
                left[q] -= 1
                if not left[q]:
                    ready.append(q)
        assert len(ready) == len(self.points)
        return ready

    # Passes

    def barriers(self, slack: int = 0) -> set[tuple[str, str]]:
        """(earlier, later) such that every element the later Einsum reads of some fiber has to wait for all elements
        that the earlier one reads of a fiber with the same origin. `slack`: so many elements at either end of the later
        one's fiber do not count."""
        origins = self._origins()
        groups: dict[tuple[int, int], dict[tuple[int, ...], list[tuple[Point, int]]]] = defaultdict(dict)
        for p in self.points:
            for access, at in p.touched:
                groups[p.einsum, access].setdefault(p.others, []).append((p, at))
        fibers = {}
        for key, found in groups.items():
            longest = max(len({at for _, at in fiber}) for fiber in found.values())
            if longest >= self.size:
                fibers[key] = [fiber for fiber in found.values() if len({at for _, at in fiber}) == longest]
        result = set()
        for (e1, a1), first in fibers.items():
            masks = [self._masks(fiber) for fiber in first]
            for (e2, a2), second in fibers.items():
                t1, t2 = (self.cascade.reads(self.cascade.all[e])[a].tensor for e, a in ((e1, a1), (e2, a2)))
                if origins[t1] & origins[t2] and any(self._waits(m, f, slack) for m in masks for f in second):
                    result.add((self.cascade.all[e1].name, self.cascade.all[e2].name))
        return result

    def passes(self, slack: int = 0) -> int:
        """The number of the last pass, when every Einsum is as early as it can be: not before what it depends on, and
        behind the passes in which all elements were read of a fiber with the origin of what it reads."""
        origins = self._origins()
        touching = [p for p in self.points if p.touched]
        level = {p.einsum: 1 for p in touching}
        bits: dict[int, int] = defaultdict(int)
        readers: dict[tuple[str, int, int], int] = defaultdict(int)
        fibers: dict[tuple[int, str], dict[tuple[int, ...], list[Point]]] = defaultdict(dict)
        for p in touching:
            bits[p.einsum] |= p.bit
            for access, at in p.touched:
                tensor = self.cascade.reads(self.cascade.all[p.einsum])[access].tensor
                for origin in origins[tensor] if (p.einsum, access) in self.running else ():
                    readers[origin, p.einsum, at - self.shift(p.einsum, access)] |= p.bit
                    if slack <= at < self.size - slack:
                        fibers[p.einsum, origin].setdefault(p.others, []).append(p)
        above: dict[int, int] = defaultdict(int)
        for p in touching:
            above[p.einsum] |= p.ancestors
        before = None
        while before != level:
            before = dict(level)
            for e in level:
                level[e] = max([level[e], *(level[d] for d in level if above[e] & bits[d])])
            for (e, origin), found in fibers.items():
                for last in sorted(set(level.values())):
                    read = [0] * self.size
                    for (other, d, at), mask in readers.items():
                        if other == origin and level[d] >= last:
                            read[at] |= mask
                    if any(all(p.ancestors & mask for p in fiber for mask in read) for fiber in found.values()):
                        level[e] = max(level[e], last + 1)
        return max(level.values(), default=0)

    @cached_property
    def running(self) -> set[tuple[int, int]]:
        """Accesses that read more than one coordinate along the rank."""
        found: dict[tuple[int, int], set[int]] = defaultdict(set)
        for p in self.points:
            for access, at in p.touched:
                found[p.einsum, access].add(at)
        return {key for key, coordinates in found.items() if len(coordinates) > 1}

    def shift(self, einsum: int, access: int) -> int:
        """How far an access reads behind the coordinate of its variable along the rank."""
        indices = self.cascade.reads(self.cascade.all[einsum])[access].indices
        return sum(i.shift for i in indices if isinstance(i, Index) and self.own(i.variable)) * (
            self.size // self.sizes[self.leaves[0]]
        )

    @property
    def size(self) -> int:
        total = 1
        for leaf in self.leaves:
            total *= self.sizes[leaf]
        return total

    def _masks(self, fiber: list[tuple[Point, int]]) -> list[int]:
        """For each coordinate the points that read it."""
        found: dict[int, int] = defaultdict(int)
        for p, at in fiber:
            found[at] |= p.bit
        return list(found.values())

    def _waits(self, masks: list[int], later: list[tuple[Point, int]], slack: int) -> bool:
        inside = [p for p, at in later if slack <= at < self.size - slack]
        return bool(inside) and all(p.ancestors & mask for p in inside for mask in masks)

    def _origins(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {t: {t} if self.whole(t) else set() for t in self.cascade.tensors}
        for p in self.order * 2:
            if self.whole(p.writes[0]):
                reads = self.cascade.reads(self.cascade.all[p.einsum])
                for access, _ in p.touched:
                    # One coordinate only is no fiber.
                    if (p.einsum, access) in self.running:
                        found[p.writes[0]] |= found[reads[access].tensor]
        return found

    def sweeps(self, only: dict[str, int] | None = None) -> int:
        """How often a machine has to go along the rank, upwards, that at each coordinate computes whatever it can; with
        `only`, nothing but what these Einsums say of their numbers in a sweep of that number. 0 if it does not end.

        Where it turns round, it goes on with what it has just completed, so that the rank must have more coordinates
        (or tiles) than there are passes.
        """
        done, count = 0, 0
        left = list(self.order)
        while left:
            count += 1
            before = len(left)
            worked = False
            for place in range(-1, self.sizes[self.leaves[0]]):
                for p in list(left):
                    now = only is None or only.get(self.cascade.all[p.einsum].name, count) == count
                    if now and p.place in (None, place) and p.ancestors & ~done == 0:
                        done |= p.bit
                        left.remove(p)
                        worked |= p.place is not None
            if len(left) == before:
                return 0
            count -= not worked
        return count
