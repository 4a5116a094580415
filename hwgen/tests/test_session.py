"""A host that drives the simulator step by step: what it makes of answers, and of those that do not come."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hwgen.control.register_map import register_map
from hwgen.errors import SimulationError
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim import session
from hwgen.sim.session import NO_ANSWER, Look, Session
from hwgen.sim.system import RULES, MemoryTraits, SystemBuild

PARAMS = Params(preset("tiny"))
STEP = "0 0 0 0 7"
"""Nothing to tell in cycle 7."""

PROGRAM = """#!{python}
import sys, pathlib
answers = {answers!r}
pathlib.Path(sys.argv[1].removeprefix("+dir="), "arguments.txt").write_text(" ".join(sys.argv[2:]))
for line in sys.stdin:
    word = line.split()[0]
    if word not in answers:
        break
    print(answers[word].pop(0) if len(answers[word]) > 1 else answers[word][0], flush=True)
"""


def start(monkeypatch: pytest.MonkeyPatch, folder: Path, *, trace: bool = False, **answers: list[str]) -> Session:
    """A session with a program that gives these answers to lines that begin so, the last of them for ever."""
    program = folder / "session"
    program.write_text(PROGRAM.format(python=sys.executable, answers=answers))
    program.chmod(0o755)
    monkeypatch.setattr(session, "link_loop", lambda *_: program)
    build = SystemBuild(folder, PARAMS, 10)
    return Session(build, np.arange(20, dtype=np.uint8), 0x1000, MemoryTraits(), trace=trace)


def test_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers of two words are put together; every step tells the cycle and the interrupt."""
    assert next(r for r in register_map(PARAMS) if r.name == "QUEUE_BASE").words == 2
    with start(monkeypatch, tmp_path, r=["5 0 0 0 8", "1 0 0 1 9"], w=["0 0 0 1 a"]) as host:
        assert host.read("QUEUE_BASE") == 5 | 1 << 32
        assert (host.cycle, host.interrupt) == (9, True)
        host.write("QUEUE_BASE", 3 << 32 | 4)
        assert host.cycle == 10
    assert list(tmp_path.iterdir()) == [tmp_path / "session"]


def test_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(monkeypatch, tmp_path, x=[STEP], s=["0 0 0 0 10"], i=["0 0 0 0 20", "0 0 0 1 21"]) as host:
        host.reset()
        host.reset(3)
        host.sleep(9)
        assert host.cycle == 16
        assert not host.wait(16) and host.wait(16)


def test_refused_and_unanswered_accesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(monkeypatch, tmp_path, r=["0 2 0 0 1"], w=["0 2 0 0 1"]) as host:
        with pytest.raises(SimulationError, match="register STATUS answered a read with response 2"):
            host.read("STATUS")
        with pytest.raises(SimulationError, match="register CONTROL answered a write with response 2"):
            host.write("CONTROL", 1)
    never = f"0 {NO_ANSWER} 0 0 1"
    with start(monkeypatch, tmp_path, r=[never], w=[never]) as host:
        with pytest.raises(SimulationError, match="no answer to a read of register address 0x024"):
            host.access(False, 0x24)
        with pytest.raises(SimulationError, match="no answer to a write to register address 0x1fc"):
            host.access(True, 0x1FC, 1)


@pytest.mark.parametrize(("violated", "port", "rule", "since"), [(1, "memory", 2, 17), (2, "register", 3, 18)])
def test_a_broken_rule_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, violated: int, port: str, rule: int, since: int
) -> None:
    looked = f"{violated:x} 2 11 3 12 0 0 0 0 0 0"
    with start(monkeypatch, tmp_path, s=["0 0 1 0 19"], l=[looked]) as host:
        assert host.look() == Look(violated, 2, 17, 3, 18, 0, 0, 0, 0, 0, 0)
        with pytest.raises(SimulationError) as caught:
            host.sleep(1)
    assert str(caught.value) == f"AXI rule {RULES[rule]} was broken on the {port} port in cycle {since}"


def test_a_simulator_that_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(monkeypatch, tmp_path) as host:
        for _ in range(3):  # at the end of its answers, then at a pipe that nobody reads
            with pytest.raises(SimulationError, match="the simulator has gone at 's 5'"):
                host.sleep(5)


def test_what_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory, every byte that was written in order of time, every burst."""
    with start(monkeypatch, tmp_path, trace=True, d=[STEP]) as host:
        (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
        (folder / "after.hex").write_text((folder / "memory.hex").read_text())
        assert (host.memory() == np.arange(20)).all()
        size = PARAMS.bus_bytes
        (folder / "writes.txt").write_text(f"{5 * size + 1:x} 6\n{2 * size:x} 1\n")
        assert host.writes().tolist() == [5 * size + 1, 5 * size + 2, 2 * size]
        (folder / "events.txt").write_text("ar 3 64 4\nr 9 1\nar 5 128 1\n")
        assert host.bursts("ar").tolist() == [[64, 4], [128, 1]] and host.bursts("aw").tolist() == []
        assert "+trace" in (folder / "arguments.txt").read_text().split()
