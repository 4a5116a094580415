"""The same Verilated model in a bare C++ loop: the speed that cocotb's is measured against."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hwgen import doctor
from hwgen.errors import SimulationError
from hwgen.sim.build import HERE, Build
from hwgen.sim.run import HeadJob, job_plusargs, write_inputs


def measure_bare(build: Build, jobs: Sequence[HeadJob]) -> tuple[int, float]:
    """Cycles from reset to done, and the processor seconds the loop took, without start-up. Raises SimulationError."""
    program = link_loop(build.folder, HERE / "bare.cpp")
    folder = Path(tempfile.mkdtemp(prefix="bare-", dir=build.folder))
    try:
        write_inputs(folder, build.params, jobs)
        command: list[str | Path] = [program, f"+dir={folder}", *job_plusargs(build.params, jobs)]
        cycles, seconds = _run(command, folder).split()[-2:]
        return int(cycles), float(seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def link_loop(folder: Path, source: Path, *flags: str) -> Path:
    """The program of a C++ loop with the objects that a build left in its folder, compiled unless it is there."""
    program = folder / source.stem
    if not program.exists():
        environment = doctor.tool_environment()
        root = Path(_run(["verilator", "--getenv", "VERILATOR_ROOT"], folder, environment).strip())
        include = root / "include"
        objects = [*sorted(folder.glob("verilated*.o")), folder / "Vtop__ALL.a"]
        compiler = "clang++" if shutil.which("clang++") else "g++"
        folders = (folder, include, include / "vltstd")
        command: list[str | Path] = [compiler, "-Os", "-std=c++20", *flags, *(f"-I{path}" for path in folders)]
        # Moved to its place when complete: somebody else may be linking it too.
        with tempfile.TemporaryDirectory(prefix="link-", dir=folder) as work:
            made = Path(work) / program.name
            _run([*command, source, *objects, "-pthread", "-latomic", "-o", made], folder)
            made.rename(program)
    return program


def _run(command: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SimulationError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
