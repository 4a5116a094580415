"""Leaps over what repeats itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hwgen.model.state import Snapshot, State, Zones

if TYPE_CHECKING:
    from hwgen.model.clockwork import Clockwork

MOST_SNAPSHOTS = 1 << 14
"""Kept of one level; a longer period is not found."""

ROWS, BLOCKS, JOBS = range(3)

Numbers = Sequence[int]
Step = tuple[tuple[int, ...], tuple[int, ...]]
"""How much counts and sums change."""

Shape = tuple[Any, ...]


class Leap(NamedTuple):
    """Over `times` periods. counts, sums: what one period changes."""

    level: int
    times: int
    counts: tuple[int, ...]
    sums: tuple[int, ...]


class Mark(NamedTuple):
    """A snapshot at the beginning of a block, and how many leaps there were before it."""

    snapshot: Snapshot
    leaps: int


class Path(NamedTuple):
    """From the beginning of one block to that of the next.

    level: JOBS if that is the first one of its job;  leaps: those on the way;  taken: a job was taken by who cuts it
    """

    before: Snapshot
    after: Snapshot
    level: int
    leaps: tuple[Leap, ...]
    taken: bool

    def behind(self, now: Snapshot) -> Snapshot:
        """Where the path leads from here."""
        sums = [n + a - b for n, a, b in zip(now.sums, self.after.sums, self.before.sums, strict=True)]
        if now.counts == self.before.counts:
            return Snapshot(self.after.shape, self.after.counts, sums)
        counts = [n + a - b for n, a, b in zip(now.counts, self.after.counts, self.before.counts, strict=True)]
        return Snapshot(self.after.shape, counts, sums)


class Facts(NamedTuple):
    """Of the counts of a shape: their zones, and which way they go."""

    zones: list[Zones]
    ways: list[int]


class Periods:
    """Watches a machine, and moves it ahead wherever it can be told what will happen.

    *Rows*: if the machine has the same shape at the ends of two keys and nothing new began in between, then what
    happened in between happens again, until a count enters its zone.

    *Blocks* and *jobs*: if it has the same shape at two beginnings of a block, and only counts differ that go one way
    through a whole job, then what happened in between happens again. It does too where other counts differ, as under a
    causal mask, if there are three such beginnings and both ways between them are alike but for the numbers of leaps,
    which grow by constants, as the counts do; then what happens grows likewise.

    *Paths*: a block that begins as one did before goes on as that one did.
    """

    def __init__(self, machine: Clockwork) -> None:
        self._machine, self._state = machine, State(machine)
        self._rows: dict[Shape, Snapshot] = {}
        self._seen: dict[int, dict[Shape, int]] = {BLOCKS: {}, JOBS: {}}
        self._history: dict[int, list[Mark]] = {BLOCKS: [], JOBS: []}
        self._leaps: list[Leap] = []
        self._facts: dict[Shape, Facts] = {}
        self._paths: dict[tuple[Shape, tuple[int, ...]], Path] = {}
        self._begun: Mark | None = None
        self._taken = False

    def forget_rows(self) -> None:
        """Something new began."""
        self._rows.clear()

    def forget_blocks(self) -> None:
        """A job was taken by who cuts it."""
        self._taken = True
        self._forget(BLOCKS)

    def _forget(self, level: int) -> None:
        self._seen[level].clear()
        self._history[level].clear()

    def row(self) -> None:
        """A key was shown to its last slot."""
        now = self._state.take()
        before = self._rows.get(now.shape)
        if before is not None:
            step = _difference(now, before)
            times = _possible(now.counts, step[0], self._state.zones())
            if times > 0:
                leap = Leap(ROWS, times, *step)
                self._leaps.append(leap)
                self._state.put(_moved(now, leap, [0] * len(step[1])))
                self._rows.clear()
                return
        if len(self._rows) < MOST_SNAPSHOTS:
            self._rows[now.shape] = now

    def block(self, level: int) -> None:
        """A block begins; `level`: JOBS if it is the first one of its job."""
        self._machine.relabel()
        here = self._state.take()
        if here.shape not in self._facts:
            self._facts[here.shape] = Facts(self._state.zones(), self._state.ways())
        if self._begun is not None:
            leaps = tuple(self._leaps[self._begun.leaps :])
            path = Path(self._begun.snapshot, here, level, leaps, self._taken)
            self._paths[self._key(path.before)] = path
        now = self._follow(here, level)
        self._begun, self._taken = Mark(now, len(self._leaps)), False
        if now is not here:
            self._state.put(now)

    def _follow(self, now: Snapshot, level: int) -> Snapshot:
        """Go on for as long as it is known how."""
        while True:
            now = self._look(JOBS, now) if level == JOBS else now
            now = self._look(BLOCKS, now)
            path = self._paths.get(self._key(now))
            if path is None or not self._fits(path, now):
                return now
            self._leaps += path.leaps
            level = path.level
            if path.taken:
                self._forget(BLOCKS)
            now = path.behind(now)

    def _key(self, snapshot: Snapshot) -> tuple[Shape, tuple[int, ...]]:
        """What decides about a block's path, but for counts that go one way."""
        ways = self._facts[snapshot.shape].ways
        return snapshot.shape, tuple(n for n, way in zip(snapshot.counts, ways, strict=True) if not way)

    def _fits(self, path: Path, now: Snapshot) -> bool:
        """The counts that go one way are as far from their zones as they were when the path was found."""
        zones, before, after = self._facts[now.shape].zones, path.before.counts, path.after.counts
        if len(before) != len(after):
            # Who counts is not the same on both sides.
            return before == now.counts
        for value, old, new, zone in zip(now.counts, before, after, zones, strict=True):
            if value != old:
                for low, high in zone:
                    sides = {(n > high) - (n < low) for n in (old, new, value, value + new - old)}
                    if len(sides) > 1 or 0 in sides:
                        return False
        return True

    def _look(self, level: int, now: Snapshot) -> Snapshot:
        """Compare with marks before; where the machine is then."""
        seen, history = self._seen[level], self._history[level]
        here = len(history)
        history.append(Mark(now, len(self._leaps)))
        last = seen.get(now.shape)
        seen[now.shape] = here
        if last is None:
            return now
        step = _difference(now, history[last].snapshot)
        facts = self._facts[now.shape]
        growth: list[int] | None = [0] * len(step[1])
        if any(n and n * way <= 0 for way, n in zip(facts.ways, step[0], strict=True)):
            growth = self._growth(level, last, here)
        times = _possible(now.counts, step[0], facts.zones)
        if growth is None or times <= 0:
            return now
        leap = Leap(level, times, *step)
        self._leaps.append(leap)
        self._forget(level)
        return _moved(now, leap, growth)

    def _growth(self, level: int, last: int, here: int) -> list[int] | None:
        """By how much the sums' changes grow from one way to the next, if three marks show it."""
        history = self._history[level]
        first = 2 * last - here
        if level == JOBS or first < 0 or history[first].snapshot.shape != history[here].snapshot.shape:
            return None
        marks = history[first], history[last], history[here]
        ways = self._leaps[marks[0].leaps : marks[1].leaps], self._leaps[marks[1].leaps : marks[2].leaps]
        steps = [_difference(marks[i + 1].snapshot, marks[i].snapshot) for i in (0, 1)]
        return _growth(steps, ways)


