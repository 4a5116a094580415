"""Mutants of the emitted Verilog and of the integer model, and what noticed them: a table, and who lived.

python -m rtl_tests.mutate --number 300 --seed 1          all of it
python -m rtl_tests.mutate --mutant 17                    one of them again, with all that there is to know
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_tests.mutate import equivalent, formal, model, rtl

LEAST = 0.97
"""Of the mutants that are no equivalents so many have to be killed."""


@dataclass(frozen=True)
class Verdict:
    """A mutant's end. `by`: what noticed it, or why nothing could; fate: killed, equivalent or survivor."""

    number: int
    room: str
    module: str
    kind: str
    place: str
    before: str
    after: str
    fate: str
    by: str


def rtl_verdicts(count: int, seed: int, jobs: int, only: int | None) -> list[Verdict]:
    """Of mutants of the Verilog; whoever lives is asked whether it is the same machine."""
    drawn = rtl.draw(count, seed)
    if only is not None:
        drawn = {name: [m for m in mutants if m.number == only] for name, mutants in drawn.items()}
    found = []
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        for outcome in rtl.fates(drawn, jobs):
            fate, by = "killed", outcome.by
            if not by:
                fate, by = _survivor(outcome, Path(folder))
            verdict = _verdict(outcome, fate, by)
            found.append(verdict)
            tell(verdict)
    return found


def _survivor(outcome: rtl.Outcome, folder: Path) -> tuple[str, str]:
    """Equivalent by a written reason or by proof, which takes longer, else a survivor."""
    if reason := equivalent.reason(outcome.machine, rtl.text(outcome.machine), outcome.mutant):
        return "equivalent", reason
    same = formal.is_same(rtl.text(outcome.machine), outcome.mutant, folder)
    return ("equivalent", "proved") if same else ("survivor", "")


def _verdict(outcome: rtl.Outcome, fate: str, by: str) -> Verdict:
    mutant = outcome.mutant
    place = f"{outcome.machine}.v:{mutant.site.line + 1}"
    words = mutant.room, mutant.site.module, mutant.change.kind, place, mutant.before, mutant.after
    return Verdict(mutant.number, *words, fate, by)


def model_verdicts(count: int, seed: int, only: int | None) -> list[Verdict]:
    """Of mutants of the integer model."""
    found = []
    for mutant in model.draw(count, seed):
        if only in (None, mutant.number):
            killed = model.is_killed(mutant)
            reason = "" if killed else equivalent.model_reason(mutant)
            fate = "killed" if killed else "equivalent" if reason else "survivor"
            place = f"golden/bitexact/{mutant.module}.py:{mutant.line}"
            words = mutant.module, mutant.kind, place, mutant.before, mutant.after, fate, reason
            found.append(Verdict(mutant.number, "golden", *words))
            tell(found[-1])
    return found


def tell(verdict: Verdict) -> None:
    """What is found out as it is found out."""
    line = f"{verdict.number:4} {verdict.fate:10} {verdict.place} ({verdict.module}, {verdict.kind}) {verdict.by}"
    if verdict.fate != "killed":
        line += f"\n       before: {verdict.before}\n       after:  {verdict.after}"
    print(line, file=sys.stderr, flush=True)


def table(verdicts: Sequence[Verdict]) -> str:
    """A line for each module, and for all."""
    count = Counter(((v.room, v.module), v.fate) for v in verdicts)
    lines = ["| room | module | mutants | killed | equivalent | survivors |", "|---|---|---|---|---|---|"]
    fates = ("killed", "equivalent", "survivor")
    for room, module in sorted({(v.room, v.module) for v in verdicts}):
        numbers = [count[(room, module), fate] for fate in fates]
        lines.append(f"| {room} | {module} | {sum(numbers)} | {' | '.join(map(str, numbers))} |")
    numbers = [sum(v.fate == fate for v in verdicts) for fate in fates]
    lines.append(f"| all | | {sum(numbers)} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def score(verdicts: Sequence[Verdict]) -> float:
    """Killed mutants of those that are no equivalents."""
    killed = sum(v.fate == "killed" for v in verdicts)
    survivors = sum(v.fate == "survivor" for v in verdicts)
    return killed / (killed + survivors) if killed + survivors else 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if too many live."""
    parser = argparse.ArgumentParser(prog="python -m rtl_tests.mutate", description=__doc__.split("\n")[0])
    parser.add_argument("--number", type=int, default=300, help="mutants of the emitted Verilog")
    parser.add_argument("--model", type=int, help="mutants of golden/bitexact; a third of the others if not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="simulators that run at a time")
    parser.add_argument("--mutant", type=int, help="only this mutant of the Verilog")
    parser.add_argument("--model-mutant", type=int, help="only this mutant of golden/bitexact")
    parser.add_argument("--json", type=Path, help="write all that was found out there")
    options = parser.parse_args(arguments)
    share = options.number // 3 if options.model is None else options.model
    one = options.mutant is not None or options.model_mutant is not None
    groups: dict[str, list[Verdict]] = {}
    if options.mutant is not None or not one:
        verilog = rtl_verdicts(options.number, options.seed, options.jobs, options.mutant)
        groups["emitted Verilog"] = verilog
    if options.model_mutant is not None or not one:
        groups["golden/bitexact"] = model_verdicts(share, options.seed, options.model_mutant)
    report(groups, options)
    return int(not one and min(map(score, groups.values())) < LEAST)


def report(groups: dict[str, list[Verdict]], options: Any) -> None:
    """Tables, survivors, and the file if one was asked for."""
    for name, verdicts in groups.items():
        print(f"\n{name}, seed {options.seed}: {100 * score(verdicts):.1f} % killed\n\n{table(verdicts)}")
        for v in verdicts:
            if v.fate == "survivor":
                print(f"\nsurvivor {v.number} {v.place} ({v.module}, {v.kind})\n  {v.before}\n  {v.after}")
    if options.json:
        content = {name: [v.__dict__ for v in verdicts] for name, verdicts in groups.items()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"seed": options.seed, **content}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
