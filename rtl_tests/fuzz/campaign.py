"""Many cases, several at a time; what is done is kept, so that a campaign goes on where it was stopped."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from hwgen.sim.build import content_key
from rtl_tests.fuzz import machines
from rtl_tests.fuzz.cases import Case, case_of
from rtl_tests.fuzz.report import command, tables
from rtl_tests.fuzz.run import Outcome, run_case
from rtl_tests.fuzz.shrink import shrink

Runner = Callable[[int, Iterable[int], int], Iterator["Line"]]
"""Runs the cases of a seed with some indices, so many at a time."""

AHEAD = 4
"""Cases handed out to each process before the first of them is back."""


@dataclass(frozen=True)
class Line:
    """What is kept of a case: a campaign's results are lines of JSON."""

    index: int
    failure: str | None
    facts: Counter[str]
    cycles: int
    seconds: float


def sources_key(seed: int) -> str:
    """Of all that a result depends on: the generator, the model, and what makes cases."""
    digest = hashlib.sha256()
    for folder in ("fuzz", "harness"):
        for path in sorted((Path(__file__).parent.parent / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return content_key("fuzz", seed, digest.hexdigest())


def kept(file: Path, key: str) -> dict[int, Line]:
    """Cases that were done with these sources. A line that was cut off when the machine stopped does not count."""
    found: dict[int, Line] = {}
    for text in file.read_text().splitlines() if file.exists() else ():
        try:
            raw = json.loads(text)
        except json.JSONDecodeError:
            continue
        if raw.pop("key") == key:
            line = Line(**raw | {"facts": Counter(raw["facts"])})
            found[line.index] = line
    return found


def keep(file: Path, key: str, line: Line) -> None:
    """Add a line, which begins a new one whatever the file ends with."""
    with file.open("a") as log:
        log.write("\n" + json.dumps({"key": key, **vars(line), "facts": dict(line.facts)}))


def attempt(seed: int, index: int) -> Line:
    """Run a case; whatever goes wrong is its failure."""
    begin = time.monotonic()
    outcome = guarded(case_of(seed, index))
    return Line(index, outcome.failure, outcome.facts, outcome.cycles, round(time.monotonic() - begin, 3))


def guarded(case: Case, run: Callable[[Case], Outcome] = run_case) -> Outcome:
    """What came of a case, or of trying to run it."""
    try:
        return run(case)
    except Exception as error:
        return Outcome(f"{type(error).__name__}: {error}")


def parallel(seed: int, indices: Iterable[int], jobs: int) -> Iterator[Line]:
    """Cases in whatever order they end."""
    if jobs == 1:
        yield from (attempt(seed, index) for index in indices)
        return
    left = iter(indices)
    with ProcessPoolExecutor(jobs) as pool:
        list(pool.map(machines.build, machines.MACHINES))
        pending: set[Future[Line]] = set()
        while True:
            for index in itertools.islice(left, jobs * AHEAD - len(pending)):
                pending.add(pool.submit(attempt, seed, index))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def campaign(
    count: int,
    folder: Path,
    *,
    seed: int = 1,
    jobs: int = 1,
    again: bool = False,
    runner: Runner = parallel,
) -> int:
    """Run what is missing of cases 0 .. count - 1, shrink the first that fails, print the tables; the exit status."""
    file, key = folder / f"{seed}.jsonl", sources_key(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if again:
        file.unlink(missing_ok=True)
    done = {index: line for index, line in kept(file, key).items() if index < count}
    missing = [index for index in range(count) if index not in done]
    start = time.monotonic()
    for number, line in enumerate(runner(seed, missing, jobs), 1):
        done[line.index] = line
        keep(file, key, line)
        if line.failure:
            print(f"\n{seed}:{line.index} fails: {line.failure}", file=sys.stderr)
        left = (len(missing) - number) * (time.monotonic() - start) / number / 60
        print(f"\r{len(done)} of {count} cases, {left:.1f} min left ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    lines = [done[index] for index in sorted(done)]
    wrong = [line for line in lines if line.failure]
    text, complete = tables(lines, file)
    print(text)
    for line in wrong[:1]:
        print(minimised(case_of(seed, line.index), folder))
    return int(bool(wrong) or not complete)


def minimised(case: Case, folder: Path) -> str:
    """Shrink a case that fails, keep what is left of it, and say how to run either."""
    print(f"making {case.name} small ...", file=sys.stderr)
    kind = guarded(case).kind
    small = shrink(case, lambda candidate: guarded(candidate).kind == kind)
    file = folder / f"{case.name.replace(':', '-')}.json"
    file.write_text(small.to_json() + "\n")
    outcome = guarded(small)
    lines = [f"{case.name}: {guarded(case).failure}", f"  {command(case=case.name)}"]
    lines += [f"made small: {outcome.failure}", f"  {small.to_json()}", f"  {command(file=str(file))}"]
    return "\n".join(lines)
