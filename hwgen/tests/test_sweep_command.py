"""`hwgen sweep`: what it prints and writes."""

from __future__ import annotations

import csv
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from hwgen import cli, doctor
from hwgen.sweep.exploration import Outcome, judged
from hwgen.sweep.journal import Journal
from hwgen.sweep.metrics import METRICS
from hwgen.sweep.output import MOST_ROWS, as_json, front_table, ordered
from hwgen.sweep.parse import KEYS, RANGE, WORK, read_spec
from hwgen.sweep.picture import figure
from hwgen.sweep.points import ROOT, grid
from hwgen.sweep.spec import SAMPLERS
from hwgen.sweep.sweep import choose_axes
from hwgen.tests.sweeps import alone, grid_text

EXAMPLES = ROOT / "hwgen" / "sweep" / "examples"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(grid_text(cols=4, slots=2))
    return path


def sweep(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    """What a sweep prints, on stderr if it fails."""
    assert cli.main(["sweep", *map(str, words)]) == status
    found = capsys.readouterr()
    return found.out or found.err


def outcome(spec: Path, folder: Path) -> Outcome:
    """The same, judged here."""
    results = alone(spec, folder)
    rows = judged(read_spec(spec), [(point, results[point.key]) for point in grid(read_spec(spec))])
    return Outcome(rows, len(rows), len(rows))


def test_files_and_json_hold_all_points(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    found = json.loads(sweep(capsys, spec, "-o", folder, "--json"))
    want = outcome(spec, tmp_path / "want")
    assert all(want.seen.values()) and found["seen"] == want.seen
    assert found["points"] == found["trials"] == found["computed"] == 16
    assert found["front"] == [as_json(row) for row in ordered(read_spec(spec), want.having("front"))]
    assert json.loads((folder / "points.json").read_text()) == [as_json(row) for row in want.rows]
    with open(folder / "points.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, want.rows, strict=True):
        assert (line["number"], line["status"]) == (str(row.number), row.status)
        assert [line[name] for name in ("cols", "slots")] == [str(row.point.values[name]) for name in ("cols", "slots")]
        assert line["lanes"] == ("none" if row.point.values["lanes"] is None else "2")
        for metric in read_spec(spec).setting.metrics:
            assert line[metric] == str(row.result.metrics.get(metric, ""))
        assert line["reason"] == (row.result.error or "; ".join(row.missed))
    assert matplotlib.image.imread(folder / "front.png").shape[:2] == (672, 1152)


def test_the_table_says_the_front_and_where_all_is(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    text = sweep(capsys, spec, "-o", folder)
    want = outcome(spec, tmp_path / "want")
    front = ordered(read_spec(spec), want.having("front"))
    assert text.startswith(front_table(read_spec(spec), front))
    lines = text.splitlines()
    for line, row in zip(lines[2:], front, strict=False):
        cycles, slots = f"{row.result.metrics['cycles']:,}", str(row.point.values["slots"])
        assert cycles in line.split() and slots in line.split()
    assert "points      16, 16 computed now" in lines and f"bad         {want.seen['bad']}" in lines
    assert any("x ConfigError: lanes=2 must divide cols=1: one of 1" in line for line in lines)
    assert all(str(folder / name) in text for name in ("results.jsonl", "points.csv", "points.json", "front.png"))
    many = front * MOST_ROWS
    assert front_table(read_spec(spec), many).endswith(f"and {len(many) - MOST_ROWS} more, see the files")


def test_what_is_known_is_not_computed_again(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwgen.sweep.sweep.draw", lambda *_: None)
    words = (spec, "-o", tmp_path / "out", "--json")
    first, second = (json.loads(sweep(capsys, *words)) for _ in range(2))
    assert (first["computed"], second["computed"]) == (16, 0) and second["front"] == first["front"]
    spec.write_text(spec.read_text().replace("cycles: minimise", "bytes: minimise"))
    assert json.loads(sweep(capsys, *words))["computed"] == 0
    assert json.loads(sweep(capsys, *words, "--again"))["computed"] == 16
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 16


def test_a_sweep_without_any_result_fails(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text().replace("[none, 2]", "[64]"))
    assert "no point has a result" in sweep(capsys, spec, "-o", tmp_path / "bad", status=1)
    spec.write_text(grid_text(cols=2, slots=1).replace("<= 24", "<= 1"))
    assert "no point keeps all constraints" in sweep(capsys, spec, "-o", tmp_path / "out")


def test_the_picture_shows_every_point_with_a_result(spec: Path, tmp_path: Path) -> None:
    found = outcome(spec, tmp_path / "want")
    for axes in (("cycles", "on_chip_bits"), ("on_chip_bits", "cycles"), ("bytes", "cycles")):
        plot = figure(read_spec(spec), found, axes).axes[0]
        for points, status in zip(plot.collections, ("infeasible", "dominated", "front"), strict=True):
            want = [[row.result.metrics[metric] for metric in axes] for row in found.having(status)]
            assert points.get_offsets().tolist() == want
        front = ordered(read_spec(spec), found.having("front"))
        labelled = {number: text.xy for text in plot.texts for number in text.get_text().split(", ")}
        assert labelled == {
            str(i): tuple(row.result.metrics[metric] for metric in axes) for i, row in enumerate(front, 1)
        }
        assert len(plot.lines) == ("bytes" not in axes)


def test_axes(spec: Path) -> None:
    assert choose_axes(read_spec(spec), None) == ("cycles", "on_chip_bits")
    assert choose_axes(read_spec(spec), "bytes, cycles") == ("bytes", "cycles")
    spec.write_text(spec.read_text().replace(", on_chip_bits: minimise", ""))
    assert choose_axes(read_spec(spec), None) == ("cycles", "multipliers")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--axes", "cycles"], "expected two metrics X,Y, not 'cycles'"),
        (["--axes", "cycles,cycle"], "unknown metric 'cycle'; did you mean 'cycles'?"),
        (["--axes", "cycles,energy"], "energy is no objective or constraint"),
        (["--workers", "0"], "argument --workers: expected a whole number 1 .. 256, not '0'"),
        (["--dask", "cluster"], "expected an address as tcp://host:port, not 'cluster'"),
        (["--dask", "tcp://a:1", "--workers", "2"], "argument --workers: not allowed with argument --dask"),
    ],
)
def test_wrong_words(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any, message: str) -> None:
    assert message in sweep(capsys, spec, "-o", tmp_path / "out", *words, status=2)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in sweep(capsys, tmp_path / "no.yaml", status=2)


@pytest.mark.parametrize(
    ("package", "words", "search"),
    [("optuna", [], "search: {trials: 1}\n"), ("distributed", ["--workers", "2"], ""), ("yaml", [], "")],
)
def test_a_missing_package_is_named(
    spec: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: str,
    words: list[str],
    search: str,
) -> None:
    spec.write_text(spec.read_text() + search)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == package else find_spec(name))
    text = sweep(capsys, spec, *words, status=2)
    assert text.startswith(f"hwgen: {package} ") and "pip install" in text


@pytest.mark.parametrize("name", ["grid", "search"])
def test_examples_can_be_read(name: str, tmp_path: Path) -> None:
    found = read_spec(EXAMPLES / f"{name}.yaml")
    assert (found.search is not None) == (name == "search")
    assert choose_axes(found, None)[0] == found.objectives[0].metric
    with Journal(tmp_path / "results.jsonl") as journal:
        assert journal.results == {}


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--help"])
    text = capsys.readouterr().out
    for path in EXAMPLES.glob("*.yaml"):
        assert f"hwgen sweep {path.relative_to(ROOT)}" in text


def test_the_page_names_everything() -> None:
    page = (ROOT / "docs" / "exploration.md").read_text()
    for name in (*METRICS, *KEYS, *WORK, *SAMPLERS, *RANGE):
        assert re.search(rf"\b{name}\b", page), name
    for name, metric in METRICS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.endswith(f"| `{metric.needs}` |" if metric.needs else "| |")
