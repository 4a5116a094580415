"""The ways to compute a checked problem: float64, the integer model, the accelerator in a simulator, and devices that
rooms above hwgen know."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from golden import bitexact, exact
from golden.formats import CodeArray, encode
from hwgen.config import Config, did_you_mean
from hwgen.errors import InputError
from hwgen.params import Params
from hwgen.problem import FloatArray, Problem, bit_patterns
from hwgen.progress import step
from hwgen.score_functions import ScoreFunctions, blind_to_poison
from hwgen.scoremod import Traced, block_list, library

if TYPE_CHECKING:
    from hwgen.sim.layout import Image, Outputs, Placed

Answer = tuple[FloatArray, NDArray[Any], dict[str, Any]]
"""Outputs (B, Hq, L, F) of the inputs' type, natural lse (B, Hq, L) and what was counted."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A problem, what is done to its scores, and the machine for it; `traced` is of `functions`, None if they are
    plain; `shown` (B, Hq, L, S) is what a list of segments leaves of a block mask that is not among them."""

    problem: Problem
    functions: ScoreFunctions
    params: Params
    traced: Traced | None
    shown: NDArray[np.bool_] | None = None

    @property
    def masks(self) -> dict[str, Any]:
        """What every machine masks."""
        functions = self.functions
        return {"causal": functions.causal, "offset": functions.offset, "key_lengths": self.problem.lengths}

    @property
    def bias(self) -> CodeArray | None:
        """Codes of the input format of a shape that broadcasts to (B, Hq, L, S), if the score program reads any."""
        if self.traced is None or self.traced.bias is None:
            return None
        array = self.traced.bias.array
        if array.dtype == np.bool_:
            array = np.where(array, 0.0, -np.inf).astype(self.problem.q.dtype)
        return bit_patterns(array.astype(array.dtype.newbyteorder("="), copy=False))


def exact_attention(task: Task) -> exact.Result:
    """In float64, not rounded."""
    problem, functions = task.problem, task.functions
    rules: dict[str, Any] = {"mask_mod": functions.mask_mod, "sink": functions.sink}
    shown = task.shown
    if shown is not None:
        masks = [] if functions.mask_mod is None else [functions.mask_mod]
        rules["mask_mod"] = library.both(*masks, lambda b, h, q, kv: shown[b, h, q, kv])
    if functions.score_mod is not None:
        rules["score_mod"] = blind_to_poison(functions.score_mod)
    if functions.dropout is not None:
        rules |= {"keep": functions.dropout.keep, "keep_probability": 1 - functions.dropout.probability}
    q, k, v = (array.astype(np.float64) for array in (problem.q, problem.k, problem.v))
    with nullcontext() if task.traced is None else task.traced.overriding(problem.scores.overrides):
        return exact.attention(q, k, v, scale=problem.scale, **task.masks, **rules)


def run_exact(task: Task, lse: bool) -> Answer:
    result = exact_attention(task)
    return task.problem.numbers(encode(result.out, task.problem.fmt)), result.lse, {}


def run_bitexact(task: Task, lse: bool) -> Answer:
    problem, traced, numerics = task.problem, task.traced, task.params.numerics
    options = task.masks | {"shown": task.shown}
    if traced is not None:
        options |= {"score": traced.program, "arguments": traced.codes(problem.scores.overrides), "bias": task.bias}
    result = bitexact.attention(*problem.codes(), numerics, scale=problem.scale, **options)
    return problem.numbers(result.out), result.lse(numerics), {}


def run_rtl(task: Task, lse: bool) -> Answer:
    from hwgen.sim import system
    from hwgen.sim.layer import run_placed

    image, placed = place_task(task, lse)
    bits = system.memory_bits_for(image.size)
    with step("generating and building the simulator (once)"):
        build = system.build_system(task.params, memory_bits=bits)
    with step("simulating"):
        outputs, run = run_placed(build, image, placed)
    flags = {"saturated": run.last.saturated, "poisoned": run.last.poisoned}
    return machine_answer(task, outputs, run.last.counters, flags | {"seconds": run.seconds})


def place_task(task: Task, lse: bool, base: int = -1) -> tuple[Image, Placed]:
    """The task's tensors in a machine's memory, which begins at `base` if that is given, and its descriptor."""
    from hwgen.sim.layout import Arrangement, Image

    problem, params = task.problem, task.params
    image = Image(params, base)
    options = dict(task.masks)
    if task.traced is not None:
        options |= {"words": task.traced.words(problem.scores.overrides), "bias": task.bias}
    tensors = problem.codes()
    if problem.scores.block_mask is not None or problem.pages is not None:
        options["segments"] = segments(task)
    if problem.pages is not None:
        # One pool serves all batch entries; as many rows as keys, for the descriptor's sake.
        rows = max(problem.pages.rows, problem.shape.S)
        options["arrange"] = {name: Arrangement(shared="b") for name in ("k", "v")}
        k, v = (pool_rows(pool, problem.shape.B, rows) for pool in problem.pages.codes())
        tensors = tensors[0], k, v
        if options.get("bias") is not None and options["bias"].shape[3] > 1:
            missing = rows - problem.shape.S
            options["bias"] = np.pad(options["bias"], ((0, 0), (0, 0), (0, 0), (0, missing)))
    return image, image.add(*tensors, scale=params.numerics.encode_scale(problem.scale), lse=lse, **options)


def machine_answer(task: Task, outputs: Outputs, counters: dict[str, int], facts: dict[str, Any]) -> Answer:
    """What a machine wrote and counted, as an answer; `facts` are added to what was counted."""
    problem, params = task.problem, task.params
    useful = counters["pairs"] * (problem.shape.E + problem.shape.F)
    stats = {"utilisation": useful / (counters["cycles"] * params.macs)}
    natural = np.empty(0) if outputs.rm is None else outputs.natural_lse(params.numerics)
    return problem.numbers(outputs.out), natural, counters | stats | facts


def segments(task: Task) -> bytes:
    """The list of segments as it lies in memory: what block mask, window and causal rule leave."""
    problem, shape = task.problem, task.problem.shape
    seen = problem.positions.seen(shape.L, shape.S)
    if problem.scores.block_mask is not None:
        seen = seen & problem.scores.block_mask.seen
    seen = np.broadcast_to(seen, (shape.B, shape.Hq, shape.L, shape.S))
    pages = None
    if problem.pages is not None:
        size = problem.pages.page_size
        pages = [block_list.Pages(tuple(int(page) for page in row), size, size) for row in problem.pages.table]
    group = shape.Hq // shape.Hkv
    return block_list.encode_list(block_list.machine_list(seen, task.params, group, pages, problem.lengths))


def pool_rows(pool: CodeArray, batches: int, rows: int) -> CodeArray:
    """A pool (pages, Hkv, page size, n) as (B, Hkv, rows, n), zeros behind its last page."""
    flat = pool.swapaxes(0, 1).reshape(pool.shape[1], -1, pool.shape[3])
    padded = np.pad(flat, ((0, 0), (0, rows - flat.shape[1]), (0, 0)))
    return np.broadcast_to(padded, (batches, *padded.shape))


BACKENDS = {"rtl": run_rtl, "bitexact": run_bitexact, "exact": run_exact}


class Device(Protocol):
    """A machine that exists: a board, for instance."""

    @property
    def config(self) -> Config:
        """The machine that it is. Raises HwgenError if that is not known."""
        ...

    def run(self, task: Task, lse: bool) -> Answer:
        """Compute a task. Raises HwgenError if the device is another machine than the task's, or fails."""
        ...


def open_device(backend: str) -> AbstractContextManager[Device]:
    """The device called `name:argument`, by the entry point `name` of the group `hwgen.backends`, a function of the
    argument. Raises InputError for another name, or what opening the device raises."""
    name, _, argument = str(backend).partition(":")
    found = {entry.name: entry for entry in entry_points(group="hwgen.backends")}
    if name not in found or not argument:
        allowed = [*BACKENDS, *(f"{other}:PORT" for other in found)]
        raise InputError(f"unknown backend {backend!r}{did_you_mean(str(backend), allowed)}")
    device: AbstractContextManager[Device] = found[name].load()(argument)
    return device
