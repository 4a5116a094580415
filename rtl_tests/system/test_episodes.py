"""The episodes that mutants have to survive and coverage is measured by are right on the machine itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.control.causes import Cause
from hwgen.control.faults import Fault
from hwgen.sim.bare import link_loop
from hwgen.sim.system import build_system
from rtl_tests.harness.episodes import PROGRAM, Prepared, judge, last_counters, prepare, replay, reported
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.system.episode_machines import MACHINES
from rtl_tests.system.episode_set import episodes


@pytest.mark.parametrize("name", MACHINES)
def test_every_episode(name: str, tmp_path: Path) -> None:
    """Bits, faults and what must not change; the host reads the same when it all happens again."""
    build = build_system(MACHINES[name](), memory_bits=MEMORY_BITS, fast=False)
    done: list[Prepared] = []
    for number, episode in enumerate(episodes(name)):
        done.append(prepare(build, episode, tmp_path / str(number)))
        judge(build, done[-1])
    first = next(one for one in done if one.episode.name == "quick")
    counters = last_counters(first)
    for array in ("score", "value"):
        idle = sum(counters[f"{array}_idle_{cause.name.lower()}"] for cause in Cause)
        assert counters[f"{array}_busy"] + idle == counters["cycles"] > 0
    assert replay(link_loop(build.folder, PROGRAM), first, tmp_path / "again") == "lived"
    told = {Fault(code) for one in done for code, _, _ in reported(one)}
    wanted = {
        "plain": set(Fault) - {Fault.NONE, Fault.SCORE_RECORD, Fault.SEGMENT},
        "bounds": {Fault.ABORTED, Fault.QUEUE, Fault.KEY_LENGTH, Fault.SCORE_RECORD, Fault.WRITE_RESPONSE},
        "documents": {Fault.ABORTED, Fault.SCORE_RECORD, Fault.SEGMENT, Fault.READ_RESPONSE},
    }
    assert wanted[name] <= told


def test_a_difference_is_noticed(tmp_path: Path) -> None:
    """Another script, another memory: a replay tells which."""
    build = build_system(MACHINES["plain"](), memory_bits=MEMORY_BITS, fast=False)
    one = prepare(build, episodes("plain")[0], tmp_path / "first")
    program, log = link_loop(build.folder, PROGRAM), tmp_path / "first" / "log.txt"
    whole = log.read_text()
    lines = whole.splitlines()
    log.write_text("\n".join([*lines[:-1], "open 1 0"]) + "\n")
    assert replay(program, one, tmp_path / "log") == "register"
    log.write_text(whole)
    memory = tmp_path / "first" / "expected.hex"
    memory.write_text(memory.read_text().replace("a", "b", 1))
    assert replay(program, one, tmp_path / "memory") == "memory"