def _sum(values: Numbers, steps: Numbers) -> list[int]:
    return [value + step for value, step in zip(values, steps, strict=True)]


def _difference(after: Snapshot, before: Snapshot) -> Step:
    counts = tuple(a - b for a, b in zip(after.counts, before.counts, strict=True))
    return counts, tuple(a - b for a, b in zip(after.sums, before.sums, strict=True))


def _moved(now: Snapshot, leap: Leap, growth: Numbers) -> Snapshot:
    """Behind a leap; `growth`: by how much each of the sums' changes grows from period to period."""
    n = leap.times
    sums = [n * step + n * (n + 1) // 2 * more for step, more in zip(leap.sums, growth, strict=True)]
    return Snapshot(now.shape, _sum(now.counts, [n * step for step in leap.counts]), _sum(now.sums, sums))


def _possible(counts: Numbers, steps: Numbers, zones: Sequence[Zones]) -> int:
    """How often every count may take its step, with one more step before it enters its zone."""
    times = 1 << 60
    for value, step, zone in zip(counts, steps, zones, strict=True):
        if step:
            for low, high in zone:
                if low <= value <= high:
                    return 0
                if step < 0 and value > high:
                    times = min(times, (value - high - 1) // -step - 1)
                elif step > 0 and value < low:
                    times = min(times, (low - value - 1) // step - 1)
    return times if times < 1 << 60 else 0


def _growth(steps: Sequence[Step], ways: Sequence[Sequence[Leap]]) -> list[int] | None:
    """By how much the sums' changes grow from one way to the next; None if the ways are not alike."""
    first, second = steps
    if first[0] != second[0] or len(ways[0]) != len(ways[1]):
        return None
    growth = [0] * len(first[1])
    for before, after in zip(*ways, strict=True):
        more = after.times - before.times
        if before.level != after.level or before.counts != after.counts or before.sums != after.sums:
            return None
        if more < 0 or (more and after.level != ROWS):
            return None
        growth = [g + more * step for g, step in zip(growth, after.sums, strict=True)]
    # All that the ways differ in has to be the leaps.
    if any(b - a != g for a, b, g in zip(first[1], second[1], growth, strict=True)):
        return None
    return growth
