"""Simulators that are interrupted, damaged or wanted twice at once; tools that are missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwgen import doctor
from hwgen.sim import build
from hwgen.sim.build import Recipe, cached_build
from hwgen.sim.children import descendants

ROOT = Path(__file__).parents[2]
RECIPE = Recipe("program", "", {})


class Compiler:
    """Stands for Verilator and the C++ compiler: makes a program of a few bytes."""

    def __init__(self, seconds: float = 0.0, error: type[BaseException] | None = None) -> None:
        self.seconds, self.error, self.runs = seconds, error, 0

    def __call__(self, folder: Path, sources: list[Path], recipe: Recipe) -> None:
        self.runs += 1
        (folder / recipe.top).write_text("half")
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        (folder / recipe.top).write_text("whole")


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, compiler: Compiler) -> Compiler:
    monkeypatch.setenv("HWGEN_CACHE", str(folder))
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(build, "_compile", compiler)
    return compiler


def made() -> Path:
    return cached_build("key", lambda folder: [], RECIPE)


def test_an_interrupted_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, Compiler(error=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        made()
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


@pytest.mark.parametrize("damage", ["cut", "gone", "unmarked", "mark"])
def test_a_damaged_simulator_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    compiler = install(monkeypatch, tmp_path / "é 出", Compiler())
    folder = made()
    assert made() == folder and compiler.runs == 1
    if damage == "cut":
        (folder / "program").write_text("who")
    elif damage == "gone":
        (folder / "program").unlink()
    elif damage == "unmarked":
        (folder / "complete").unlink()
    else:
        (folder / "complete").write_bytes(b"\xff")
    assert made() == folder and compiler.runs == 2
    assert (folder / "program").read_text() == "whole"


def test_two_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = install(monkeypatch, tmp_path, Compiler(seconds=0.3))
    threads = [threading.Thread(target=made) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compiler.runs == 1 and (made() / "program").read_text() == "whole"


TREE = """
import subprocess, sys
from hwgen.sim.build import environment
with environment():
    subprocess.run(["sh", "-c", "sleep 300 & sleep 300"])
"""
"""As hwgen, make and the compiler are: a child that has children of its own."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_is_stopped_leaves_no_orphans(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TREE],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        # Whoever runs the tests in the background, or with nohup, ignores signals, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) and None,
    )
    deadline = time.monotonic() + 60
    while len(family := descendants(process.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) == 3
    # Only hwgen is told, as `kill` and `timeout` do; a terminal tells all of them.
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert said.rstrip().endswith(b"KeyboardInterrupt")
    while any(map(running, family)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, family))


def running(process: int) -> bool:
    """It exists and is not merely waiting for its parent to ask how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_missing_compiler(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "hwgen.cli", "sim", "--preset", "tiny"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith("hwgen: ") and " missing " in line for line in lines)
    assert {line.split()[1] for line in lines} >= {"g++", "make", "perl"}
    assert list(tmp_path.iterdir()) == []
