"""From a configuration to a simulator binary, cached by content."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import data

from hwgen import doctor
from hwgen.control.counters import counters_layout
from hwgen.control.job import job_layout
from hwgen.control.tags import block_layout
from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.errors import SimulationError
from hwgen.memory.convert import raw_beat
from hwgen.params import LENGTH_BITS, Params
from hwgen.softmax.output import lse_beat, output_beat

HERE = Path(__file__).parent
TOP = "testbench"
PORTS = ("clk", "rst", "done", "violated", "saturated", "poisoned", "rows_out", "counters")

WAIVERS = (
    "CASEINCOMPLETE",  # Amaranth writes a switch without a default where a register keeps its value
    "WIDTHEXPAND",  # Amaranth extends operands of unequal width itself, as the language does
    "WIDTHTRUNC",  # an assignment keeps the low bits, as Amaranth defines it
    "UNSIGNED",  # a comparison with a constant limit may hold for every value of a narrow operand
    "CMPCONST",  # the same for other comparisons
    "UNOPTFLAT",  # two-dimensional wires between cells look like loops when seen as one vector
)


def lint_arguments() -> list[str]:
    """Verilator's arguments for the emitted Verilog: all warnings but those explained in WAIVERS."""
    return ["-Wall", *(f"-Wno-{name}" for name in (*WAIVERS, "UNUSEDSIGNAL", "UNDRIVEN", "DECLFILENAME"))]


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
    block = block_layout(params)
    return {
        "JOB": job_layout(params).size,
        "BLOCK": block.size,
        "BEAT": raw_beat(params).size,
        "O": output_beat(params).size,
        "LSE": lse_beat(params).size,
        "COUNTERS": counters_layout().size,
        "LENGTH": LENGTH_BITS,
        "FIRST": position(block, "first_query"),
        "QUERIES": position(block, "queries"),
        "KEYS": position(block, "keys"),
        "BLOCK_JOB_LAST": position(block, "job_last"),
        "E_BEATS": params.config.head_e // params.config.beat,
        "F_BEATS": params.config.head_f // params.config.beat,
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
    """The simulator for a core, built unless it is in the cache. `fast`: compile for speed rather than for a short build.

    Raises MissingTool or SimulationError.
    """
    doctor.require("verilator", "g++", "make", "perl", "cocotb", "libpython")
    verilog = to_verilog(Core(params), "hwgen_core")
    recipe = json.dumps(
        [
            testbench_parameters(params, address_bits),
            (HERE / "testbench.sv").read_text(),
            control_file(params),
            make_arguments(fast),
            waves,
            str(doctor.find_verilator()),
        ]
    )
    key = hashlib.sha256((verilog + recipe).encode()).hexdigest()[:20]
    folder = cache_folder() / key
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hwgen_core.v").write_text(verilog)
        _compile(params, folder, address_bits, waves, fast)
        (folder / "complete").touch()
    return Build(folder, params)


def make_arguments(fast: bool) -> list[str]:
    """Compiler choice and optimisation; the run-time library is always optimised."""
    level = "-Os" if fast else "-O0"
    arguments = [f"OPT_FAST={level}", f"OPT_SLOW={'-O0'}", f"OPT_GLOBAL={'-Os' if fast else '-O1'}"]
    if shutil.which("clang++"):
        arguments += ["CXX=clang++", "LINK=clang++"]
    if shutil.which("ccache"):
        arguments.append("OBJCACHE=ccache")
    return arguments


@contextlib.contextmanager
def environment(extra: str = "") -> Iterator[None]:
    """os.environ as the tools need it, for as long as they run; the runner reads it there."""
    before = dict(os.environ)
    os.environ.update(doctor.tool_environment())
    os.environ.pop("VERILATOR_ROOT", None)
    os.environ["MAKEFLAGS"] = " ".join(filter(None, [os.environ.get("MAKEFLAGS", ""), extra]))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _compile(params: Params, folder: Path, address_bits: int, waves: bool, fast: bool) -> None:
    from cocotb_tools.runner import VerilatorControlFile, get_runner

    (folder / "control.vlt").write_text(control_file(params))
    flags = " ".join(f"{key}={value}" for key, value in (a.split("=", 1) for a in make_arguments(fast)))
    arguments = ["--no-public-flat-rw", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "0", "--x-initial", "0"]
    arguments += ["--no-timing", "-O3", "--output-split", "20000"]
    log = io.StringIO()
    with environment(flags), contextlib.redirect_stdout(log):
        try:
            get_runner("verilator").build(
                sources=[
                    VerilatorControlFile(folder / "control.vlt"),
                    folder / "hwgen_core.v",
                    HERE / "testbench.sv",
                ],
                parameters=testbench_parameters(params, address_bits),
                build_args=arguments,
                hdl_toplevel=TOP,
                build_dir=folder,
                waves=waves,
                always=True,
                timescale=("1ns", "1ns"),
                log_file=folder / "build.log",
            )
        except SystemExit as error:
            raise SimulationError(f"the simulator could not be built: see {folder / 'build.log'}") from error
