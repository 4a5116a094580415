"""Everything derived from a `Config`, and every check between choices, before any hardware is made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from amaranth.utils import ceil_log2

from golden.bitexact.numerics import EXPONENT_BITS, Numerics
from golden.formats import FloatFormat
from hwgen.config import Config
from hwgen.errors import ConfigError

LENGTH_BITS = 21
"""Width of a sequence length or index; lengths reach 2^20."""

OFFSET_BITS = 23
"""Width of a causal offset and of position differences, sign included."""

LIMITS = {
    "rows_e": 256,
    "rows_f": 256,
    "cols": 256,
    "slots": 64,
    "lanes": 256,
    "head_e": 512,
    "head_f": 512,
    "beat": 64,
    "out_beat": 64,
    "buffer_rows": 1024,
}


@dataclass(frozen=True)
class Params:
    """Derived numbers of one core. Raises ConfigError if the choices do not fit together."""

    config: Config

    def __post_init__(self) -> None:
        c = self.config
        for name, high in LIMITS.items():
            value = getattr(c, name)
            if value is not None and not 1 <= value <= high:
                raise ConfigError(f"{name} must lie in 1 .. {high}, not {value!r}")
        for rank, rows in (("head_e", "rows_e"), ("head_f", "rows_f")):
            self._check_divides(rows, rank)
        for rows in ("rows_e", "rows_f"):
            self._check_divides("beat", rows)
        self._check_divides("out_beat", "rows_f")
        self._check_lanes()
        if c.buffer_rows < 2:
            raise ConfigError(f"buffer_rows must be at least 2, not {c.buffer_rows!r}")
        try:
            self.numerics.check_head(c.head_e)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def _check_divides(self, part: str, whole: str) -> None:
        p, w = getattr(self.config, part), getattr(self.config, whole)
        if w % p:
            near = max((w + (p - 1) // 2) // p * p, p)
            raise ConfigError(f"{whole}={w} must be a multiple of {part}={p}; the nearest is {near}")

    def _check_lanes(self) -> None:
        c = self.config
        if c.cols % self.lanes:
            divisors = [n for n in range(1, c.cols + 1) if c.cols % n == 0]
            raise ConfigError(f"lanes={c.lanes} must divide cols={c.cols}: one of {', '.join(map(str, divisors))}")

    @cached_property
    def numerics(self) -> Numerics:
        """The numbers contract's parameters; raises ConfigError if it refuses them."""
        shared = {field.name for field in fields(Numerics)} & {field.name for field in fields(Config)}
        choices = {name: getattr(self.config, name) for name in shared}
        try:
            return Numerics(key_bits=LENGTH_BITS - 1, **choices)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    @property
    def folds_e(self) -> int:
        return self.config.head_e // self.config.rows_e

    @property
    def folds_f(self) -> int:
        return self.config.head_f // self.config.rows_f

    @property
    def lanes(self) -> int:
        """Softmax lanes: as chosen, else the fewest divisor of `cols` that serves every column once a visit."""
        if self.config.lanes is not None:
            return self.config.lanes
        cols, longest = self.config.cols, max(self.folds_e, self.folds_f)
        return next(n for n in range(1, cols + 1) if cols % n == 0 and cols <= n * longest)

    @property
    def group(self) -> int:
        """Columns that share a lane."""
        return self.config.cols // self.lanes

    @property
    def visit(self) -> int:
        """Cycles one (slot, key) visit occupies the arrays."""
        return max(self.folds_e, self.folds_f, self.group)

    @property
    def block(self) -> int:
        """Queries resident together."""
        return self.config.cols * self.config.slots

    @property
    def output(self) -> FloatFormat:
        return self.numerics.output

    @property
    def input(self) -> FloatFormat:
        return self.numerics.input

    @property
    def qk_bits(self) -> int:
        return self.numerics.qk_bits(self.config.head_e)

    @property
    def slot_bits(self) -> int:
        return ceil_log2(self.config.slots)

    @property
    def fold_e_bits(self) -> int:
        return ceil_log2(self.folds_e)

    @property
    def fold_f_bits(self) -> int:
        return ceil_log2(self.folds_f)

    @property
    def group_bits(self) -> int:
        return ceil_log2(self.group)

    @property
    def count_bits(self) -> int:
        """Width of a number of columns, 0 .. cols."""
        return ceil_log2(self.config.cols + 1)

    @property
    def exponent_bits(self) -> int:
        return EXPONENT_BITS

    @property
    def q_depth(self) -> int:
        """Query operands a score PE holds: two banks of slots x folds."""
        return 2 << (self.slot_bits + self.fold_e_bits)

    @property
    def acc_depth(self) -> int:
        """Accumulators a value PE holds, slots x folds (with as many results waiting for the drain)."""
        return 1 << (self.slot_bits + self.fold_f_bits)

    @property
    def macs(self) -> int:
        """Multipliers in both arrays."""
        return (self.config.rows_e + self.config.rows_f) * self.config.cols
