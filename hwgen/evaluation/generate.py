"""Writes what of docs/results comes from code: the evaluation with its pictures and all points, and the roofline."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from hwgen import table
from hwgen.evaluation import figures, page, published, tables
from hwgen.evaluation.results import NAMES, end_to_end, point
from hwgen.evaluation.workloads import POINTS
from hwgen.model import roofline
from hwgen.progress import step
from hwgen.writing import write_text

DATA = "evaluation.csv"


def run(folder: Path, *, json_wanted: bool) -> int:
    """Write everything into a folder and show the published means beside those found."""
    folder.mkdir(parents=True, exist_ok=True)
    with step(f"{len(NAMES)} schedules, {len(POINTS)} models and lengths"):
        texts = {page.FILE: page.page(), DATA: data()}
    for name, text in texts.items():
        write_text(folder / name, text)
    with step("pictures"):
        drawn = figures.draw(folder)
    with step("roofline and decode"):
        drawn += roofline.page(folder)
    means = {name: tables.mean_of(name) for name in published.MEANS}
    if json_wanted:
        print(json.dumps({"means": means, "files": [str(folder / name) for name in texts] + list(map(str, drawn))}))
        return 0
    rows = [(name, str(value), f"{means[name]:.4g}") for name, value in published.MEANS.items()]
    print(table.columns(("mean", "published", "found"), rows))
    print(f"\n{folder}: {', '.join([*texts, *(file.name for file in drawn)])}")
    return 0


def data() -> str:
    """Every point, a line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("seconds", "useful", "bytes", "buffer_bytes", "joule_published", "joule_all", "seconds_with_linear")
    writer.writerow(("schedule", "model", "length", *names))
    for name in NAMES:
        for model, length in POINTS:
            found = point(name, model, length)
            values = (found.seconds, found.useful, found.bytes, found.cost.buffer_bytes, *found.joule.values())
            whole, _ = end_to_end(name, model, length)
            writer.writerow((name, model.name, length, *(f"{value:.10g}" for value in (*values, whole))))
    return out.getvalue()
