"""Fronts, results on disk, searches, and what is computed of a point."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from hwgen.errors import InputError
from hwgen.model.area import machine_area
from hwgen.model.energy import load_table, machine_energy
from hwgen.model.machine import predict
from hwgen.model.memories import memory_bits
from hwgen.params import Params
from hwgen.sweep.engine import EngineError, InProcess, evaluate
from hwgen.sweep.exploration import Outcome, duration, explore, judged
from hwgen.sweep.front import pareto_front
from hwgen.sweep.journal import Journal, Result
from hwgen.sweep.metrics import metrics
from hwgen.sweep.parse import read_spec
from hwgen.sweep.points import Point, model_version
from hwgen.sweep.search import search
from hwgen.sweep.spec import SAMPLERS, Constraint, Spec

SEARCH = """\
preset: tiny
parameters: {{cols: {{from: 1, to: 40}}, slots: {{from: 1, to: 20}}, buffer_rows: [2, 4, 8]}}
works: {{L: 3}}
objectives: {{cycles: minimise, utilisation: maximise}}
constraints: [multipliers <= 250]
search: {{sampler: {sampler}, trials: 41, population: 10, seed: 5}}
"""


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_front_is_what_nothing_dominates(objectives: int) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        high = rng.choice([2, 6, 1000])
        rows = [[rng.randint(0, high) for _ in range(objectives)] for _ in range(rng.randint(0, 60))]
        want = [i for i, row in enumerate(rows) if not any(dominates(other, row) for other in rows)]
        assert pareto_front(rows) == want, f"seed {seed}"


def test_points_are_judged_by_constraints_then_by_objectives(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "random")
    rng = random.Random(1)
    results = []
    for i in range(200):
        found = {name: float(rng.randint(0, 12)) for name in ("cycles", "utilisation")}
        result = Result(found | {"multipliers": rng.choice([250.0, 251.0])}) if i % 5 else Result(error="no")
        results.append((Point({}, spec.base, str(i)), result))
    rows = judged(spec, results)
    assert [(row.point, row.result) for row in rows] == results
    for row in rows:
        found = row.result.metrics
        if row.result.error is not None:
            assert row.status == "bad"
        elif found["multipliers"] > 250:
            assert row.status == "infeasible" and row.missed == ("multipliers <= 250",)
        else:
            others = [other.result.metrics for other in rows if other.status in ("front", "dominated")]
            beaten = any(
                dominates((o["cycles"], -o["utilisation"]), (found["cycles"], -found["utilisation"])) for o in others
            )
            assert row.status == ("dominated" if beaten else "front")
    assert all(Outcome(rows, 200, 200).seen.values())


def test_a_violation_is_above_zero_where_the_limit_is_missed() -> None:
    for relation, kept, missed in (("<=", 2.0, 2.1), (">=", 2.0, 1.9)):
        constraint = Constraint("area", relation, 2.0)
        assert constraint.violation({"area": kept}) == 0 < constraint.violation({"area": missed})
    assert Constraint("area", "<=", 0.0).violation({"area": 1.0}) > 0


# --- results on disk


def line(key: str) -> tuple[str, Mapping[str, int], Result]:
    return key, {"cols": 3}, Result({"cycles": 7, "energy": 0.1}) if key < "m" else Result(error="why")


def test_results_outlive_a_write_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.jsonl"
    with Journal(path) as journal:
        journal.add([line("a"), line("z")])
    whole = path.read_bytes()
    with Journal(path) as journal:
        journal.add([line("b")])
    for size in range(len(whole), len(path.read_bytes())):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(path.read_bytes()[:size])
        with Journal(cut) as journal:
            assert journal.results == {"a": line("a")[2], "z": line("z")[2]}
            journal.add([line("b")])
        assert cut.read_bytes() == path.read_bytes()
    assert [json.loads(text)["values"] for text in path.read_text().splitlines()] == [{"cols": 3}] * 3


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    with Journal(tmp_path / "results.jsonl"), pytest.raises(InputError, match="another sweep is writing"):
        Journal(tmp_path / "results.jsonl").__enter__()


@pytest.mark.parametrize("text", ["something", "{}\n", "[1]\n", '{"key": "a", "values": {}, "metrics": {}}\n'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=":1: not a line of results"):
        Journal(path).__enter__()
    assert path.read_text() == text


# --- searches


def spec_of(folder: Path, sampler: str) -> Spec:
    path = folder / "search.yaml"
    path.write_text(SEARCH.format(sampler=sampler))
    return read_spec(path)


class Shuffled:
    """An engine that gives results of an invented model in any order, several at a time, and stops behind `most`."""

    def __init__(self, seed: int, most: int = 1 << 30) -> None:
        self.rng = random.Random(seed)
        self.left = most
        self.seen: list[str] = []

    def run(self, points: Iterable[Point]) -> Iterator[list[tuple[Point, Result]]]:
        points = list(points)
        self.rng.shuffle(points)
        while points:
            done = [points.pop() for _ in range(min(self.rng.randint(1, 4), len(points)))]
            if self.left < len(done):
                raise KeyboardInterrupt
            self.left -= len(done)
            self.seen += [point.key for point in done]
            yield [(point, self.result(point)) for point in done]

    def result(self, point: Point) -> Result:
        c = point.config
        if c.cols % 7 == 0:
            return Result(error="seven")
        work = {"cycles": 9000 / (c.cols * c.slots) + c.buffer_rows, "utilisation": c.slots / c.cols}
        return Result(work | {"multipliers": 8.0 * c.cols})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path, sampler: str) -> None:
    spec = spec_of(tmp_path, sampler)
    with Journal(tmp_path / "whole.jsonl") as journal:
        engine = Shuffled(1)
        whole = explore(spec, journal, engine)
    assert whole.trials == 41 and whole.computed == len(engine.seen) == len(set(engine.seen)) == len(whole.rows)
    assert whole.seen["bad"] and whole.seen["infeasible"] and whole.seen["front"]
    seen: list[str] = []
    for seed, most in enumerate((7, 0, 12, 1)):
        with Journal(tmp_path / "parts.jsonl") as journal, pytest.raises(KeyboardInterrupt):
            engine = Shuffled(seed, most)
            explore(spec, journal, engine)
        seen += engine.seen
    with Journal(tmp_path / "parts.jsonl") as journal:
        engine = Shuffled(9)
        parts = explore(spec, journal, engine)
    assert parts.rows == whole.rows and parts.computed == len(engine.seen)
    assert sorted(seen + engine.seen) == sorted(row.point.key for row in whole.rows)


def test_a_search_learns(tmp_path: Path) -> None:
    """Behind the first generations few points are bad or miss a constraint, of which random ones are most."""
    spec = spec_of(tmp_path, "nsga2")
    assert spec.search is not None
    engine, results = Shuffled(1), {}

    def answer(points: Sequence[Point]) -> Mapping[str, Result]:
        results.update((point.key, engine.result(point)) for point in points)
        return results

    points = search(spec, spec.search, answer)
    poor = [not 0 < results[point.key].metrics.get("multipliers", 0) <= 250 for point in points]
    assert sum(poor[-10:]) < sum(poor[:10])


# --- what is computed


WORKS = """\
preset: tiny
parameters: {cols: [3]}
works:
  - {Hq: 4, Hkv: 2, L: 5, S: 9, causal: true, offset: 4, times: 3}
  - {L: 1, S: 21, latency: 30}
