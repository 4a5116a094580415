"""Matplotlib figures as parts of a page: text stays text, and colours are those of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from hwgen.control.causes import BUSY, Cause
from hwgen.picture import COLOURS, NAMES, VALUE_COLOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, ACCENT = "#1c2128", "#57606b", "#d5dae0", "#b3261e"
TENSOR_COLOURS = {
    "q": "#7a5fb0",
    "k": "#5a9b23",
    "v": "#15a07a",
    "o": "#c8553e",
    "lse": "#b98a00",
    "other": "#8a8f96",
}
TENSOR_LABELS = {name: name.upper() for name in TENSOR_COLOURS} | {"other": "descriptor"}
NAMED = {INK: "ink", MUTED: "muted", GRID: "grid", ACCENT: "accent"}
NAMED |= {colour: f"cause-{NAMES[code].replace(' ', '-')}" for code, colour in COLOURS.items()}
NAMED |= {colour: f"tensor-{name}" for name, colour in TENSOR_COLOURS.items()}
"""Custom properties of the page and the colours they are in figures."""

REPLACED = NAMED | {VALUE_COLOUR: "ink"}
"""The custom property for every colour that may stand in a figure."""

DARK = {
    INK: "#e8eaed",
    MUTED: "#a3abb5",
    GRID: "#3a414b",
    ACCENT: "#ff8a80",
    COLOURS[BUSY]: "#6ea3d8",
    COLOURS[Cause.NO_JOB]: "#2b3038",
    COLOURS[Cause.FILL]: "#444b55",
    COLOURS[Cause.DRAIN]: "#7d8590",
}
"""What they are on a dark page, where they are not the same."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

Draw = Callable[["Figure"], None]


@dataclass(frozen=True)
class Picture:
    """A figure of the page: what it is called, what it shows in words, and its SVG."""

    name: str
    title: str
    text: str
    svg: str
    narrow: str = ""
    """The same for a narrow page, if the wide one would be too small there."""


def picture(
    name: str, title: str, text: str, draw: Draw, size: tuple[float, float], narrow: tuple[float, float] | None = None
) -> Picture:
    """Draw a figure of `size` inches, and one for narrow pages; `text` stands in for it where it cannot be seen."""
    wide = render(name, title, text, draw, size)
    return Picture(name, title, text, wide, render(f"{name}-narrow", title, text, draw, narrow) if narrow else "")


def render(name: str, title: str, text: str, draw: Draw, size: tuple[float, float]) -> str:
    """The SVG element; equal figures give equal text. `name` is unique in the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _element(stream.getvalue(), name, title, text)


def _element(document: str, name: str, title: str, text: str) -> str:
    """The one element of an SVG document, for a page."""
    body = document[document.index("<svg") :]
    head, _, rest = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    rest = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", rest, flags=re.DOTALL)
    # Groups have names that recur from figure to figure; nothing refers to them.
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    rest = re.sub(r"(\d\.\d\d)\d+", r"\1", rest)
    rest = re.sub(r"\s+", " ", rest)
    rest = re.sub(r"font: (?:(bold|\d+) )?([\d.]+)px [^;\"]*", _font, rest)
    for colour, variable in REPLACED.items():
        rest = rest.replace(colour, f"var(--{variable})")
    labels = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-text">{escape(text)}</desc>'
    opening = f'<svg {box[0]} role="img" aria-labelledby="{name}-title {name}-text">'
    return f"{opening}{labels}{rest.strip()}"


def _font(found: re.Match[str]) -> str:
    """Sizes as drawn, letters of the page."""
    weight = f"; font-weight: {found[1]}" if found[1] else ""
    return f"font-size: {found[2]}px{weight}"


def palettes() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Custom properties and their colours: all on a light page, those that differ on a dark one."""
    return {NAMED[c]: c for c in NAMED}, {NAMED[c]: dark for c, dark in DARK.items()}
