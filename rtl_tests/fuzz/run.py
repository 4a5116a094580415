"""Runs a case: what the machine says and what it leaves in memory must be what is documented, in every bit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hwgen.errors import SimulationError
from hwgen.sim.session import Session
from hwgen.sim.system import SystemBuild
from rtl_tests.fuzz import facts, machines
from rtl_tests.fuzz.aim import aim
from rtl_tests.fuzz.cases import Case
from rtl_tests.fuzz.mishaps import Course
from rtl_tests.fuzz.scene import Scene


@dataclass(frozen=True)
class Outcome:
    """What was wrong, or None; what the case had; cycles since the last reset."""

    failure: str | None
    facts: Counter[str] = field(default_factory=Counter)
    cycles: int = 0

    @property
    def kind(self) -> str | None:
        """The beginning of what was wrong, without numbers: cases that fail in another way are another matter."""
        return self.failure and re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "#", self.failure)[:16]


def run_case(case: Case, build: SystemBuild | None = None, alter: Callable[[Scene], None] | None = None) -> Outcome:
    """Run a case on the simulator of its machine. `alter` may change what is expected."""
    scene = Scene(case)
    if alter is not None:
        alter(scene)
    build = build or machines.build(case.machine)
    course = Course(scene, case.mishap.when)
    try:
        aimed = aim(scene, build) if case.mishap.target else None
        if aimed is not None:
            course = Course(scene, aimed, certain=True)
        with Session(build, scene.before, scene.image.base, course.traits) as session:
            course.go(session)
            memory = session.memory()
            failure = scene.difference(memory, session.writes())
            cycles = session.cycle
    except SimulationError as error:
        return Outcome(str(error), course.seen)
    return Outcome(failure, course.seen + facts.of_scene(scene), cycles)
