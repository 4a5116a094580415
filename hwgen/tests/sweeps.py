"""Explorations for tests: files, and a Dask cluster whose evaluations are counted from outside.

    python -m hwgen.tests.sweeps 4 build/cluster 0.02      # workers, folder, seconds added to every evaluation

prints the scheduler's address, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hwgen import cli
from hwgen.sweep.engine import InProcess
from hwgen.sweep.exploration import explore
from hwgen.sweep.journal import Journal, Result
from hwgen.sweep.parse import read_spec
from hwgen.sweep.points import grid

ROOT = Path(cli.__file__).resolve().parent.parent
PATIENCE = 60
"""Seconds until a test gives up."""

SLOW_DEATH = 2.0
"""Seconds from the beginning of a deadly point to the worker's end."""

GRID = """
preset: tiny
parameters:
  cols: {cols}
  slots: {slots}
  lanes: [none, 2]
works: {{L: 2, S: {keys}}}
objectives: {{cycles: minimise, on_chip_bits: minimise}}
constraints: [multipliers <= 24]
"""
"""lanes=2 does not divide an odd number of columns: a quarter to a half of the points are bad."""


def grid_text(cols: int, slots: int, keys: int = 2) -> str:
    """A grid of 2 x cols x slots points."""
    return GRID.format(cols=list(range(1, cols + 1)), slots=list(range(1, slots + 1)), keys=keys)


def environment() -> dict[str, str]:
    """For processes that find this project wherever they start."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}


def start_sweep(spec: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hwgen.cli", "sweep", str(spec), "-o", str(folder), "--json", *options]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a sweep that ends well prints."""
    try:
        out, err = process.communicate(timeout=PATIENCE * 5)
    finally:
        process.kill()
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def alone(spec: Path, folder: Path) -> dict[str, Result]:
    """What a sweep in one process records."""
    wanted = read_spec(spec)
    with Journal(folder / "results.jsonl") as journal:
        explore(wanted, journal, InProcess(wanted.setting))
        return journal.results


def results(folder: Path) -> dict[str, Result]:
    """What is recorded in a folder."""
    with Journal(folder / "results.jsonl") as journal:
        return journal.results


def recorded(folder: Path) -> list[str]:
    """Keys of the results in a folder, as often as they stand there; an unfinished line does not count."""
    path = folder / "results.jsonl"
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line)["key"] for line in text[: text.rfind(b"\n") + 1].splitlines()]


def wait_for(process: subprocess.Popen[str], folder: Path, results: int) -> None:
    """Until a sweep has recorded so many results."""
    end = time.monotonic() + PATIENCE
    while len(recorded(folder)) < results:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.005)


def kill_behind(process: subprocess.Popen[str], folder: Path, results: int) -> list[str]:
    """Kill a sweep as soon as it has recorded so many results; the keys that are recorded then."""
    wait_for(process, folder, results)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return recorded(folder)


class Cluster:
    """A running cluster. `evaluated` says what its workers did, whoever asked them."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder

    def evaluated(self) -> list[tuple[str, int]]:
        """Key of the point and process of the worker, of every evaluation that was begun."""
        log = self.folder / "evaluations"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(key.partition("-")[2], int(worker)) for key, worker in map(str.split, lines)]

    def make_deadly(self, key: str) -> None:
        """Whichever worker begins this point dies of it."""
        (self.folder / "deadly").write_text(key)


def check_kill_and_resume(
    spec: Path, folder: Path, cluster: Cluster, kills: Sequence[int], most: int
) -> dict[str, int]:
    """Kill a sweep behind each number of results, then let one end, in spite of a worker that is killed. Nothing is
    lost, and nothing is repeated but what was under way: at most `most` points each time. Returns counts."""
    wanted = {point.key for point in grid(read_spec(spec))}
    known: list[str] = []
    for results in kills:
        known = kill_behind(start_sweep(spec, folder, "--dask", cluster.address), folder, results)
        before = len(cluster.evaluated())
        assert results <= len(known) < len(wanted)
    last = start_sweep(spec, folder, "--dask", cluster.address)
    wait_for(last, folder, len(known) + 1)
    os.kill(cluster.evaluated()[-1][1], signal.SIGKILL)
    printed = finish(last)
    lines = recorded(folder)
    assert len(lines) == len(wanted) == printed["points"] and set(lines) == wanted
    assert lines[: len(known)] == known and printed["computed"] == len(wanted) - len(known)
    evaluated = [key for key, _ in cluster.evaluated()]
    assert set(evaluated) == wanted and not set(evaluated[before:]) & set(known)
    repeated = len(evaluated) - len(wanted)
    assert repeated <= most * (len(kills) + 1)
    return {"points": len(wanted), "kills": len(kills), "repeated": repeated, "bad": printed["seen"]["bad"]}


@contextlib.contextmanager
def cluster(workers: int, folder: Path, delay: float = 0.0, allowed_failures: int = 3) -> Iterator[Cluster]:
    """A cluster in processes of its own."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "hwgen.tests.sweeps", str(workers), str(folder), str(delay)]
    settings = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
    settings["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = str(allowed_failures)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment() | settings, text=True, **pipes)
    assert process.stdin is not None and process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://")
        yield Cluster(address, folder)
    finally:
        process.stdin.close()
        process.wait(PATIENCE)
        process.stdout.close()


def serve(workers: int, folder: Path, delay: float) -> None:
    """Run the cluster until standard input ends."""
    from distributed import Client, LocalCluster
    from distributed.diagnostics.plugin import WorkerPlugin

    class Counter(WorkerPlugin):
        """Writes down every point a worker begins, and keeps it busy for a while."""

        def setup(self, worker: Any) -> None:
            self.worker = worker

        def transition(self, key: Any, start: str, finish: str, **_: object) -> None:
            if finish != "executing" or not str(key).startswith(("point-", "alone-")):
                return
            with open(folder / "evaluations", "a") as log:
                log.write(f"{key} {os.getpid()}\n")
            deadly = folder / "deadly"
            if deadly.exists() and deadly.read_text() in str(key):
                # Not at once: Dask gives up a worker that dies while it is being started.
                self.busy(2 * SLOW_DEATH)
                threading.Timer(SLOW_DEATH, os._exit, [1]).start()
            self.busy(delay)

        def busy(self, seconds: float) -> None:
            """The worker's only thread sleeps before it evaluates anything."""
            self.worker.executors["default"].submit(time.sleep, seconds)

    quiet: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL + 1}
    with LocalCluster(host="127.0.0.1", n_workers=workers, threads_per_worker=1, **quiet) as local:
        with Client(local) as client:
            client.register_plugin(Counter())
            print(local.scheduler_address, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]).resolve(), float(sys.argv[3]))
