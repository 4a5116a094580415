"""What a schedule is made of. See docs/schedules.md for a description with examples.

Ranks: E, F head dimensions of Q/K and of V;  M keys;  P queries;  M1 blocks of keys.  Batch and heads are around
everything and not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hwgen.config import did_you_mean
from hwgen.errors import ConfigError

Home = Literal["array", "buffer", "dram", "dram+buffer", "dram+unit"]
"""Where a tensor lives: only between the units;  in the buffer;  off the chip, fetched at every use;  off the chip,
and in the buffer or in registers of the unit while its block is worked on."""


class ScheduleError(ConfigError):
    """A schedule contradicts itself, its cascade or the machine it is to run on."""


@dataclass(frozen=True)
class Unit:
    """`rows x cols` equal processing elements; each does one operation in a cycle."""

    rows: int
    cols: int

    @property
    def elements(self) -> int:
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True)
class Array:
    """A machine as far as schedules need it.

    units:       by name: `2d` and `1d` in published machines, `score`, `lanes`, `value`, `normaliser` in ours
    bandwidth:   bytes a second off the chip
    word:        bytes of a number
    """

    name: str
    units: Mapping[str, Unit]
    clock_hz: float
    bandwidth: float
    buffer_bytes: int
    word: int = 2
    source: str = ""

    def unit(self, name: str) -> Unit:
        if name not in self.units:
            raise ScheduleError(f"{self.name} has no unit {name!r}{did_you_mean(name, self.units)}")
        return self.units[name]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One Einsum on one unit.

    ranks:       of its iteration space, as in "E M P"
    inputs:      by tensor, its ranks;  output: tensor and ranks
    previous:    inputs that are state: read as the step before left them
    operations:  how many of each kind at one point
    cycles:      of one processing element for one point; the number of operations unless units work in a pipeline
    rows, cols:  the ranks laid out over the unit's rows and columns
    loops:       of tiles inside of a block, innermost first; what is not named needs none
    """

    name: str
    unit: str
    ranks: str
    inputs: Mapping[str, str]
    output: tuple[str, str]
    operations: Mapping[str, int]
    previous: tuple[str, ...] = ()
    cycles: int | None = None
    rows: str = ""
    cols: str = ""
    loops: tuple[str, ...] = ()

    @property
    def cycles_a_point(self) -> int:
        return sum(self.operations.values()) if self.cycles is None else self.cycles


@dataclass(frozen=True)
class Stage:
    """A part of an epoch: units work side by side, each through its own order, and the longest decides.

    order:   by unit, in the notation of `hwgen.schedule.epoch`: `(SLNV[b] | QK[d]) -> LM[d]`
    drain:   a step whose results must have left through all rows of its unit before the next stage may begin
    """

    order: Mapping[str, str]
    drain: str = ""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Einsums that run together; another phase begins when all is done.

    block:   by rank, how much of it is worked on at a time; a rank not named is whole
    outer:   loops over blocks, innermost first
    kept:    by tensor, or by `step.tensor` where a step treats it differently, its home; `array` if not named
    shared:  tensors that follow each other in the same place of the buffer
    width:   of tensors whose numbers are longer than a word: words a number
    part:    of tensors that the buffer never holds a whole block of: by tensor and rank, how much at a time
    stages:  of an epoch. Memory works beside all of them
    """

    name: str
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    block: Mapping[str, int] = field(default_factory=dict)
    outer: tuple[str, ...] = ()
    kept: Mapping[str, Home] = field(default_factory=dict)
    shared: tuple[tuple[str, ...], ...] = ()
    width: Mapping[str, int] = field(default_factory=dict)
    part: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def home(self, step: str, tensor: str) -> Home:
        return self.kept.get(f"{step}.{tensor}", self.kept.get(tensor, "array"))

    def step(self, name: str) -> Step:
        for step in self.steps:
            if step.name == name:
                return step
        raise ScheduleError(
            f"phase {self.name!r} has no step {name!r}{did_you_mean(name, (s.name for s in self.steps))}"
        )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Phases, one after the other.

    cascade:   a name in the library of `golden.cascade`; empty for what is none
    einsums:   the cascade's Einsums whose step has another name, by that name
    overflow:  share of what is kept in the buffer that does not fit and is moved from and to memory at every use
    useful:    the steps whose multiplications are the attention's own: those of Q K and of the weights times V
    """

    name: str
    cascade: str
    phases: tuple[Phase, ...]
    einsums: Mapping[str, str] = field(default_factory=dict)
    overflow: float = 0.0
    useful: tuple[str, ...] = ("QK", "SLNV")
    source: str = ""
