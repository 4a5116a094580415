"""docs/results/roofline.md and its figures: what limits prefill and decode, in closed form, modelled and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.model.roofline import (
    Point,
    attainable,
    bound,
    chunk,
    decode,
    draw,
    measured,
    model_point,
    prefill,
    ridge,
    with_bus,
    with_rows,
    with_slots,
)
from hwgen.model.work import Work
from hwgen.params import BUS_BITS, Params
from hwgen.presets import preset
from hwgen.timing import resident_rows
from hwgen.writing import replacing, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "hwgen",
    "svg.fonttype": "none",
}
COLOURS = ("#4878a8", "#d95f02", "#1b9e77", "#7570b3", "#666666")
SLOTS = (1, 2, 4, 8, 16, 32, 64)
ROWS = (32, 64, 128, 256, 512, 1024)
CHUNKS = (1, 4, 16, 64, 256, 1024)
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128)
BUSES = tuple(bits for bits in BUS_BITS if bits >= 64)
LONG, SHORT, CONTEXT = 4096, 512, 4096
"""Keys of the long prefill, of the one whose head may stay in the buffers, and of decoding."""
CLOCK_MHZ = 125

TEXT = """# Roofline and decode

Written by `make results`. Preset `sim`: {macs} multipliers, a bus of {bus} bytes a cycle in each direction (at
{clock} MHz {gigabytes} GB/s and {gigamacs} GMAC/s), blocks of {block} queries. Useful is what an allowed pair needs,
E+F multiply-accumulates; intensity is those over the bytes of the busier direction. From {ridge} MAC a byte on
multipliers are the limit. The *bound* is in closed form: every row comes as often as the blocks need it, queries may
not fill all columns and slots, and there is no filling, draining or latency. Measured runs are those of the
[results](README.md), modelled ones have the same memory.

![Roofline](roofline.svg)

{points}

## Against the block's size

E=F=64. One head with L=S={long}, causal or not, and a decoding step of {most} heads on one key/value head,
S={context}: intensity grows with the queries that share a row, as long as there are so many.

{blocks}

## Against the buffers' size

S={short}, one slot a column ({cols} queries a block): a prefill of one head with as many queries, and a decoding step
of {most} heads on one. A head whose rows fit is fetched once for all its blocks; more rows than that change nothing.

{buffers}

## Decode

One query a head, S={context}. With keys of their own, heads read two elements for two multiply-accumulates whatever
the machine; heads that share keys multiply that by their number, up to the block's size.

![Limits](decode.svg)

{decode}

## Between the two

The last queries of S={context} keys, causal, eight heads: a chunk of a long prefill, or tokens that are checked
together (speculative decoding). Queries of a head and heads that share keys count alike.

