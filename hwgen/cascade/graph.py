"""A drawing of a cascade: what is made of what, pass by pass, with a barrier where all has to be read first."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from golden.cascade.passes import IN, Passes
from hwgen.cascade.layout import Layout, Step, arrange
from hwgen.drawing import draw_box, saved_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 1.75, 0.62
"""Inches of a column and of a box with its margin."""

BOX_WIDTH, BOX_HEIGHT = 0.76, 0.74
"""Of a box, in columns and in units of its height with margin."""

LETTERS, LINES = 26, 3
"""What a box holds: letters in a line, and lines."""

COLOURS = ("#e6e6e6", "#cfe2f3", "#fbdcc0", "#d5ecd0", "#ead6ec", "#fbefb4")
"""Of what is done before the first pass, and of the passes; they begin again if there are more."""

INPUT, LINE, BARRIER = "#ffffff", "#5a6b7b", "#c0392b"


def colour(number: int) -> str:
    """Of a pass."""
    return COLOURS[0] if number == 0 else COLOURS[1 + (number - 1) % (len(COLOURS) - 1)]


def draw(path: Path, found: Passes) -> None:
    """Write the picture, SVG or PNG by the file's ending; the same cascade gives the same bytes."""
    layout = arrange(found)
    columns = 1 + max(last for _, last in layout.columns.values())
    height = layout.height + 1.9
    with saved_figure(path, columns * WIDTH, height * HEIGHT) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(layout.height + 0.5, -1.4)
        axes.axis("off")
        count = f"{found.count} pass{'es'[: 2 * (found.count != 1)]} over {found.rank}"
        axes.text(-0.4, -1.1, f"{found.cascade.name}: {count}", fontsize=10, weight="bold", va="center")
        for step, (first, _) in layout.columns.items():
            axes.text(first - 0.4, -0.35, _title(step), fontsize=7.5, weight="bold", va="center", zorder=5)
        _draw_barriers(axes, found, layout)
        _draw_lines(axes, found, layout)
        for name in layout.at:
            _draw_box(axes, found, layout, name)


def _title(step: Step) -> str:
    number, over = step
    return "before" if number == 0 else f"after pass {number}" if over else f"pass {number}"


def _draw_barriers(axes: Axes, found: Passes, layout: Layout) -> None:
    """A line in front of every further pass, and what it waits for."""
    for number in range(2, found.count + 1):
        begin = min(first for (n, over), (first, _) in layout.columns.items() if (n, over) >= (number, False))
        waits = dict.fromkeys(reason.needs for reason in found.reasons if reason.number == number)
        axes.plot(
            [begin - 0.5] * 2, [-0.55, layout.height + 0.2], color=BARRIER, linewidth=1.2, linestyle="--", zorder=2
        )
        text = f"waits for {', '.join(waits)}" if waits else "waits"
        axes.text(begin - 0.5, layout.height + 0.34, text, color=BARRIER, ha="center", va="center", zorder=5)


def _draw_lines(axes: Axes, found: Passes, layout: Layout) -> None:
    crossing = {(needs, reason.einsum) for reason in found.reasons for needs in reason.needs.split(" and ")}
    for (source, target, earlier), way in layout.lines.items():
        (a, y), (b, z) = layout.at[source], layout.at[target]
        strong = (source, target) in crossing
        look: dict[str, Any] = {"color": BARRIER if strong else LINE, "linewidth": 1.1 if strong else 0.7, "zorder": 1}
        if earlier and a >= b:
            # Back to the next step: below the boxes, from right to left.
            below = [y + 0.42, y + 0.47, z + 0.47, z + 0.42]
            axes.plot([a + 0.3, a + 0.3, b - 0.3, b - 0.3], below, linestyle=":", **look)
            _arrow(axes, (b - 0.3, z + 0.47), (b - 0.3, z + 0.37), look["color"])
            continue
        points = [(a + BOX_WIDTH / 2, y)]
        for column, place in way:
            points += [(column - BOX_WIDTH / 2, place), (column + BOX_WIDTH / 2, place)]
        end = (b - BOX_WIDTH / 2, z)
        axes.plot(*zip(*points, end, strict=True), linestyle=":" if earlier else "-", **look)
        _arrow(axes, points[-1], end, look["color"])


def _arrow(axes: Axes, before: tuple[float, float], end: tuple[float, float], colour: object) -> None:
    axes.annotate(
        "", end, before, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 0, "mutation_scale": 7}, zorder=4
    )


def _draw_box(axes: Axes, found: Passes, layout: Layout, name: str) -> None:
    cascade, (column, middle) = found.cascade, layout.at[name]
    corner = (column - BOX_WIDTH / 2, middle - BOX_HEIGHT / 2)
    if name in cascade.inputs:
        head, lines, fill, style = (
            f"{name}[{','.join(r.lower() for r in cascade.inputs[name])}]",
            ["comes in"],
            INPUT,
            "-",
        )
    else:
        (einsum,) = (e for e in cascade.einsums if e.name == name)
        head, _, right = str(einsum).partition(" = ")
        lines = textwrap.wrap(f"= {right}", LETTERS, break_long_words=False)
        lines = [*lines[: LINES - 1], " ".join(lines[LINES - 1 :])] if len(lines) >= LINES else lines
        stage = found.stages[name]
        fill, style = colour(stage.number), "-" if stage.kind == IN else ":"
    draw_box(axes, corner, BOX_WIDTH, BOX_HEIGHT, fill, linestyle=style, linewidth=0.8)
    text = "\n".join(shortened(line, LETTERS + 2) for line in lines)
    axes.text(column, middle - BOX_HEIGHT / 2 + 0.17, head, weight="bold", ha="center", va="center", zorder=4)
    axes.text(column, middle + 0.13, text, fontsize=5.5, ha="center", va="center", zorder=4, linespacing=1.1)
