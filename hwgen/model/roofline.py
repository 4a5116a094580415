"""Operational intensity and what it allows: at most as many multiply-accumulates a cycle as there are multipliers, and
at most those that the bus brings operands for.

Performance is in useful multiply-accumulates a cycle (allowed pairs x (E + F)) and the bus in bytes a cycle, so that no
clock is needed. AXI reads and writes on channels of their own, each `bus_bits` wide: the bytes that count are those of
the busier one, which nearly always is the one that reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from golden.exact import Shape
from hwgen.model.machine import Prediction, predict
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.timing import hazard_distance, resident_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURED = Path(__file__).with_name("measured.yaml")
WRITTEN = ("o", "lse")
ROOF, DOT = "#222222", "#4878a8"
NEAR = 0.35
"""Powers of two by which points differ that share a label in the picture."""


@dataclass(frozen=True)
class Point:
    """One run: useful multiply-accumulates, bytes on the busier channel, cycles; measured, or what the model says."""

    label: str
    macs: int
    bytes: int
    cycles: int
    measured: bool

    @property
    def intensity(self) -> float:
        """MAC a byte."""
        return self.macs / self.bytes

    @property
    def performance(self) -> float:
        """MAC a cycle."""
        return self.macs / self.cycles


def attainable(params: Params, intensity: float) -> float:
    """MAC a cycle: the lower of both roofs."""
    return min(float(params.macs), params.bus_bytes * intensity)


def ridge(params: Params) -> float:
    """MAC a byte from which on multipliers are the limit and no longer the bus."""
    return params.macs / params.bus_bytes


def busier(prediction: Prediction) -> int:
    """Bytes on the busier channel of the bus."""
    written = sum(prediction.bytes[name] for name in WRITTEN)
    return max(sum(prediction.bytes.values()) - written, written)


def intensity(params: Params, work: Work) -> float:
    """MAC a byte off the chip, as the machine's own traffic will be."""
    return model_point(params, work, "").intensity


def model_point(params: Params, work: Work, label: str, prediction: Prediction | None = None) -> Point:
    """What the model says of a run."""
    found = predict(params, work) if prediction is None else prediction
    return Point(label, useful(work), busier(found), found.cycles, False)


@lru_cache(maxsize=1)
def _runs() -> dict:
    return yaml.safe_load(MEASURED.read_text(encoding="utf-8"))


def measured(params: Params) -> tuple[tuple[Point, Work], ...]:
    """Runs of the generated hardware that were measured with this configuration, and what they were asked to do."""
    facts = _runs()
    if facts["configuration_hash"] != params.config.hash():
        return ()
    found = []
    for run in facts["runs"]:
        work = Work(shape=Shape(*run["shape"]), causal=run["causal"])
        macs = run["pairs"] * (work.shape.E + work.shape.F)
        most = max(run["bytes_read"], run["bytes_written"])
        found.append((Point(run["text"], macs, most, run["cycles"], True), work))
    return tuple(found)


def useful(work: Work) -> int:
    """Multiply-accumulates that the problem needs."""
    return work.pairs * (work.shape.E + work.shape.F)


@dataclass(frozen=True)
class Bound:
    """The least bytes and cycles of a problem in closed form, without filling, draining and latencies.

    read, written: bytes, if rows lie back to back;  compute: cycles in which visits are issued
    """

    macs: int
    read: int
    written: int
    compute: int

    @property
    def intensity(self) -> float:
        return self.macs / max(self.read, self.written)

    def performance(self, params: Params) -> float:
        """MAC a cycle at most: queries may not fill all slots and columns, and the bus may be too slow."""
        return self.macs / max(self.compute, max(self.read, self.written) / params.bus_bytes)


def bound(params: Params, work: Work) -> Bound:
    """For every block of `cols x slots` queries (of all heads that share keys) the keys that one of them sees come
    once; only once at all if all of them fit into the buffers."""
    c, s = params.config, work.shape
    folds_e, folds_f = math.ceil(s.E / c.rows_e), math.ceil(s.F / c.rows_f)
    step = max(folds_e, folds_f, params.group)
    rows = compute = 0
    for keys in work.keys:
        blocks = [_seen(params, work, keys, first) for first in range(0, s.L * work.group, params.block)]
        rows += s.Hkv * (max(map(max, blocks)) if keys <= resident_rows(params) else sum(map(max, blocks)))
        # A slot comes again no sooner than its state is known.
        compute += s.Hkv * sum(max(sum(block) * step, max(block) * hazard_distance(params)) for block in blocks)
    in_bytes, out_bytes = params.input.bits // 8, params.output.bits // 8
    heads = s.B * s.Hq * s.L
    read = heads * s.E * in_bytes + rows * (s.E + s.F) * in_bytes
    return Bound(useful(work), read, heads * s.F * out_bytes + heads * work.lse * 8, compute)


