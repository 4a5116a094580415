"""A simulation and everything that is said about it: cycles, utilisation, bits compared, error."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from golden.bitexact.numerics import SCORE_INTEGER_BITS
from golden.error import ErrorReport
from hwgen import __version__, table
from hwgen.compare import Comparison, compare, golden_results, measure_error
from hwgen.errors import SimulationError
from hwgen.inputs import Problem
from hwgen.params import Params
from hwgen.progress import step
from hwgen.sim.layer import memory_size, run_layer
from hwgen.sim.run import RunResult
from hwgen.sim.system import MemoryTraits, SystemBuild, build_system, memory_bits_for


@dataclass(frozen=True)
class Checked:
    """One problem, simulated and compared.

    build_seconds: from the configuration to a simulator, next to nothing but the emission if it was built before
    """

    preset: str
    params: Params
    problem: Problem
    build: SystemBuild
    result: RunResult
    comparison: Comparison
    error: ErrorReport
    build_seconds: float

    @property
    def cycles(self) -> int:
        return self.result.counters["cycles"]

    @property
    def utilisation(self) -> float:
        return self.result.utilisation(self.params)

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / self.result.seconds

    @property
    def read_busy(self) -> float:
        """Part of the cycles in which the bus brought a word."""
        return self.bytes_read / self.params.bus_bytes / self.cycles

    @property
    def bytes_read(self) -> int:
        return sum(n for name, n in self.result.counters.items() if name.startswith("read_bytes_"))

    @property
    def bytes_written(self) -> int:
        return sum(n for name, n in self.result.counters.items() if name.startswith("written_bytes_"))

    def require_equal(self) -> None:
        """Raises SimulationError with the first difference if there is one."""
        if self.comparison.first is not None:
            raise SimulationError(f"first difference from the golden model: {self.comparison.first}")


def run_checked(
    preset: str,
    params: Params,
    problem: Problem,
    *,
    memory: MemoryTraits = MemoryTraits(),  # noqa: B008 (frozen)
    lse: bool = True,
    trace: bool = False,
    waves: Path | None = None,
) -> Checked:
    """Simulate the accelerator on the problem, as one descriptor, and compare; says on stderr what takes long.

    Raises InputError, MissingTool, or SimulationError if the run breaks off; a difference in bits raises nothing here.
    """
    jobs = problem.jobs(params)
    bits = memory_bits_for(memory_size(problem, params))
    if waves is not None:
        waves.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with step("generating and building the simulator (once)"):
        built = build_system(params, memory_bits=bits, waves=waves is not None)
    build_seconds = time.perf_counter() - start
    with step(f"simulating {len(jobs)} head{'s' * (len(jobs) > 1)}"):
        result = run_layer(built, problem, lse=lse, memory=memory, trace=trace, waves=waves)
    with step("computing the golden model"):
        golden = golden_results(jobs, params)
    with step("comparing"):
        comparison = compare(result, golden, problem.shape.Hq, params)
        error = measure_error(result, problem, params)
    return Checked(preset, params, problem, built, result, comparison, error, build_seconds)


def table_rows(checked: Checked) -> list[tuple[str, str]]:
    """Name and text of every line of the report."""
    c, shape = checked.comparison, checked.problem.shape
    parts = ", ".join(f"{name} {table.count(bits)}" for name, (bits, _) in c.by_quantity.items())
    rows = [
        ("preset", f"{checked.preset} {checked.params.config.hash()}"),
        ("input", checked.problem.source),
        ("shape", shape_text(checked.problem)),
        ("cycles", table.count(checked.cycles)),
        ("utilisation", f"{checked.utilisation:.4f}"),
        ("score array idle", table.counts(checked.result.idle("score"))),
        ("bytes read, written", f"{table.count(checked.bytes_read)}, {table.count(checked.bytes_written)}"),
        ("read channel busy", f"{checked.read_busy:.4f}"),
        ("bits compared", f"{table.count(c.bits)} ({parts})"),
        ("bits equal", f"{table.count(c.equal)}{' (all)' if c.equal == c.bits else ''}"),
    ]
    if c.poisoned:
        rows.append(("poisoned rows", _poisoned_text(c, shape.B * shape.Hq * shape.L)))
    if checked.result.saturated:
        limit = f"+-2^{SCORE_INTEGER_BITS}"
        rows.append(("saturated", f"scores were clamped to {limit} (base 2): too large for softmax to tell apart"))
    return [
        *rows,
        ("error, max abs", table.three_digits(checked.error.max_abs)),
        ("error, relative RMSE", table.three_digits(checked.error.relative_rmse)),
        ("against rounding only", f"{checked.error.ratio:.4f}"),
        ("simulated cycles/s", table.rate(checked.cycles_per_second)),
        ("build", f"{checked.build_seconds:.1f} s"),
    ]


def shape_text(problem: Problem) -> str:
    s = problem.shape
    heads = str(s.Hq) if s.Hq == s.Hkv else f"{s.Hq} over {s.Hkv}"
    text = f"batch {s.B}, heads {heads}, queries {s.L}, keys {s.S}, E {s.E}, F {s.F}"
    if problem.keys != s.S:
        text += f", first {problem.keys} keys"
    if problem.causal:
        text += ", causal" + (f" offset {problem.offset}" if problem.offset else "")
    return text


def _poisoned_text(comparison: Comparison, rows: int) -> str:
    """How many queries are NaN, and the first of them."""
    shown = " ".join(f"({b}, {h}, {p})" for b, h, p in comparison.poisoned_rows)
    more = " ..." if comparison.poisoned > len(comparison.poisoned_rows) else ""
    return f"{table.count(comparison.poisoned)} of {table.count(rows)} saw NaN or Inf; (b, h, p): {shown}{more}"


def as_json(checked: Checked) -> dict[str, Any]:
    """The report as one JSON object."""
    c = checked.comparison
    counters = checked.result.counters
    return _request_facts(checked) | {
        "cycles": checked.cycles,
        "utilisation": checked.utilisation,
        "pairs": counters["pairs"],
        "macs": checked.result.macs(checked.params),
        "busy": {array: counters[f"{array}_busy"] for array in ("score", "value")},
        "idle": {array: checked.result.idle(array) for array in ("score", "value")},
        "read_channel_busy": checked.read_busy,
        "counters": counters,
        "bits_compared": c.bits,
        "bits_equal": c.equal,
        "first_difference": None if c.first is None else str(c.first),
        "poisoned_rows": c.poisoned,
        "first_poisoned_rows": [list(row) for row in c.poisoned_rows],
        "saturated": checked.result.saturated,
        "error": {name: table.json_number(value) for name, value in asdict(checked.error).items()},
        "cycles_per_second": checked.cycles_per_second,
        "simulation_seconds": checked.result.seconds,
        "build_seconds": checked.build_seconds,
    }


def _request_facts(checked: Checked) -> dict[str, Any]:
    """What was asked for."""
    problem = checked.problem
    return {
        "generator": {"name": "hwgen", "version": __version__},
        "preset": checked.preset,
        "configuration": asdict(checked.params.config),
        "configuration_hash": checked.params.config.hash(),
        "input": problem.source,
        "shape": problem.shape._asdict(),
        "scale": problem.scale,
        "keys": problem.keys,
        "causal": problem.causal,
        "offset": problem.offset,
    }
