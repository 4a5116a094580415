"""What is known of a point, by name: what objectives and constraints speak of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hwgen.config import Config
from hwgen.model.area import machine_area
from hwgen.model.costs import Table
from hwgen.model.energy import machine_energy
from hwgen.model.machine import Memory, Prediction, predict
from hwgen.model.memories import memory_bits
from hwgen.model.work import Work
from hwgen.params import Params


@dataclass(frozen=True)
class Metric:
    """Its unit, what it is, and which key of a file it needs."""

    unit: str
    meaning: str
    needs: str | None = None


METRICS = {
    "cycles": Metric("cycles", "of all works"),
    "seconds": Metric("s", "cycles over the clock", "clock"),
    "utilisation": Metric("", "useful multiply-accumulates over possible ones"),
    "bytes": Metric("B", "moved off the chip"),
    "bandwidth": Metric("B/cycle", "bytes over cycles"),
    "multipliers": Metric("", "in both arrays"),
    "on_chip_bits": Metric("", "of all memories"),
    "area": Metric("mm2", "of the machine", "table"),
    "energy": Metric("J", "of all works, memory included", "table"),
}


@dataclass(frozen=True, kw_only=True)
class Load:
    """A work that is done `times` times, and the memory it meets."""

    name: str
    work: Work
    times: int = 1
    memory: Memory = Memory()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for all points.

    clock: Hz, None if seconds are not asked for
    table: costs of operations and memories, None if there are none
    costs: which of area and energy are asked for; a table may have only the energy
    """

    loads: tuple[Load, ...]
    clock: float | None = None
    table: Table | None = None
    costs: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """All of it but the names of the works."""
        loads = [(load.work, load.times, load.memory) for load in self.loads]
        return repr((loads, self.clock, self.costs, self.table if self.costs else None))

    @property
    def metrics(self) -> list[str]:
        """Those of METRICS that points have here."""
        has = {None: True, "clock": self.clock is not None}
        return [name for name, metric in METRICS.items() if has.get(metric.needs, name in self.costs)]


def metrics(config: Config, setting: Setting) -> dict[str, float]:
    """Those that points have in this setting. Raises what the model raises."""
    params = Params(config)
    predictions = [predict(params, load.work, load.memory) for load in setting.loads]
    found = times_and_traffic(params, setting.loads, predictions)
    if setting.clock is not None:
        found["seconds"] = found["cycles"] / setting.clock
    if setting.table is not None and "area" in setting.costs:
        found["area"] = sum(machine_area(params, setting.table).values())
    if setting.table is not None and "energy" in setting.costs:
        found["energy"] = sum(
            load.times * sum(machine_energy(params, prediction, load.work, setting.table).values())
            for load, prediction in zip(setting.loads, predictions, strict=True)
        )
    return {name: found[name] for name in setting.metrics}


def times_and_traffic(params: Params, loads: tuple[Load, ...], predictions: list[Prediction]) -> dict[str, float]:
    """What follows from predictions without any costs."""
    done = list(zip(loads, predictions, strict=True))
    cycles = sum(load.times * prediction.cycles for load, prediction in done)
    moved = sum(load.times * sum(prediction.bytes.values()) for load, prediction in done)
    useful = sum(load.times * load.work.pairs * (load.work.shape.E + load.work.shape.F) for load in loads)
    return {
        "cycles": cycles,
        "utilisation": useful / (cycles * params.macs),
        "bytes": moved,
        "bandwidth": moved / cycles,
        "multipliers": params.macs,
        "on_chip_bits": sum(memory_bits(params).values()),
    }
