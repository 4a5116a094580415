"""Icepi Zero with a Lattice ECP5-25F."""

from typing import Any

from boards.board import Board


def platform() -> Any:
    """What knows the pins."""
    from amaranth_boards.icepi_zero import IcepiZero1_3Platform

    return IcepiZero1_3Platform


BOARD = Board(
    name="icepi-zero",
    title="Icepi Zero 1.3",
    family="ecp5",
    device={"--25k": "", "--package": "CABGA256", "--speed": "6"},
    platform=platform,
    oscillator="clk50",
    oscillator_hz=50_000_000,
    clock_hz=50_000_000,
    preset="small",
    memory_bytes=48 << 10,
    baud=2_000_000,
    capacity={"lut": 24_288, "ff": 24_288, "dsp": 28, "ram": 56},
    tight=True,
)