{chunks}
"""


def write(folder: Path) -> tuple[Path, ...]:
    """Write roofline.md, roofline.svg and decode.svg; the same bytes every time."""
    params = Params(preset("sim"))
    points = _points(params)
    files = tuple(folder / name for name in ("roofline.md", "roofline.svg", "decode.svg"))
    write_text(files[0], _text(params, points))
    _figure(files[1], (6.4, 4.2), 1, lambda axes: _draw_roofs(axes[0], params, points))
    _figure(files[2], (9.6, 3.6), 3, lambda axes: _draw_limits(axes, params))
    return files


def _points(params: Params) -> list[tuple[Point, Work]]:
    """The measured runs, then what the model says of the others."""
    works = {
        "prefill 128, MHA": prefill(128),
        "prefill 256, MHA": prefill(256),
        "decode, 8 heads of their own": decode(CONTEXT, heads=8, kv_heads=8),
        "decode, 4 heads on one": decode(CONTEXT, heads=4),
        "decode, 16 heads on one": decode(CONTEXT, heads=16),
        "decode, 64 heads on one": decode(CONTEXT, heads=64),
    }
    return [*measured(params), *((_model(params, work, label), work) for label, work in works.items())]


@cache
def _model(params: Params, work: Work, label: str = "") -> Point:
    return model_point(params, work, label)


def _figure(file: Path, size: tuple[float, float], panels: int, fill: Callable[[Sequence[Axes]], None]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(1, panels, figsize=size, layout="constrained", squeeze=False)
        fill(list(axes[0]))
        with replacing(file) as part:
            figure.savefig(part, metadata={"Date": None, "Creator": "hwgen"})
        pyplot.close(figure)


def _draw_roofs(axes: Axes, params: Params, points: Sequence[tuple[Point, Work]]) -> None:
    draw(axes, params, [point for point, _ in points])
    axes.set_title("Preset sim: measured on the hardware (filled) and modelled (hollow); numbers as in the table")


def _draw_limits(axes: Sequence[Axes], params: Params) -> None:
    """Attainable share of the multipliers: decoding by heads that share keys, prefill by block and by buffer."""
    machines = [(with_bus(params, bits), f"{bits // 8} bytes a cycle") for bits in BUSES]

    def lines(panel: Axes, xs: Sequence[int], share: Callable[[Params, int], float]) -> None:
        for (machine, label), colour in zip(machines, COLOURS, strict=False):
            panel.plot(xs, [share(machine, x) for x in xs], marker=".", color=colour, label=label, linewidth=1)
        panel.set_xscale("log", base=2)
        panel.set_xticks(xs, list(map(str, xs)))
        panel.minorticks_off()
        panel.set_ylim(0, 1.04)
        panel.spines[["top", "right"]].set_visible(False)

    lines(axes[0], GROUPS, lambda machine, group: _share(machine, decode(CONTEXT, heads=group)))
    for point, work in measured(params):
        if work.shape.L == 1:
            share = point.performance / params.macs
            axes[0].scatter(work.group, share, s=40, facecolor="#222222", zorder=3, label="RTL")
    axes[0].set_title("Decode, one query a head")
    axes[0].set_xlabel("query heads on one key/value head")
    axes[0].set_ylabel("attainable share of multipliers")
    axes[0].legend(fontsize=7)
    lines(axes[1], SLOTS, lambda machine, slots: _share(with_slots(machine, slots), prefill(LONG)))
    axes[1].set_title(f"Prefill, L=S={LONG}")
    axes[1].set_xlabel(f"slots (a block is {params.config.cols} times as many queries)")
    lines(axes[2], ROWS, lambda machine, rows: _share(with_rows(with_slots(machine, 1), rows), prefill(SHORT)))
    axes[2].set_title(f"Prefill, L=S={SHORT}, one slot")
    axes[2].set_xlabel("rows held (buffer_rows)")


def _share(params: Params, work: Work) -> float:
    return bound(params, work).performance(params) / params.macs


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(params: Params, points: Sequence[tuple[Point, Work]]) -> str:
    return TEXT.format(
        macs=params.macs,
        bus=params.bus_bytes,
        clock=CLOCK_MHZ,
        gigabytes=f"{params.bus_bytes * CLOCK_MHZ / 1000:g}",
        gigamacs=f"{params.macs * CLOCK_MHZ / 1000:g}",
        block=params.block,
        cols=params.config.cols,
        ridge=f"{ridge(params):g}",
        long=LONG,
        short=SHORT,
        context=CONTEXT,
        points=_points_table(params, points),
        blocks=_block_table(params),
        buffers=_buffer_table(params),
        decode=_decode_table(params),
        chunks=_chunk_table(params),
        most=GROUPS[-1],
    )


def _points_table(params: Params, points: Sequence[tuple[Point, Work]]) -> str:
    rows = []
    for number, (point, work) in enumerate(points, 1):
        most = bound(params, work).performance(params)
        source = "RTL" if point.measured else "model"
        numbers = (f"{point.intensity:.2f}", f"{attainable(params, point.intensity):.1f}", f"{most:.1f}")
        reached = (f"{point.performance:.1f}", f"{point.performance / most:.3f}")
        rows.append((f"{number}. {point.label}", source, *numbers, *reached))
    return _table(("run", "from", "MAC a byte", "roofs", "bound", "MAC a cycle", "of the bound"), rows)


def _block_table(params: Params) -> str:
    rows = []
    works = (prefill(LONG), prefill(LONG, causal=True), decode(CONTEXT, heads=GROUPS[-1]))
    for slots in SLOTS:
        machine = with_slots(params, slots)
        cells = [cell for work in works for cell in _limits(machine, work)]
        rows.append((str(machine.block), str(slots), *cells))
    return _table(("queries a block", "slots", *_headers("prefill", "causal", "decode")), rows)


def _buffer_table(params: Params) -> str:
    rows = []
    for held in ROWS:
        machine = with_rows(with_slots(params, 1), held)
        cells = [cell for work in (prefill(SHORT), decode(SHORT, heads=GROUPS[-1])) for cell in _limits(machine, work)]
        rows.append((str(held), str(resident_rows(machine)), *cells))
    return _table(("buffer_rows", "rows that can stay", *_headers("prefill", "decode")), rows)


def _decode_table(params: Params) -> str:
    rows = []
    for name, work in (("MHA: 8 heads, keys of their own", decode(CONTEXT, heads=8, kv_heads=8)), *_groups()):
        limit = bound(params, work)
        model = _model(params, work)
        shares = [f"{_share(with_bus(params, bits), work):.3f}" for bits in BUSES]
        rows.append((name, f"{limit.intensity:.2f}", *shares, f"{model.performance / params.macs:.3f}"))
    header = [f"bound, {bits // 8} bytes a cycle" for bits in BUSES]
    return _table(("heads", "MAC a byte", *header, f"model, {params.bus_bytes}"), rows)


def _chunk_table(params: Params) -> str:
    rows = []
    for queries in CHUNKS:
        works = [chunk(queries, CONTEXT, kv_heads=kv_heads) for kv_heads in (8, 2, 1)]
        rows.append((str(queries), *(cell for work in works for cell in _limits(params, work))))
    return _table(("queries", *_headers("MHA", "GQA, 4 on one", "MQA")), rows)


def _headers(*names: str) -> list[str]:
    """Of the two cells that `_limits` gives for each of them."""
    return [text for name in names for text in (f"{name}: MAC a byte", "share of multipliers")]


def _limits(params: Params, work: Work) -> tuple[str, str]:
    """Intensity, and the share of multipliers that it allows."""
    limit = bound(params, work)
    return f"{limit.intensity:.2f}", f"{limit.performance(params) / params.macs:.3f}"


def _groups() -> list[tuple[str, Work]]:
    return [(f"{group} on one key/value head", decode(CONTEXT, heads=group)) for group in GROUPS]
