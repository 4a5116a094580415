"""Finds the beat or burst with which a fault of the bus hits what it is meant for, by a rehearsal without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.sim.session import Session
from hwgen.sim.system import SystemBuild
from rtl_tests.fuzz.facts import places
from rtl_tests.fuzz.mishaps import Course
from rtl_tests.fuzz.scene import Scene

MOST_BEATS = 256
"""Of a burst, which cannot be longer."""


def aim(scene: Scene, build: SystemBuild) -> int | None:
    """The number of a beat or burst of the mishap's kind that goes to its target; None if none does.

    Up to the fault the run is the rehearsal, cycle by cycle.
    """
    mishap = scene.case.mishap
    rehearsal = Course(scene, 0)
    with Session(build, scene.before, scene.image.base, rehearsal.traits, trace=True) as session:
        rehearsal.begin(session)
        rehearsal.submit()
        session.memory()
        bursts = session.bursts("aw" if mishap.kind == "write burst" else "ar")
    ranges = [places(scene, index).get(mishap.target) for index in range(scene.submitted)]
    found = candidates(mishap.kind, bursts, scene, [place for place in ranges if place is not None])
    return found[mishap.when % len(found)] if found else None


def candidates(kind: str, bursts: NDArray[np.int64], scene: Scene, ranges: list[tuple[int, int]]) -> list[int]:
    """Numbers, from 1 on, of beats if that is the kind, else of bursts, that touch one of the ranges of addresses."""
    word, found, before = scene.params.bus_bytes, [], 0
    # A burst of one beat cannot end early, the longest one not late.
    fits = {"early last": range(2, MOST_BEATS + 1), "late last": range(1, MOST_BEATS)}
    fit = fits.get(kind, range(1, MOST_BEATS + 1))
    for number, (offset, beats) in enumerate(bursts.tolist(), 1):
        first = scene.image.base + offset // word * word
        words = [(first + word * i, first + word * (i + 1)) for i in range(beats)]
        touched = [i for i, (start, end) in enumerate(words) if any(low < end and start < high for low, high in ranges)]
        if kind == "read beat":
            found += [before + i + 1 for i in touched]
        elif touched and beats in fit:
            found.append(number)
        before += beats
    return found
