"""Everything derived from a `Config`, and every check between choices, before any hardware is made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from amaranth.utils import ceil_log2

from golden.bitexact.numerics import EXPONENT_BITS, Numerics
from golden.formats import FloatFormat
from golden.scoremod.program import KEEP_FRAC, MOST_KEEP_SHIFT, Program
from hwgen.config import Config
from hwgen.errors import ConfigError
from hwgen.scoremod.bounds import Bounds, bounds
from hwgen.scoremod.partition import Partition, used

LENGTH_BITS = 21
"""Width of a sequence length or index; lengths reach 2^20."""

OFFSET_BITS = 23
"""Width of a causal offset and of position differences, sign included."""

QUERY_BITS = 29
"""Width of a query's number within a job, which counts the queries of all heads that share a key/value head."""

GROUP_BITS = 13
"""Width of the number of query heads that share a key/value head."""

EDGE_BITS = 37
"""Width of differences between query numbers, sign included: a causal offset times a group, and a query number."""

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
    "outstanding": 64,
    "queue_beats": 4096,
    "key_bits": LENGTH_BITS - 1,
}

MOST_ARGUMENT_WORDS = 1 << 16
"""Numbers in all tables and parameters of a score program."""

BUS_BITS = (32, 64, 128, 256, 512)

FEWEST_ADDRESS_BITS = 16
"""Of addresses that reach 64 KiB: more than the block RAM that a small FPGA has left."""

PAGE_BYTES = 4096
"""What no AXI burst crosses a multiple of."""


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
        self._check_bus()
        self._check_score()
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

    def _check_bus(self) -> None:
        c = self.config
        if c.bus_bits not in BUS_BITS:
            raise ConfigError(f"bus_bits must be one of {', '.join(map(str, BUS_BITS))}, not {c.bus_bits!r}")
        if not FEWEST_ADDRESS_BITS <= c.address_bits <= 64:
            raise ConfigError(f"address_bits must lie in {FEWEST_ADDRESS_BITS} .. 64, not {c.address_bits!r}")
        longest = min(256, PAGE_BYTES // self.bus_bytes)
        if c.burst_beats & (c.burst_beats - 1) or not 1 <= c.burst_beats <= longest:
            limits = f"1 .. {longest} with bus_bits={c.bus_bits}"
            raise ConfigError(f"burst_beats must be a power of two in {limits}, not {c.burst_beats!r}")
        if c.queue_beats < 2 * c.burst_beats:
            raise ConfigError(f"queue_beats must hold two bursts, {2 * c.burst_beats}, not {c.queue_beats!r}")

    def _check_score(self) -> None:
        if self.score is None:
            return
        if self.argument_words > MOST_ARGUMENT_WORDS:
            raise ConfigError(
                f"the score program's tables and parameters have {self.argument_words} numbers; at most "
                f"{MOST_ARGUMENT_WORDS} are kept on the chip, and a bias from memory may have any number"
            )
        limits = {"seen": 1, "keep": 1, "keep_factor": 1 << KEEP_FRAC, "keep_shift": MOST_KEEP_SHIFT}
        for name, i in self.score.outputs:
            form = self.score.nodes[i].format
            if name in limits and not 0 <= form.low <= form.high <= limits[name]:
                span = f"0 .. {limits[name]}, not {form.low} .. {form.high}"
                raise ConfigError(f"the score program's {name} must lie in {span}")

    @cached_property
    def numerics(self) -> Numerics:
        """The numbers contract's parameters; raises ConfigError if it refuses them."""
        shared = {field.name for field in fields(Numerics)} & {field.name for field in fields(Config)}
        choices = {name: getattr(self.config, name) for name in shared}
        try:
            return Numerics(**choices)
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
        """Cycles one (slot, key) visit occupies the arrays at the largest head dimensions."""
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
    def sum_bits(self) -> int:
        """Width of a column's sum over the rows of the score array: one fold of a score, sign included."""
        return self.numerics.qk_bits(self.config.rows_e)

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
    def most_keys(self) -> int:
        """Keys that a query may see; a sink is one, too."""
        return (1 << self.config.key_bits) - self.has_sink

    @property
    def q_depth(self) -> int:
        """Query operands a score PE holds: two banks of slots x folds."""
        return 2 << (self.slot_bits + self.fold_e_bits)

    @property
    def acc_depth(self) -> int:
        """Accumulators a value PE holds, slots x folds (with as many results waiting for the drain)."""
        return 1 << (self.slot_bits + self.fold_f_bits)

    @property
    def score(self) -> Program | None:
        """The score program."""
        return self.config.score

    @cached_property
    def partition(self) -> Partition:
        """Which part of the score program, if there is one, runs where."""
        assert self.score is not None
        return Partition(self.score, self.numerics)

    @property
    def has_key_score(self) -> bool:
        """A part of the score program runs once a visit."""
        return self.score is not None and bool(self.partition.key.outputs)

    @property
    def has_bias(self) -> bool:
        """A bias is streamed from memory."""
        return self.score is not None and used(self.score, ("bias", "hidden"))

    @property
    def has_sink(self) -> bool:
        return self.score is not None and "sink" in self.score.output

    @property
    def has_dropout(self) -> bool:
        return self.score is not None and "keep" in self.score.output

    @property
    def argument_words(self) -> int:
        """Words of the score program's parameters and tables."""
        return 0 if self.score is None else self.score.argument_words

    @cached_property
    def bounds(self) -> Bounds | None:
        """The range of keys that a query may see, where the score program shows it."""
        return None if self.score is None else bounds(self.score, self.numerics)

    @property
    def segmented(self) -> bool:
        """A block's keys come as segments instead of from the first one on."""
        return self.has_sink or self.config.block_list or self.bounds is not None

    @property
    def bus_bytes(self) -> int:
        """Bytes in a bus word."""
        return self.config.bus_bits // 8

    @property
    def macs(self) -> int:
        """Multipliers in both arrays."""
        return (self.config.rows_e + self.config.rows_f) * self.config.cols
