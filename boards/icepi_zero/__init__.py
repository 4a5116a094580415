"""Icepi Zero with a Lattice ECP5-25F."""

from boards.board import Board

BOARD = Board(
    name="icepi-zero",
    title="Icepi Zero 1.3",
    family="ecp5",
    device={"--25k": "", "--package": "CABGA256", "--speed": "6"},
    platform="amaranth_boards.icepi_zero:IcepiZero1_3Platform",
    oscillator="clk50",
    oscillator_hz=50_000_000,
    clock_hz=100_000_000,
    preset="small",
    memory_bytes=64 << 10,
    baud=2_500_000,
    capacity={"lut": 24_288, "ff": 24_288, "dsp": 28, "ram": 56},
)