clock: 1e8
table: horowitz2014
objectives: {energy: minimise, area: minimise}
"""


def test_metrics_are_sums_over_works(tmp_path: Path) -> None:
    (tmp_path / "works.yaml").write_text(WORKS)
    spec = read_spec(tmp_path / "works.yaml")
    params, table = Params(spec.base), load_table("horowitz2014")
    found = metrics(spec.base, spec.setting)
    times = [load.times for load in spec.setting.loads]
    predictions = [predict(params, load.work, load.memory) for load in spec.setting.loads]
    assert times == [3, 1]
    cycles = sum(n * p.cycles for n, p in zip(times, predictions, strict=True))
    moved = sum(n * sum(p.bytes.values()) for n, p in zip(times, predictions, strict=True))
    useful = sum(n * p.utilisation * p.cycles for n, p in zip(times, predictions, strict=True))
    energies = [sum(machine_energy(params, p, p.work, table).values()) for p in predictions]
    assert (found["cycles"], found["bytes"]) == (cycles, moved)
    assert found["seconds"] == cycles / 1e8 and found["bandwidth"] == moved / cycles
    assert found["utilisation"] == pytest.approx(useful / cycles, rel=1e-12)
    assert found["multipliers"] == params.macs and found["on_chip_bits"] == sum(memory_bits(params).values())
    assert found["area"] == sum(machine_area(params, table).values())
    assert found["energy"] == pytest.approx(3 * energies[0] + energies[1], rel=1e-12)


def test_whatever_goes_wrong_in_a_point_is_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "works.yaml").write_text(WORKS)
    spec = read_spec(tmp_path / "works.yaml")
    version = model_version()
    assert evaluate(spec.base, spec.setting, version).error is None
    odd = evaluate(spec.base.replace({"lanes": 3, "cols": 4}), spec.setting, version)
    assert odd.error is not None and odd.error.startswith("ConfigError: lanes=3 must divide cols=4") and not odd.metrics
    for error, text in (
        (ZeroDivisionError("so\nwhat"), "ZeroDivisionError: so what"),
        (MemoryError(), "MemoryError: "),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("hwgen.sweep.metrics.predict", fail)
        assert evaluate(spec.base, spec.setting, version) == Result(error=text)
    monkeypatch.setattr("hwgen.sweep.engine.metrics", lambda *_: {"cycles": 1, "area": float("nan")})
    assert evaluate(spec.base, spec.setting, version) == Result(error="not finite: area=nan")


def test_results_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "works.yaml").write_text(WORKS)
    spec = read_spec(tmp_path / "works.yaml")
    with pytest.raises(EngineError, match="other sources"):
        evaluate(spec.base, spec.setting, "another")


def test_equal_points_are_computed_once(tmp_path: Path) -> None:
    (tmp_path / "works.yaml").write_text(WORKS.replace("{cols: [3]}", "{cols: [3, 2], slots: [4, 5]}"))
    spec = read_spec(tmp_path / "works.yaml")
    with Journal(tmp_path / "results.jsonl") as journal:
        first = explore(spec, journal, InProcess(spec.setting))
        again = explore(spec, journal, InProcess(spec.setting))
    assert (first.computed, again.computed) == (4, 0) and again.rows == first.rows
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (95, "2 min"), (7200, "2 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
