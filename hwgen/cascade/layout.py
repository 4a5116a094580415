"""Where the Einsums of a cascade stand in its drawing: passes from left to right, what depends on another behind it.

Lines that go over several columns are led through places of their own in the columns between, so that they do not run
over boxes; the order in a column is chosen so that lines cross little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from golden.cascade.passes import Passes

BOX, GAP = 1.0, 0.4
"""Height of a box and the place of a line, in units of a box with its margin."""

ROUNDS = 12
"""How often the columns are put in a better order."""

Step = tuple[int, bool]
"""A pass, and whether it is over: `golden.cascade.passes.Stage.time`."""


@dataclass(frozen=True)
class Layout:
    """at:     the column and the middle of each tensor's box
    lines:   (from, to, earlier) -> points (column, height) that a line goes through between its two boxes; `earlier`:
             what is read was left by the step before
    columns: of each step, the first and the last one
    height:  of the highest column
    """

    at: Mapping[str, tuple[int, float]]
    lines: Mapping[tuple[str, str, bool], list[tuple[int, float]]]
    columns: Mapping[Step, tuple[int, int]]
    height: float


def arrange(found: Passes) -> Layout:
    """The places of all tensors that come in or are made."""
    reads = _reads(found)
    columns, steps = _columns(found, reads)
    nodes: list[list[str]] = [[] for _ in range(max(columns.values()) + 1)]
    for name, column in columns.items():
        nodes[column].append(name)
    links: list[tuple[str, str]] = []
    ways: dict[tuple[str, str, bool], list[str]] = {}
    for source, target, earlier in reads:
        way = []
        if columns[source] < columns[target]:
            way = [f"{source}>{target}@{c}" for c in range(columns[source] + 1, columns[target])]
            for column, place in enumerate(way, columns[source] + 1):
                nodes[column].append(place)
            chain = [source, *way, target]
            links += list(zip(chain, chain[1:], strict=False))
        ways[source, target, earlier] = way
    middles = _middles(_ordered(nodes, links), columns)
    at = {name: (column, middles[name]) for name, column in columns.items()}
    lines = {
        key: [(columns[key[0]] + 1 + i, middles[place]) for i, place in enumerate(way)] for key, way in ways.items()
    }
    return Layout(at, lines, steps, max(_height(column, columns) for column in nodes))


def _reads(found: Passes) -> list[tuple[str, str, bool]]:
    """(tensor, what is made of it, whether it was left by the step before), each once."""
    cascade = found.cascade
    reads = [(a.tensor, e.name, cascade.earlier(e, a)) for e in cascade.einsums for a in cascade.reads(e)]
    return list(dict.fromkeys(read for read in reads if read[0] != read[1] or read[2]))


def _columns(found: Passes, reads: list[tuple[str, str, bool]]) -> tuple[dict[str, int], dict[Step, tuple[int, int]]]:
    """The column of each tensor, and the first and last column of each step."""
    cascade = found.cascade
    step: dict[str, Step] = {e.name: found.stages[e.name].time for e in cascade.einsums}
    for tensor in cascade.inputs:
        step[tensor] = min(step[target] for source, target, _ in reads if source == tensor)
    inner = [(a, b) for a, b, earlier in reads if not earlier and step[a] == step[b]]
    depth = dict.fromkeys(step, 0)
    for _ in depth:
        for a, b in inner:
            depth[b] = max(depth[b], depth[a] + 1)
    for tensor in cascade.inputs:
        # Next to what reads it first.
        depth[tensor] = min(depth[b] for a, b in inner if a == tensor) - 1
    columns: dict[str, int] = {}
    spans: dict[Step, tuple[int, int]] = {}
    first = 0
    for now in sorted(set(step.values())):
        own = [name for name in step if step[name] == now]
        spans[now] = (first, first + max(depth[name] for name in own))
        columns |= {name: first + depth[name] for name in own}
        first = spans[now][1] + 1
    return columns, spans


def _ordered(nodes: list[list[str]], links: list[tuple[str, str]]) -> list[list[str]]:
    """Columns in which everything stands near what it is linked to, looking to the left and to the right in turn."""
    near: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for column in nodes for name in column}
    for a, b in links:
        near[b][0].append(a)
        near[a][1].append(b)
    for turn in range(ROUNDS):
        side = turn % 2
        for i in range(len(nodes))[:: -1 if side else 1]:
            place = {name: n / max(len(column) - 1, 1) for column in nodes for n, name in enumerate(column)}
            nodes[i] = sorted(nodes[i], key=lambda v: fmean([place[u] for u in near[v][side]] or [place[v]]))
    return nodes


def _middles(nodes: list[list[str]], boxes: Mapping[str, int]) -> dict[str, float]:
    """The middle of everything in a column, columns standing around one height."""
    highest = max(_height(column, boxes) for column in nodes)
    middles: dict[str, float] = {}
    for column in nodes:
        top = (highest - _height(column, boxes)) / 2
        for name in column:
            size = BOX if name in boxes else GAP
            middles[name] = top + size / 2
            top += size
    return middles


def _height(column: list[str], boxes: Mapping[str, int]) -> float:
    return sum(BOX if name in boxes else GAP for name in column)
