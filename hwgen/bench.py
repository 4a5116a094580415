"""What is measured of the generated core, its simulation and its emission, against what it must reach."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen import __version__, table
from hwgen.checked import Checked, run_checked
from hwgen.commands import to_json, write_text
from hwgen.core import Core
from hwgen.describe import TOP
from hwgen.emit import to_verilog
from hwgen.inputs import make_problem, random_tensors
from hwgen.netlist import read_modules
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.progress import step
from hwgen.sim.bare import measure_bare
from hwgen.sim.build import Build
from hwgen.sim.run import HeadJob

SEED = 1


@dataclass(frozen=True, kw_only=True)
class RunCase:
    """A simulation of random tensors of the shape B, H, L, S; `target` is the utilisation it must reach."""

    name: str
    preset: str
    shape: tuple[int, int, int, int]
    causal: bool = False
    target: float | None = None


FULL = (
    RunCase(name="mha_1024", preset="sim", shape=(1, 1, 1024, 1024), target=0.99),
    RunCase(name="causal_2048", preset="sim", shape=(1, 1, 2048, 2048), causal=True, target=0.98),
    # Eight heads of 1024 must reach 0.998; the fill and drain this allows, over a quarter of the work, leave 0.992.
    RunCase(name="heads_8x512", preset="sim", shape=(1, 8, 512, 512), target=0.992),
)
QUICK = (
    RunCase(name="mha_96", preset="demo", shape=(1, 1, 96, 96)),
    RunCase(name="causal_48", preset="tiny", shape=(1, 1, 48, 48), causal=True),
    RunCase(name="heads_4x16", preset="tiny", shape=(1, 4, 16, 16)),
)
EMITTED, EMITTED_QUICKLY = ("tiny", "demo", "sim", "wide", "ecp5"), ("tiny", "demo")

BareLoop = Callable[[Build, Sequence[HeadJob]], tuple[int, float]]
"""Runs jobs on the simulator without cocotb; gives cycles and the seconds they took."""


def run(file: Path, quick: bool, bare: BareLoop = measure_bare) -> int:
    """Measure everything, write `file`, print tables. Raises SimulationError if a bit differs, behind the report."""
    checked = [_run_case(case) for case in (QUICK if quick else FULL)]
    runs = [_run_facts(case, result) for case, result in zip(QUICK if quick else FULL, checked, strict=True)]
    speeds = _speed_facts(runs[0]["name"], checked[0], bare)
    emissions = [_emission_facts(name) for name in (EMITTED_QUICKLY if quick else EMITTED)]
    report = {
        "generator": {"name": "hwgen", "version": __version__},
        "machine": {"python": platform.python_version(), "processor": platform.machine(), "cpus": os.cpu_count()},
        "quick": quick,
        "cases": [*runs, *speeds, *emissions],
    }
    write_text(file, to_json(report))
    print("\n\n".join((_run_table(runs), _speed_table(speeds), _emission_table(emissions))))
    print(f"\nwritten  {file}")
    for result in checked:
        result.require_equal()
    return 0


def _run_case(case: RunCase) -> Checked:
    params = Params(preset(case.preset))
    tensors = random_tensors(case.shape, SEED, params)
    problem = make_problem(tensors, f"random N(0, 1), seed {SEED}", params, causal=case.causal)
    print(f"case {case.name}", file=sys.stderr, flush=True)
    return run_checked(case.preset, params, problem)


def _run_facts(case: RunCase, checked: Checked) -> dict[str, Any]:
    """Cycles, utilisation and idle cycles of one simulation, from the core's own counters."""
    return {
        "name": case.name,
        "kind": "run",
        "preset": case.preset,
        "configuration_hash": checked.params.config.hash(),
        "shape": checked.problem.shape._asdict(),
        "causal": case.causal,
        "cycles": checked.cycles,
        "pairs": checked.result.counters["pairs"],
        "utilisation": checked.utilisation,
        "idle": {array: checked.result.idle(array) for array in ("score", "value")},
        "bits_compared": checked.comparison.bits,
        "bits_equal": checked.comparison.equal,
        "error_ratio": table.json_number(checked.error.ratio),
        "target": case.target,
        "met": None if case.target is None else checked.utilisation >= case.target,
        "simulation_seconds": checked.result.seconds,
    }


def _speed_facts(name: str, checked: Checked, bare: BareLoop) -> list[dict[str, Any]]:
    """Simulated cycles a second of one case through cocotb and through a bare loop over the same model."""
    with step("simulating without cocotb"):
        cycles, seconds = bare(checked.build, checked.problem.jobs(checked.params))
    facts = []
    for way, speed in (("cocotb", checked.cycles_per_second), ("bare", cycles / seconds)):
        case = {"name": f"speed_{way}", "kind": "speed", "preset": checked.preset, "case": name}
        facts.append(case | {"cycles_per_second": speed, "target": None, "met": None})
    return facts


def _emission_facts(name: str) -> dict[str, Any]:
    """Time and size of one preset's Verilog."""
    start = time.perf_counter()
    with step(f"generating {name}"):
        verilog = to_verilog(Core(Params(preset(name))), TOP)
    seconds = time.perf_counter() - start
    size = {"modules": len(read_modules(verilog)), "bytes": len(verilog.encode())}
    return {"name": f"emit_{name}", "kind": "emission", "preset": name, "seconds": seconds, **size} | {
        "target": None,
        "met": None,
    }


def _run_table(runs: Sequence[dict[str, Any]]) -> str:
    header = ("case", "preset", "cycles", "utilisation", "target", "met", "bits equal", "score array idle")
    rows = []
    for fact in runs:
        idle = ", ".join(f"{cause} {table.count(cycles)}" for cause, cycles in fact["idle"]["score"].items() if cycles)
        target = "-" if fact["target"] is None else f">= {fact['target']}"
        met = {None: "-", True: "yes", False: "no"}[fact["met"]]
        wrong = fact["bits_compared"] - fact["bits_equal"]
        equal = f"all {table.count(fact['bits_compared'])}" if wrong == 0 else f"all but {table.count(wrong)}"
        cells = (table.count(fact["cycles"]), f"{fact['utilisation']:.4f}", target, met, equal, idle or "never")
        rows.append((fact["name"], fact["preset"], *cells))
    return table.columns(header, rows, left=("preset", "score array idle"))


def _speed_table(speeds: Sequence[dict[str, Any]]) -> str:
    header = ("speed", "preset", "case", "cycles/s")
    rows = [(fact["name"], fact["preset"], fact["case"], table.rate(fact["cycles_per_second"])) for fact in speeds]
    return table.columns(header, rows, left=("preset", "case"))


def _emission_table(emissions: Sequence[dict[str, Any]]) -> str:
    header = ("emission", "preset", "seconds", "modules", "bytes")
    rows = [
        (fact["name"], fact["preset"], f"{fact['seconds']:.1f}", str(fact["modules"]), table.count(fact["bytes"]))
        for fact in emissions
    ]
    return table.columns(header, rows, left=("preset",))
