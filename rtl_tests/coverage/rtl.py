"""The everyday episodes on simulators that count: lines of the description, bits that change, what happens."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.accelerator import Accelerator
from hwgen.sim.bare import link_loop
from hwgen.sim.system import build_system
from rtl_tests.coverage.functional import TOP, Item, host_items, host_seen, with_questions
from rtl_tests.coverage.instrument import Place, marked, scan, with_few_bits
from rtl_tests.coverage.reader import Point, counts, points
from rtl_tests.harness.episodes import PROGRAM, Prepared, judge, last_counters, prepare, reported
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.system.episode_set import MACHINES, episodes

FILE = "hwgen_accelerator.v"
OPTIONS = ("--coverage-line", "--coverage-toggle")


@dataclass
class Reached:
    """Of lines, of items and of bits of modules (ports, registers, wires with names) how many times they were reached;
    the lines that are computed in every cycle are in `always`."""

    lines: Counter[Place] = field(default_factory=Counter)
    always: set[Place] = field(default_factory=set)
    items: Counter[Item] = field(default_factory=Counter)
    bits: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each module edges of bits that were seen, and all."""

    @property
    def missed(self) -> list[Place]:
        return sorted(place for place, count in self.lines.items() if not count)


def measure(folder: Path, machines: list[str] | None = None) -> Reached:
    """What all episodes of the machines reach. Raises AssertionError if one of them does not end as it has to."""
    reached = Reached()
    for item in host_items():
        reached.items[item] = 0
    toggles: dict[tuple[str, int, str], int] = {}
    for name in machines or MACHINES:
        _measure_machine(name, folder / name, reached, toggles)
    for (module, *_), count in toggles.items():
        seen, total = reached.bits.get(module, (0, 0))
        reached.bits[module] = seen + (count > 0), total + 1
    return reached


def _measure_machine(name: str, folder: Path, reached: Reached, toggles: dict[tuple[str, int, str], int]) -> None:
    folder.mkdir(parents=True)
    core = MACHINES[name]()
    text, asked = with_questions(with_few_bits(marked(Accelerator(core), TOP)))
    (folder / FILE).write_text(text)
    build = build_system(core, memory_bits=MEMORY_BITS, fast=False, netlist=[folder / FILE], options=OPTIONS)
    link_loop(build.folder, PROGRAM, "-DVM_COVERAGE=1")
    found: Counter[str] = Counter()
    for number, episode in enumerate(episodes(name)):
        run = prepare(build, episode, folder / f"episode{number}")
        judge(build, run)
        _note_host(run, reached)
        found.update(counts(run.folder / "coverage.dat"))  # unlike a sum it keeps zeros
        shutil.rmtree(run.folder)
    seen = [point for point in points(found) if point.file.endswith(FILE)]
    _note_lines(text, asked, seen, reached)
    for point in seen:
        if point.kind == "toggle":
            key = point.module, point.line, point.comment
            toggles[key] = toggles.get(key, 0) + point.count


def _note_host(run: Prepared, reached: Reached) -> None:
    if any(line.startswith("200 ") for line in run.log):
        faults = [code for code, _, _ in reported(run)]
        reached.items.update(dict.fromkeys(host_seen(last_counters(run), faults), 1))


def _note_lines(text: str, asked: dict[int, Item], seen: list[Point], reached: Reached) -> None:
    """A marker counts as often as the block it stands in, a question as often as the answer was yes."""
    taken: Counter[int] = Counter()
    answers: Counter[int] = Counter()
    for point in seen:
        if point.kind in ("line", "branch"):
            # The line of a condition belongs to both its branches.
            for line in point.lines - ({point.line} if point.comment == "else" else set()):
                taken[line] = max(taken[line], point.count)
            if (point.kind, point.comment) == ("branch", "if"):
                answers[point.line] += point.count
    found = scan(text)
    for line, place in found.markers.items():
        reached.lines[place] += taken[line]
    for line, item in asked.items():
        reached.items[item] += answers[line]
    reached.always |= found.others
