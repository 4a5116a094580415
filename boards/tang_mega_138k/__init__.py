"""Sipeed Tang Mega 138K Pro Dock with a Gowin GW5AST-138."""

from typing import Any

from boards.board import Board


def platform() -> Any:
    """What knows the pins."""
    from amaranth_boards.tang_mega_138k_pro_dock import TangMega138kProDockPlatform

    return TangMega138kProDockPlatform


BOARD = Board(
    name="tang-mega-138k",
    title="Sipeed Tang Mega 138K Pro Dock",
    family="gowin",
    device={"--device": "GW5AST-LV138FPG676AC1/I0", "--vopt family": "GW5AST-138C"},
    platform=platform,
    oscillator="clk50",
    oscillator_hz=50_000_000,
    clock_hz=50_000_000,
    preset="small",
    memory_bytes=64 << 10,
    baud=2_000_000,
    capacity={"lut": 138_240, "ff": 138_240, "dsp": 298, "ram": 340},
)
