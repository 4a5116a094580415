"""Named configurations that are tested and supported."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.config import Config, did_you_mean
from hwgen.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A configuration and the sentence that says what it is for."""

    config: Config
    purpose: str


PRESETS = {
    "tiny": Preset(
        Config(rows_e=4, rows_f=4, cols=2, slots=4, head_e=8, head_f=8, beat=2, out_beat=2, buffer_rows=4),
        "smallest useful core, for unit tests",
    ),
    "demo": Preset(
        Config(rows_e=16, rows_f=16, cols=8, slots=6, head_e=32, head_f=32),
        "all-MiniLM-L6-v2 heads (E=F=32), one block per 48 tokens",
    ),
    "sim": Preset(
        Config(lanes=8, buffer_rows=32), "16x16 arrays, E=F=64, 128-bit AXI: the machine all figures are quoted for"
    ),
    "wide": Preset(
        Config(rows_e=64, rows_f=64, cols=64, slots=8, head_e=64, head_f=64, beat=16, out_beat=16),
        "64x64 arrays, a head dimension in one fold",
    ),
    "ecp5": Preset(
        Config(
            rows_e=16,
            rows_f=16,
            cols=4,
            slots=4,
            beat=4,
            out_beat=1,
            buffer_rows=480,
            bus_bits=64,
            address_bits=20,
            burst_beats=8,
            outstanding=8,
            queue_beats=32,
            operand_bits=16,
            weight_bits=18,
            scale_bits=17,
            accumulator_bits=36,
            key_bits=12,
        ),
        "16x4 arrays for 18x18 multipliers and block RAM (Lattice ECP5-85F)",
    ),
    "small": Preset(
        Config(
            rows_e=2,
            rows_f=2,
            cols=2,
            slots=2,
            head_e=16,
            head_f=16,
            beat=2,
            out_beat=1,
            buffer_rows=16,
            bus_bits=32,
            address_bits=17,
            burst_beats=8,
            outstanding=4,
            queue_beats=16,
            operand_bits=14,
            weight_bits=18,
            scale_bits=17,
            accumulator_bits=36,
            key_bits=12,
        ),
        "2x2 arrays, E=F=16, 14-bit operands: what fits a small FPGA (Lattice ECP5-25F)",
    ),
}


def preset(name: str) -> Config:
    """The configuration called `name`. Raises ConfigError with the nearest name."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}")
    return PRESETS[name].config
