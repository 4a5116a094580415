"""All schedules on all models and lengths, once: what tables, figures and tests read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwgen.evaluation import ours
from hwgen.evaluation.workloads import POINTS, Model
from hwgen.model.actions import Actions, added, published_parts
from hwgen.model.cost_reader import load_table
from hwgen.model.energy import energy, machine_energy
from hwgen.schedule import arrays, linear
from hwgen.schedule.cascade_only import cascade_only
from hwgen.schedule.cost import Cost, evaluate
from hwgen.schedule.flat import flat
from hwgen.schedule.fusemax import architecture, fusemax
from hwgen.schedule.parts import Array, Schedule
from hwgen.schedule.two_pass import two_pass
from hwgen.schedule.unfused import unfused

TABLE = "fusemax2024"
"""The costs of actions that the evaluation published with FuseMax took."""

INSTANCES = {"rf_2d": 65536, "rf_1d": 256}
"""Register files in the published machines, of which the published energy counts one each."""


@dataclass(frozen=True)
class Entry:
    """A schedule of the evaluation: how it is made, and where it runs."""

    name: str
    array: Array
    build: Callable[[Model, int], Schedule]


def _of(function: Callable[..., Schedule], array: Array, **options: bool) -> Callable[[Model, int], Schedule]:
    return lambda model, length: function(array, model.attention(length), **options)


ENTRIES = (
    Entry("unfused", arrays.FLAT, _of(unfused, arrays.FLAT)),
    Entry("FLAT", arrays.FLAT, lambda model, length: flat(model.attention(length))),
    Entry("2-pass", arrays.FLAT, lambda model, length: two_pass(model.attention(length))),
    Entry("+Cascade", arrays.FLAT, _of(cascade_only, arrays.FLAT)),
    Entry("+Architecture", arrays.FUSEMAX, _of(architecture, arrays.FUSEMAX)),
    Entry("FuseMax", arrays.FUSEMAX, _of(fusemax, arrays.FUSEMAX)),
    Entry("FuseMax, 32-bit state", arrays.FUSEMAX, _of(fusemax, arrays.FUSEMAX, wide_state=True)),
)
PUBLISHED = ("unfused", "FLAT", "+Cascade", "+Architecture", "FuseMax")
OURS = "ours"
SHOWN = ("unfused", "FLAT", "2-pass", "+Cascade", "+Architecture", "FuseMax", OURS)
"""What tables and figures compare."""
NAMES = (*(entry.name for entry in ENTRIES), OURS)


@dataclass(frozen=True)
class Point:
    """One schedule, one model, one length.

    cost:        what the schedule costs in steady state
    seconds:     the schedule's; of ours the machine model's, with fill, drain, latency and hazards
    useful:      multiplications of both products over cycles and multipliers
    joule:       by accounting, "published" (one register file of each array; ours has no such exception) and "all"
    """

    cost: Cost
    seconds: float
    useful: float
    bytes: float
    joule: Mapping[str, float]


@functools.cache
def point(name: str, model: Model, length: int) -> Point:
    if name == OURS:
        return _ours(model, length)
    entry = next(entry for entry in ENTRIES if entry.name == name)
    cost = evaluate(entry.build(model, length), entry.array, model.attention(length))
    return Point(cost, cost.seconds, cost.useful, cost.bytes, joule(cost))


def _ours(model: Model, length: int) -> Point:
    run = ours.run(model, length)
    spent = whole_energy(OURS, model, length)
    return Point(ours.steady(model, length), run.seconds, run.useful, run.bytes, {"published": spent, "all": spent})


def joule(cost: Cost) -> dict[str, float]:
    """By accounting. The published one also gives away the exponentials of +Cascade's 1-D array."""
    table, parts = load_table(TABLE), published_parts(cost.array.buffer_bytes)
    counted: Actions = dict(cost.actions)
    every = sum(energy(counted, table, parts).values())
    if cost.schedule.name == "+Cascade":
        counted.pop(("array_1d", "exp"))
    one = energy(counted, table, parts, register_files="one PE", instances=INSTANCES)
    return {"published": sum(one.values()), "all": every}


def whole_energy(name: str, model: Model, length: int, table: str = TABLE) -> float:
    """Joule with all registers, by any table of costs."""
    if name == OURS:
        run = ours.run(model, length)
        return ours.CORES * sum(machine_energy(run.params, run.prediction, run.work, load_table(table)).values())
    cost = point(name, model, length).cost
    return sum(energy(cost.actions, load_table(table), published_parts(cost.array.buffer_bytes)).values())


@dataclass(frozen=True)
class Linear:
    """The linear layers of a model on one machine."""

    seconds: float
    joule: Mapping[str, float]


@functools.cache
def linear_layers(array_name: str, model: Model, length: int) -> Linear:
    array = next(array for array in (arrays.FLAT, arrays.FUSEMAX) if array.name == array_name)
    costs = [evaluate(linear.linear(array, shape), array, shape) for shape in model.linear(length)]
    table, parts = load_table(TABLE), published_parts(array.buffer_bytes)
    counted = added(cost.actions for cost in costs)
    one = energy(counted, table, parts, register_files="one PE", instances=INSTANCES)
    spent = {"published": sum(one.values()), "all": sum(energy(counted, table, parts).values())}
    return Linear(sum(cost.seconds for cost in costs), spent)


def end_to_end(name: str, model: Model, length: int) -> tuple[float, dict[str, float]]:
    """Seconds and joule of a layer with its linear layers. Ours has no array for these and leaves them to FuseMax's."""
    attention = point(name, model, length)
    where = arrays.FUSEMAX.name if name == OURS else attention.cost.array.name
    rest = linear_layers(where, model, length)
    return attention.seconds + rest.seconds, {k: attention.joule[k] + rest.joule[k] for k in attention.joule}


def mean(value: Callable[[Model, int], float]) -> float:
    """Arithmetic, over all models and lengths."""
    return sum(value(model, length) for model, length in POINTS) / len(POINTS)


def speedup(name: str, over: str, *, whole_layer: bool = False) -> float:
    """Mean of how many times faster one schedule is than another."""
    if whole_layer:
        return mean(lambda m, n: end_to_end(over, m, n)[0] / end_to_end(name, m, n)[0])
    return mean(lambda m, n: point(over, m, n).seconds / point(name, m, n).seconds)


def energy_ratio(name: str, to: str, *, accounting: str = "published", whole_layer: bool = False) -> float:
    """Mean of the energy of one schedule to that of another."""
    if whole_layer:
        return mean(lambda m, n: end_to_end(name, m, n)[1][accounting] / end_to_end(to, m, n)[1][accounting])
    return mean(lambda m, n: point(name, m, n).joule[accounting] / point(to, m, n).joule[accounting])
