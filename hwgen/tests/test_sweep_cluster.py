"""`hwgen sweep` on a Dask cluster: what is sent when, whose fault a failure is, and killed and resumed on a real one.

`rtl_tests.sweep_campaign` does the last with more points, workers and kills.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import pytest
from distributed.scheduler import KilledWorker

from hwgen.config import Config
from hwgen.sweep.engine import AHEAD, EngineError, OnCluster, deadly
from hwgen.sweep.journal import Result
from hwgen.sweep.parse import read_spec
from hwgen.sweep.points import grid
from hwgen.tests import sweeps

WORKERS = 2
DEADLY = Result(error="the worker that evaluates it dies")


def test_killed_and_resumed_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    spec = tmp_path / "grid.yaml"
    spec.write_text(sweeps.grid_text(cols=5, slots=4))
    with sweeps.cluster(WORKERS, tmp_path / "cluster", delay=0.05) as cluster:
        found = sweeps.check_kill_and_resume(spec, tmp_path / "dask", cluster, [12], AHEAD * WORKERS)
    assert found["points"] == 40 and 0 < found["bad"] < 40
    assert sweeps.results(tmp_path / "dask") == sweeps.alone(spec, tmp_path / "alone")


class FakeFuture:
    def __init__(self, status: str, error: Exception | None = None, result: Any = None) -> None:
        self.status = status
        self.exception = lambda: error
        self.result = lambda: result


def invented(config: Config) -> Result:
    return Result({"cycles": 100 * config.cols + config.slots})


class FakeCluster:
    """A client of a cluster where points that `kill` do so, together with one of those that are under way, and where
    results come in any order."""

    def __init__(self, threads: Sequence[int], kill: Sequence[str]) -> None:
        self.threads = threads
        self.kill = kill
        self.rng = random.Random(1)
        self.settled = 0
        self.sent: list[str] = []
        self.futures: list[FakeFuture] = []

    def nthreads(self) -> dict[str, int]:
        return {str(i): n for i, n in enumerate(self.threads)}

    def submit(self, function: Any, *arguments: Any, key: str) -> FakeFuture:
        assert len(self.sent) - self.settled < max(AHEAD * sum(self.threads), 1)
        self.sent.append(key)
        failure = FakeFuture("error", KilledWorker(key, None, 3))
        if any(name in key for name in self.kill):
            if self.futures and key.startswith("point"):
                self.futures[-1].__dict__.update(vars(failure))
            return failure
        self.futures.append(FakeFuture("finished", result=invented(arguments[0])))
        return self.futures[-1]

    def gather(self, futures: list[FakeFuture]) -> list[Any]:
        return [future.result() for future in futures]

    def wait(self, futures: list[FakeFuture], timeout: float, return_when: str) -> Any:
        assert return_when == "FIRST_COMPLETED"
        done = self.rng.sample(futures, self.rng.randint(1, len(futures)))
        self.settled += sum(future.status == "error" for future in done)
        return SimpleNamespace(done=set(done))


@pytest.mark.parametrize("threads", [(), (1,), (1, 1), (4, 1, 2)])
@pytest.mark.parametrize("killers", [(), (0,), (3, 39)])
def test_little_is_under_way_and_only_the_guilty_are_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: tuple[int, ...], killers: tuple[int, ...]
) -> None:
    """Without a worker one point waits for the first one."""
    path = tmp_path / "grid.yaml"
    path.write_text(sweeps.grid_text(cols=5, slots=4))
    spec = read_spec(path)
    points = list(grid(spec))
    guilty = [points[i].key for i in killers]
    cluster = FakeCluster(threads, guilty)
    monkeypatch.setattr(distributed, "wait", cluster.wait)
    found: dict[str, Result] = {}
    for done in OnCluster(cluster, spec.setting).run(points):  # type: ignore[arg-type]
        cluster.settled += sum(result != DEADLY for _, result in done)
        assert not found.keys() & {point.key for point, _ in done}
        found |= {point.key: result for point, result in done}
    want = {point.key: invented(point.config) for point in points}
    assert found == want | dict.fromkeys(guilty, DEADLY)
    twice = {key.partition("-")[2] for key in cluster.sent if key.startswith("alone")}
    assert set(guilty) <= twice and len(cluster.sent) == 40 + len(twice) <= 40 + 2 * len(guilty)


def test_only_what_is_a_points_fault_becomes_its_result() -> None:
    """A result that was lost with its worker and is there again is as good as one that was not."""
    assert not deadly(FakeFuture("finished")) and not deadly(FakeFuture("lost"))
    assert deadly(FakeFuture("error", KilledWorker("a", None, 3)))
    with pytest.raises(EngineError, match="cannot evaluate points: ModuleNotFoundError: hwgen"):
        deadly(FakeFuture("error", ModuleNotFoundError("hwgen")))
    with pytest.raises(EngineError, match="^other$"):
        deadly(FakeFuture("error", EngineError("other")))


@pytest.mark.parametrize(
    ("error", "message"),
    [(TimeoutError(), "has no worker left"), (distributed.CancelledError(), "connection to the cluster was lost")],
)
def test_a_cluster_that_is_gone_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(sweeps.grid_text(cols=2, slots=2))
    spec = read_spec(path)

    def wait(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(distributed, "wait", wait)
    with pytest.raises(EngineError, match=message):
        list(OnCluster(FakeCluster((), ()), spec.setting).run(grid(spec)))  # type: ignore[arg-type]
