"""Numbers as published, each file with its source in its first line."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

FOLDER = Path(__file__).with_name("published")

MEANS = {
    "attention, speed-up of FuseMax over unfused": 10.05,
    "attention, speed-up of FuseMax over FLAT": 6.72,
    "attention, speed-up of FLAT over unfused": 1.507,
    "attention, speed-up of +Cascade over unfused": 1.358,
    "attention, speed-up of +Architecture over unfused": 3.270,
    "end to end, speed-up of FuseMax over unfused": 7.60,
    "end to end, speed-up of FuseMax over FLAT": 5.30,
    "attention, energy of FuseMax to unfused": 0.767,
    "attention, energy of FuseMax to FLAT": 0.7875,
    "end to end, energy of FuseMax to unfused": 0.821,
    "end to end, energy of FuseMax to FLAT": 0.8335,
}
"""Arithmetic means over all models and lengths: the evaluation published with FuseMax, from its artifact's numbers."""

PERIODS = {"FLAT": "1024", "+Cascade": "1157 + 64/M1", "+Architecture": "458", "FuseMax": "138 + 64/M1"}
"""Cycles of a tile of 256 x 256 scores at E=F=64 in the artifact's code, M1 = M/256."""


def read(name: str) -> list[dict[str, str]]:
    """Rows of a file, without its comments."""
    lines = [line for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


@functools.cache
def attention() -> dict[tuple[str, str, int], dict[str, float]]:
    """By schedule, model and length: seconds, utilisation_2d, utilisation_1d, gib, joule."""
    keys = ("schedule", "model", "length")
    return {
        (row["schedule"], row["model"], int(row["length"])): {k: float(v) for k, v in row.items() if k not in keys}
        for row in read("attention.csv")
    }


@functools.cache
def einsums() -> dict[tuple[str, int], dict[str, float]]:
    """Of BERT, by schedule and length: the share of the 2-D array each Einsum keeps busy."""
    keys = ("schedule", "length")
    return {
        (row["schedule"], int(row["length"])): {k: float(v) for k, v in row.items() if k not in keys}
        for row in read("einsums.csv")
    }


@functools.cache
def linear() -> dict[tuple[str, int], dict[str, float]]:
    """By model and length: seconds, joule_flat, joule_fusemax."""
    return {
        (row["model"], int(row["length"])): {k: float(v) for k, v in row.items() if k not in ("model", "length")}
        for row in read("linear.csv")
    }
