"""Coverage of the hardware's description, of what the machine can do, and of the Python code: a table and a page.

python -m rtl_tests.coverage                     all of it: build/coverage/index.html
python -m rtl_tests.coverage --machines plain    one machine (limits do not hold then)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

from rtl_tests.coverage.instrument import ROOT
from rtl_tests.coverage.rtl import Reached, measure
from rtl_tests.system.episode_set import MACHINES

HERE = Path(__file__).parent
LEAST_LINES = 98.0
LEAST_BRANCHES = 95.0
TESTS = (
    "golden/tests",
    "hwgen/tests",
    # Of what builds simulators and runs them, the core's and the accelerator's; all other tests stand in for those.
    "rtl_tests/system/test_order.py::test_traffic_changes_no_bit",
    "rtl_tests/system/test_trace.py",
)


class Row(NamedTuple):
    """A measure: reached of total, the least share in per cent (0: none is asked for)."""

    name: str
    reached: int
    total: int
    least: float = 0.0

    @property
    def share(self) -> float:
        return 100 * self.reached / max(1, self.total)

    @property
    def limit(self) -> str:
        return f"{self.least:.0f} %" if self.least else ""


class Hole(NamedTuple):
    """A line that is not reached, and why, if somebody knows."""

    place: str
    text: str
    reason: str


def holes(reached: Reached, known: dict[str, str]) -> list[Hole]:
    """All lines that are not reached; `known` has reasons by `file: text`."""
    found = []
    for path, line in reached.missed:
        text = (ROOT / path).read_text().splitlines()[line - 1].strip()
        found.append(Hole(f"{path}:{line}", text, known.get(f"{path}: {text}", "")))
    return found


def rows(reached: Reached, known: dict[str, str]) -> list[Row]:
    """The table of what the simulators counted. Items with a reason are none that could happen."""
    table = [Row("lines under a condition", sum(map(bool, reached.lines.values())), len(reached.lines), LEAST_LINES)]
    for group in sorted({item.group for item in reached.items}):
        mine = {item: count for item, count in reached.items.items() if item.group == group}
        possible = sum(1 for item, count in mine.items() if count or f"{group}: {item.name}" not in known)
        table.append(Row(group, sum(map(bool, mine.values())), possible, 100.0))
    edges = [sum(numbers) for numbers in zip(*reached.bits.values(), strict=True)] or [0, 0]
    return [*table, Row("edges of bits", edges[0], edges[1])]


def complaints(reached: Reached, known: dict[str, dict[str, str]], table: Sequence[Row]) -> list[str]:
    """What is below its limit, not explained, or explained though it is reached."""
    found = [f"{row.name}: {row.share:.1f} %, at least {row.least:.0f} % wanted" for row in table
             if row.share < row.least]  # fmt: skip
    open_holes = holes(reached, known["lines"])
    found += [f"{hole.place} is not reached, for no reason that is known: {hole.text}" for hole in open_holes
              if not hole.reason]  # fmt: skip
    texts = {f"{hole.place.rpartition(':')[0]}: {hole.text}" for hole in open_holes}
    found += [f"holes.yaml explains a line that is reached or gone: {text}" for text in known["lines"].keys() - texts]
    missed = {f"{item.group}: {item.name}" for item, count in reached.items.items() if not count}
    found += [f"{name} did not happen" for name in sorted(missed - known["items"].keys())]
    found += [f"holes.yaml explains what happened or cannot be: {name}" for name in known["items"].keys() - missed]
    return found


def measure_python(folder: Path, jobs: int) -> tuple[str, Row]:
    """Branches of golden and hwgen while their tests run: coverage's report, and the row of the table. Simulators are
    built anew, so that the figure does not depend on what happens to be in the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    rc = f"--rcfile={HERE / 'coveragerc'}"
    environment = os.environ | {"HWGEN_COVERAGE": str(folder / "data"), "HWGEN_CACHE": str(folder / "cache")}

    def coverage(*words: str) -> str:
        command = [sys.executable, "-m", "coverage", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words[:3])} failed:\n{done.stdout[-3000:]}")
        return done.stdout

    tests = ["-m", "pytest", "-q", "-n", str(jobs), "-p", "no:cacheprovider", f"--basetemp={folder / 'pytest'}", *TESTS]
    coverage("run", rc, *tests)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    coverage("combine", rc)
    coverage("json", rc, "-o", str(folder / "totals.json"))
    totals = json.loads((folder / "totals.json").read_text())["totals"]
    row = Row("branches of Python", totals["covered_branches"], totals["num_branches"], LEAST_BRANCHES)
    return coverage("report", rc), row


def page(reached: Reached, known: dict[str, dict[str, str]], table: Sequence[Row], python: str) -> str:
    """The HTML page."""
    count: dict[str, Counter[bool]] = {}
    for (path, _), hits in reached.lines.items():
        count.setdefault(path, Counter())[bool(hits)] += 1
    files = [{"name": n, "reached": c[True], "total": c.total()} for n, c in sorted(count.items())]
    groups: list[dict[str, Any]] = []
    for name in sorted({item.group for item in reached.items}):
        mine = sorted(item for item in reached.items if item.group == name)
        items = [{"name": i.name, "count": reached.items[i], "reason": known["items"].get(f"{name}: {i.name}", "")}
                 for i in mine]  # fmt: skip
        seen = sum(1 for item in items if item["count"])
        missed = any(not item["count"] and not item["reason"] for item in items)
        groups.append({"name": name, "things": items, "reached": seen, "total": len(items), "missed": missed})
    bits = [{"name": n, "reached": s, "total": t} for n, (s, t) in sorted(reached.bits.items())]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True)
    return environment.get_template("page.html").render(
        summary=table, files=files, holes=holes(reached, known["lines"]), groups=groups, modules=bits, python=python
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if something is below its limit or a hole has no reason."""
    parser = argparse.ArgumentParser(prog="python -m rtl_tests.coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--machines", nargs="+", choices=list(MACHINES), default=list(MACHINES))
    parser.add_argument("--no-python", action="store_true", help="only the hardware")
    parser.add_argument("--jobs", type=int, default=1, help="machines, then Python tests, that run at a time")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/coverage"))
    options = parser.parse_args(arguments)
    shutil.rmtree(options.output, ignore_errors=True)
    folder = options.output.absolute()
    reached = measure(folder / "rtl", options.machines, options.jobs)
    known = yaml.safe_load((HERE / "holes.yaml").read_text())
    table, python = rows(reached, known["items"]), ""
    if not options.no_python:
        python, row = measure_python(folder / "python", options.jobs)
        table.append(row)
    (folder / "index.html").write_text(page(reached, known, table, python))
    shutil.rmtree(folder / "rtl")
    print("\n| measure | reached | of | share | limit |\n|---|---|---|---|---|")
    for row in table:
        print(f"| {row.name} | {row.reached} | {row.total} | {row.share:.1f} % | {row.limit} |")
    print(f"\n{len(reached.always)} more lines are computed in every cycle. Page: {options.output / 'index.html'}")
    found = complaints(reached, known, table)
    for line in found:
        print(line)
    return int(bool(found) and set(options.machines) == set(MACHINES))


if __name__ == "__main__":
    sys.exit(main())
