"""What is measured of the generated accelerator, its simulation and its emission, against what it must reach."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen import __version__, bench_scores, table
from hwgen.bench_scores import SEED
from hwgen.checked import Checked, run_checked
from hwgen.commands import to_json
from hwgen.describe import TOPS, module_name, on_chip_bits
from hwgen.emit import to_verilog
from hwgen.inputs import make_problem, random_tensors
from hwgen.netlist import read_modules
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.progress import step
from hwgen.sim.bare import measure_bare
from hwgen.sim.build import Build, build
from hwgen.sim.run import HeadJob, simulate
from hwgen.sim.system import MemoryTraits
from hwgen.writing import write_text


@dataclass(frozen=True, kw_only=True)
class RunCase:
    """A simulation of random tensors of the shape B, H, L, S, with `kv_heads` key/value heads if not as many, and head
    dimensions (E, F) if not the preset's; `target` is what `figure` must reach."""

    name: str
    preset: str
    shape: tuple[int, int, int, int]
    kv_heads: int | None = None
    head: tuple[int, int] | None = None
    causal: bool = False
    figure: str = "utilisation"
    target: float | None = None


FULL = (
    RunCase(name="mha_1024", preset="sim", shape=(1, 1, 1024, 1024), target=0.99),
    RunCase(name="mha_8x1024", preset="sim", shape=(1, 8, 1024, 1024), target=0.998),
    RunCase(name="causal_2048", preset="sim", shape=(1, 1, 2048, 2048), causal=True, target=0.98),
    RunCase(name="gqa_decode_16k", preset="sim", shape=(1, 8, 1, 16384), kv_heads=1, figure="read_busy", target=0.95),
    RunCase(name="ragged", preset="sim", shape=(1, 1, 1000, 777), head=(48, 48), target=0.96),
)
QUICK = (
    RunCase(name="mha_96", preset="demo", shape=(1, 1, 96, 96)),
    RunCase(name="causal_48", preset="tiny", shape=(1, 1, 48, 48), causal=True),
    RunCase(name="heads_4x16", preset="tiny", shape=(1, 4, 16, 16)),
)
MEMORY_LATENCY = 100
"""Cycles from an address to its data in all cases."""

KEYS = tuple(1 << n for n in (10, 12, 14, 16, 18, 20))
"""Sequence lengths for which on-chip memory is told."""

SCORE_BITS = 16
"""Of a score that a dataflow with whole rows on the chip would keep."""

EMITTED_QUICKLY = (("tiny", "accelerator"), ("demo", "accelerator"))
EMITTED = (*EMITTED_QUICKLY, *((name, "accelerator") for name in ("sim", "wide", "ecp5")), ("wide", "core"))
"""Presets, and what is emitted of them."""

SPEED_REPEATS = 3
"""Both loops run so often, in turns, and the fastest of each counts: whatever else the machine does only slows down."""

SPEED_TARGET = 0.7
"""Simulated cycles a second through cocotb, as a part of those of the bare loop."""

EMISSION_TARGETS = {("wide", "core"): (30.0, 2_000_000)}
"""Seconds and bytes that Verilog has to stay below."""

BareLoop = Callable[[Build, Sequence[HeadJob]], tuple[int, float]]
"""Runs jobs on the simulator without cocotb; gives cycles and the seconds they took."""


