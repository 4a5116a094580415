"""What `hwgen sweep` does, from the file to the last line printed."""

from __future__ import annotations

import json
from pathlib import Path

from hwgen import doctor, table
from hwgen.command_line import UsageError
from hwgen.commands import to_json
from hwgen.config import did_you_mean
from hwgen.sweep import output
from hwgen.sweep.engine import open_engine
from hwgen.sweep.exploration import Outcome, explore
from hwgen.sweep.journal import Journal
from hwgen.sweep.metrics import METRICS
from hwgen.sweep.parse import read_spec
from hwgen.sweep.picture import draw
from hwgen.sweep.spec import Spec
from hwgen.writing import write_text

FOLDER = Path("build/sweep")


def run(
    path: Path,
    *,
    folder: Path | None = None,
    again: bool = False,
    workers: int = 1,
    address: str | None = None,
    axes: str | None = None,
    json_wanted: bool = False,
) -> int:
    """Explore, write, print; the exit status is 1 if no point has a result."""
    spec = read_spec(path)
    chosen = choose_axes(spec, axes)
    doctor.require(*(("optuna",) if spec.search else ()), *(("distributed",) if address or workers > 1 else ()))
    folder = folder or FOLDER / path.stem
    journal = Journal(folder / "results.jsonl")
    if again:
        journal.path.unlink(missing_ok=True)
    with journal, open_engine(spec.setting, workers, address) as engine:
        outcome = explore(spec, journal, engine)
    files = write(spec, outcome, chosen, folder)
    if json_wanted:
        print(json.dumps(output.facts(spec, outcome), indent=2, allow_nan=False))
    else:
        report(spec, outcome, [journal.path, *files])
    return int(outcome.seen["bad"] == len(outcome.rows))


def choose_axes(spec: Spec, text: str | None) -> tuple[str, str]:
    """Two metrics: those named, else the first two objectives; a single objective stands against the multipliers."""
    if text is None:
        wanted = [objective.metric for objective in spec.objectives]
        return wanted[0], wanted[1] if len(wanted) > 1 else "multipliers"
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2:
        raise UsageError(f"expected two metrics X,Y, not {text!r}")
    for name in names:
        if name not in METRICS:
            raise UsageError(f"unknown metric {name!r}{did_you_mean(name, METRICS)}")
        if name not in spec.setting.metrics:
            raise UsageError(f"{name} is no objective or constraint of {spec.path}, and not computed")
    return names[0], names[1]


def write(spec: Spec, outcome: Outcome, axes: tuple[str, str], folder: Path) -> list[Path]:
    """All points as CSV and JSON, and the picture."""
    files = [folder / name for name in ("points.csv", "points.json", "front.png")]
    write_text(files[0], output.as_csv(spec, outcome))
    write_text(files[1], to_json([output.as_json(row) for row in outcome.rows]))
    draw(spec, outcome, axes, files[2])
    return files


def report(spec: Spec, outcome: Outcome, files: list[Path]) -> None:
    front = output.ordered(spec, outcome.having("front"))
    if front:
        print(output.front_table(spec, front), end="\n\n")
    else:
        print("no point keeps all constraints\n" if outcome.seen["infeasible"] else "no point has a result\n")
    print(table.pairs(output.summary(spec, outcome, files)))
