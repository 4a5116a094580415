"""From a configuration to a simulator binary, cached by content."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from amaranth.lib import data

from hwgen import doctor
from hwgen.control.counters import COUNTER_BITS, counters_layout, events_layout
from hwgen.control.job import geometry_layout, job_layout
from hwgen.control.tags import block_layout
from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.errors import ConfigError, SimulationError
from hwgen.memory.convert import raw_beat
from hwgen.params import LENGTH_BITS, Params
from hwgen.sim.children import ended_with_us
from hwgen.softmax.output import lse_beat, output_beat

HERE = Path(__file__).parent
TOP = "testbench"
PORTS = ("clk", "rst", "done", "violated", "saturated", "poisoned", "rows_out", "counters")

COMPLETE = "complete"
"""The file in a simulator's folder that says that all is there: the program's fingerprint."""

BESIDE = ("cascade", "evaluation", "model", "report", "schedule", "sweep")
"""Rooms of hwgen from which no simulator is made: changing them leaves simulators as they are."""


@dataclass(frozen=True)
class Build:
    """A simulator: the folder with its binary, and the parameters of its core."""

    folder: Path
    params: Params


def cache_folder() -> Path:
    """Where builds are kept: `build/sim` below the current folder, or HWGEN_CACHE."""
    return Path(os.environ.get("HWGEN_CACHE", "build/sim")).absolute()


def position(layout: data.StructLayout, field: str) -> int:
    return layout[field].offset


def testbench_parameters(params: Params, address_bits: int) -> dict[str, int]:
    """The testbench's Verilog parameters: widths and field positions of the core's streams."""
    block, events = block_layout(params), events_layout(params)
    return {
        "JOB": job_layout(params).size,
        "BLOCK": block.size,
        "BEAT": raw_beat(params).size - 1,
        "O": output_beat(params).size,
        "LSE": lse_beat(params).size,
        "COUNTERS": counters_layout().size,
        "COUNTER": COUNTER_BITS,
        "EVENTS": events.size,
        "PAIRS": position(events, "pairs"),
        "PAIRS_BITS": events["pairs"].width,
        "LENGTH": LENGTH_BITS,
        "QUERIES": position(block, "queries"),
        "QUERIES_BITS": block["queries"].width,
        "FRESH": position(block, "fresh"),
        "REWIND": position(block, "rewind"),
        "BLOCK_JOB_LAST": position(block, "job_last"),
        "GEOMETRY": geometry_layout(params).size,
        "ADDRESS": address_bits,
    }


def control_file(params: Params) -> str:
    """Verilator's configuration: only the top's ports are visible; cells stay functions of their own."""
    lines = ["`verilator_config"]
    lines += [f'public_flat_rw -module "{TOP}" -var "{port}"' for port in PORTS]
    if params.config.cols * params.config.rows_e >= 64:
        # One copy of a cell's code instead of one a cell: compiling it is most of the build.
        lines += [f'no_inline -module "{module}"' for module in ("score_pe", "value_pe")]
    return "\n".join(lines) + "\n"


def build(params: Params, *, address_bits: int = 18, waves: bool = False, fast: bool = True) -> Build:
    """The simulator for a core, built unless it is in the cache.

    `fast`: compile for speed rather than for a short build. Raises MissingTool, SimulationError, or ConfigError if the
    core has inputs that the testbench knows nothing of: those of a score program or of segments.
    """
    if params.score is not None or params.segmented:
        what = "score programs" if params.score is not None else "lists of segments"
        raise ConfigError(f"the testbench of the core alone has no {what}; simulate the accelerator instead")

    def sources(folder: Path) -> list[Path]:
        (folder / "hwgen_core.v").write_text(to_verilog(Core(params), "hwgen_core"))
        return [folder / "hwgen_core.v", HERE / "testbench.sv"]

    key = content_key(params.config.hash(), address_bits, waves, make_arguments(fast))
    recipe = Recipe(TOP, control_file(params), testbench_parameters(params, address_bits), waves, fast)
    return Build(cached_build(key, sources, recipe), params)


@dataclass(frozen=True)
class Recipe:
    """How Verilog becomes a simulator: top module, Verilator's control file, parameters of the top, options of ours and
    of Verilator's."""

    top: str
    control: str
    parameters: Mapping[str, int]
    waves: bool = False
    fast: bool = True
    options: tuple[str, ...] = ()


def cached_build(key: str, sources: Callable[[Path], list[Path]], recipe: Recipe) -> Path:
    """The folder of a simulator; `sources` writes and names the Verilog if it has to be made.

    Who asks for a simulator that somebody else is building waits for it. Raises MissingTool or SimulationError.
    """
    folder = cache_folder() / key
    if is_whole(folder, recipe.top):
        return folder
    doctor.require("verilator", "g++", "make", "perl", "cocotb", "libpython")
    cache_folder().mkdir(parents=True, exist_ok=True)
    # The lock ends with its owner, however that ends.
    with open(cache_folder() / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_whole(folder, recipe.top):
            # What somebody has damaged is made again.
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, sources, recipe)
    return folder


