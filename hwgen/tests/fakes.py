"""Stand-ins for slow parts: runs that agree with the golden model without a simulator, Verilog that says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from golden.bitexact import Result
from golden.bitexact.numerics import REFERENCE_BITS
from hwgen import backends
from hwgen.backends import Answer, Task
from hwgen.checked import Checked
from hwgen.compare import compare, golden_results, measure_error
from hwgen.control.causes import BUSY, Cause
from hwgen.control.register_map import counter_names
from hwgen.emit import to_verilog
from hwgen.inputs import Problem, make_problem, random_tensors
from hwgen.params import Params
from hwgen.part import Part
from hwgen.presets import preset
from hwgen.problem import bit_patterns
from hwgen.sim.build import Build
from hwgen.sim.events import Events
from hwgen.sim.run import HeadJob, HeadResult, RunResult, head_dimensions
from hwgen.sim.system import SystemBuild

TINY = Params(preset("tiny"))
CYCLES = 1000
ACTIVITY = [(0, Cause.FILL, 0), (100, BUSY, 0), (130, BUSY, 1), (600, Cause.WAIT_K, 1), (640, BUSY, 1)]
ACTIVITY += [(900, Cause.DRAIN, 1), (930, Cause.DRAIN, 0)]
READ_WORDS = {"other": 16, "q": 100, "k": 200, "v": 184}
WRITTEN_WORDS = {"o": 100, "lse": 50}
PLACES = {"q": (1000, 2600), "k": (4000, 7200), "v": (9000, 11944), "o": (13000, 14600), "lse": (16000, 16800)}


def random_problem(shape: tuple[int, int, int, int] = (2, 2, 6, 9), params: Params = TINY, **masks: Any) -> Problem:
    return make_problem(random_tensors(shape, 7, params), "random", params, **masks)


def agreeing(golden: Sequence[Result], head: tuple[int, int] = (8, 8)) -> RunResult:
    """What a run returns that computed exactly `golden`, with the head dimensions E and F."""
    heads = [HeadResult(g.out.copy(), g.rm.copy(), g.rd.copy(), g.empty.copy(), g.poisoned.copy()) for g in golden]
    counters = dict.fromkeys(counter_names(), 0)
    counters |= {"cycles": CYCLES, "score_busy": 760, "value_busy": 800, "pairs": 3800}
    counters |= {"score_idle_fill": 100, "score_idle_wait_k": 40, "score_idle_drain": 100, "value_idle_fill": 130}
    counters |= {"read_bytes_q": 1600, "read_bytes_k": 3200, "read_bytes_v": 2944, "read_bytes_other": 256}
    counters |= {"written_bytes_o": 1600, "written_bytes_lse": 800}
    saturated, poisoned = (any(bool(getattr(g, name).any()) for g in golden) for name in ("saturated", "poisoned"))
    activity = [(t, int(cause), busy) for t, cause, busy in ACTIVITY]
    return RunResult(heads, *head, counters, saturated, poisoned, 0.5, activity, events())


def events() -> Events:
    """Traffic of the bytes that `agreeing` counts, in words of 16 bytes, and one block of one job."""
    log: dict[str, list[list[int]]] = {name: [] for name in ("ar", "r", "aw", "w", "b")}
    begins = {name: begin for name, (begin, _) in PLACES.items()}
    now = 20
    for address, data, words in (("ar", "r", READ_WORDS), ("aw", "w", WRITTEN_WORDS)):
        for name, count in words.items():
            for first in range(0, count, 20):
                size = min(20, count - first)
                log[address].append([now - 5, begins.get(name, 1 << 20) + 16 * first, size])
                log[data].append([now, size])
                now += size + 1
                log["b"] += [[now + 3]] if address == "aw" else []
    log |= {"job": [[12]], "job_end": [[900]], "loaded": [[31]], "issued": [[700]], "q": [[26, 6]], "o": [[800, 20]]}
    log |= {"host": [[5, 0x1C, 1]], "interrupt": [[1010, 1], [1020, 0]], "read_wait": [[16, 4]]}
    return Events({name: np.array(lines) for name, lines in log.items()}, 7, PLACES)


def with_flipped_bit(result: RunResult, head: int, name: str, index: tuple[int, ...], bit: int) -> RunResult:
    """The same result with one bit of one number inverted, RM being a signed number of REFERENCE_BITS."""
    values = getattr(result.heads[head], name).copy()
    values[index] ^= values.dtype.type(1 << bit) if values.dtype != bool else np.True_
    if name == "rm":
        half = 1 << (REFERENCE_BITS - 1)
        values[index] = (values[index] + half) % (2 * half) - half
    heads = list(result.heads)
    heads[head] = replace(heads[head], **{name: values})
    return replace(result, heads=heads)


def checked_run(problem: Problem | None = None, params: Params = TINY) -> Checked:
    problem = problem or random_problem(params=params)
    golden = golden_results(problem.jobs(params), params)
    result = agreeing(golden)
    comparison = compare(result, golden, problem.shape.Hq, params)
    error = measure_error(result, problem, params)
    return Checked("tiny", params, problem, SystemBuild(Path("nowhere"), params, 20), result, comparison, error, 1.5)


def without_lse(result: RunResult) -> RunResult:
    """The same result if nobody has asked for LSE."""
    return replace(result, heads=[HeadResult(head.out, None, None, None, None) for head in result.heads])


def arrays(**changes: Any) -> dict[str, Any]:
    """q, k and v that suit `tiny`, with changes; None leaves an array out."""
    good = {name: np.ones((1, 1, rows, 8), np.float32) for name, rows in (("q", 3), ("k", 5), ("v", 5))}
    return {name: array for name, array in (good | changes).items() if array is not None}


class FakeSimulator:
    """Both simulators, that of the accelerator and that of the core: computes what it is given with the golden model,
    inverts the bits in `flips`, remembers how it was called."""

    def __init__(self) -> None:
        self.flips: list[tuple[int, str, tuple[int, ...], int]] = []
        self.built: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.jobs: Sequence[HeadJob] = ()
        self.tasks: list[Task] = []

    def build_system(self, params: Params, **options: Any) -> SystemBuild:
        self.built = options
        return SystemBuild(Path("nowhere"), params, options["memory_bits"])

    def run_layer(self, build: SystemBuild, problem: Problem, **options: Any) -> RunResult:
        self.options, self.jobs = options, problem.jobs(build.params)
        if options["waves"] is not None:
            options["waves"].write_text("$end\n")
        result = self._result(build.params)
        return result if options["lse"] else without_lse(result)

    def build(self, params: Params) -> Build:
        return Build(Path("nowhere"), params)

    def simulate(self, build: Build, jobs: Sequence[HeadJob]) -> RunResult:
        self.jobs = jobs
        return self._result(build.params)

    def run_task(self, task: Task, lse: bool) -> Answer:
        """In place of `run_rtl`; flips are of its only head."""
        self.tasks.append(task)
        out, natural, _ = backends.run_bitexact(task, lse)
        result = agreeing([])
        codes = bit_patterns(out).copy()
        for _, _, index, bit in self.flips:
            codes[0, 0][index] ^= 1 << bit
        out = task.problem.numbers(codes)
        return out, natural, result.counters | {"utilisation": 0.5, "seconds": result.seconds}

    def _result(self, params: Params) -> RunResult:
        result = agreeing(golden_results(self.jobs, params), head_dimensions(self.jobs))
        for flip in self.flips:
            result = with_flipped_bit(result, *flip)
        return result


def empty_verilog(part: Part, name: str) -> str:
    """In place of `to_verilog`: a module with nothing but a memory, at once."""
    part._MustUse__used = True  # else Amaranth warns that nobody elaborated it
    return f"module {name}(clk);\n  reg [17:0] memory [15:0];\nendmodule\n"


_emitted: dict[tuple[Any, ...], str] = {}


def emitted_once(part: Part, name: str) -> str:
    """In place of `to_verilog`, which takes seconds: the same text, written once for all tests of a process."""
    key = (part.identity, name)
    if key in _emitted:
        part._MustUse__used = True
    else:
        _emitted[key] = to_verilog(part, name)
    return _emitted[key]