def _seen(params: Params, work: Work, keys: int, first: int) -> list[int]:
    """Of the block of queries from `first` on, for every slot in use the keys that one of its queries sees."""
    cols, queries = params.config.cols, work.shape.L * work.group
    ends = range(first + cols, min(first + params.block, queries + cols - 1) + 1, cols)
    if not work.causal:
        return [keys] * len(ends)
    last = ((min(end, queries) - 1) // work.group for end in ends)
    return [min(max(position + work.offset + 1, 0), keys) for position in last]


def with_slots(params: Params, slots: int) -> Params:
    """The same machine with another number of query contexts a column."""
    return Params(replace(params.config, slots=slots))


def with_rows(params: Params, rows: int) -> Params:
    """The same machine with another number of key and value rows held ahead of the arrays."""
    return Params(replace(params.config, buffer_rows=rows))


def with_bus(params: Params, bits: int) -> Params:
    """The same machine with another width of the bus."""
    return Params(replace(params.config, bus_bits=bits))


def prefill(length: int, *, heads: int = 1, kv_heads: int | None = None, causal: bool = False) -> Work:
    """All queries of a sequence at once, E=F=64."""
    return Work(shape=Shape(1, heads, kv_heads or heads, length, length, 64, 64), causal=causal)


def decode(keys: int, *, heads: int = 8, kv_heads: int = 1, batch: int = 1) -> Work:
    """One new query a head, E=F=64."""
    return Work(shape=Shape(batch, heads, kv_heads, 1, keys, 64, 64))


def chunk(queries: int, keys: int, *, heads: int = 8, kv_heads: int = 1) -> Work:
    """The last queries of a sequence, each of which sees the keys up to its own; E=F=64."""
    shape = Shape(1, heads, kv_heads, queries, keys, 64, 64)
    return Work(shape=shape, causal=True, offset=keys - queries)


def page(folder: Path) -> tuple[Path, ...]:
    """Write roofline.md, roofline.svg and decode.svg; the same bytes every time."""
    from hwgen.model import roofline_page

    return roofline_page.write(folder)


def draw(axes: Axes, params: Params, points: Sequence[Point]) -> None:
    """The machine's two roofs and the points below them by their number from 1 on, both axes logarithmic; what the
    model says is hollow."""
    corner = ridge(params)
    # What does no useful work has no place on a logarithmic axis.
    shown = {number: point for number, point in enumerate(points, 1) if point.macs}
    low = min([0.25, corner / 2, *(point.intensity / 2 for point in shown.values())])
    high = max([16 * corner, *(point.intensity * 2 for point in shown.values())])
    axes.plot([low, corner, high], [attainable(params, x) for x in (low, corner, high)], color=ROOF, linewidth=1.2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    for point in shown.values():
        face = DOT if point.measured else "none"
        axes.scatter(point.intensity, point.performance, s=26, facecolor=face, edgecolor=DOT, zorder=3)
    for place, numbers in _labels(shown):
        axes.annotate(numbers, place, (5, -10), textcoords="offset points", fontsize=7)
    axes.set_xlim(low, high)
    axes.set_ylim(attainable(params, low) / 2, 2 * params.macs)
    axes.set_xlabel("operational intensity, MAC a byte")
    axes.set_ylabel("MAC a cycle")
    axes.annotate(f"{params.macs} multipliers", (high, params.macs), (0, 3), textcoords="offset points", ha="right")
    text = f"{params.bus_bytes} bytes a cycle"
    axes.annotate(text, (low, attainable(params, low)), (8, -8), textcoords="offset points", va="top")
    axes.spines[["top", "right"]].set_visible(False)


def _labels(points: Mapping[int, Point]) -> list[tuple[tuple[float, float], str]]:
    """Where a number goes; points that lie on each other share one place."""
    found: list[tuple[tuple[float, float], str]] = []
    for number, point in points.items():
        x, y = point.intensity, point.performance
        for i, ((x0, y0), numbers) in enumerate(found):
            if max(abs(math.log2(x / x0)), abs(math.log2(y / y0))) < NEAR:
                found[i] = ((x0, y0), f"{numbers}, {number}")
                break
        else:
            found.append(((x, y), str(number)))
    return found
