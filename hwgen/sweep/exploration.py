"""One exploration from its file to its front; what was computed before is not computed again."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwgen.sweep.engine import Engine
from hwgen.sweep.front import pareto_front
from hwgen.sweep.journal import Journal, Result
from hwgen.sweep.points import Point, grid
from hwgen.sweep.search import search
from hwgen.sweep.spec import Spec


@dataclass(frozen=True)
class Row:
    """A point and what became of it.

    status: front, dominated, infeasible (misses the constraints named in `missed`), or bad (has no metrics)
    """

    number: int
    point: Point
    result: Result
    status: str
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """rows: every point once, in the order of the grid or of the search.  trials: of a search, points count as often as
    they were proposed.  computed: points evaluated now, the others were known."""

    rows: list[Row]
    trials: int
    computed: int

    def having(self, status: str) -> list[Row]:
        return [row for row in self.rows if row.status == status]

    @property
    def seen(self) -> dict[str, int]:
        """Points by status."""
        return {status: len(self.having(status)) for status in ("front", "dominated", "infeasible", "bad")}


@dataclass
class Run:
    """Evaluates points that have no result yet, records every result at once and says how far it is."""

    journal: Journal
    engine: Engine
    total: int
    computed: int = 0
    bad: int = 0
    known: int = 0
    _begun: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def evaluate(self, points: Sequence[Point]) -> Mapping[str, Result]:
        """Results by key, of the points at least."""
        missing = {point.key: point for point in points if point.key not in self.journal.results}
        self.known += len(points) - len(missing)
        for done in self.engine.run(missing.values()):
            self.journal.add((point.key, point.values, result) for point, result in done)
            self.computed += len(done)
            self.bad += sum(result.error is not None for _, result in done)
            self._say()
        return self.journal.results

    def _say(self) -> None:
        """One line on stderr, rewritten every second on a terminal; elsewhere a new one every ten seconds."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self._said < (1 if terminal else 10):
            return
        self._said = now
        done = self.known + self.computed
        left = (self.total - done) * (now - self._begun) / self.computed
        text = f"{done:,} of {self.total:,} points, {self.bad:,} bad, about {duration(left)} left"
        print(f"\r{text:<70}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Take the line away."""
        if sys.stderr.isatty():
            print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """In whole units: 95 is 2 min."""
    for name, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def explore(spec: Spec, journal: Journal, engine: Engine) -> Outcome:
    """Evaluate the grid, or search."""
    points = list(grid(spec)) if spec.search is None else []
    run = Run(journal, engine, total=spec.search.trials if spec.search else len(points))
    try:
        if spec.search is None:
            run.evaluate(points)
        else:
            points = search(spec, spec.search, run.evaluate)
    finally:
        run.finish()
    distinct = list({point.key: point for point in points}.values())
    return Outcome(judged(spec, [(point, journal.results[point.key]) for point in distinct]), len(points), run.computed)


def judged(spec: Spec, results: Sequence[tuple[Point, Result]]) -> list[Row]:
    """Every point with its status. The front is one of the points that keep all constraints."""
    rows = []
    for number, (point, result) in enumerate(results):
        if result.error is not None:
            rows.append(Row(number, point, result, "bad"))
            continue
        missed = tuple(str(limit) for limit in spec.constraints if limit.violation(result.metrics) > 0)
        rows.append(Row(number, point, result, "infeasible" if missed else "dominated", missed))
    good = [row.number for row in rows if row.status == "dominated"]
    costs = [[objective.cost(rows[i].result.metrics) for objective in spec.objectives] for i in good]
    for index in pareto_front(costs):
        row = rows[good[index]]
        rows[row.number] = Row(row.number, row.point, row.result, "front")
    return rows