def run(file: Path, quick: bool, bare: BareLoop = measure_bare) -> int:
    """Measure everything, write `file`, print tables. Raises SimulationError if a bit differs, behind the report."""
    checked = [_run_case(case) for case in (QUICK if quick else FULL)]
    runs = [_run_facts(case, result) for case, result in zip(QUICK if quick else FULL, checked, strict=True)]
    speeds = _speed_facts(runs[0]["name"], checked[0], bare)
    emissions = [_emission_facts(*what) for what in (EMITTED_QUICKLY if quick else EMITTED)]
    memory = _memory_facts("tiny" if quick else "sim", emissions)
    scores = bench_scores.run_cases(bench_scores.QUICK if quick else bench_scores.FULL)
    report = {
        "generator": {"name": "hwgen", "version": __version__},
        "machine": {"python": platform.python_version(), "processor": platform.machine(), "cpus": os.cpu_count()},
        "quick": quick,
        "memory_latency": MEMORY_LATENCY,
        "cases": [*runs, *speeds, *emissions, *memory, *scores],
    }
    write_text(file, to_json(report))
    tables = (_run_table(runs), _speed_table(speeds), _emission_table(emissions), _memory_table(memory))
    print("\n\n".join((*tables, bench_scores.score_table(scores))))
    print(f"\nwritten  {file}")
    for result in checked:
        result.require_equal()
    bench_scores.require_equal(scores)
    return 0


def _run_case(case: RunCase) -> Checked:
    params = Params(preset(case.preset))
    tensors = random_tensors(case.shape, SEED, params, kv_heads=case.kv_heads, head=case.head)
    problem = make_problem(tensors, f"random N(0, 1), seed {SEED}", params, causal=case.causal)
    print(f"case {case.name}", file=sys.stderr, flush=True)
    # LSE is for those who merge partial results.
    return run_checked(case.preset, params, problem, memory=MemoryTraits(latency=MEMORY_LATENCY), lse=False)


def _run_facts(case: RunCase, checked: Checked) -> dict[str, Any]:
    """Cycles, utilisation, traffic and idle cycles of one simulation, from the accelerator's own counters."""
    figures = {"utilisation": checked.utilisation, "read_busy": checked.read_busy}
    return {
        "name": case.name,
        "kind": "run",
        "preset": case.preset,
        "configuration_hash": checked.params.config.hash(),
        "shape": checked.problem.shape._asdict(),
        "causal": case.causal,
        "cycles": checked.cycles,
        "pairs": checked.result.counters["pairs"],
        **figures,
        "bytes_read": checked.bytes_read,
        "bytes_written": checked.bytes_written,
        "idle": {array: checked.result.idle(array) for array in ("score", "value")},
        "bits_compared": checked.comparison.bits,
        "bits_equal": checked.comparison.equal,
        "error_ratio": table.json_number(checked.error.ratio),
        "figure": case.figure,
        "target": case.target,
        "met": None if case.target is None else figures[case.figure] >= case.target,
        "simulation_seconds": checked.result.seconds,
    }


def _speed_facts(name: str, checked: Checked, bare: BareLoop) -> list[dict[str, Any]]:
    """Simulated cycles a second of one case: the core through cocotb and through a bare loop over the same model, and
    the whole accelerator with its memory."""
    jobs = checked.problem.jobs(checked.params)
    with step("building a simulator of the core alone"):
        core = build(checked.params)
    speeds = {"cocotb": 0.0, "bare": 0.0}
    with step("simulating with and without cocotb"):
        for _ in range(SPEED_REPEATS):
            cycles, seconds = bare(core, jobs)
            speeds["bare"] = max(speeds["bare"], cycles / seconds)
            run = simulate(core, jobs)
            speeds["cocotb"] = max(speeds["cocotb"], run.counters["cycles"] / run.seconds)
    case = {"kind": "speed", "preset": checked.preset, "case": name}
    ratio = speeds["cocotb"] / speeds["bare"]
    return [
        {"name": "speed_cocotb", **case, "cycles_per_second": speeds["cocotb"]}
        | {"part_of_bare": ratio, "target": SPEED_TARGET, "met": ratio >= SPEED_TARGET},
        {"name": "speed_bare", **case, "cycles_per_second": speeds["bare"]}
        | {"part_of_bare": 1.0, "target": None, "met": None},
        {"name": "speed_accelerator", **case, "cycles_per_second": checked.cycles_per_second}
        | {"part_of_bare": checked.cycles_per_second / speeds["bare"], "target": None, "met": None},
    ]


