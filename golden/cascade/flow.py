"""Which elements must have been read before an element of a rank can be: the ground that passes stand on.

Seen along one rank (with all parts it is made of), an Einsum that reads a tensor at every coordinate of the rank
*touches* the tensor's fibers. For every tensor and every touch, `Flow` knows which coordinates must have been touched
before an element of the tensor is there. That follows from the indices alone: `GM[p] = max over m: QK[m,p]` needs
every m, `RM[m1+1,p] = max(RM[m1,p], LM[m1,p])` all tiles up to m1 with all their keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from golden.cascade.cascade import Cascade
from golden.cascade.einsum import Access, AnyIndex, Condition, Coordinate, Einsum, Index, Joined, rank_of
from golden.cascade.errors import CascadeError, did_you_mean
from golden.cascade.spans import END, EVERY, FIRST, Bound, Span, Spans

Needs = dict["Touch", Spans]


@dataclass(frozen=True)
class Touch:
    """The access number `access` of Einsum number `einsum` of `Cascade.all`, which reads `tensor` all along."""

    einsum: int
    access: int
    tensor: str


class Flow:
    """What every tensor of a cascade needs along one rank.

    Raises
    ------
    CascadeError
        If the rank is unknown or a part of another one, or a tensor has it twice.
    """

    def __init__(self, cascade: Cascade, rank: str) -> None:
        space = cascade.space
        if rank not in space.names:
            raise CascadeError(f"unknown rank {rank!r}{did_you_mean(rank, space.roots)}")
        if space.root(rank) != rank:
            raise CascadeError(f"{rank} belongs to {space.root(rank)}; ask for that")
        self.cascade, self.rank, self.leaves = cascade, rank, space.leaves(rank)
        for tensor, ranks in cascade.tensors.items():
            own = [leaf for r in ranks for leaf in space.leaves(r) if leaf in self.leaves]
            if len(set(own)) != len(own):
                raise CascadeError(f"{tensor} has coordinates of {rank} twice; give one of them a rank of its own")
        if len(self.leaves) > 1:
            self._refuse_steps_of_the_whole()
        self.touches = {
            Touch(i, j, access.tensor): access
            for i, einsum in enumerate(cascade.all)
            for j, access in enumerate(cascade.reads(einsum))
            if self._goes_through(einsum, access)
        }
        # Without going round a recurrence, every iterative tensor and every filter moves a coordinate once at most.
        filters = [c for e in cascade.all for c in e.conditions.values()]
        self._reach = 1 + len(cascade.iterative) + sum(1 + abs(c.shift) for c in filters)
        self.needs = self._solve()
        self.origins = self._origins()

    # What an Einsum reads

    def own(self, tensor: str) -> tuple[str, ...]:
        """Leaves of the rank that a tensor has."""
        leaves = [leaf for r in self.cascade.tensors[tensor] for leaf in self.cascade.space.leaves(r)]
        return tuple(leaf for leaf in self.leaves if leaf in leaves)

    def whole(self, tensor: str) -> bool:
        """Whether a tensor has an element for every coordinate of the rank."""
        return self.own(tensor) == self.leaves

    def einsum_touches(self, einsum: int) -> Iterator[Touch]:
        """The touches that an Einsum makes."""
        return (touch for touch in self.touches if touch.einsum == einsum)

    def at_point(self, einsum: int) -> Needs:
        """What must have been touched before an Einsum can read at a point, by the variables of the point."""
        found: Needs = {}
        for access in self.cascade.reads(self.cascade.all[einsum]):
            for touch, spans in self.through(einsum, access).items():
                for product in spans.products:
                    found.setdefault(touch, Spans()).add(product)
        return found

    def through(self, einsum: int, access: Access) -> Needs:
        """The part of `at_point` that one operand is the reason of."""
        at = self._coordinates(self.cascade.all[einsum], access, point=True)
        return {touch: self._placed(spans, at) for touch, spans in self.needs.get(access.tensor, {}).items()}

    def shared(self, a: Touch, b: Touch) -> set[str]:
        """Tensors whose fibers both touches read, themselves or what was made of their elements."""
        return self.origins[a.tensor] & self.origins[b.tensor]

    def _refuse_steps_of_the_whole(self) -> None:
        for einsum in self.cascade.all:
            for access in (einsum.output, *einsum.accesses):
                for i in access.indices:
                    if isinstance(i, Index) and rank_of(i.variable) == self.rank and (i.shift or i.condition):
                        text = f"{i} steps through {self.rank} as a whole, which has parts; only steps through parts "
                        raise CascadeError(text + "can be analysed", access.place)

    def _goes_through(self, einsum: Einsum, access: Access) -> bool:
        found: list[str] = []
        for index in access.indices:
            names = index.variables if isinstance(index, Joined) else ()
            names = (index.variable,) if isinstance(index, Index) else names
            found += [leaf for v in names for leaf in self.cascade.space.leaves(rank_of(v))]
        return all(leaf in found for leaf in self.leaves)

    def _coordinates(self, einsum: Einsum, access: Access, *, point: bool) -> dict[str, Span]:
        """For each of the rank's leaves that an access has, the coordinates it reads: for one point of the Einsum by
        its variables, or for one element of the output by the output's leaves."""
        found: dict[str, Span] = {}
        for index, rank in zip(access.indices, self.cascade.tensors[access.tensor], strict=True):
            for leaf, span in zip(
                self.cascade.space.leaves(rank), self._spans(einsum, index, rank, point), strict=True
            ):
                if leaf in self.leaves:
                    found[leaf] = span
        return found

    def _spans(self, einsum: Einsum, index: AnyIndex, rank: str, point: bool) -> list[Span]:
        leaves = self.cascade.space.leaves(rank)
        if isinstance(index, Coordinate):
            base, outer = (FIRST, Bound(FIRST, 0)) if index.rank is None else (END, Bound(END, -1))
            bounds = [outer] * (len(leaves) - 1) + [Bound(base, index.shift)]
            return [Span(bound, bound) for bound in bounds]
        names = index.variables if isinstance(index, Joined) else (index.variable,) * len(leaves)
        shift = index.shift if isinstance(index, Index) else 0
        spans = [self._span(einsum, v, leaf, point) for v, leaf in zip(names, leaves, strict=True)]
        return [Span(span.low.moved(shift), span.high.moved(shift)) for span in spans]

    def _span(self, einsum: Einsum, variable: str, leaf: str, point: bool) -> Span:
        """The coordinates a variable takes: one with the variable's name at a point; for an element of the output the
        output's own, those that a filter lets through, or all."""
        if point:
            return Span(Bound(variable, 0), Bound(variable, 0))
        output = {i.variable: i.shift for i in einsum.output.indices if isinstance(i, Index)}
        if variable in output:
            bound = Bound(leaf, -output[variable])
            return Span(bound, bound)
        for filtered, condition in einsum.conditions.items():
            other = condition.variable if filtered == variable else filtered
            tied = variable in (filtered, condition.variable) and other in output
            if tied and self.cascade.space.leaves(rank_of(other)) == (leaf,):
                return _beside(condition, Bound(leaf, -output[other]), filtered == variable)
        return EVERY

    # What a tensor needs

    def _solve(self) -> dict[str, Needs]:
        needs: dict[str, Needs] = {tensor: {} for tensor in self.cascade.tensors}
        reads = [self.cascade.reads(einsum) for einsum in self.cascade.all]
        at = [[self._coordinates(e, a, point=False) for a in reads[i]] for i, e in enumerate(self.cascade.all)]
        for touch, access in self.touches.items():
            own = self._coordinates(self.cascade.all[touch.einsum], _unshifted(access), point=False)
            made = needs[self.cascade.all[touch.einsum].name]
            made.setdefault(touch, Spans()).add(tuple(own[leaf] for leaf in self.leaves))
        changed = set(self.cascade.tensors)
        while changed:
            before, changed = changed, set()
            for i, einsum in enumerate(self.cascade.all):
                for j, access in enumerate(reads[i]):
                    if access.tensor in before and self._take(needs[einsum.name], needs[access.tensor], at[i][j]):
                        changed.add(einsum.name)
        return needs

    def _take(self, into: Needs, operand: Needs, at: dict[str, Span]) -> bool:
        """Add what an operand needs that is read at `at`; whether there was anything new."""
        new = False
        for touch, spans in list(operand.items()):
            for product in self._placed(spans, at).products:
                limited = tuple(span.limited(self._reach) for span in product)
                new |= into.setdefault(touch, Spans()).add(limited)
        return new

    def _placed(self, spans: Spans, at: dict[str, Span]) -> Spans:
        """Needs of an element by its own coordinates, for the elements that are read at `at`."""
        found = Spans()
        for product in spans.products:
            placed = [span.placed(at) for span in product]
            if all(span is not None for span in placed):
                found.add(tuple(span for span in placed if span is not None))
        return found

    def _origins(self) -> dict[str, set[str]]:
        """For each tensor those whose fibers it was made of; one with whole fibers is among them itself."""
        found = {t: {t} if self.whole(t) else set() for t in self.cascade.tensors}
        before = None
        while before != sum(map(len, found.values())):
            before = sum(map(len, found.values()))
            for touch in self.touches:
                found[self.cascade.all[touch.einsum].name] |= found[touch.tensor]
        return found


def _unshifted(access: Access) -> Access:
    """An access whose coordinates are the values of its variables: by them it is counted what a touch has read, so that
    all is read when the variables have taken all values, whether the first coordinate is one of them or the last."""
    return replace(access, indices=tuple(replace(i, shift=0) if isinstance(i, Index) else i for i in access.indices))


def _beside(condition: Condition, other: Bound, left: bool) -> Span:
    """Coordinates on one side of a filter, where the other side is at `other`; `left`: those of the variable that is
    filtered."""
    relation, shift = condition.relation, condition.shift if left else -condition.shift
    below = relation.startswith("<") == left
    edge = other.moved(shift)
    if below:
        return Span(Bound(FIRST, 0), edge.moved(0 if relation.endswith("=") else -1))
    return Span(edge.moved(0 if relation.endswith("=") else 1), Bound(END, -1))
