"""The figures of a run's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwgen import table
from hwgen.checked import Checked
from hwgen.control.causes import BUSY
from hwgen.model.machine import Prediction
from hwgen.model.roofline import Point, model_point
from hwgen.model.roofline import draw as draw_roofs
from hwgen.picture import COLOURS, bin_activity, bin_edges
from hwgen.report.accuracy import REACH, Accuracy
from hwgen.report.activity import ARRAYS, Stretch, cycles_between
from hwgen.report.svg import ACCENT, GRID, INK, TENSOR_COLOURS, TENSOR_LABELS, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW, HALF = (9.6, 3.1), (4.4, 3.6), (4.7, 3.1)
"""Sizes in inches; 72 units of the page each."""

BINS, NARROW_BINS = 144, 72
Bytes = Mapping[str, int]
Activity = Mapping[str, Sequence[Stretch]]


def activity(checked: Checked, found: Activity) -> Picture:
    """Both arrays over the whole run: shares of cycles by cause."""

    def draw(figure: Figure) -> None:
        edges = _edges(figure, checked)
        for axes, array in zip(figure.subplots(2, 1, sharex=True), ARRAYS, strict=True):
            _stack(axes, found[array], checked.cycles, edges)
            axes.set_title(f"{array} array")
        axes.set_xlabel("cycle")

    busy = " and ".join(f"the {array} array {share(checked, array):.1%}" for array in ARRAYS)
    text = f"Over {checked.cycles:,} cycles {busy} of the cycles was busy; the rest by cause, as the table below says."
    return picture("activity", "What the arrays did over the run", text, draw, WIDE, NARROW)


def _is_wide(figure: Figure) -> bool:
    return bool(figure.get_figwidth() > NARROW[0])


def _edges(figure: Figure, checked: Checked) -> NDArray[np.int64]:
    """As many bins over the run as there is room for."""
    return bin_edges(0, checked.cycles, BINS if _is_wide(figure) else NARROW_BINS)


def share(checked: Checked, array: str) -> float:
    """Part of the cycles in which an array was busy."""
    return checked.result.counters[f"{array}_busy"] / checked.cycles


def _stack(axes: Axes, found: Sequence[Stretch], cycles: int, edges: NDArray[Any]) -> None:
    binned = bin_activity([(s.first, s.code, 0) for s in found], cycles, edges)
    base = np.zeros(len(binned.lengths))
    for code in (code for code in COLOURS if code in binned.score):
        top = base + binned.score[code] / binned.lengths
        axes.stairs(top, edges, baseline=base, fill=True, color=COLOURS[code], linewidth=0)
        base = top
    _share_axis(axes)
    axes.set_xlim(0, cycles)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _share_axis(axes: Axes) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])


def ends(checked: Checked, found: Activity) -> Picture:
    """How the arrays start and finish, cycle by cycle."""
    idle = [s for array in ARRAYS for s in (found[array][0], found[array][-1]) if s.code != BUSY]
    busy = [[s for s in found[array] if s.code == BUSY] for array in ARRAYS]
    first = max((stretches[0].first for stretches in busy if stretches), default=32)
    last = max((checked.cycles - stretches[-1].end for stretches in busy if stretches), default=32)
    span = min(checked.cycles, max(round(1.5 * max(first, last)), 32)) if idle else min(checked.cycles, 32)

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, 2, sharey=True) if _is_wide(figure) else figure.subplots(2, 1)
        for part, begin in zip(axes, (0, checked.cycles - span), strict=True):
            _bars(part, found, begin, begin + span)
        axes[0].set_title(f"first {span:,} cycles")
        axes[1].set_title(f"last {span:,} cycles")

    text = (
        f"The score array gets its first work in cycle {busy[0][0].first:,} and its last before cycle "
        f"{busy[0][-1].end:,} of {checked.cycles:,}."
        if busy[0]
        else "The arrays never got work."
    )
    return picture("ends", "How the run starts and ends", text, draw, (9.6, 1.7), (4.4, 2.8))


def _bars(axes: Axes, found: Activity, first: int, last: int) -> None:
    """A bar an array, in the colour of what happens in each cycle."""
    for height, array in ((1, "score"), (0, "value")):
        shown = [s for s in found[array] if s.end > first and s.first < last]
        spans = [(s.first, s.cycles) for s in shown]
        axes.broken_barh(spans, (height - 0.36, 0.72), facecolors=[COLOURS[s.code] for s in shown], linewidth=0)
    axes.set_xlim(first, last)
    axes.set_ylim(-0.5, 1.5)
    axes.set_yticks([1, 0], ["score", "value"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("cycle")


def bus(checked: Checked) -> Picture:
    """Shares of cycles in which a word of each tensor moved, over the run."""
    events, cycles = checked.result.events, checked.cycles
    assert events is not None
    found = {}
    for channel in ("r", "w"):
        lines, tensors = events.stretches(channel)
        for name in dict.fromkeys(tensors):
            found[channel, name] = lines[np.array([tensor == name for tensor in tensors])]

    def draw(figure: Figure) -> None:
        names, edges = (("r", "read channel"), ("w", "write channel")), _edges(figure, checked)
        for axes, (channel, title) in zip(figure.subplots(2, 1, sharex=True), names, strict=True):
            base = np.zeros(len(edges) - 1)
            for name, colour in TENSOR_COLOURS.items():
                if (channel, name) in found:
                    top = base + cycles_between(found[channel, name], edges + events.start) / np.diff(edges)
                    axes.stairs(top, edges, baseline=base, fill=True, color=colour, linewidth=0)
                    base = top
            _share_axis(axes)
            axes.set_xlim(0, cycles)
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.set_title(title)
        axes.set_xlabel("cycle")

    text = f"A word came from memory in {checked.read_busy:.1%} of the cycles; the share over time, by tensor."
    return picture("bus", "What moved on the bus", text, draw, WIDE, NARROW)


def traffic(found: Mapping[str, int], least: Mapping[str, int]) -> Picture:
    """Bytes by tensor, and what would do if each were moved once."""
    names = [name for name, size in found.items() if size]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(names))[::-1]
        sizes = [found[name] for name in names]
        bars = axes.barh(places, sizes, 0.62, color=[TENSOR_COLOURS[name] for name in names])
        axes.bar_label(bars, [f"{size:,}" for size in sizes], padding=4, color=INK)
        for place, name in zip(places, names, strict=True):
            if name in least:
                axes.plot([least[name]] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=1.4)
        axes.set_yticks(places, [TENSOR_LABELS[name] for name in names])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlim(0, 1.28 * max(sizes, default=1))
        axes.xaxis.set_major_formatter(_short)
        axes.set_xlabel("bytes")

    sizes = ", ".join(f"{TENSOR_LABELS[name]} {found[name]:,}" for name in names)
    text = f"Bytes on the bus: {sizes}. The line is each row moved once."
    return picture("traffic", "Bytes by tensor", text, draw, HALF)


def _short(value: float, _: object = None) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def errors(found: Accuracy, format_name: str) -> Picture:
    """Histogram of the errors, beside those of the exact answer rounded."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        total = max(found.outputs, 1)
        axes.stairs(found.measured / total, found.edges, fill=True, color=COLOURS[BUSY], label="accelerator")
        axes.stairs(found.rounded / total, found.edges, color=ACCENT, linewidth=1.2, label="exact, rounded")
        axes.set_xlim(-REACH, REACH)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axes.grid(axis="y")
        axes.set_xlabel(f"error in last places of {format_name}")
        axes.set_ylabel("share of outputs")
        axes.legend(loc="upper right", fontsize=8, handlelength=1.2)

    text = (
        f"Of {found.outputs:,} outputs {found.as_rounded:.2%} are the exact answer, correctly rounded; "
        f"{found.within_one:.2%} lie within one last place. What lies beyond the axis is counted at its ends."
    )
    return picture("errors", "Error against exact attention", text, draw, HALF)


