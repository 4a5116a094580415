"""What came of a build: area by part, clock, speed; as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boards.board import Board
from boards.flow.family import PACKED, REPORT, TOP, Family, Use
from boards.flow.netlist import Netlist
from boards.flow.parts import total, uses
from boards.report.timing import critical_path, fmax_mhz
from golden.exact import Shape
from hwgen import table
from hwgen.model.machine import Memory, predict
from hwgen.model.work import Work
from hwgen.params import Params

ARRAYS = ("score array", "value array")
BETWEEN = ("softmax lanes", "normaliser", "block conversion")
LENGTH = 512
"""Queries and keys of the problem that speed is quoted for, if the memory holds it; else the largest power of two."""


def summarise(folder: Path, board: Board, params: Params, family: Family) -> dict[str, Any]:
    """All figures of a finished build."""
    parts = uses(Netlist.read(folder / PACKED), TOP, family)
    report = json.loads((folder / REPORT).read_text())
    fmax = fmax_mhz(report)
    return {
        "board": board.name,
        "device": board.title,
        "preset": board.preset,
        "configuration_hash": params.config.hash(),
        "parts": {name: asdict(use) for name, use in parts.items()},
        "total": asdict(total(parts.values())),
        "capacity": dict(board.capacity),
        "arrays": arrays(parts, params),
        "fmax_mhz": round(fmax, 2),
        "clock_mhz": board.clock_hz / 1e6,
        "critical_path": critical_path(report).as_json(),
        "speed": speed(board, params, fmax),
    }


def arrays(parts: dict[str, Use], params: Params) -> dict[str, float]:
    """Area of the arrays for each of their cells, and of what stands between them against the arrays'."""
    both, between = (total(parts[name] for name in names if name in parts) for names in (ARRAYS, BETWEEN))
    cells = params.macs
    return {
        "cells": cells,
        "lut_per_pe": round(both.logic / cells, 1),
        "lutram_per_pe": round(both.lutram / cells, 1),
        "ff_per_pe": round(both.ff / cells, 1),
        "dsp_per_pe": round(both.dsp / cells, 3),
        "between_to_arrays": round(between.logic / both.logic, 3),
    }


def speed(board: Board, params: Params, fmax: float) -> dict[str, Any]:
    """Multiply-accumulates a second: the most there could be, and what a head of attention gets of them, in cycles as
    the machine's model counts them with the board's memory."""
    c = params.config
    length = LENGTH
    row_bytes = params.input.bits // 8 * 2 * (c.head_e + c.head_f)
    while length * row_bytes > board.memory_bytes:
        length //= 2
    work = Work(shape=Shape(1, 1, 1, length, length, c.head_e, c.head_f))
    counters = predict(params, work, Memory(latency=board.memory_latency)).counters
    useful = counters["pairs"] * (c.head_e + c.head_f)
    utilisation = useful / (counters["cycles"] * params.macs)
    peak = fmax * 1e6 * params.macs
    return {
        "shape": f"one head, L=S={length}, E={c.head_e}, F={c.head_f}",
        "cycles": counters["cycles"],
        "utilisation": round(utilisation, 4),
        "peak_gmac_s": round(peak / 1e9, 2),
        "sustained_gmac_s": round(peak * utilisation / 1e9, 2),
        "attention_gflop_s": round(2 * peak * utilisation / 1e9, 2),
    }


def text(summary: dict[str, Any]) -> str:
    """The tables that a person reads."""
    return "\n\n".join((_area(summary), _figures(summary)))


def _area(summary: dict[str, Any]) -> str:
    names = ("lut", "carry", "lutram", "ff", "dsp", "ram")
    header = ("part", "LUT", "carry", "LUT RAM", "FF", "DSP", "block RAM")
    rows = [(part, *(table.count(use[name]) for name in names)) for part, use in summary["parts"].items()]
    whole, capacity = summary["total"], summary["capacity"]
    rows.append(("total", *(table.count(whole[name]) for name in names)))
    luts = sum(whole[name] for name in ("lut", "carry", "lutram"))
    shares = {"lut": luts / capacity["lut"]} | {n: whole[n] / capacity[n] for n in ("ff", "dsp", "ram")}
    rows.append(("of the device", *(f"{shares[name]:.1%}" if name in shares else "" for name in names)))
    return table.columns(header, rows)


def _figures(summary: dict[str, Any]) -> str:
    arrays, speed = summary["arrays"], summary["speed"]
    met = "met" if summary["fmax_mhz"] >= summary["clock_mhz"] else "MISSED"
    return table.pairs(
        (
            ("clock", f"{summary['fmax_mhz']:.1f} MHz; {summary['clock_mhz']:g} MHz wanted: {met}"),
            ("limited by", summary["critical_path"]["words"]),
            (
                "arrays",
                f"{arrays['cells']} cells of {arrays['lut_per_pe']:g} LUT4, {arrays['lutram_per_pe']:g} for memory, "
                f"{arrays['ff_per_pe']:g} FF, {arrays['dsp_per_pe']:g} DSP",
            ),
            (
                "between them",
                f"lanes, normaliser and conversion: {arrays['between_to_arrays']:.1%} of the arrays' LUTs",
            ),
            ("peak", f"{speed['peak_gmac_s']:g} GMAC/s"),
            (
                "attention",
                f"{speed['sustained_gmac_s']:g} GMAC/s, {speed['attention_gflop_s']:g} GFLOP/s ({speed['shape']}: "
                f"{table.count(speed['cycles'])} cycles, utilisation {speed['utilisation']}, by the model)",
            ),
        )
    )
