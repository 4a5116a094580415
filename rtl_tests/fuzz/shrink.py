"""Makes a case that fails small: fewer jobs, heads, keys, queries, no stalls, plainer values, as long as it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from rtl_tests.fuzz.cases import Case, Job, Memory, Mishap

BUDGET = 300
"""Runs a shrinking may take."""

PLAIN: dict[str, Any] = {field.name: field.default for field in fields(Job)}
"""What a job is by default is the plainest it can be."""

NUMBERS = ("batches", "kv_heads", "group", "queries", "keys", "head_e", "head_f", "page")


def shrink(case: Case, fails: Callable[[Case], bool], budget: int = BUDGET) -> Case:
    """The smallest case found that still fails; `fails` is asked at most `budget` times.

    Greedy: the first that is simpler and fails is gone on with, until nothing simpler fails.
    """
    left = budget
    progress = True
    while progress:
        progress = False
        for candidate in simpler(case):
            if left == 0:
                return case
            left -= 1
            if fails(candidate):
                case, progress = candidate, True
                break
    return case


def simpler(case: Case) -> Iterator[Case]:
    """Cases that are less than this one in one respect, the greatest leaps first."""
    jobs = case.jobs
    for kept in range(len(jobs)) if len(jobs) > 1 else ():
        yield replace(case, jobs=(jobs[kept],), portion=1)
    for gone in range(len(jobs)) if len(jobs) > 2 else ():
        rest = jobs[:gone] + jobs[gone + 1 :]
        yield replace(case, jobs=rest, portion=min(case.portion, len(rest)))
    yield from (replace(case, mishap=mishap) for mishap in _mishaps(case.mishap))
    yield from (replace(case, memory=memory) for memory in _memories(case.memory))
    for i, job in enumerate(jobs):
        yield from (replace(case, jobs=(*jobs[:i], less, *jobs[i + 1 :])) for less in _jobs(job))
    if case.portion > 1:
        yield replace(case, portion=1)


def _mishaps(mishap: Mishap) -> Iterator[Mishap]:
    if mishap.kind != "none":
        yield Mishap()
    yield from (replace(mishap, count=count) for count in _less(mishap.count, 1))
    yield from (replace(mishap, when=when) for when in _less(mishap.when, 1))
    if mishap.target:
        yield replace(mishap, target="")


def _memories(memory: Memory) -> Iterator[Memory]:
    for field in fields(Memory):
        if getattr(memory, field.name) != field.default:
            yield replace(memory, **{field.name: field.default})


def _jobs(job: Job) -> Iterator[Job]:
    """Plainer ones, then smaller ones; lengths and the offset stay within what the shape allows."""
    for name, plain in PLAIN.items():
        if name not in (*NUMBERS, "seed") and getattr(job, name) != plain:
            yield replace(job, **{name: plain})
    if job.scale != 1.0 and job.scale != 0.0:
        yield replace(job, scale=0.0)
    for name in NUMBERS:
        for number in _less(getattr(job, name), PLAIN[name]):
            yield fitted(replace(job, **{name: number}))
    for offset in _less(abs(job.offset), 0):
        yield replace(job, offset=offset if job.offset > 0 else -offset)
    if job.seed:
        yield replace(job, seed=0)


def fitted(job: Job) -> Job:
    """With as many lengths as batches, none of them beyond the keys."""
    if job.lengths is None:
        return job
    return replace(job, lengths=tuple(min(n, job.keys) for n in job.lengths[: job.batches]))


def _less(number: int, least: int) -> Iterator[int]:
    """Smaller numbers: the least, the half, one less."""
    yield from dict.fromkeys(n for n in (least, (number + least) // 2, number - 1) if least <= n < number)
