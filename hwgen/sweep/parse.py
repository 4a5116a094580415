"""From the file of an exploration to a `Spec`; whatever is wrong is reported with its line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from golden.exact import Shape
from hwgen.config import OPTIONAL, Config, did_you_mean
from hwgen.errors import HwgenError
from hwgen.model.costs import Table
from hwgen.model.energy import load_table
from hwgen.model.machine import Memory
from hwgen.model.work import Work
from hwgen.params import BUS_BITS, LIMITS
from hwgen.presets import PRESETS
from hwgen.sweep.metrics import METRICS, Load, Setting
from hwgen.sweep.points import grid_size
from hwgen.sweep.spec import SAMPLERS, Constraint, Objective, Parameter, Search, Spec, Value
from hwgen.yaml_tree import Entry, read

PARAMETERS = tuple(field.name for field in fields(Config) if field.name not in OPTIONAL)
DIRECTIONS = {"minimise": False, "maximise": True}
MOST_POINTS = 1_000_000
MOST_SEED = (1 << 32) - 1

REQUIRED = ("preset", "parameters", "works", "objectives")
KEYS = (*REQUIRED, "set", "clock", "table", "dram", "constraints", "search")
RANGE = ("from", "to", "step", "times")
SHAPE = Shape._fields
WORK = ("name", *SHAPE, "causal", "offset", "key_lengths", "lse", "times", "latency", "bandwidth")

T = TypeVar("T")


def read_spec(path: Path) -> Spec:
    """The exploration a file asks for. Raises ConfigError with file, line and column."""
    top = read(path)
    found = top.fields(KEYS, REQUIRED)
    base = PRESETS[found["preset"].choice(PRESETS, "preset")].config
    if "set" in found:
        base = base.replace(_changes(found["set"]))
    parameters = _parameters(found["parameters"], _names(found.get("set")))
    loads = _loads(found["works"], base)
    objectives = _objectives(found["objectives"], found)
    constraints = _constraints(found["constraints"], found) if "constraints" in found else ()
    wanted = {objective.metric for objective in objectives} | {constraint.metric for constraint in constraints}
    setting = Setting(
        loads=loads,
        clock=_clock(found["clock"]) if "clock" in found else None,
        table=_table(path, found),
        costs=tuple(name for name, metric in METRICS.items() if metric.needs == "table" and name in wanted),
    )
    search = _search(found["search"]) if "search" in found else None
    if search is None and grid_size(parameters) > MOST_POINTS:
        text = f"{grid_size(parameters):,} combinations are more than {MOST_POINTS:,}; a `search` tries some of them"
        raise found["parameters"].error(text)
    return Spec(
        path=path,
        base=base,
        parameters=parameters,
        setting=setting,
        objectives=objectives,
        constraints=constraints,
        search=search,
    )


def _at(entry: Entry, make: Callable[[], T]) -> T:
    """What `make` makes; its errors are put at the entry's place."""
    try:
        return make()
    except HwgenError as error:
        raise entry.error(str(error)) from None


def _table(path: Path, found: Mapping[str, Entry]) -> Table | None:
    """A table by name, or a file beside the one that names it; with the memory off the chip that is named."""
    if "table" not in found:
        if "dram" in found:
            raise found["dram"].error("'dram' needs the key 'table'")
        return None
    entry = found["table"]
    file = path.parent / entry.text()
    table = _at(entry, lambda: load_table(file if file.is_file() else entry.text()))
    if "dram" not in found:
        return table
    return _at(found["dram"], lambda: table.with_dram(found["dram"].text()))


def _names(entry: Entry | None) -> set[str]:
    return set() if entry is None else {key.text() for key, _ in entry.pairs()}


def _changes(entry: Entry) -> dict[str, Value]:
    return {key.text(): _value(key, value, key.text()) for key, value in entry.pairs()}


def _value(key: Entry, entry: Entry, name: str) -> Value:
    """A value that the parameter can have, whatever the others are."""
    if name not in PARAMETERS:
        raise key.error(f"unknown parameter {name!r}{did_you_mean(name, PARAMETERS)}")
    value = entry.value()
    _at(entry, lambda: Config().replace({name: value}))
    if isinstance(value, int) and not 1 <= value <= LIMITS.get(name, value):
        raise entry.error(f"{name} must lie in 1 .. {LIMITS[name]}, not {value}")
    if name == "bus_bits" and value not in BUS_BITS:
        raise entry.error(f"bus_bits must be one of {', '.join(map(str, BUS_BITS))}, not {value}")
    assert not isinstance(value, bool)
    return value


def _parameters(entry: Entry, fixed: set[str]) -> tuple[Parameter, ...]:
    parameters = []
    used = dict.fromkeys(fixed, "set")
    for key, value in entry.pairs():
        names = tuple(name.strip() for name in key.text().split(","))
        for name in names:
            if name in used:
                raise key.error(f"{name!r} is among `{used[name]}` already")
            used[name] = "parameters"
        parameters.append(Parameter(names, _values(key, value, names)))
    if not parameters:
        raise entry.error("there is no parameter")
    return tuple(parameters)


