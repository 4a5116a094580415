"""A drawing of a scheduled score program: time goes right, one line a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwgen.drawing import EDGE, draw_box, saved_figure, shortened
from hwgen.scoremod.report import PARTS, detail, multipliers
from hwgen.scoremod.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 0.95, 0.42
"""Inches of a cycle, or of a value that takes none, and of a line."""

BOX = 0.72
"""Height of a box, in lines."""

BEND = 0.12
"""How far in front of an operation the lines to it leave those of its operands."""

COLOURS = {"operation": "#dbe6f2", "multiplier": "#f5d9c0", "memory": "#d8ecd4", "wires": "#f4f4f4", "input": "#ffffff"}


@dataclass(frozen=True)
class Place:
    """Where a node stands: its operands come at `left`, its result is there at `right` and wanted until `end`."""

    left: float
    right: float
    end: float
    row: int


@dataclass(frozen=True)
class Layout:
    """Places of all nodes but constants, and where cycles begin. What stands still is at the left of cycle 0."""

    places: dict[int, Place]
    cycles: list[float]
    width: float
    rows: int


def arrange(found: Schedule) -> Layout:
    """Lines one below the other such that no two values overlap."""
    graph, nodes = found.graph, found.graph.program.nodes
    drawn = [i for i, node in enumerate(nodes) if node.op != "constant"]
    when = {i: -1 if graph.static[i] else found.valid[i] for i in drawn}
    # Values that take no time stand in a row between two cycles.
    level: dict[int, int] = {}
    for i in drawn:
        if graph.cycles(i) == 0 or graph.static[i]:
            level[i] = 1 + max((level.get(a, -1) for a in nodes[i].args if when.get(a) == when[i]), default=-1)
    counts = {t: 1 + max((level[i] for i in level if when[i] == t), default=-1) for t in range(-1, found.latency + 1)}
    begin = {-1: 0.0}
    for t in range(found.latency + 1):
        begin[t] = begin[t - 1] + counts[t - 1] + (0.4 if t == 0 else 1)
    ends = {t: begin[t] + counts[t] for t in begin}
    width = ends[found.latency]

    def left(i: int) -> float:
        return begin[when[i]] + level[i] if i in level else ends[found.start[i]]

    def right(i: int) -> float:
        return left(i) + 1 if i in level else begin[when[i]]

    last = {i: right(i) for i in drawn}
    for i in drawn:
        for a in nodes[i].args:
            if a in last:
                last[a] = max(last[a], left(i) - BEND)
    for _, i in found.graph.program.outputs:
        if i in last:
            last[i] = width
    rows: list[float] = []
    places: dict[int, Place] = {}
    for i in sorted(drawn, key=lambda i: (left(i), i)):
        free = [row for row, until in enumerate(rows) if until <= left(i)]
        near = [places[a].row for a in nodes[i].args if a in places]
        row = min(free, key=lambda r: (min((abs(r - n) for n in near), default=r), r), default=len(rows))
        rows[row : row + 1] = [last[i] + 0.2]
        places[i] = Place(left(i), right(i), last[i], row)
    return Layout(places, [begin[t] for t in range(found.latency + 1)], width, max(len(rows), 1))


def draw(path: Path, name: str, schedules: Mapping[str, Schedule]) -> None:
    """Write the picture, SVG or PNG by the file's ending; the same program gives the same bytes."""
    shown = {part: found for part, found in schedules.items() if found.graph.program.outputs}
    layouts = {part: arrange(found) for part, found in shown.items()}
    width = max(layout.width for layout in layouts.values()) + 1.2
    heights = [layout.rows + 1.8 for layout in layouts.values()]
    total = sum(heights) + 0.8
    with saved_figure(path, width * WIDTH, total * HEIGHT) as figure:
        below = sum(heights)
        for (part, found), height in zip(shown.items(), heights, strict=True):
            below -= height
            axes = figure.add_axes((0, below / total, 1, height / total))
            axes.set_xlim(-0.15, width - 0.15)
            axes.set_ylim(height - 0.9, -0.9)
            axes.axis("off")
            cycles = "1 cycle" if found.latency == 1 else f"{found.latency} cycles"
            title = f"{part}: {PARTS[part]}; {cycles}, {found.register_bits:,} register bits"
            _draw_part(axes, found, layouts[part], title)
        figure.text(0.15 / width, 1 - 0.35 / total, name, fontsize=10, weight="bold", va="center")


def _draw_part(axes: Axes, found: Schedule, layout: Layout, title: str) -> None:
    graph, nodes = found.graph, found.graph.program.nodes
    axes.text(0, -0.72, title, fontsize=7.5, weight="bold")
    bottom = layout.rows - 0.3
    for cycle, x in enumerate(layout.cycles):
        axes.plot([x, x], [-0.5, bottom], color="#d0d0d0", linewidth=0.5, zorder=0)
        axes.text(x, bottom + 0.25, str(cycle), color="#808080", ha="center", va="center")
    for i, place in layout.places.items():
        axes.plot([place.right, place.end], [place.row, place.row], color=EDGE, linewidth=0.8, zorder=1)
        for x in layout.cycles:
            # A register in which the value waits; moved bits wait in the registers of what they are bits of.
            if not graph.static[i] and place.right < x <= place.end + 1e-6:
                axes.plot([x], [place.row], marker="s", markersize=2.2, color=EDGE, zorder=2)
        for a in nodes[i].args:
            if a in layout.places:
                source = layout.places[a]
                path = ([place.left - BEND, place.left], [source.row, place.row])
                axes.plot(*path, color=EDGE, linewidth=0.8, zorder=1)
        _draw_box(axes, found, i, place)
    for output, i in graph.program.outputs:
        if i in layout.places:
            axes.text(layout.width + 0.06, layout.places[i].row, output, va="center", weight="bold")
        else:
            axes.text(layout.width + 0.06, bottom, f"{output} = {nodes[i].number}", va="center", weight="bold")


def _draw_box(axes: Axes, found: Schedule, i: int, place: Place) -> None:
    graph, node = found.graph, found.graph.program.nodes[i]
    kind = "operation"
    if node.op == "input":
        kind = "input"
    elif node.op in ("parameter", "table"):
        kind = "memory"
    elif multipliers(graph, i):
        kind = "multiplier"
    elif graph.cycles(i) == 0:
        kind = "wires"
    left, width = place.left + 0.02, place.right - place.left - 0.04
    corner = (left, place.row - BOX / 2)
    draw_box(axes, corner, width, BOX, COLOURS[kind])
    constants = [detail(graph, a) for a in node.args if graph.program.nodes[a].op == "constant"]
    label = (
        node.name
        if node.op in ("input", "parameter")
        else " ".join(filter(None, (node.op, detail(graph, i), *constants)))
    )
    # A letter takes about 0.055 inches.
    most = max(int(width * WIDTH / 0.055), 4)
    lines = [shortened(label.strip(), most), str(node.format)]
    axes.text(
        place.left + (place.right - place.left) / 2, place.row, "\n".join(lines), ha="center", va="center", zorder=4
    )
