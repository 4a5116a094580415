"""The one evaluation: from a schedule, a machine and a problem to cycles, traffic, operations and accesses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from golden.exact import Shape
from hwgen.errors import InputError
from hwgen.model.actions import Actions
from hwgen.schedule import epoch
from hwgen.schedule.legality import check, footprint
from hwgen.schedule.nest import Nest, distinct, nest
from hwgen.schedule.parts import Array, Phase, Schedule, Step

MACS = "mac"


@dataclass(frozen=True)
class Cost:
    """What a schedule costs on a machine, for all heads of a problem.

    cycles:      from the first to the last, units and memory in steady state
    compute:     by unit, cycles it has work for;  memory: cycles the memory is busy
    busy:        by step, cycles of processing elements at work
    work:        by unit, elements x cycles of the whole run, what `busy` is measured against
    macs:        multiplications that are the attention's own;  multipliers: elements of all units that do them
    buffer_bytes: the most that is kept on the chip at a time
    traffic:     by tensor, bytes off the chip;  reads: of these, how many are read
    operations:  by (unit, operation), how often
    accesses:    by (level, read or write), words; `rf_<unit>` the registers of all elements of a unit
    """

    schedule: Schedule
    array: Array
    cycles: float
    compute: Mapping[str, float]
    memory: float
    busy: Mapping[str, float]
    work: Mapping[str, float]
    macs: float
    multipliers: int
    buffer_bytes: float
    traffic: Mapping[str, float]
    reads: float
    operations: Mapping[tuple[str, str], float]
    accesses: Mapping[tuple[str, str], float]

    @property
    def seconds(self) -> float:
        return self.cycles / self.array.clock_hz

    @property
    def bytes(self) -> float:
        return sum(self.traffic.values())

    def utilisation(self, unit: str) -> float:
        """Share of a unit's elements and cycles at work, whatever the operation."""
        names = {step.name for phase in self.schedule.phases for step in phase.steps if step.unit == unit}
        return sum(self.busy[name] for name in names) / self.work[unit]

    def step_utilisation(self, name: str) -> float:
        """The share of one step."""
        units = {step.name: step.unit for phase in self.schedule.phases for step in phase.steps}
        return self.busy[name] / self.work[units[name]]

    @property
    def actions(self) -> Actions:
        """What is counted for energy: operations by unit, and bits of registers, buffer and memory."""
        bits = 8 * self.array.word
        counted: Actions = {(f"array_{unit}", kind): count for (unit, kind), count in self.operations.items()}
        return counted | {key: words * bits for key, words in self.accesses.items()}

    @property
    def useful(self) -> float:
        """Multiplications of Q K and of weights times V over cycles times multipliers."""
        return self.macs / (self.cycles * self.multipliers)


def evaluate(schedule: Schedule, array: Array, shape: Shape) -> Cost:
    """Cost of `shape` under a schedule.

    Raises ScheduleError if the schedule is not legal on this machine, InputError if query heads share keys.
    """
    if shape.Hq != shape.Hkv:
        raise InputError(f"schedules give every query head keys of its own, got Hq={shape.Hq} and Hkv={shape.Hkv}")
    check(schedule, array, shape)
    tally = _Tally(schedule, array, shape)
    for phase in schedule.phases:
        tally.add(phase)
    return tally.cost()


