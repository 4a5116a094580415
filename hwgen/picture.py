"""One figure of a run: what the arrays did in every cycle, beside the attention of one head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from golden.formats import decode
from hwgen.checked import Checked
from hwgen.control.causes import BUSY, Cause
from hwgen.params import Params
from hwgen.sim.run import HeadJob

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Change = tuple[int, int, int]
"""(cycle, cause, value_busy), see `hwgen.sim.run.RunResult`."""

BINS = 160
NAMES = {BUSY: "busy"} | {int(cause): cause.name.lower().replace("_", " ") for cause in Cause}
COLOURS = {
    BUSY: "#4878a8",
    Cause.NO_JOB: "#f0f0f0",
    Cause.FILL: "#d9d9d9",
    Cause.SETUP: "#e6ab02",
    Cause.WAIT_Q: "#7570b3",
    Cause.WAIT_K: "#66a61e",
    Cause.WAIT_V: "#1b9e77",
    Cause.HAZARD: "#d95f02",
    Cause.WAIT_OUT: "#e7298a",
    Cause.PAD: "#a6761d",
    Cause.DRAIN: "#a0a0a0",
}
VALUE_COLOUR = "#222222"
BLANK = "#e4e7ea"
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
}
LAYOUT: dict[str, Any] = {
    "width_ratios": (1, 1, 2.1),
    "height_ratios": (1.6, 1),
    "left": 0.055,
    "right": 0.93,
    "top": 0.83,
    "bottom": 0.155,
    "wspace": 0.22,
    "hspace": 0.52,
}


@dataclass(frozen=True)
class Binned:
    """Cycles in each of N bins between N + 1 edges.

    score: by cause code (BUSY for issued work), N each, which add up to the bins' lengths;  value: N busy cycles
    """

    edges: NDArray[np.int64]
    score: dict[int, NDArray[np.int64]]
    value: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.edges)


def bin_activity(activity: Sequence[Change], cycles: int, edges: NDArray[np.int64]) -> Binned:
    """Count a list of changes, the first at cycle 0, that lasts until `cycles`.

    Raises ValueError if there is no such list.
    """
    if not activity or activity[0][0] != 0:
        raise ValueError("the run was not traced from its first cycle on")
    start, cause, value_busy = np.array(activity, dtype=np.int64).T
    ends = np.append(start, cycles)

    def count(active: NDArray[np.bool_]) -> NDArray[np.int64]:
        # Active cycles before any moment: a line through their number at every change, exact in float64.
        before = np.concatenate([[0], np.cumsum(np.diff(ends) * active)])
        return np.diff(np.rint(np.interp(edges, ends, before)).astype(np.int64))

    score = {int(code): count(cause == code) for code in np.unique(cause)}
    return Binned(edges, score, count(value_busy == 1))


def bin_edges(first: int, last: int, bins: int = BINS) -> NDArray[np.int64]:
    """Up to `bins` bins of a whole number of cycles from `first` to `last`, as equal as they can be."""
    return np.unique(np.linspace(first, last, min(bins, last - first) + 1).round().astype(np.int64))


def attention_weights(head: HeadJob, scale: float, params: Params) -> NDArray[np.float64]:
    """Softmax weights (L, S) of one head in float64: zero where masked, NaN where a poisoned row has a part in it."""
    q, k = (decode(codes, params.input) for codes in (head.q, head.k))
    with np.errstate(invalid="ignore", over="ignore"):
        scores = scale * (q @ k.T)
        i, j = np.arange(len(q))[:, None], np.arange(len(k))[None, :]
        seen = j < head.job.keys
        if head.job.causal:
            seen = seen & (j <= i + head.job.offset)
        scores = np.where(seen, scores, -np.inf)
        top = scores.max(axis=1, keepdims=True)
        weights = np.exp(scores - np.where(np.isneginf(top), 0.0, top))
        total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total == 0, 1.0, total)


def draw(path: Path, checked: Checked, *, head: int = 0, tokens: Sequence[str] = (), title: str = "") -> None:
    """Write the figure of a traced run as PNG. `head` counts in the order of (B, Hq); `title` describes it.

    Raises ValueError if the run was not traced.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=(11.0, 5.4), dpi=160)
        grid = figure.add_gridspec(2, 3, **LAYOUT)
        _draw_activity(figure.add_subplot(grid[0, :2]), checked)
        _draw_ends([figure.add_subplot(grid[1, i]) for i in range(2)], checked)
        _draw_map(figure.add_subplot(grid[:, 2]), checked, head, tokens, title)
        _draw_titles(figure, checked)
        figure.savefig(path, metadata={"Software": "hwgen"})
        pyplot.close(figure)


