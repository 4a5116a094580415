"""The pictures of docs/results/evaluation.md, as SVG that is the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.evaluation import area
from hwgen.evaluation.results import OURS, SHOWN, end_to_end, point
from hwgen.evaluation.workloads import LENGTHS, MODELS, Model
from hwgen.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.6,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.hashsalt": "hwgen",
    "svg.fonttype": "path",
}
COLOURS = {
    "unfused": "#bdbdbd",
    "FLAT": "#8da0b3",
    "2-pass": "#5f7f9e",
    "+Cascade": "#d9b26f",
    "+Architecture": "#cc8a3c",
    "FuseMax": "#a8501f",
    OURS: "#1b7f5c",
}
MARKERS = dict(zip(SHOWN, "os^Dv<*", strict=True))
BERT, XLM = MODELS[0], MODELS[3]


def draw(folder: Path) -> tuple[Path, ...]:
    """Write all pictures; gives their files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    files = []
    for name, picture in PICTURES.items():
        with pyplot.rc_context(STYLE):
            figure = picture(pyplot)
            file = folder / f"{name}.svg"
            with replacing(file) as part:
                figure.savefig(part, metadata={"Date": None, "Creator": "hwgen"})
            pyplot.close(figure)
        files.append(file)
    return tuple(files)


def _utilisation(pyplot: Any) -> Any:
    figure, axes = pyplot.subplots(1, 2, figsize=(8.4, 3.1), sharey=True, layout="constrained")
    for part, model in zip(axes, (BERT, XLM), strict=True):
        for name in SHOWN:
            values = [point(name, model, n).useful for n in LENGTHS]
            style = {"color": COLOURS[name], "marker": MARKERS[name], "markersize": 4, "linewidth": 1.3, "label": name}
            part.plot(range(len(LENGTHS)), values, **style)
        part.set_xticks(range(len(LENGTHS)), list(LENGTHS.values()))
        part.set_xlabel("keys and queries")
        part.set_title(f"E = F = {model.head}")
        part.set_ylim(0, 1.03)
    axes[0].set_ylabel("useful utilisation")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _speedup(pyplot: Any) -> Any:
    def value(name: str, model: Model, n: int) -> float:
        return point("unfused", model, n).seconds / point(name, model, n).seconds

    return _bars(pyplot, value, SHOWN[1:], "attention: speed-up over unfused")


def _end_to_end(pyplot: Any) -> Any:
    def value(name: str, model: Model, n: int) -> float:
        return end_to_end("unfused", model, n)[0] / end_to_end(name, model, n)[0]

    return _bars(pyplot, value, SHOWN[1:], "with linear layers: speed-up over unfused", models=MODELS)


def _energy(pyplot: Any) -> Any:
    def value(name: str, model: Model, n: int) -> float:
        return point(name, model, n).joule["all"] / point("unfused", model, n).joule["all"]

    return _bars(pyplot, value, SHOWN[1:], "attention: energy to unfused, all registers")


def _bars(
    pyplot: Any,
    value: Callable[[str, Model, int], float],
    names: tuple[str, ...],
    title: str,
    models: Iterable[Model] = (BERT, XLM),
) -> Any:
    """A panel for each model, a group of bars for each length."""
    models = tuple(models)
    size = (8.4, 2.9) if len(models) == 2 else (8.4, 5.2)
    figure, axes = pyplot.subplots(len(models) // 2, 2, figsize=size, sharey=True, layout="constrained", squeeze=False)
    for part, model in zip(axes.flat, models, strict=True):
        for i, name in enumerate(names):
            at = [j + (i - (len(names) - 1) / 2) * 0.13 for j in range(len(LENGTHS))]
            part.bar(at, [value(name, model, n) for n in LENGTHS], width=0.12, color=COLOURS[name], label=name)
        part.set_xticks(range(len(LENGTHS)), list(LENGTHS.values()))
        part.set_title(f"{model.name}{' (TrXL, T5 alike)' if len(models) == 2 and model is BERT else ''}")
    for part in axes[:, 0]:
        part.set_ylabel(title, fontsize=7.5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _area(pyplot: Any) -> Any:
    figure, axes = pyplot.subplots(1, 2, figsize=(8.4, 2.4), layout="constrained")
    names = ("FLAT", "2-pass", "FuseMax", OURS)
    titles = {"published": "register files as published", "as drawn": "register files of 10 words"}
    for part, (registers, title) in zip(axes, titles.items(), strict=True):
        _areas(part, names, registers)
        part.set_title(title)
    return figure


def _areas(axes: Axes, names: tuple[str, ...], registers: str) -> None:
    values = [area.speedup_at_equal_area(name, "FLAT", registers) for name in names]
    bars = axes.barh(names, values, color=[COLOURS[name] for name in names], height=0.6)
    axes.bar_label(bars, [f"{value:.1f}" for value in values], padding=3)
    axes.set_xlabel("attention: speed-up over FLAT at equal area")
    axes.grid(False)
    axes.invert_yaxis()
    axes.margins(x=0.12)


PICTURES: dict[str, Callable[[Any], Any]] = {
    "utilisation": _utilisation,
    "speedup": _speedup,
    "energy": _energy,
    "end_to_end": _end_to_end,
    "area": _area,
}
