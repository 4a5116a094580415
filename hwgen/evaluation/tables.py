"""The tables of docs/results/evaluation.md, each from the results."""

from __future__ import annotations

from collections.abc import Callable

from hwgen.evaluation import area, ours, published
from hwgen.evaluation.markdown import deviation, digits, seconds, share, table
from hwgen.evaluation.results import (
    OURS,
    PUBLISHED,
    SHOWN,
    end_to_end,
    energy_ratio,
    mean,
    point,
    speedup,
    whole_energy,
)
from hwgen.evaluation.workloads import LENGTHS, MODELS, POINTS, Model
from hwgen.model.cost_reader import load_table, table_names

GIB = 2**30
BERT, XLM = MODELS[0], MODELS[3]
SMALL_BUFFER = "FuseMax, 512 KiB"
TWO = (BERT, XLM)
"""TrXL and T5 have BERT's head dimension: per head, and so in every ratio of attention, they are BERT."""


def means() -> str:
    """Published means beside the same from the schedules."""
    names = [row for row in published.MEANS if "energy" not in row]
    rows = [(name, str(published.MEANS[name]), *_found(name)) for name in names]
    return table(("mean of all models and lengths", "published", "from the schedules", "deviation"), rows)


def energy_means() -> str:
    """The same for energy, and once more with all register files counted."""
    rows = []
    for name in (row for row in published.MEANS if "energy" in row):
        over = name.rsplit(" ", 1)[1]
        every = energy_ratio("FuseMax", over, accounting="all", whole_layer=name.startswith("end"))
        rows.append((name, str(published.MEANS[name]), *_found(name), share(every)))
    for over in ("unfused", "FLAT", "2-pass", "FuseMax"):
        rows.append(
            (f"attention, energy of ours to {over}", "", "", "", share(energy_ratio(OURS, over, accounting="all")))
        )
    header = ("mean of all models and lengths", "published", "from the schedules", "deviation", "all register files")
    return table(header, rows)


def _found(name: str) -> tuple[str, str]:
    found = mean_of(name)
    return digits(found), deviation(found, published.MEANS[name])


def mean_of(name: str) -> float:
    """What a name of `published.MEANS` asks for, from the schedules."""
    where, what = name.split(", ")
    kind, _, pair = what.partition(" of ")
    first, _, second = pair.partition(" over " if kind == "speed-up" else " to ")
    return (speedup if kind == "speed-up" else energy_ratio)(first, second, whole_layer=where == "end to end")


def period(name: str, model: Model, length: int) -> float:
    """Cycles of 65,536 elements for a tile of 256 x 256 scores."""
    shape = model.attention(length)
    cost = point(name, model, length).cost
    return cost.cycles / (shape.B * shape.Hq * shape.L * shape.S / 65536)


def periods() -> str:
    """Cycles of a tile."""
    rows = []
    for name in SHOWN[1:]:
        found = [digits(period(name, model, length), 6) for model in TWO for length in (1024, 16384, 1048576)]
        rows.append((name, published.PERIODS.get(name, ""), *found))
    lengths = [f"E=F={model.head}, {LENGTHS[n]}" for model in TWO for n in (1024, 16384, 1048576)]
    return table(("schedule", "published at E=F=64", *lengths), rows)


def by_length(value: Callable[[str, Model, int], str], names: tuple[str, ...] = SHOWN) -> str:
    """A row for each model and length, a column for each schedule."""
    rows = [
        (model.name, text, *(value(name, model, length) for name in names))
        for model in TWO
        for length, text in LENGTHS.items()
    ]
    return table(("model", "keys", *names), rows)


def latencies() -> str:
    return by_length(lambda name, model, n: seconds(point(name, model, n).seconds))


def speedups() -> str:
    def over_unfused(name: str, model: Model, n: int) -> str:
        return digits(point("unfused", model, n).seconds / point(name, model, n).seconds)

    return by_length(over_unfused, SHOWN[1:])


def useful() -> str:
    return by_length(lambda name, model, n: f"{point(name, model, n).useful:.4f}")


def all_operations() -> str:
    """Both arrays, every operation counted as work."""

    def both(name: str, model: Model, n: int) -> str:
        cost = point(name, model, n).cost
        return f"{share(cost.utilisation('2d'))} / {share(cost.utilisation('1d'))}"

    return by_length(both, SHOWN[:-1])


def by_einsum() -> str:
    """How the 2-D array's time is shared, published beside found, at three lengths."""
    rows = []
    for (name, length), row in published.einsums().items():
        if length not in (1024, 16384, 1048576):
            continue
        cost = point(name, BERT, length).cost
        found = {step: cost.step_utilisation(step) for step in row if step in _on_2d(name)}
        if name == "FLAT":
            found["SLNV"] = cost.step_utilisation("AV")
        cells = [f"{row[step]:.4f} / {found.get(step, 0.0):.4f}" for step in row]
        rows.append((name, LENGTHS[length], *cells))
    return table(("schedule", "keys", "QK", "LM", "SLN", "SLD", "SLNV or AV"), rows)


