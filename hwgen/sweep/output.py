"""What an exploration found: tables, files and a picture."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwgen import table
from hwgen.sweep.exploration import Outcome, Row
from hwgen.sweep.metrics import METRICS
from hwgen.sweep.spec import Spec

MOST_ROWS = 30
"""Of the front in the printed table; all are in the files."""

MOST_REASONS = 3


def ordered(spec: Spec, rows: Sequence[Row]) -> list[Row]:
    """The front as tables number it: best by the first objective first."""
    return sorted(rows, key=lambda row: [objective.cost(row.result.metrics) for objective in spec.objectives])


def front_table(spec: Spec, rows: Sequence[Row]) -> str:
    """The front in `ordered` order: a number, the parameters, the metrics wanted first."""
    shown = rows[:MOST_ROWS]
    wanted = dict.fromkeys([objective.metric for objective in spec.objectives])
    wanted |= dict.fromkeys([constraint.metric for constraint in spec.constraints])
    names = [name for parameter in spec.parameters for name in parameter.names]
    header = ["", *names, *(title(metric) for metric in wanted)]
    lines = [
        [str(number), *(words(row.point.values[name]) for name in names)]
        + [digits(row.result.metrics[metric]) for metric in wanted]
        for number, row in enumerate(shown, 1)
    ]
    more = f"\nand {len(rows) - len(shown)} more, see the files" if len(rows) > len(shown) else ""
    return table.columns(header, lines) + more


def title(metric: str) -> str:
    """A metric with its unit, where the name does not say it."""
    unit = METRICS[metric].unit
    return metric if unit in ("", metric) else f"{metric} {unit}"


def words(value: object) -> str:
    return "none" if value is None else str(value)


def digits(number: float) -> str:
    """A count whole, anything else with three digits."""
    return table.count(int(number)) if number == int(number) and abs(number) >= 1 else table.three_digits(number)


def summary(spec: Spec, outcome: Outcome, files: Sequence[Path]) -> list[tuple[str, str]]:
    """Rows of the last table."""
    points, count = len(outcome.rows), table.count
    rows = [("points", f"{count(points)}, {count(outcome.computed)} computed now")]
    if spec.search:
        rows.append(("search", f"{spec.search.sampler}, {count(outcome.trials)} trials, seed {spec.search.seed}"))
    rows += [(status, count(number)) for status, number in outcome.seen.items()]
    rows += [("", f"{count(number)} x {reason}") for reason, number in reasons(outcome)]
    return [*rows, *zip(["written"] + [""] * (len(files) - 1), map(str, files), strict=True)]


def reasons(outcome: Outcome) -> list[tuple[str, int]]:
    """The commonest reasons of bad points."""
    return Counter(row.result.error or "" for row in outcome.having("bad")).most_common(MOST_REASONS)


def as_json(row: Row) -> dict[str, Any]:
    """A point as the files and `--json` have it."""
    facts: dict[str, Any] = {"number": row.number, "status": row.status, "key": row.point.key}
    facts |= {"parameters": dict(row.point.values), "metrics": dict(row.result.metrics)}
    if row.missed:
        facts["missed"] = list(row.missed)
    return facts if row.result.error is None else facts | {"error": row.result.error}


def facts(spec: Spec, outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "spec": str(spec.path),
        "objectives": {o.metric: "maximise" if o.maximise else "minimise" for o in spec.objectives},
        "constraints": [str(constraint) for constraint in spec.constraints],
        "points": len(outcome.rows),
        "trials": outcome.trials,
        "computed": outcome.computed,
        "seen": outcome.seen,
        "front": [as_json(row) for row in ordered(spec, outcome.having("front"))],
    } | ({"bad_points": dict(reasons(outcome))} if outcome.having("bad") else {})


def as_csv(spec: Spec, outcome: Outcome) -> str:
    """A line a point; what it does not have stays empty."""
    names = [name for parameter in spec.parameters for name in parameter.names]
    known = spec.setting.metrics
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "status", *names, *known, "reason"])
    for row in outcome.rows:
        numbers = [row.result.metrics.get(metric, "") for metric in known]
        reason = row.result.error or "; ".join(row.missed)
        writer.writerow([row.number, row.status, *(words(row.point.values[name]) for name in names), *numbers, reason])
    return text.getvalue()