def _values(key: Entry, entry: Entry, names: tuple[str, ...]) -> tuple[Value, ...]:
    """A list of values, or a range of whole numbers; every one must suit all names."""
    if entry.is_mapping:
        numbers = _range(entry)
        for name in names:
            for end in ("from", "to"):
                _value(key, entry.fields(RANGE)[end], name)
        return numbers
    values: list[Value] = []
    for item in entry.items() if entry.is_list else [entry]:
        for name in names:
            value = _value(key, item, name)
        if value in values:
            raise item.error(f"{value!r} stands twice")
        values.append(value)
    return tuple(values)


def _range(entry: Entry) -> tuple[int, ...]:
    """From a number up to another, each by `step` more or `times` as large as the one before."""
    found = entry.fields(RANGE, ("from", "to"))
    if "step" in found and "times" in found:
        raise found["times"].error("a range has a `step` or `times`, not both")
    low = found["from"].whole(1)
    high = found["to"].whole(low)
    if "times" not in found:
        return tuple(range(low, high + 1, found["step"].whole(1) if "step" in found else 1))
    factor, values = found["times"].whole(2), [low]
    while values[-1] * factor <= high:
        values.append(values[-1] * factor)
    return tuple(values)


def _loads(entry: Entry, base: Config) -> tuple[Load, ...]:
    loads: list[Load] = []
    for number, item in enumerate(entry.items() if entry.is_list else [entry], 1):
        load = _load(item, f"work {number}", base)
        if load.name in [other.name for other in loads]:
            raise item.error(f"there is another work {load.name!r}")
        loads.append(load)
    return tuple(loads)


def _load(entry: Entry, name: str, base: Config) -> Load:
    found = entry.fields(WORK, ("L",))
    sizes = {size: found[size].whole(1) for size in SHAPE if size in found}
    heads, queries = sizes.get("Hq", 1), sizes["L"]
    defaults = {"B": 1, "Hq": heads, "Hkv": heads, "L": queries, "S": queries, "E": base.head_e, "F": base.head_f}
    lengths = [length.whole(0) for length in found["key_lengths"].items()] if "key_lengths" in found else None
    options = {
        "causal": "causal" in found and found["causal"].flag(),
        "offset": found["offset"].whole() if "offset" in found else 0,
        "key_lengths": None if lengths is None else tuple(lengths),
        "lse": "lse" in found and found["lse"].flag(),
    }
    memory = Memory(
        latency=found["latency"].whole(2, 1 << 16) if "latency" in found else Memory.latency,
        bandwidth=found["bandwidth"].whole(1, 256) if "bandwidth" in found else Memory.bandwidth,
    )
    return Load(
        name=found["name"].text() if "name" in found else name,
        work=_at(entry, lambda: Work(shape=Shape(**defaults | sizes), **options)),  # type: ignore[arg-type]
        times=found["times"].whole(1) if "times" in found else 1,
        memory=memory,
    )


def _clock(entry: Entry) -> float:
    if entry.number() <= 0:
        raise entry.error(f"a clock has more than 0 Hz, not {entry.text()}")
    return entry.number()


def _metric(entry: Entry, name: str, found: Mapping[str, Entry]) -> str:
    """The name of a metric for which the file has what it needs."""
    if name not in METRICS:
        raise entry.error(f"unknown metric {name!r}{did_you_mean(name, METRICS)}")
    need = METRICS[name].needs
    if need is not None and need not in found:
        raise entry.error(f"{name} needs the key {need!r}")
    return name


def _objectives(entry: Entry, found: Mapping[str, Entry]) -> tuple[Objective, ...]:
    wanted = [
        Objective(_metric(key, key.text(), found), DIRECTIONS[value.choice(DIRECTIONS, "direction")])
        for key, value in entry.pairs()
    ]
    if not wanted:
        raise entry.error("there is no objective")
    return tuple(wanted)


def _constraints(entry: Entry, found: Mapping[str, Entry]) -> tuple[Constraint, ...]:
    return tuple(_constraint(item, found) for item in _all(entry))


def _all(entry: Entry) -> Iterable[Entry]:
    return entry.items() if entry.is_list else [entry]


def _constraint(entry: Entry, found: Mapping[str, Entry]) -> Constraint:
    """As `area <= 2.5`."""
    parts = re.fullmatch(r"\s*(\w+)\s*(<=|>=)\s*(\S+)\s*", entry.text())
    try:
        limit = float(parts[3]) if parts else None
    except ValueError:
        limit = None
    if parts is None or limit is None or limit - limit != 0:
        raise entry.error(f"expected a metric, <= or >=, and a number, as `area <= 2.5`, not {entry.text()!r}")
    return Constraint(_metric(entry, parts[1], found), parts[2], limit)


def _search(entry: Entry) -> Search:
    found = entry.fields(tuple(field.name for field in fields(Search)), ("trials",))
    return Search(
        sampler=found["sampler"].choice(SAMPLERS, "sampler") if "sampler" in found else Search.sampler,
        trials=found["trials"].whole(1, MOST_POINTS),
        seed=found["seed"].whole(0, MOST_SEED) if "seed" in found else Search.seed,
        population=found["population"].whole(2, MOST_POINTS) if "population" in found else Search.population,
    )