class _Tally:
    """Sums over phases and steps."""

    def __init__(self, schedule: Schedule, array: Array, shape: Shape) -> None:
        self.schedule, self.array, self.shape = schedule, array, shape
        self.heads = shape.B * shape.Hq
        self.cycles = self.memory = self.reads = self.macs = 0.0
        self.compute: dict[str, float] = defaultdict(float)
        self.busy: dict[str, float] = {}
        self.traffic: dict[str, float] = defaultdict(float)
        self.operations: dict[tuple[str, str], float] = defaultdict(float)
        self.accesses: dict[tuple[str, str], float] = defaultdict(float)

    def add(self, phase: Phase) -> None:
        before = sum(self.traffic.values())
        durations = {step.name: self._step(step, phase) for step in phase.steps}
        compute = sum(_stage_cycles(stage.order, stage.drain, durations, phase, self.array) for stage in phase.stages)
        memory = (sum(self.traffic.values()) - before) / self.array.bandwidth * self.array.clock_hz
        self.memory += memory
        self.cycles += max(compute, memory)

    def _step(self, step: Step, phase: Phase) -> float:
        """Count a step; gives the cycles its unit takes for it."""
        loops = nest(step, phase, self.array, self.shape)
        points = self.heads * distinct(step.ranks, phase, self.shape)
        cycles = self.heads * loops.tiles * step.cycles_a_point
        self.compute[step.unit] += cycles
        self.busy[step.name] = points * step.cycles_a_point
        for kind, count in step.operations.items():
            self.operations[step.unit, kind] += points * count
        if step.name in self.schedule.useful:
            self.macs += points * step.operations[MACS]
        for tensor, ranks in step.inputs.items():
            self._move(step, phase, loops, tensor, ranks, output=False)
        self._move(step, phase, loops, *step.output, output=True)
        self._registers(step, loops, points)
        return cycles

    def _move(self, step: Step, phase: Phase, loops: Nest, tensor: str, ranks: str, *, output: bool) -> None:
        """Count the words of one tensor between the unit, the buffer and memory."""
        home = phase.home(step.name, tensor)
        width = phase.width.get(tensor, 1)
        once = width * distinct(ranks, phase, self.shape)
        words, blocks = width * loops.words(ranks), width * loops.words(ranks, blocks=True)
        over = self.schedule.overflow
        # What is brought back to be added to.
        again, blocks_again = (max(0.0, n - once) for n in (words, blocks))
        read, write = (again, words) if output else (words, 0.0)
        if home == "dram":
            self._off_chip(tensor, read, write)
        elif home in ("buffer", "dram+buffer"):
            self._count("buffer", read, write)
            self._off_chip(tensor, over * read, over * write)
        if home in ("dram+buffer", "dram+unit"):
            read, write = (blocks_again, blocks) if output else (blocks, 0.0)
            self._off_chip(tensor, (1 - over) * read, (1 - over) * write)
            if home == "dram+buffer":
                self._count("buffer", 0.0, read)

    def _off_chip(self, tensor: str, read: float, write: float) -> None:
        self._count("dram", read, write)
        self.traffic[tensor] += self.heads * (read + write) * self.array.word
        self.reads += self.heads * read * self.array.word

    def _registers(self, step: Step, loops: Nest, points: float) -> None:
        """A point reads its inputs and what it adds to, and writes its result; a new tile is written to be read."""
        fills = sum(loops.visits(ranks) for ranks in step.inputs.values()) * loops.elements
        self.accesses[f"rf_{step.unit}", "read"] += points * (len(step.inputs) + 1)
        self.accesses[f"rf_{step.unit}", "write"] += points + self.heads * fills

    def _count(self, level: str, read: float, write: float) -> None:
        self.accesses[level, "read"] += self.heads * read
        self.accesses[level, "write"] += self.heads * write

    def cost(self) -> Cost:
        useful_units = {s.unit for phase in self.schedule.phases for s in phase.steps if s.name in self.schedule.useful}
        elements = {unit: self.array.unit(unit).elements for unit in self.compute}
        return Cost(
            schedule=self.schedule,
            array=self.array,
            cycles=self.cycles,
            compute=dict(self.compute),
            memory=self.memory,
            busy=self.busy,
            work={unit: self.cycles * count for unit, count in elements.items()},
            macs=self.macs,
            multipliers=sum(elements[unit] for unit in useful_units),
            buffer_bytes=max(footprint(phase, self.shape) for phase in self.schedule.phases) * self.array.word,
            traffic={tensor: count for tensor, count in self.traffic.items() if count},
            reads=self.reads,
            operations=dict(self.operations),
            accesses=dict(self.accesses),
        )


def _stage_cycles(
    orders: Mapping[str, str], drain: str, durations: Mapping[str, float], phase: Phase, array: Array
) -> float:
    """The longest of the units, and the draining of all rows behind it."""
    longest = max(sum(durations[name] for group in epoch.order(text) for name, _ in group) for text in orders.values())
    waiting = durations[drain] * array.unit(phase.step(drain).unit).rows if drain else 0.0
    return longest + waiting
