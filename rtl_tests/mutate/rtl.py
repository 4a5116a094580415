"""Mutants of the emitted Verilog against the everyday episodes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import hwgen
from hwgen.accelerator import Accelerator
from hwgen.emit import to_verilog
from hwgen.part import Part
from hwgen.sim.bare import link_loop
from hwgen.sim.system import SystemBuild, build_system
from rtl_tests.harness.episodes import PROGRAM, Prepared, judge, prepare, replay
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.mutate.schemata import Mutant, choose, pool, with_mutants
from rtl_tests.mutate.verilog import parse
from rtl_tests.system.episode_machines import MACHINES
from rtl_tests.system.episode_set import episodes

TOP = "hwgen_accelerator"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `by` is what noticed it, empty if nothing did."""

    machine: str
    mutant: Mutant
    by: str


@cache
def rooms() -> dict[str, str]:
    """Of each part's module name the folder of hwgen that describes it."""
    root, found = Path(hwgen.__file__).parent, {}
    for path in sorted(root.glob("*/*.py")):
        for name in re.findall(r"(?m)^class (\w+)\(", path.read_text()):
            found[re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()] = path.parent.name
    return found


@cache
def text(machine: str) -> str:
    """The Verilog of one of the machines."""
    part: Part = Accelerator(MACHINES[machine]())
    return to_verilog(part, TOP)


@cache
def bodies(verilog: str) -> dict[str, str]:
    """The text of every module without its name, and without the number that yosys gives to its text."""
    lines = [re.sub(r"dump_module\$\d+", "dump_module", line) for line in verilog.splitlines()]
    return {m.name: "\n".join(lines[m.first + 1 : m.last]) for m in parse(verilog)}


def draw(count: int, seed: int) -> dict[str, list[Mutant]]:
    """`count` mutants, numbered through, of all machines; the same for the same seed. A module that an earlier machine
    has too is changed there only. Half of them are of the first machine, which has most modules of its own."""
    shares = [count - 2 * (count // 4), count // 4, count // 4]
    drawn: dict[str, list[Mutant]] = {}
    seen: set[str] = set()
    first = 1
    for machine, share in zip(MACHINES, shares, strict=True):
        verilog = text(machine)
        own = bodies(verilog)
        known = {name for name, body in own.items() if body in seen}
        seen |= set(own.values())
        rng = Random(f"{seed} {machine}")
        drawn[machine] = choose(pool(verilog, TOP, rooms(), known), share, rng, first)
        first += len(drawn[machine])
    return drawn


@dataclass(frozen=True)
class Bench:
    """A machine with its mutants asleep, and the episodes that have been right on the machine without any."""

    machine: str
    program: Path
    episodes: list[Prepared]


def set_up(machine: str, mutants: Sequence[Mutant], folder: Path) -> Bench:
    """Build the simulator of all these mutants. Raises AssertionError if the machine is not right to begin with."""
    path = folder / "hwgen_accelerator.v"
    path.write_text(with_mutants(text(machine), mutants))
    core = MACHINES[machine]()
    build: SystemBuild = build_system(core, memory_bits=MEMORY_BITS, fast=True, netlist=[path])
    prepared = []
    for number, episode in enumerate(episodes(machine)):
        prepared.append(prepare(build, episode, folder / f"episode{number}"))
        judge(build, prepared[-1])
    return Bench(machine, link_loop(build.folder, PROGRAM), prepared)


def fate(bench: Bench, mutant: Mutant, folder: Path) -> Outcome:
    """Wake one mutant up in one episode after the other until one of them notices."""
    for one in bench.episodes:
        how = replay(bench.program, one, folder, f"+mutant={mutant.number}")
        if how != "lived":
            return Outcome(bench.machine, mutant, f"{one.episode.name}: {how}")
    return Outcome(bench.machine, mutant, "")


def moved(mutant: Mutant, verilog: str, other: str) -> Mutant | None:
    """A mutant of one machine in another one, if that has the same module."""
    here = next(module for module in parse(verilog) if module.name == mutant.site.module)
    body, there = bodies(verilog)[here.name], bodies(other)
    for module in parse(other):
        if there[module.name] == body:
            site = replace(mutant.site, module=module.name, line=mutant.site.line - here.first + module.first)
            return replace(mutant, site=site)
    return None


def fates(drawn: dict[str, list[Mutant]], jobs: int) -> Iterator[Outcome]:
    """What becomes of all of them: those that live in one machine have to live in the next ones, too, as far as these
    have the same module."""
    alive: list[Outcome] = []
    for machine, mutants in drawn.items():
        guests = [moved(one.mutant, text(one.machine), text(machine)) for one in alive]
        here = [*mutants, *(guest for guest in guests if guest)]
        if not here:
            continue
        with tempfile.TemporaryDirectory(prefix="mutate-") as name, ThreadPoolExecutor(jobs) as threads:
            folder = Path(name)
            bench = set_up(machine, here, folder)
            found = list(threads.map(lambda m: fate(bench, m, folder / f"mutant{m.number}"), here))  # noqa: B023
        by = {one.mutant.number: one.by for one in found}
        for one in alive:
            if by.get(one.mutant.number):
                yield replace(one, by=f"{machine}, {by[one.mutant.number]}")
        yield from (one for one in found[: len(mutants)] if one.by)
        lived = [one for one in found[: len(mutants)] if not one.by]
        alive = [one for one in alive if not by.get(one.mutant.number)] + lived
    yield from alive
