"""The points of an exploration over two metrics, and its front among them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hwgen.sweep.exploration import Outcome, Row
from hwgen.sweep.output import MOST_ROWS, ordered, title, words
from hwgen.sweep.spec import Spec
from hwgen.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}
LOOKS: dict[str, dict[str, Any]] = {
    "infeasible": {"marker": "x", "s": 12, "color": "#cfcfcf", "linewidths": 0.8, "label": "misses a constraint"},
    "dominated": {"marker": "o", "s": 9, "color": "#9db3c8", "linewidths": 0, "label": "dominated"},
    "front": {"marker": "o", "s": 22, "color": "#c2410c", "linewidths": 0, "zorder": 3, "label": "front"},
}
MOST_LINES = 16
"""Of the legend that says what the numbered points are."""

MOST_LETTERS = 75
"""Of such a line."""


def draw(spec: Spec, outcome: Outcome, axes: tuple[str, str], path: Path) -> None:
    """Write the picture of `figure` as PNG."""
    with replacing(path) as part:
        figure(spec, outcome, axes).savefig(part, metadata={"Software": None})


def figure(spec: Spec, outcome: Outcome, axes: tuple[str, str]) -> Figure:
    """All points that have a result. Those of the front are numbered as in the table; where the two axes are the
    objectives, a line shows what the front dominates."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        drawn = Figure(figsize=(7.2, 4.2), dpi=160, layout="constrained")
        plot = drawn.subplots()
        for status, look in LOOKS.items():
            rows = outcome.having(status)
            plot.scatter(*(values(rows, metric) for metric in axes), **look)
        front = ordered(spec, outcome.having("front"))
        _label(plot, front, axes)
        if {objective.metric for objective in spec.objectives} == set(axes):
            _stairs(plot, front, axes, spec.objectives[0].metric)
        _name(plot, spec, outcome, axes)
        _legend(plot, spec, front)
    return drawn


def values(rows: Sequence[Row], metric: str) -> list[float]:
    return [row.result.metrics[metric] for row in rows]


def _label(plot: Axes, front: Sequence[Row], axes: tuple[str, str]) -> None:
    """Numbers beside points; those of points in one place stand together."""
    places: dict[tuple[float, float], list[str]] = {}
    for number, row in enumerate(front[:MOST_ROWS], 1):
        metrics = row.result.metrics
        places.setdefault((metrics[axes[0]], metrics[axes[1]]), []).append(str(number))
    for at, numbers in places.items():
        text = ", ".join(numbers)
        plot.annotate(text, at, xytext=(3, 3), textcoords="offset points", fontsize=7, zorder=4)


def _stairs(plot: Axes, front: Sequence[Row], axes: tuple[str, str], first: str) -> None:
    """The border of what is dominated; points come in the order of the `first` objective."""
    where: Literal["post", "pre"] = "post" if axes[0] == first else "pre"
    x, y = (values(front, metric) for metric in axes)
    plot.step(x, y, where=where, color="#c2410c", linewidth=0.8, alpha=0.6, zorder=2)


def _name(plot: Axes, spec: Spec, outcome: Outcome, axes: tuple[str, str]) -> None:
    """Titles, and logarithmic axes where values differ tenfold."""
    rows = [row for row in outcome.rows if row.result.error is None]
    better = {objective.metric: "more" if objective.maximise else "less" for objective in spec.objectives}
    for metric, axis in zip(axes, ("x", "y"), strict=True):
        found = values(rows, metric)
        if found and min(found) > 0 and max(found) > 10 * min(found):
            plot.set(**{f"{axis}scale": "log"})
        hint = f" ({better[metric]} is better)" if metric in better else ""
        plot.set(**{f"{axis}label": title(metric) + hint})
    front = f"{outcome.seen['front']} on the front of {', '.join(better)}"
    plot.set_title(f"{spec.path.stem}: {len(outcome.rows):,} points, {front}")


def _legend(plot: Axes, spec: Spec, front: Sequence[Row]) -> None:
    """Marks, and the parameters of the numbered points."""
    lines = [f"{i}  {describe(spec, row)}" for i, row in enumerate(front[:MOST_LINES], 1)]
    if len(front) > MOST_LINES:
        lines.append(f"and {len(front) - MOST_LINES} more")
    box: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (1.01, 1),
        "frameon": False,
        "fontsize": 7,
        "borderaxespad": 0,
    }
    plot.legend(title="\n".join(lines), title_fontsize=6.5, alignment="left", **box)


def describe(spec: Spec, row: Row) -> str:
    """The values of parameters, each name once for those that change together."""
    chosen = (f"{parameter.name} {words(row.point.values[parameter.names[0]])}" for parameter in spec.parameters)
    return textwrap.shorten("; ".join(chosen), MOST_LETTERS, placeholder=" ...")
