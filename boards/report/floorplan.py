"""Where on the device each part of the machine lies, as a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from boards.flow.parts import PARTS, part_of
from hwgen.drawing import saved_figure

COLOURS = dict(
    zip(
        (name for name, _ in PARTS),
        (
            "#2f6db5", "#3f9b5b", "#e08f26", "#c2403a", "#8e5ea8", "#58b7c6", "#b9a02c", "#8a8a8a", "#d8b8a0",
            "#e377c2", "#444444",
        ),
        strict=True,
    )
)  # fmt: skip
PLACE = re.compile(r"X(\d+)/?Y(\d+)/?(.*)")
KINDS = (("logic", 1.6), ("DSP", 14), ("RAM", 14))
"""Kinds of cells, and how large they are drawn."""


def cells(placed: Path) -> Iterator[tuple[int, int, str, str]]:
    """Column, row, kind and part of every placed cell."""
    # Place and route has flattened what it read, and calls it by a name of its own.
    (module,) = json.loads(placed.read_text())["modules"].values()
    for name, cell in module["cells"].items():
        found = PLACE.search(cell.get("attributes", {}).get("NEXTPNR_BEL", ""))
        if found is None:
            continue
        kind = cell["type"]
        drawn = (
            "DSP"
            if "MULT" in kind or "ALU54" in kind
            else "RAM"
            if re.match(r"DP16KD|BSRAM|SDP|DPB", kind)
            else "logic"
        )
        yield int(found[1]), int(found[2]), drawn, part_of(name)


def draw(placed: Path, path: Path, title: str) -> None:
    """Draw the floorplan, one dot a cell, into a PNG or SVG file."""
    found = list(cells(placed))
    with saved_figure(path, 7.5, 5.6) as figure:
        axes = figure.add_axes((0.06, 0.08, 0.72, 0.84))
        for kind, size in KINDS:
            for part, colour in COLOURS.items():
                spots = [(x, y) for x, y, of, name in found if (of, name) == (kind, part)]
                if spots:
                    # What shares a place is spread a little, by the order of the cells.
                    xs = [x + 0.22 * (i % 4) - 0.33 for i, (x, _) in enumerate(spots)]
                    ys = [y + 0.22 * (i // 4 % 4) - 0.33 for i, (_, y) in enumerate(spots)]
                    axes.scatter(xs, ys, s=size, c=colour, marker="s", linewidths=0, alpha=0.85 if size < 2 else 1)
        for part, colour in COLOURS.items():
            number = sum(name == part for *_, name in found)
            if number:
                axes.scatter([], [], s=24, c=colour, marker="s", label=f"{part} ({number:,})")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, title="cells")
        axes.set(title=title, xlabel="column of the device", ylabel="row", aspect="equal")
        axes.invert_yaxis()
