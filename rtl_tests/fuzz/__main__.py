"""Random cases on simulated accelerators: nasty values, any shape and layout, slow memories, all that can go wrong.

    python -m rtl_tests.fuzz -n 500 --jobs 2        # goes on where it was stopped; --again starts anew
    python -m rtl_tests.fuzz --case 1:123           # one case, by seed and index
    python -m rtl_tests.fuzz --file case.json       # one that was made small

A case is its seed and index and nothing else. What was done is kept under a key of the sources: a change of the
generator starts a campaign anew. docs/fuzz.md says what is varied and what is demanded.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rtl_tests.fuzz.campaign import campaign, guarded, minimised
from rtl_tests.fuzz.cases import Case, case_of


def replay(case: Case, small: bool, folder: Path) -> int:
    """One case; the exit status."""
    print(case.to_json())
    outcome = guarded(case)
    print(f"fails: {outcome.failure}" if outcome.failure else f"as it should be, in {outcome.cycles:,} cycles")
    if outcome.failure and small:
        folder.mkdir(parents=True, exist_ok=True)
        print(minimised(case, folder))
    return int(outcome.failure is not None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500, metavar="N", help="how many cases (default 500)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time (default 1)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all cases (default 1)")
    parser.add_argument("--case", metavar="SEED:INDEX", help="run this case, whatever was done before")
    parser.add_argument("--file", type=Path, metavar="FILE", help="run the case in a file")
    parser.add_argument("--shrink", action="store_true", help="if that case fails, make it small")
    parser.add_argument("--again", action="store_true", help="forget what was done before")
    parser.add_argument("-o", dest="folder", type=Path, default=Path("build/fuzz"), metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.file is not None:
        return replay(Case.from_json(arguments.file.read_text()), arguments.shrink, arguments.folder)
    if arguments.case is not None:
        seed, _, index = arguments.case.partition(":")
        if not (seed.isdecimal() and index.isdecimal()):
            parser.error(f"--case takes SEED:INDEX, for example 1:123, not {arguments.case!r}")
        return replay(case_of(int(seed), int(index)), arguments.shrink, arguments.folder)
    how = {"seed": arguments.seed, "jobs": arguments.jobs, "again": arguments.again}
    return campaign(arguments.n, arguments.folder, **how)


if __name__ == "__main__":
    sys.exit(main())
