"""What a user chooses. Everything that follows from a choice is in `hwgen.params`."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from golden.bitexact.numerics import Numerics
from golden.scoremod.program import Program
from hwgen.errors import ConfigError

OPTIONAL = ("score", "block_list")
"""Choices that add something to the machine only if they are made."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The choices that describe one accelerator.

    rows_e, rows_f:   rows of the score array and of the value array
    cols:             columns of both arrays
    slots:            query contexts a column holds
    lanes:            softmax lanes; None takes the fewest that keep the arrays busy
    head_e, head_f:   head dimensions of Q and K, and of V
    beat:             elements in a beat of the Q, K and V streams
    out_beat:         elements in a beat of the O stream, and normaliser lanes
    buffer_rows:      key rows (and as many value rows, besides those in flight) held ahead of the arrays
    bus_bits, address_bits: widths of the AXI4 data and address
    burst_beats:      most beats in an AXI burst; bursts do not cross multiples of their largest size
    outstanding:      most bursts in flight, each for reads and for writes
    queue_beats:      bus words that may be requested ahead, each for Q, K and V
    operand_bits, weight_bits, score_frac, exp_segments, scale_bits, accumulator_bits, key_bits, in_format,
    out_format:       the numbers contract, see `golden.bitexact.numerics`
    score:            what becomes of a score before the softmax, see `hwgen.scoremod.trace`; nothing if None
    block_list:       which keys a block of queries sees may be listed in memory
    """

    rows_e: int = 16
    rows_f: int = 16
    cols: int = 16
    slots: int = 8
    lanes: int | None = None
    head_e: int = 64
    head_f: int = 64
    beat: int = 8
    out_beat: int = 8
    buffer_rows: int = 16
    bus_bits: int = 128
    address_bits: int = 64
    burst_beats: int = 16
    outstanding: int = 32
    queue_beats: int = 256
    operand_bits: int = Numerics.operand_bits
    weight_bits: int = Numerics.weight_bits
    score_frac: int = Numerics.score_frac
    exp_segments: int = Numerics.exp_segments
    scale_bits: int = Numerics.scale_bits
    accumulator_bits: int = Numerics.accumulator_bits
    key_bits: int = Numerics.key_bits
    in_format: str = Numerics.in_format
    out_format: str = Numerics.out_format
    score: Program | None = None
    block_list: bool = False

    def hash(self) -> str:
        """Sixteen hexadecimal digits that identify this configuration."""
        choices = dataclasses.asdict(self)
        # A choice that is not made adds nothing to the machine, and nothing to its name.
        choices = {key: value for key, value in choices.items() if key not in OPTIONAL or value}
        text = json.dumps(choices, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def replace(self, changes: Mapping[str, object]) -> Config:
        """A copy with some choices changed. Raises ConfigError for an unknown key or a value of the wrong type."""
        kinds = {field.name: type(getattr(self, field.name)) for field in dataclasses.fields(self)}
        for key, value in changes.items():
            if key not in kinds:
                raise ConfigError(f"unknown parameter {key!r}{did_you_mean(key, kinds)}")
            if (key == "lanes" and value is None) or key in OPTIONAL:
                continue
            want = int if key == "lanes" else kinds[key]
            if not isinstance(value, want) or isinstance(value, bool):
                raise ConfigError(f"{key} must be {'a whole number' if want is int else 'a name'}, not {value!r}")
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of an error message: the nearest allowed name, then all of them."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} allowed: {', '.join(allowed)}"


def parse_assignments(assignments: Iterable[str]) -> dict[str, object]:
    """`key=value` words as typed on a command line. Whole numbers become int, `none` None, all else stays text."""
    changes: dict[str, object] = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        if not equals or not key or not text:
            raise ConfigError(f"expected key=value, not {word!r}")
        if key in OPTIONAL:
            raise ConfigError(f"{key} is no word; `hwgen generate` takes it as --{key.replace('_', '-')}")
        if text.lower() == "none":
            changes[key] = None
        else:
            try:
                changes[key] = int(text)
            except ValueError:
                changes[key] = text
    return changes