def _on_2d(name: str) -> set[str]:
    steps = point(name, BERT, 1024).cost.schedule.phases[0].steps
    return {step.name for step in steps if step.unit == "2d"}


def traffic() -> str:
    return by_length(lambda name, model, n: digits(point(name, model, n).bytes / GIB))


def buffers() -> str:
    def kib(name: str, model: Model, n: int) -> str:
        return digits(point(name, model, n).cost.buffer_bytes / 1024, 6)

    return by_length(kib)


def joules() -> str:
    """Both accountings."""

    def both(name: str, model: Model, n: int) -> str:
        spent = point(name, model, n).joule
        return digits(spent["all"]) if name == OURS else f"{digits(spent['published'])} / {digits(spent['all'])}"

    return by_length(both)


def energy_by_table() -> str:
    """All registers, in the technologies there are tables of; 16K keys."""
    rows = []
    for costs in table_names():
        title = load_table(costs).title
        for model in TWO:
            spent = {name: whole_energy(name, model, 16384, costs) for name in ("unfused", "FLAT", "FuseMax", OURS)}
            ratio = share(spent[OURS] / spent["FuseMax"])
            rows.append((f"`{costs}`: {title}", model.name, *map(digits, spent.values()), ratio))
    return table(("costs", "model", "unfused, J", "FLAT", "FuseMax", "ours", "ours to FuseMax"), rows)


def whole_layers() -> str:
    """Speed-up of a layer with its linear layers over the unfused one."""
    names = SHOWN[1:]
    rows = [
        (
            model.name,
            text,
            *(digits(end_to_end("unfused", model, n)[0] / end_to_end(name, model, n)[0]) for name in names),
        )
        for model in MODELS
        for n, text in LENGTHS.items()
    ]
    rows.append(("mean", "", *(digits(speedup(name, "unfused", whole_layer=True)) for name in names)))
    return table(("model", "keys", *names), rows)


def areas() -> str:
    """Area, and speed at equal area, with register files of both sizes."""
    rows = []
    for name in ("FLAT", "2-pass", "FuseMax", SMALL_BUFFER, OURS):
        schedule = "FuseMax" if name == SMALL_BUFFER else name
        faster = speedup(schedule, "FLAT")
        sizes = [_square_mm(name, registers) for registers in area.REGISTER_BITS]
        flat = [area.square_mm("FLAT", registers) for registers in area.REGISTER_BITS]
        dense = [faster * one / own for one, own in zip(flat, sizes, strict=True)]
        rows.append((name, digits(faster), *map(digits, (*sizes, *dense))))
    header = (
        "schedule",
        "speed-up over FLAT, equal multipliers",
        "mm2, register files as published",
        "mm2, of 10 words",
        "speed-up over FLAT, equal area, as published",
        "equal area, 10 words",
    )
    return table(header, rows)


def _square_mm(name: str, registers: str) -> float:
    if name == SMALL_BUFFER:
        return sum(area.published(area.SMALL, registers).values())
    return area.square_mm(name, registers)


def ours_means() -> str:
    """Our machine over the others, by the schedule alone and by the machine's model."""
    rows = []
    for over in SHOWN[:-1]:
        steady = mean(lambda m, n, over=over: point(over, m, n).seconds / ours.steady(m, n).seconds)  # type: ignore[misc]
        rows.append((over, digits(steady), digits(speedup(OURS, over)), digits(speedup(OURS, over, whole_layer=True))))
    header = ("ours over", "attention, the schedule alone", "attention, model of the machine", "end to end")
    return table(header, rows)


def agreement() -> str:
    """The largest deviations from the published numbers, of all models and lengths."""
    columns = {
        "seconds": lambda p: p.seconds,
        "gib": lambda p: p.bytes / GIB,
        "utilisation_2d": lambda p: p.cost.utilisation("2d"),
        "utilisation_1d": lambda p: p.cost.utilisation("1d"),
        "joule": lambda p: p.joule["published"],
    }
    rows = []
    for name in PUBLISHED:
        cells = []
        for column, value in columns.items():
            worst = max(
                (value(point(name, m, n)) / published.attention()[name, m.name, n][column] - 1 for m, n in POINTS),
                key=abs,
            )
            cells.append(f"{100 * worst:+.2f} %")
        rows.append((name, *cells))
    return table(("schedule", "latency", "traffic", "2-D utilisation", "1-D utilisation", "energy"), rows)