def _emission_facts(name: str, top: str) -> dict[str, Any]:
    """Time and size of one preset's Verilog, and the memory bits in it."""
    start = time.perf_counter()
    with step(f"generating the {top} of {name}"):
        verilog = to_verilog(TOPS[top](Params(preset(name))), module_name(top))
    seconds = time.perf_counter() - start
    modules = read_modules(verilog)
    size = {"modules": len(modules), "bytes": len(verilog.encode())}
    size |= {"on_chip_bits": on_chip_bits(modules, module_name(top))["total"]}
    target = EMISSION_TARGETS.get((name, top))
    met = None if target is None else seconds < target[0] and size["bytes"] < target[1]
    label = f"emit_{name}" + ("" if top == "accelerator" else f"_{top}")
    return {"name": label, "kind": "emission", "preset": name, "top": top, "seconds": seconds, **size} | {
        "target": target,
        "met": met,
    }


def _memory_facts(name: str, emissions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Memory bits of one of the emitted accelerators for sequences of many lengths, beside what whole rows of scores
    would take."""
    (bits,) = (fact["on_chip_bits"] for fact in emissions if (fact["preset"], fact["top"]) == (name, "accelerator"))
    block = Params(preset(name)).block
    return [
        {"name": f"memory_{keys}", "kind": "memory", "preset": name, "keys": keys, "on_chip_bits": bits}
        | {"score_rows_bits": block * keys * SCORE_BITS}
        for keys in KEYS
    ]


def _run_table(runs: Sequence[dict[str, Any]]) -> str:
    header = ("case", "preset", "cycles", "utilisation", "bus read", "target", "met", "bits equal", "score array idle")
    rows = []
    for fact in runs:
        of = {"utilisation": "utilisation", "read_busy": "bus read"}[fact["figure"]]
        target = "-" if fact["target"] is None else f"{of} >= {fact['target']}"
        equal = table.equal_bits(fact["bits_compared"], fact["bits_equal"])
        parts = (f"{fact['utilisation']:.4f}", f"{fact['read_busy']:.4f}")
        figures = (table.count(fact["cycles"]), *parts, target, table.met(fact["met"]))
        rows.append((fact["name"], fact["preset"], *figures, equal, table.counts(fact["idle"]["score"])))
    return table.columns(header, rows, left=("preset", "score array idle"))


def _speed_table(speeds: Sequence[dict[str, Any]]) -> str:
    header = ("speed", "preset", "case", "cycles/s", "of bare", "target", "met")
    rows = []
    for fact in speeds:
        target = "-" if fact["target"] is None else f">= {fact['target']}"
        cells = (table.rate(fact["cycles_per_second"]), f"{fact['part_of_bare']:.2f}", target, table.met(fact["met"]))
        rows.append((fact["name"], fact["preset"], fact["case"], *cells))
    return table.columns(header, rows, left=("preset", "case"))


def _emission_table(emissions: Sequence[dict[str, Any]]) -> str:
    header = ("emission", "preset", "seconds", "modules", "bytes", "target", "met")
    rows = []
    for fact in emissions:
        target = "-" if fact["target"] is None else f"< {fact['target'][0]:.0f} s, {table.count(fact['target'][1])}"
        cells = (f"{fact['seconds']:.1f}", str(fact["modules"]), table.count(fact["bytes"]), target)
        rows.append((fact["name"], fact["preset"], *cells, table.met(fact["met"])))
    return table.columns(header, rows, left=("preset",))


def _memory_table(memory: Sequence[dict[str, Any]]) -> str:
    header = ("keys", "preset", "bits on the chip", "bits of whole score rows, 16 each")
    names = ("on_chip_bits", "score_rows_bits")
    rows = [(table.count(f["keys"]), f["preset"], *(table.count(f[name]) for name in names)) for f in memory]
    return table.columns(header, rows, left=("preset",))
