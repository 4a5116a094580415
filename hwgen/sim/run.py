"""Runs jobs on a built simulator."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from golden.bitexact import Job
from hwgen.control.causes import idle_cycles
from hwgen.control.counters import counters_layout
from hwgen.control.job import geometry, geometry_layout, job_layout
from hwgen.errors import SimulationError
from hwgen.params import Params
from hwgen.sim.build import TOP, Build
from hwgen.sim.events import Events
from hwgen.sim.files import read_lines, read_words, unpack, write_beats, write_words
from hwgen.sim.launch import launch
from hwgen.softmax.output import lse_beat, output_beat
from hwgen.timing import reset_cycles

Codes = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class HeadJob:
    """One job of the core: float codes q (L group, E), k (S, E), v (S, F) and what the job says about them.

    With `group` heads row i of q belongs to head i % group and position i // group.
    """

    q: Codes
    k: Codes
    v: Codes
    job: Job
    group: int = 1


@dataclass(frozen=True)
class HeadResult:
    """What came back: out codes (L, F); rm, rd int64, empty, poisoned bool, each (L,), or None if nobody asked."""

    out: Codes
    rm: NDArray[np.int64] | None
    rd: NDArray[np.int64] | None
    empty: NDArray[np.bool_] | None
    poisoned: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Traffic:
    """How unkind the testbench is: pauses of sources and refusals of sinks in 256ths of the cycles."""

    seed: int = 1
    idle: int = 0
    stall: int = 0

    def plusargs(self) -> list[str]:
        return [f"+seed={self.seed}", f"+idle={self.idle}", f"+stall={self.stall}"]


@dataclass(frozen=True)
class RunResult:
    """All results of a run, and what the core counted.

    seconds: processor time from reset to `done`, without start-up
    activity: (cycle, cause, value_busy) at every change, if traced
    events: what else happened, if the accelerator was traced
    """

    heads: list[HeadResult]
    head_e: int
    head_f: int
    counters: dict[str, int]
    saturated: bool
    poisoned: bool
    seconds: float
    activity: list[tuple[int, int, int]] = field(default_factory=list)
    events: Events | None = None

    def macs(self, params: Params) -> dict[str, int]:
        """Multiply-accumulates: issued to the `score` and to the `value` array, `useful` ones, and those `possible`."""
        c = params.config
        return {
            "score": self.counters["score_busy"] * c.rows_e * c.cols,
            "value": self.counters["value_busy"] * c.rows_f * c.cols,
            "useful": self.counters["pairs"] * (self.head_e + self.head_f),
            "possible": self.counters["cycles"] * params.macs,
        }

    def utilisation(self, params: Params) -> float:
        """Useful MACs over possible ones, start to done."""
        macs = self.macs(params)
        return macs["useful"] / macs["possible"]

    def idle(self, array: str) -> dict[str, int]:
        """Idle cycles of the `score` or `value` array by cause."""
        return idle_cycles(self.counters, array)


def cycle_limit(params: Params, jobs: Sequence[HeadJob], traffic: Traffic) -> int:
    """Cycles after which a run must have ended: every visit, load and drain one after the other, with all pauses."""
    c = params.config
    total = 10_000
    for head in jobs:
        blocks = math.ceil(len(head.q) / params.block)
        visits = blocks * head.job.keys * c.slots
        total += visits * max(params.visit, 4) + blocks * params.block * (c.head_e + c.head_f) * 2
        total += blocks * head.job.keys * (c.head_e + c.head_f) // c.beat
    return int(total * 3 * 256 / (256 - max(traffic.idle, traffic.stall)))


def simulate(
    build: Build,
    jobs: Sequence[HeadJob],
    *,
    traffic: Traffic | None = None,
    trace: bool = False,
    waves: Path | None = None,
    reset_at: int = 0,
) -> RunResult:
    """Run jobs back to back through cocotb.

    `waves`: write a VCD file there (the build must have been made for it). `reset_at`: after that many cycles reset
    everything and start again. Raises SimulationError if the run does not end, breaks a handshake or writes too little.
    """
    traffic = traffic or Traffic()
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=build.folder))
    try:
        write_inputs(folder, build.params, jobs)
        plusargs = [f"+dir={folder}", *job_plusargs(build.params, jobs), *traffic.plusargs()]
        plusargs += ["+trace"] if trace else []
        settings = {
            "HWGEN_LIMIT": cycle_limit(build.params, jobs, traffic),
            "HWGEN_RESET_CYCLES": reset_cycles(build.params),
            "HWGEN_RESET_AT": reset_at,
        }
        report = _run_cocotb(build, folder, plusargs, settings, waves is not None)
        if waves is not None:
            shutil.move(folder / "dump.vcd", waves)
        return _collect(folder, build.params, jobs, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def head_dimensions(jobs: Sequence[HeadJob]) -> tuple[int, int]:
    """E and F, which all jobs of a run share. Raises SimulationError if they do not."""
    dimensions = {(head.q.shape[1], head.v.shape[1]) for head in jobs}
    if len(dimensions) != 1:
        raise SimulationError(f"all jobs of a run must have the same head dimensions, not {sorted(dimensions)}")
    return dimensions.pop()


def job_plusargs(params: Params, jobs: Sequence[HeadJob]) -> list[str]:
    """How many jobs there are, and their head dimensions in the forms that the testbench needs."""
    head_e, head_f = head_dimensions(jobs)
    word = geometry_layout(params).const(geometry(params, head_e, head_f)).as_bits()
    beats = row_beats(head_e, params.config.rows_e, params), row_beats(head_f, params.config.rows_f, params)
    return [f"+jobs={len(jobs)}", f"+geometry={word:x}", f"+e_beats={beats[0]}", f"+f_beats={beats[1]}"]


def write_inputs(folder: Path, params: Params, jobs: Sequence[HeadJob]) -> None:
    """The memories' contents; a K or V that several jobs name is written once."""
    c = params.config
    layout = job_layout(params)
    padded = {"q": c.rows_e, "k": c.rows_e, "v": c.rows_f}
    bases: dict[int, int] = {}
    words, queries = [], [job.q for job in jobs]
    rows: dict[str, list[Codes]] = {"k": [], "v": []}
    ends = {"k": 0, "v": 0}
    for head in jobs:
        for name, tensor in (("k", head.k), ("v", head.v)):
            if id(tensor) not in bases:
                bases[id(tensor)] = ends[name]
                rows[name].append(tensor)
                ends[name] += len(tensor) * row_beats(tensor.shape[1], padded[name], params)
        payload = layout.const(
            {
                "queries": len(head.q),
                "group": head.group,
                "keys": head.job.keys,
                "causal": head.job.causal,
                "offset": head.job.offset,
                "edge": -head.job.offset * head.group,
                "scale_mantissa": head.job.scale.mantissa,
                "scale_exponent": head.job.scale.exponent,
            }
        ).as_bits()
        words.append(payload | bases[id(head.k)] << layout.size | bases[id(head.v)] << (layout.size + 32))
    write_words(folder / "jobs.hex", words)
    for name, tensors in {"q": queries, **rows}.items():
        write_beats(folder / f"{name}.hex", pad_rows(np.concatenate(tensors), padded[name]), c.beat)


