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
    program = _compile(build)
    folder = Path(tempfile.mkdtemp(prefix="bare-", dir=build.folder))
    try:
        write_inputs(folder, build.params, jobs)
        command: list[str | Path] = [program, f"+dir={folder}", *job_plusargs(build.params, jobs)]
        cycles, seconds = _run(command, folder).split()[-2:]
        return int(cycles), float(seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(build: Build) -> Path:
    """Link the loop to the objects that the build left."""
    program = build.folder / "bare"
    if not program.exists():
        environment = doctor.tool_environment()
        root = Path(_run(["verilator", "--getenv", "VERILATOR_ROOT"], build.folder, environment).strip())
        include = root / "include"
        objects = [*sorted(build.folder.glob("verilated*.o")), build.folder / "Vtop__ALL.a"]
        compiler = "clang++" if shutil.which("clang++") else "g++"
        folders = (build.folder, include, include / "vltstd")
        command: list[str | Path] = [compiler, "-Os", "-std=c++20", *(f"-I{folder}" for folder in folders)]
        _run([*command, HERE / "bare.cpp", *objects, "-pthread", "-latomic", "-o", program], build.folder)
    return program


def _run(command: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SimulationError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
