"""Machines whose keys come as segments, and the segments that there have to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from golden.bitexact.numerics import Numerics
from golden.scoremod import Argument, Builder, Program
from golden.scoremod.program import extract
from hwgen.control.segments import placed_layout
from hwgen.params import Params
from hwgen.scoremod.block_list import Segment, segments_of
from hwgen.scoremod.bounds import Bounds
from hwgen.tests.bench import tiny
from hwgen.tests.jobs import Fields, blocks, position, slot_queries

Bound = Callable[[int, int], int]

ENTRIES = 40
"""Positions for which the tables of `banded` have bounds; those behind have the last one's."""

BLOCK_FIELDS = ("first_query", "queries", "slots", "width", "group", "job_last", "causal")
BLOCK_FIELDS += ("scale_mantissa", "scale_exponent")


def banded(sink: bool = False, **changes: Any) -> Params:
    """A machine whose queries see keys low[b + q] .. high[b + q], two tables that are written at run time."""
    builder = Builder(Numerics())
    index = builder.add(builder.input("q"), builder.input("b"))
    low, high = (
        builder.table(Argument(name, ENTRIES, -(1 << 21), 1 << 21, table=True), index) for name in ("low", "high")
    )
    key = builder.input("kv")
    outputs = {"seen": builder.both(builder.less_equal(low, key), builder.less_equal(key, high))}
    params = tiny(score=builder.program(outputs | ({"sink": builder.constant(3)} if sink else {})), **changes)
    whole = Program(tuple(builder.nodes), (), tuple(builder.arguments.values()))
    # In place of what is derived from the graph.
    params.__dict__["bounds"] = Bounds(extract(whole, (("low", low), ("high", high))))
    return params


def sinking(**changes: Any) -> Params:
    """A machine with a sink, and nothing else to do to a score."""
    builder = Builder(Numerics())
    return tiny(score=builder.program({"sink": builder.constant(3)}), **changes)


def segmented_blocks(work: Fields, params: Params) -> list[Fields]:
    """A job's blocks in machines whose keys come as segments."""
    extra = {name: work.get(name, 0) for name in ("batch", "head") if params.score is not None}
    extra |= {"listed": work.get("listed", 0)} if params.config.block_list else {}
    return [
        {name: block[name] for name in BLOCK_FIELDS}
        | {"keys": work["keys"], "edge": work["edge"] - block["first_query"], "offset": work["offset"]}
        | extra
        for block in blocks(work, params)
    ]


def intervals(work: Fields, block: Fields, params: Params, low: Bound, high: Bound) -> list[tuple[int, int]]:
    """First and last key of every slot of a block; low and high are functions of batch entry and position."""
    found = []
    for slot in range(block["slots"] + 1):
        queries = slot_queries(block, slot, params)
        first, last = position(work, queries[0]), position(work, queries[-1])
        end = min(high(work.get("batch", 0), last), work["keys"] - 1)
        end = min(end, last + work["offset"]) if work["causal"] else end
        found.append((max(low(work.get("batch", 0), first), 0), end))
    return found


def expected_segments(jobs: list[Fields], params: Params, low: Bound, high: Bound) -> list[tuple[Fields, Segment]]:
    """(block, segment) of all blocks of all jobs."""
    return [
        (block, segment)
        for work in jobs
        for block in segmented_blocks(work, params)
        for segment in segments_of(intervals(work, block, params, low, high), params.has_sink)
    ]


def edge_of(block: Mapping[str, int], segment: Segment) -> int:
    """How many columns from slot 0 on may not see the segment's first key; negative if all may."""
    return block["edge"] + segment.first * block["group"]


def placed(code: int, params: Params) -> tuple[Segment, int]:
    """A segment as the hardware gives it, and its edge."""
    view = placed_layout(params).from_bits(code)
    names = asdict(Segment(0, 0, 0, 0, 0))
    return Segment(**{name: int(view[name]) for name in names}), int(view.edge)


def rising(rng: np.random.Generator, count: int, low: int, high: int) -> list[int]:
    """Numbers that never fall."""
    return [int(n) for n in np.sort(rng.integers(low, high, count))]
