"""All proofs, or those whose names begin with one of the words given.

python -m rtl_tests.formal                            # all of them, two at a time
python -m rtl_tests.formal word_queue row --jobs 1    # some of them
python -m rtl_tests.formal --list                     # their names
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hwgen import table
from rtl_tests.formal.proof import Case, Method
from rtl_tests.formal.runner import ENGINE, Result, run
from rtl_tests.formal.subjects import PROOFS

FOLDER = Path("build/formal")


def cases(names: Sequence[str]) -> list[Case]:
    """The proofs, and the mistakes that they have to notice. Raises SystemExit for a name that is none."""
    every = [case for proof in PROOFS for case in (Case(proof.name, proof), *proof.broken())]
    for name in names:
        if not any(case.name.startswith(name) for case in every):
            sys.exit(f"no proof begins with {name!r}; `python -m rtl_tests.formal --list` names them")
    return [case for case in every if not names or case.name.startswith(tuple(names))]


def row(result: Result) -> list[str]:
    """A line of the table."""
    case = result.case
    says = case.proof.says
    if case.breakage:
        says = f"  with `{case.breakage.mistake.strip()}`"
    depth = f"k = {result.depth}" if case.method is Method.INDUCTION else f"{result.depth} cycles"
    if case.proof.every:
        depth = f"{result.depth} inputs"
    return [says, case.proof.component, case.method.value, depth, f"{result.seconds:.1f}", result.verdict]


def printed(results: Sequence[Result]) -> str:
    """The table."""
    header = ["property", "component", "method", "depth", "seconds", "result"]
    left = ("component", "method", "result")
    return table.columns(header, [row(result) for result in results], left=left)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rtl_tests.formal", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a proof's name")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--list", action="store_true", help="print names and what they stand for")
    options = parser.parse_args()
    chosen = cases(options.names)
    if options.list:
        print(table.pairs((case.name, case.proof.says) for case in chosen))
        return 0
    results = run_all(chosen, options.jobs)
    if options.json:
        fields = ("name", "property", "component", "method", "depth", "seconds", "result")
        print(json.dumps([dict(zip(fields, [r.case.name, *row(r)], strict=True)) for r in results], indent=2))
    else:
        print(f"engine: {ENGINE}\n\n{printed(results)}")
    failed = [result for result in results if not result.good]
    for result in failed:
        print(f"{result.case.name}: {result.verdict}; see {result.trace or FOLDER / result.case.name}", file=sys.stderr)
    return 1 if failed else 0


def run_all(chosen: Sequence[Case], jobs: int) -> list[Result]:
    """Run cases, tell of each as it ends."""
    began, ended = time.monotonic(), 0
    for case in chosen:
        shutil.rmtree(FOLDER / case.name, ignore_errors=True)

    def one(case: Case) -> Result:
        nonlocal ended
        result = run(case, FOLDER)
        ended += 1
        line = f"[{ended}/{len(chosen)}] {time.monotonic() - began:.0f} s  {case.name}: {result.verdict}"
        print(line, file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, chosen))


if __name__ == "__main__":
    sys.exit(main())
