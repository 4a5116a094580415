"""Machines that schedules are evaluated on."""

from __future__ import annotations

from hwgen.schedule.parts import Array, Unit

CLOCK = 940e6
BANDWIDTH = 400 * 2**30
"""400 GB/s, which the evaluation published with FuseMax takes in binary."""
MIB = 2**20

FLAT = Array(
    name="FLAT",
    units={"2d": Unit(256, 256), "1d": Unit(1, 256)},
    clock_hz=CLOCK,
    bandwidth=BANDWIDTH,
    buffer_bytes=32 * MIB,
    source="FLAT's cloud platform as in FuseMax, MICRO 2024, section VI",
)

FUSEMAX = Array(
    name="FuseMax",
    units={"2d": Unit(256, 256), "1d": Unit(1, 256)},
    clock_hz=CLOCK,
    bandwidth=BANDWIDTH,
    buffer_bytes=16 * MIB,
    source="FuseMax, MICRO 2024, figure 2 and section VI",
)
