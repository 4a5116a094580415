"""ULX3S with a Lattice ECP5-85F, the main board."""

from typing import Any

from boards.board import Board


def platform() -> Any:
    """What knows the pins."""
    from amaranth_boards.ulx3s import ULX3S_85F_Platform

    return ULX3S_85F_Platform


BOARD = Board(
    name="ulx3s-85f",
    title="Radiona ULX3S 85F",
    family="ecp5",
    device={"--85k": "", "--package": "CABGA381", "--speed": "6"},
    platform=platform,
    oscillator="clk25",
    oscillator_hz=25_000_000,
    clock_hz=100_000_000,
    preset="ecp5",
    memory_bytes=264 << 10,
    baud=2_000_000,
    capacity={"lut": 83_640, "ff": 83_640, "dsp": 156, "ram": 208},
)