def roofline(checked: Checked, model: Prediction | None) -> Picture:
    """What multipliers and bus allow, and what this run reached; beside it what the model says of it."""
    params = checked.params
    macs = checked.result.macs(params)["useful"]
    busier = max(checked.bytes_read, checked.bytes_written, 1)
    points = [Point("this run", macs, busier, checked.cycles, True)]
    if model is not None:
        points.append(model_point(params, model.work, "the model", model))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_roofs(axes, params, [point for point in points if point.macs])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        bottom, _ = axes.get_ylim()
        axes.set_ylim(bottom=min([bottom, *(point.performance / 2 for point in points if point.macs)]))
        axes.grid(color=GRID)

    run = points[0]
    text = (
        f"{table.three_digits(run.intensity)} useful MACs a byte on the busier channel; "
        f"{table.three_digits(run.performance)} of {params.macs:,} a cycle reached (1)"
    )
    text += "." if model is None else f", {table.three_digits(points[1].performance)} by the model (2)."
    return picture("roofline", "Roofline", text, draw, HALF)


def all_figures(
    checked: Checked, found: Activity, accuracy: Accuracy, bytes_: tuple[Bytes, Bytes], model: Prediction | None
) -> dict[str, Picture]:
    """Every figure of the page by its name. `bytes_`: by tensor, those that were moved and those that must be."""
    pictures = (
        activity(checked, found),
        ends(checked, found),
        bus(checked),
        traffic(*bytes_),
        roofline(checked, model),
        errors(accuracy, checked.params.output.name),
    )
    return {one.name: one for one in pictures}