def row_beats(width: int, rows: int, params: Params) -> int:
    """Beats of a row of `width` elements on its way to an array of `rows` rows, which takes whole folds."""
    return -(-width // rows) * rows // params.config.beat


def pad_rows(tensor: Codes, rows: int) -> Codes:
    """Rows with zeros up to a whole number of folds."""
    return np.pad(tensor, ((0, 0), (0, -tensor.shape[1] % rows)))


def _run_cocotb(build: Build, folder: Path, plusargs: list[str], settings: dict[str, int], waves: bool) -> dict:
    report = folder / "report.json"
    extra = {**settings, "HWGEN_REPORT": report}
    try:
        launch(build.folder, TOP, "hwgen.sim.entry", folder, plusargs=plusargs, settings=extra, waves=waves)
    except SimulationError:
        # A report says more than that the run failed.
        if not report.exists():
            raise
    return json.loads(report.read_text())


def _collect(folder: Path, params: Params, jobs: Sequence[HeadJob], report: dict) -> RunResult:
    if not report["finished"]:
        rows = sum(len(head.q) for head in jobs)
        raise SimulationError(f"the run did not end: {report['rows_out']} of {rows} rows written")
    if report["violated"]:
        raise SimulationError("an output stream changed or withdrew a beat that was not taken")
    head_e, head_f = head_dimensions(jobs)
    beats = _read_outputs(folder / "o.hex", head_f, params)
    lse = [unpack(lse_beat(params), word) for word in read_words(folder / "lse.hex")]
    rows = sum(len(head.q) for head in jobs)
    if len(beats) != rows or len(lse) != rows:
        raise SimulationError(f"{rows} queries went in, {len(beats)} rows of O and {len(lse)} of LSE came out")
    heads, first = [], 0
    for head in jobs:
        part = slice(first, first + len(head.q))
        names = ("rm", "rd", "empty", "poisoned")
        rm, rd, empty, poisoned = (np.array([entry[name] for entry in lse[part]]) for name in names)
        heads.append(HeadResult(beats[part], rm, rd, empty.astype(bool), poisoned.astype(bool)))
        first += len(head.q)
    counters = unpack(counters_layout(), int(report["counters"], 16))
    flags = report["saturated"], report["poisoned"]
    return RunResult(heads, head_e, head_f, counters, *flags, report["seconds"], _read_activity(folder))


def _read_outputs(path: Path, head_f: int, params: Params) -> Codes:
    """O rows (N, F); their ends must be marked where they are."""
    c = params.config
    layout = output_beat(params)
    words = read_words(path)
    bits = params.output.bits
    per_row = -(-head_f // c.out_beat)
    codes = np.zeros((len(words), c.out_beat), dtype=params.output.dtype)
    for i, word in enumerate(words):
        last = (word >> layout["last"].offset) & 1
        if last != (i % per_row == per_row - 1):
            raise SimulationError(f"beat {i} of O has last={last}, a row has {per_row} beats")
        for j in range(c.out_beat):
            codes[i, j] = (word >> (j * bits)) & ((1 << bits) - 1)
    return codes.reshape(-1, per_row * c.out_beat)[:, :head_f]


def _read_activity(folder: Path) -> list[tuple[int, int, int]]:
    return [tuple(map(int, line.split())) for line in read_lines(folder / "activity.txt")]  # type: ignore[misc]
