"""A case's jobs as tensors in memory, and what has to come of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.attention import Result
from golden.formats import CodeArray
from hwgen.control.descriptor import LSE_BYTES
from hwgen.memory.lse_record import LSE_RECORD
from hwgen.params import Params
from hwgen.scoremod.block_list import Pages
from hwgen.sim.layout import Arrangement, Image, Placed, arrangements
from rtl_tests.fuzz import machines
from rtl_tests.fuzz.cases import Job
from rtl_tests.fuzz.values import tensors
from rtl_tests.harness.layers import Layer
from rtl_tests.harness.score_machines import listed, scored

FAR_BYTES = 10_000
"""Most bytes of a tensor whose rows lie apart."""


@dataclass(frozen=True)
class Problem:
    """A job on a machine: `layer` is what is meant, `stored` what lies in memory: another, if keys are in pages."""

    machine: str
    layer: Layer
    stored: Layer

    @property
    def params(self) -> Params:
        return machines.params(self.machine)

    @cached_property
    def golden(self) -> Result:
        return self.layer.golden(self.params)

    def place(self, image: Image) -> Placed:
        return self.stored.place(image)


def problem(job: Job, machine: str) -> Problem:
    """The tensors of a job for a machine."""
    core = machines.params(machine)
    q, k, v = tensors(job, core.input)
    masks = {"causal": job.causal, "offset": job.offset}
    lengths = None if job.lengths is None else np.array(job.lengths)
    layer = Layer(q, k, v, job.scale, lengths=lengths, lse=job.lse, arrange=_arrange(job, core), **masks)
    if machine not in machines.SCORED:
        return Problem(machine, layer, layer)
    rng = np.random.default_rng([job.seed, 3])
    layer = scored(rng, machine, layer)
    if not job.listed:
        return Problem(machine, layer, layer)
    pages = _pages(job, rng)
    layer = listed(rng, layer, pages)
    return Problem(machine, layer, layer if pages is None else replace(layer, k=_paged(k, pages), v=_paged(v, pages)))


def _arrange(job: Job, core: Params) -> dict[str, Arrangement]:
    if job.layout == "interleaved":
        return {name: Arrangement(order="blh") for name in ("q", "k", "v", "o", "lse")}
    if job.layout == "scattered":
        return arrangements(job.seed)
    if job.layout == "far":
        heads = job.kv_heads * job.group
        gaps = {name: FAR_BYTES // (job.batches * heads * job.queries) for name in ("q", "o", "lse")}
        gaps |= {name: FAR_BYTES // (job.batches * job.kv_heads * job.keys) for name in ("k", "v")}
        sizes = dict.fromkeys(("q", "k", "v"), core.input.bits // 8) | {"o": core.output.bits // 8, "lse": LSE_BYTES}
        return {name: Arrangement(gaps=(min(gap, 4200) // sizes[name], 0, 0), shift=1) for name, gap in gaps.items()}
    if job.layout == "shared":
        return {name: Arrangement(shared="h") for name in ("k", "v")}
    return {}


def _pages(job: Job, rng: np.random.Generator) -> list[Pages] | None:
    """Whole pages in any order; what is left behind them stays where it is."""
    if job.page == 0:
        return None
    whole = job.keys // job.page
    rest = range(whole, -(-job.keys // job.page))
    return [Pages((*map(int, rng.permutation(whole)), *rest), job.page, job.page) for _ in range(job.batches)]


def _paged(rows: CodeArray, pages: list[Pages]) -> CodeArray:
    """Rows (B, H, S, n) where the pages say they lie."""
    stored = rows.copy()
    for b, table in enumerate(pages):
        stored[b][:, [table.row(key) for key in range(rows.shape[2])]] = rows[b]
    return stored


def write_results(placed: Placed, want: Result, memory: NDArray[np.uint8]) -> None:
    """Put O, and LSE if the job writes it, where the machine has to."""
    codes = want.out.astype(placed.params.output.dtype)
    rows = np.ascontiguousarray(codes.astype(codes.dtype.newbyteorder("<"))).view(np.uint8)
    placed.o.rows(memory, placed.base)[...] = rows
    if placed.lse is not None:
        placed.lse.rows(memory, placed.base)[...] = lse_records(want)[..., None].view(np.uint8)


def lse_records(want: Result) -> NDArray[np.uint64]:
    """The LSE records of results of any shape."""
    records, low = np.zeros(want.rd.shape, dtype="<u8"), 0
    for name, width in LSE_RECORD.items():
        value = np.asarray(getattr(want, name)).astype(np.int64).astype(np.uint64)
        records |= (value & np.uint64((1 << width) - 1)) << np.uint64(low)
        low += width
    return records
