"""The everyday episodes on simulators that count: lines of the description, bits that change, what happens."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
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

Bit = tuple[str, int, str]
"""A module, a line of its Verilog, a bit and the direction in which it changes."""


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


def measure(folder: Path, machines: list[str] | None = None, jobs: int = 1) -> Reached:
    """What all episodes of the machines reach, `jobs` machines at a time. Raises AssertionError if an episode does not
    end as it has to."""
    reached, toggles = Reached(), Counter[Bit]()
    for item in host_items():
        reached.items[item] = 0
    names = list(machines or MACHINES)
    with ProcessPoolExecutor(jobs) as pool:
        for own, bits in pool.map(_measure_machine, names, [folder / name for name in names]):
            reached.lines.update(own.lines)  # unlike sums these keep zeros
            reached.items.update(own.items)
            reached.always |= own.always
            toggles.update(bits)
    for (module, *_), count in toggles.items():
        seen, total = reached.bits.get(module, (0, 0))
        reached.bits[module] = seen + (count > 0), total + 1
    return reached


def _measure_machine(name: str, folder: Path) -> tuple[Reached, Counter[Bit]]:
    """Of one machine, bits apart."""
    folder.mkdir(parents=True)
    core, reached = MACHINES[name](), Reached()
    text, asked = with_questions(with_few_bits(marked(Accelerator(core), TOP)))
    (folder / FILE).write_text(text)
    build = build_system(core, memory_bits=MEMORY_BITS, fast=False, netlist=[folder / FILE], options=OPTIONS)
    link_loop(build.folder, PROGRAM, "-DVM_COVERAGE=1")
    found: Counter[str] = Counter()
    for number, episode in enumerate(episodes(name)):
        run = prepare(build, episode, folder / f"episode{number}")
        judge(build, run)
        _note_host(run, reached)
        found.update(counts(run.folder / "coverage.dat"))
        shutil.rmtree(run.folder)
    seen = [point for point in points(found) if point.file.endswith(FILE)]
    _note_lines(text, asked, seen, reached)
    toggles: Counter[Bit] = Counter()
    for point in seen:
        if point.kind == "toggle":
            toggles[point.module, point.line, point.comment] += point.count
    return reached, toggles


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
