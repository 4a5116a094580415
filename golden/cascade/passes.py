"""How often a cascade has to go through a rank, whatever the mapping.

A pass goes through all elements of a fiber. An Einsum needs one more than another if every element that it reads has to
wait until the other has read all elements of a fiber, and it reads elements of the same fiber again: themselves, or
what was made of each of them (FuseMax, MICRO 2024, section III-A). What has to wait but reads nothing again, because
its fiber comes in for the first time, makes no pass. See `golden.cascade.flow` for who has to wait for what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from golden.cascade.cascade import Cascade
from golden.cascade.errors import CascadeError
from golden.cascade.flow import Flow, Touch
from golden.cascade.spans import Spans

IN, ALONG, AFTER, BEFORE = "in", "along", "after", "before"


class Stage(NamedTuple):
    """When an Einsum is computed.

    kind: `in` a pass, going through all elements; `along` with one, tile by tile or coordinate by coordinate, without
    reading all elements itself; `after` one; or `before` the first one (number 0)
    """

    number: int
    kind: str

    @property
    def time(self) -> tuple[int, bool]:
        """Orders stages; what is in a pass and what goes along with it belong together."""
        return self.number, self.kind in (AFTER, BEFORE)

    def __str__(self) -> str:
        return (
            "before" if self.kind == BEFORE else str(self.number) if self.kind == IN else f"{self.kind} {self.number}"
        )


class Reason(NamedTuple):
    """Why a pass is there: `einsum` needs `needs`, made over `through`, and that is complete only when `by` has read
    every element of `fiber`; and it reads `again`, which is `fiber` or goes back to the same `common` fiber."""

    number: int
    einsum: str
    needs: str
    through: tuple[str, ...]
    by: str
    fiber: str
    again: str
    common: str
    rank: str

    def __str__(self) -> str:
        path = f" (through {', '.join(self.through)})" if self.through else ""
        have = "have" if " and " in self.by else "has"
        known = f"complete only when {self.by} {have} read every element of {self.fiber} along {self.rank}"
        made = ""
        if self.again != self.common:
            made = f", which was made of {self.common}"
        elif self.again != self.fiber:
            made = f", of which {self.fiber} was made"
        return f"{self.einsum} needs {self.needs}{path}, {known}; it reads {self.again} again{made}"


@dataclass(frozen=True)
class Passes:
    """The passes of a cascade over a rank.

    count:   how many there are; 0 if nothing goes through the rank
    stages:  of every Einsum
    reasons: of every pass but the first
    barriers: (earlier, later): no element is read by the later Einsum before the earlier one has read all, and both
             read the same fibers; more than the reasons, which leave out what follows from others
    waits:   (Einsum, other): the first has to wait for all of the second in the same pass, but reads nothing again
    reads:   the passes that need elements of an input, themselves or what was made of each of them
    """

    cascade: Cascade
    rank: str
    count: int
    stages: Mapping[str, Stage]
    reasons: tuple[Reason, ...]
    barriers: tuple[tuple[str, str], ...]
    waits: tuple[tuple[str, str], ...]
    reads: Mapping[str, tuple[int, ...]]


def passes(cascade: Cascade, rank: str | None = None) -> Passes:
    """The passes over a rank; by default over the cascade's `over`, or the rank with the most passes.

    Raises
    ------
    CascadeError
        If the rank is unknown or a part of another one, or the passes cannot be counted because every step of an
        iterative rank makes another one.
    """
    if rank is None and cascade.over is None:
        return max((_Order(cascade, r).result() for r in cascade.space.roots), key=lambda found: found.count)
    return _Order(cascade, rank or cascade.over or "").result()


class _Order:
    """Einsums by their number in `Cascade.all`."""

    def __init__(self, cascade: Cascade, rank: str) -> None:
        self.cascade, self.rank = cascade, rank
        self.flow = Flow(cascade, rank)
        self.nodes = sorted({touch.einsum for touch in self.flow.touches})
        self.needs = {i: self.flow.at_point(i) for i in range(len(cascade.all))}
        self.number = self._later(self._earliest())

    def name(self, einsum: int) -> str:
        return self.cascade.all[einsum].name

    # Passes

    def complete(self, later: int, number: Mapping[int, int]) -> tuple[int, list[Touch]]:
        """The last pass whose end an Einsum has to wait for, 0 if there is none, and the touches that show it: together
        they read every element of a fiber in that pass (or a later one), all before the Einsum reads the first of what
        has the same origin."""
        last: tuple[int, list[Touch]] = (0, [])
        own = list(self.flow.einsum_touches(later))
        for origin in sorted({tensor for touch in own for tensor in self.flow.origins[touch.tensor]}):
            read = {t: s for t, s in self.needs[later].items() if origin in self.flow.origins[t.tensor]}
            # One touch that reads all by itself shows it best.
            single = max((t for t in read if read[t].everything), key=lambda t: number[t.einsum], default=None)
            if single is not None and number[single.einsum] > last[0]:
                last = number[single.einsum], [single]
            together, shown = Spans(), []
            for t in sorted((t for t in read if number[t.einsum] > last[0]), key=lambda t: -number[t.einsum]):
                shown.append(t)
                for product in read[t].products:
                    together.add(product)
                if together.everything:
                    last = number[t.einsum], shown
                    break
        return last

    def _needed(self, later: int, number: Mapping[int, int]) -> int:
        """The first pass in which an Einsum can be."""
        waits = [number[t.einsum] for t, spans in self.needs[later].items() if spans]
        return max([1, *waits, self.complete(later, number)[0] + 1])

    def _earliest(self) -> dict[int, int]:
        """The smallest number of a pass in which each Einsum can be."""
        number = dict.fromkeys(self.nodes, 1)
        for _ in range(len(self.nodes) + 1):
            before = dict(number)
            for i in self.nodes:
                number[i] = max(number[i], self._needed(i, number))
            if number == before:
                return number
        grows = next(i for i in self.nodes if number[i] != before[i])
        raise CascadeError(
            f"every step of an iterative rank goes through all of {self.rank} once more ({self.name(grows)}), "
            "so the number of passes grows with the steps",
            self.cascade.all[grows].place,
        )

    def _later(self, number: dict[int, int]) -> dict[int, int]:
        """Nothing with a whole fiber is made in an earlier pass than it is read in: it would have to be kept."""
        cascade, changed = self.cascade, True
        while changed:
            changed = False
            for i in self.nodes:
                made = self.name(i)
                readers = {j for j, e in enumerate(cascade.all) for a in cascade.reads(e) if a.tensor == made}
                through = {t.einsum for t in self.flow.touches if t.tensor == made}
                if not self.flow.whole(made) or made in cascade.outputs or readers != through:
                    continue
                moved = number | {i: min((number[j] for j in through - {i}), default=number[i])}
                if moved[i] > number[i] and all(moved[j] >= self._needed(j, moved) for j in self.nodes):
                    number, changed = moved, True
        return number

    def stage(self, einsum: int) -> Stage:
        if einsum in self.number:
            return Stage(self.number[einsum], IN)
        needed = {t: spans for t, spans in self.needs[einsum].items() if spans}
        last = max((self.number[t.einsum] for t in needed), default=0)
        if not last:
            return Stage(0, BEFORE)
        full = any(spans.everything for t, spans in needed.items() if self.number[t.einsum] == last)
        return Stage(last, AFTER if full else ALONG)

    # Reasons

    def result(self) -> Passes:
        cascade, offset = self.cascade, len(self.cascade.initial)
        stages = {e.name: self.stage(offset + i) for i, e in enumerate(cascade.einsums)}
        count = max(self.number.values(), default=0)
        reads = {
            tensor: tuple(
                sorted({self.number[t.einsum] for t in self.flow.touches if tensor in self.flow.origins[t.tensor]})
            )
            for tensor in cascade.inputs
            if self.flow.whole(tensor)
        }
        reasons = [reason for i in self.nodes if (reason := self._reason(i))]
        waits = {(self.name(b), self.name(t.einsum)) for b in self.nodes for t in self._waits(b)}
        barriers = {(self.name(t.einsum), self.name(i)) for i in self.nodes for t in self._barriers(i)}
        ordered = tuple(sorted(reasons, key=lambda reason: reason.number))
        return Passes(cascade, self.rank, count, stages, ordered, tuple(sorted(barriers)), tuple(sorted(waits)), reads)

    def _barriers(self, later: int) -> list[Touch]:
        """Touches that read all before an Einsum reads the first of what has the same origin."""
        own = list(self.flow.einsum_touches(later))
        full = [t for t, spans in self.needs[later].items() if spans.everything]
        return [t for t in full if any(self.flow.shared(t, other) for other in own)]

    def _waits(self, later: int) -> list[Touch]:
        full = [t for t, spans in self.needs[later].items() if spans.everything]
        return [t for t in full if self.number[t.einsum] == self.number[later]]

    def _closing(self, later: int) -> list[Touch]:
        """Touches that end the pass before the one an Einsum is in, if it has to wait for that."""
        last, shown = self.complete(later, self.number)
        if last == 0 or last < self.number[later] - 1:
            return []
        return [t for t in self._barriers(later) if self.number[t.einsum] == last] or shown

    def _reason(self, later: int) -> Reason | None:
        """What makes an Einsum begin a pass; None if another Einsum of the same pass makes it wait."""
        closing = self._closing(later)
        carried: dict[str, list[Touch]] = {}
        for access in self.cascade.reads(self.cascade.all[later]):
            found = self.flow.through(later, access)
            full = [t for t in closing if t in found and found[t].everything]
            makers = [i for i, e in enumerate(self.cascade.all) if e.name == access.tensor]
            if any(self.number.get(i) == self.number[later] and self._closing(i) for i in makers):
                continue
            if full:
                path = self._path(access.tensor, set(full))
                nearest = [t for t in full if self.name(t.einsum) == path[-1]] or full
                return self._told(later, access.tensor, path[1:], nearest)
            if any(t in found and found[t] for t in closing):
                carried[access.tensor] = [t for t in closing if found.get(t)]
        if not carried:
            return None
        return self._told(later, " and ".join(carried), [], [t for touches in carried.values() for t in touches])

    def _path(self, tensor: str, wanted: set[Touch]) -> list[str]:
        """Tensors from one back to the nearest that an Einsum makes which touches a fiber among `wanted` itself; each
        is the reason why the one before it has to wait."""
        names = {self.name(touch.einsum) for touch in wanted}
        paths, seen = [[tensor]], {tensor}
        for path in paths:
            if path[-1] in names:
                return path
            for before in sorted(self._full(path[-1], wanted) - seen):
                seen.add(before)
                paths.append([*path, before])
        return [tensor]

    def _full(self, tensor: str, wanted: set[Touch]) -> set[str]:
        """Operands that need everything; if only the reduction makes it everything, those that need any of it."""
        makers = [i for i, e in enumerate(self.cascade.all) if e.name == tensor]
        reads = [(i, a) for i in makers for a in self.cascade.reads(self.cascade.all[i])]
        needs = [(a.tensor, {t: s for t, s in self.flow.through(i, a).items() if t in wanted and s}) for i, a in reads]
        full = {name for name, found in needs if any(spans.everything for spans in found.values())}
        return full or {name for name, found in needs if found}

    def _told(self, later: int, needs: str, through: list[str], touches: list[Touch]) -> Reason:
        pairs = [(t, other) for t in touches for other in self.flow.einsum_touches(later) if self.flow.shared(t, other)]

        def near(pair: tuple[Touch, Touch]) -> tuple[bool, int, str]:
            # Best the same tensor, else what goes back to the one that most has been made of.
            return pair[0].tensor != pair[1].tensor, -len(self.flow.origins[self._common(*pair)]), pair[1].tensor

        before, again = min(pairs, key=near)
        return Reason(
            number=self.number[later],
            einsum=self.name(later),
            needs=needs,
            through=tuple(through),
            by=self.name(before.einsum) if " and " not in needs else needs,
            fiber=before.tensor,
            again=again.tensor,
            common=self._common(before, again),
            rank=self.rank,
        )

    def _common(self, a: Touch, b: Touch) -> str:
        """The tensor nearest to both touches whose fibers both go back to."""
        return min(self.flow.shared(a, b), key=lambda tensor: (-len(self.flow.origins[tensor]), tensor))
