"""What the drawings of graphs have in common: style, boxes, and files that are the same every time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EDGE = "#4878a8"
STYLE: dict[Any, Any] = {"font.size": 6.5, "svg.hashsalt": "hwgen", "svg.fonttype": "none"}


@contextlib.contextmanager
def saved_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty figure, sizes in inches, that is written, its folder made, when the block ends: SVG or PNG by the file's
    ending. What is drawn alike gives the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    metadata = {"Date": None, "Creator": "hwgen"} if path.suffix == ".svg" else {"Software": "hwgen"}
    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=(width, height), dpi=150)
        try:
            yield figure
            with replacing(path) as part:
                figure.savefig(part, metadata=metadata)
        finally:
            pyplot.close(figure)


def draw_box(axes: Axes, corner: tuple[float, float], width: float, height: float, colour: str, **style: Any) -> None:
    """A filled rectangle over the lines."""
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {"edgecolor": EDGE, "linewidth": 0.6, "zorder": 3} | style
    axes.add_patch(Rectangle(corner, width, height, facecolor=colour, **look))


def shortened(label: str, most: int) -> str:
    """At most so many letters."""
    return label if len(label) <= most else label[: most - 1] + "…"