def _draw_titles(figure: Any, checked: Checked) -> None:
    config, c = checked.params.config, checked.comparison
    arrays = (
        f"{config.rows_e}x{config.cols} score array, {config.rows_f}x{config.cols} value array, {config.slots} slots"
    )
    bits = f"all {c.bits:,} bits equal to the golden model"
    if c.equal != c.bits:
        bits = f"{c.bits - c.equal:,} of {c.bits:,} BITS DIFFER"
    figure.text(0.055, 0.95, f"hwgen: preset {checked.preset}", fontsize=12, weight="bold", ha="left")
    figure.text(
        0.055,
        0.905,
        "   |   ".join((arrays, f"{checked.cycles:,} cycles", f"utilisation U = {checked.utilisation:.4f}", bits)),
        fontsize=8.5,
        ha="left",
    )


def _draw_stack(axes: Axes, checked: Checked, edges: NDArray[np.int64]) -> list[int]:
    """The score array's cycles by cause, stacked, and the value array's busy share as a line; gives the causes."""
    binned = bin_activity(checked.result.activity, checked.cycles, edges)
    codes = [code for code in COLOURS if code in binned.score and binned.score[code].any()]
    base = np.zeros(len(binned.lengths))
    for code in codes:
        top = base + binned.score[code] / binned.lengths
        axes.stairs(top, edges, baseline=base, fill=True, color=COLOURS[code], linewidth=0)
        base = top
    axes.stairs(binned.value / binned.lengths, edges, baseline=None, color=VALUE_COLOUR, linewidth=1.0)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    return codes


def _draw_activity(axes: Axes, checked: Checked) -> None:
    """The whole run."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    codes = _draw_stack(axes, checked, bin_edges(0, checked.cycles))
    heads = checked.problem.shape.B * checked.problem.shape.Hq
    axes.set_title(f"Array activity, whole run ({heads} head{'s' * (heads > 1)} back to back)")
    axes.set_ylabel("share of cycles")
    axes.set_xlabel("cycle", labelpad=1)
    handles: list[Any] = [Patch(color=COLOURS[code], label=f"score: {NAMES[code]}") for code in codes]
    handles.append(Line2D([], [], color=VALUE_COLOUR, linewidth=1.0, label="value: busy"))
    axes.figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.05, 0.01),
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=7.5,
        handlelength=1.4,
        columnspacing=1.4,
    )


def _draw_ends(axes: Sequence[Axes], checked: Checked) -> None:
    """How the two arrays start and how they finish, cycle by cycle."""
    counters, cycles = checked.result.counters, checked.cycles
    ends = ("score_idle_fill", "score_idle_drain", "value_idle_fill")
    longest = max(counters["score_idle_no_job"] + max(counters[name] for name in ends), 32)
    span = min(cycles, round(1.6 * longest))
    for part, first, text in ((axes[0], 0, "First"), (axes[1], cycles - span, "Last")):
        _draw_lanes(part, checked, first, first + span)
        part.set_title(f"{text} {span:,} cycles")
        part.set_xlabel("cycle", labelpad=1)
        part.locator_params(axis="x", nbins=4)
    axes[0].set_yticks([1, 0], ["score", "value"])
    axes[1].set_yticks([])


def _draw_lanes(axes: Axes, checked: Checked, first: int, last: int) -> None:
    """Two bars, the score array's above the value array's, in the colour of what happens in each cycle."""
    activity = checked.result.activity
    ends = [*(start for start, _, _ in activity[1:]), checked.cycles]
    shown = [
        ((start, end - start), cause, value_busy)
        for (start, cause, value_busy), end in zip(activity, ends, strict=True)
        if end > first and start < last
    ]
    colours = [COLOURS[cause] for _, cause, _ in shown]
    axes.broken_barh([span for span, _, _ in shown], (0.6, 0.8), facecolors=colours, linewidth=0)
    busy = [span for span, _, value_busy in shown if value_busy]
    axes.broken_barh(busy, (-0.4, 0.8), facecolors=VALUE_COLOUR, linewidth=0)
    axes.set_xlim(first, last)
    axes.set_ylim(-0.6, 1.6)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_map(axes: Axes, checked: Checked, head: int, tokens: Sequence[str], title: str) -> None:
    """Weights of one head; queries down, keys across."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    job = checked.problem.jobs(checked.params)[head]
    weights = attention_weights(job, checked.problem.scale, checked.params)
    # Most weights are small: the square root keeps them apart. What is masked, or not a number, stays blank.
    norm = PowerNorm(0.5, 0, np.nanmax(weights, initial=1e-9))
    colours = colormaps["magma_r"].with_extremes(bad=BLANK)
    shown = np.ma.masked_where(~(weights > 0), weights)
    image = axes.imshow(shown, cmap=colours, norm=norm, aspect="equal" if tokens else "auto")
    b, h = divmod(head, checked.problem.shape.Hq)
    axes.set_title(title or f"Attention weights, batch {b}, head {h}")
    axes.set_xlabel("key (grey: no weight)" if shown.mask.any() else "key")
    axes.set_ylabel("query")
    if tokens:
        axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=5.2)
        axes.set_yticks(range(len(tokens)), tokens, fontsize=5.2)
        axes.tick_params(length=1.2, pad=1)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.02, 0, 0.025, 1)))
    bar.set_label("weight")