def is_whole(folder: Path, program: str) -> bool:
    """Whether a simulator is there and is as it was built."""
    try:
        return (folder / COMPLETE).read_text() == fingerprint(folder / program)
    except (OSError, ValueError):
        return False


def fingerprint(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(folder: Path, sources: Callable[[Path], list[Path]], recipe: Recipe) -> None:
    # Built beside its place and moved there when complete, so that an interrupted build leaves nothing to trip over.
    work = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=cache_folder()))
    try:
        _compile(work, sources(work), recipe)
        (work / COMPLETE).write_text(fingerprint(work / recipe.top))
        work.rename(folder)
    except SimulationError:
        with contextlib.suppress(OSError):
            (work / "build.log").replace(cache_folder() / "failed.log")
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def content_key(*choices: object) -> str:
    """Twenty hexadecimal digits that change with anything a simulator is made from: choices, sources, tools."""
    digest = hashlib.sha256(repr(choices).encode())
    root = HERE.parent.parent
    for package in ("hwgen", "golden/bitexact", "golden/scoremod"):
        for path in sorted((root / package).rglob("*")):
            parts = path.relative_to(root).parts
            if path.suffix in (".py", ".sv", ".cpp") and "tests" not in parts and parts[1] not in BESIDE:
                digest.update(path.read_bytes())
    digest.update(f"{metadata.version('amaranth')} {metadata.version('cocotb')} {doctor.find_verilator()}".encode())
    return digest.hexdigest()[:20]


def make_arguments(fast: bool) -> list[str]:
    """Compiler choice and optimisation; the run-time library is always optimised."""
    arguments = [f"OPT_FAST={'-Os' if fast else '-O0'}", "OPT_SLOW=-O0", "OPT_GLOBAL=-Os"]
    if not fast:
        # Reading the headers takes longer than compiling what follows, so that one file is quicker than several.
        arguments.append("VM_PARALLEL_BUILDS=0")
    if shutil.which("clang++"):
        arguments += ["CXX=clang++", "LINK=clang++"]
    if shutil.which("ccache"):
        arguments.append("OBJCACHE=ccache")
    return arguments


@contextlib.contextmanager
def environment(extra: str = "") -> Iterator[None]:
    """os.environ as the tools need it, for as long as they run, which is no longer than this process does; the runner
    reads it there."""
    before = dict(os.environ)
    os.environ.update(doctor.tool_environment())
    os.environ.pop("VERILATOR_ROOT", None)
    os.environ["MAKEFLAGS"] = " ".join(filter(None, [os.environ.get("MAKEFLAGS", ""), extra]))
    try:
        with ended_with_us():
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _compile(folder: Path, sources: list[Path], recipe: Recipe) -> None:
    from cocotb_tools.runner import VerilatorControlFile, get_runner

    (folder / "control.vlt").write_text(recipe.control)
    runtime = _fetch_runtime(folder, recipe.waves)
    arguments = ["--no-public-flat-rw", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "0", "--x-initial", "0"]
    arguments += ["--no-timing", "-O3", "--output-split", "20000", *recipe.options]
    with environment(" ".join(make_arguments(recipe.fast))), contextlib.redirect_stdout(io.StringIO()):
        try:
            get_runner("verilator").build(
                sources=[VerilatorControlFile(folder / "control.vlt"), *sources],
                parameters=recipe.parameters,
                build_args=arguments,
                hdl_toplevel=recipe.top,
                build_dir=folder,
                waves=recipe.waves,
                always=True,
                timescale=("1ns", "1ns"),
                log_file=folder / "build.log",
            )
        except (SystemExit, RuntimeError) as error:
            raise SimulationError(f"the simulator could not be built: see {cache_folder() / 'failed.log'}") from error
    _keep_runtime(folder, runtime)


def _fetch_runtime(folder: Path, waves: bool) -> Path:
    """Put the compiled run-time library of an earlier build where make looks for it; gives its place.

    The library is the same for every design, and compiling it takes longer than compiling a small design.
    """
    runtime = cache_folder() / f"runtime-{content_key(waves, shutil.which('clang++'))}"
    if runtime.exists():
        # Verilator's makefile calls these objects stale if they are older than itself, which is yet to be written.
        later = time.time() + 3600
        for path in runtime.iterdir():
            os.utime(shutil.copy(path, folder), (later, later))
    return runtime


def _keep_runtime(folder: Path, runtime: Path) -> None:
    if not runtime.exists():
        work = Path(tempfile.mkdtemp(dir=cache_folder()))
        for path in folder.glob("verilated*.o"):
            shutil.copy(path, work)
        with contextlib.suppress(OSError):
            work.rename(runtime)
        shutil.rmtree(work, ignore_errors=True)
