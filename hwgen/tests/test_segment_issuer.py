"""The segment issuer against a loop nest over random segments, in time and late."""

from __future__ import annotations

import pytest

from hwgen.control.causes import BUSY, Cause
from hwgen.control.job import geometry
from hwgen.control.segment_issuer import SegmentIssuer
from hwgen.params import Params
from hwgen.scoremod.block_list import Segment
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.jobs import Fields
from hwgen.tests.segment_issuing import Listed, SegmentRun, issued, random_blocks
from hwgen.tests.segmenting import sinking
from hwgen.timing import hazard_distance

SHAPES = [
    pytest.param(tiny(block_list=True), id="two-folds"),
    pytest.param(tiny(block_list=True, slots=3, head_e=4, head_f=12), id="three-cycles-a-visit"),
    pytest.param(tiny(block_list=True, slots=16, cols=3, lanes=3, head_e=4, head_f=4), id="sixteen-slots"),
    pytest.param(tiny(block_list=True, slots=1, cols=4, lanes=1), id="one-slot-four-columns-a-lane"),
    pytest.param(sinking(slots=5, head_e=4, head_f=4), id="sink"),
    pytest.param(sinking(), id="sink-two-folds"),
]
LATE = pytest.mark.parametrize("late", [None, 1], ids=["in-time", "late"])


@LATE
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("params", SHAPES)
def test_random_segments(params: Params, causal: bool, late: int | None) -> None:
    simulation = SegmentRun(random_blocks(3, params, 9, causal), params, late)
    assert len(simulation.starts) > 20
    simulation.check()
    assert any(simulation.voids) != params.has_sink
    if causal:
        assert {bool(visit["skip"]) for visit in simulation.visits} == {False, True}


@pytest.mark.parametrize("head", [(1, 1), (5, 4), (4, 12), (8, 1)], ids=str)
def test_small_heads_take_fewer_cycles(head: tuple[int, int]) -> None:
    params = sinking(slots=3, lanes=2, head_e=8, head_f=12)
    simulation = SegmentRun(random_blocks(7, params, 5), params, 4, head)
    assert simulation.visit == max(-(-head[0] // 4), -(-head[1] // 4))
    simulation.check()


def block_of(params: Params, **changes: int) -> Fields:
    """A full block, without a causal mask."""
    c = params.config
    block = {"first_query": 0, "queries": params.block, "slots": c.slots - 1, "width": c.cols, "keys": 9}
    return block | {"group": 1, "causal": 0, "edge": 0} | changes


def test_no_gap_between_slots_keys_segments_and_blocks() -> None:
    """One cycle a visit; segments of one key and few slots among long ones."""
    params = tiny(block_list=True, slots=12, head_e=4, head_f=4)
    assert params.visit == 1 and hazard_distance(params) <= 6
    low, high, every = 0b000000111111, 0b111111000000, 0b111111111111
    segments = [Segment(0, 1, 0, low, 0), Segment(1, 1, 1, high, 0), Segment(5, 3, 5, every, 0)]
    segments += [Segment(8, 1, 8, low, low), Segment(9, 1, 9, high, high, 0, 1)]
    blocks: Listed = [(block_of(params), segments), (block_of(params), segments)]
    simulation = SegmentRun(blocks, params)
    simulation.check()
    visits = len(simulation.visits)
    assert visits == 2 * 60
    first = simulation.starts[0]
    assert simulation.starts == list(range(first, first + visits))


def test_nothing_to_show() -> None:
    """Blocks without keys, and segments without keys or slots that are passed over."""
    params = tiny(block_list=True, slots=2)
    empty = [Segment(0, 0, 0, 0, 0, 0, 1)]
    some = [Segment(3, 0, 0, 3, 0), Segment(1, 1, 1, 2, 0), Segment(2, 4, 2, 0, 0), Segment(4, 1, 4, 2, 2, 0, 1)]
    simulation = SegmentRun([(block_of(params), s) for s in (empty, empty, some, empty)], params, 2)
    assert simulation.voids == [3, 3, 1, 3]
    done = [cycle["empty_done"] for cycle in simulation.log if cycle["block_done"]]
    assert done == [1, 1, 0, 1]
    assert [(c["tag.visit.slot"], c["tag.visit.first"]) for c in (simulation.log[t] for t in simulation.starts)] == [
        (1, 1),
        (1, 0),
    ]


def test_few_slots_come_round_at_the_hazard_distance() -> None:
    params = tiny(block_list=True, slots=2, head_e=4, head_f=4)
    distance = hazard_distance(params)
    assert distance > 2
    simulation = SegmentRun([(block_of(params), [Segment(0, 6, 0, 3, 3, 0, 1)])], params)
    simulation.check()
    assert all(simulation.starts[i + 2] - simulation.starts[i] == distance for i in range(10))


def test_the_sink_waits_for_no_row() -> None:
    """It is shown while no key has come; behind it a key is missing, then a segment."""
    params = sinking(slots=8, head_e=4, head_f=4)
    block = block_of(params, batch=5)
    sink, keys = (issued(s, block) for s in (Segment(0, 1, 0, 255, 0, 1), Segment(0, 1, 0, 255, 0)))
    always = {"geometry": geometry(params, 4, 4), "block.payload": block, "block.valid": 1, "loaded": 1, "busy": 1}
    cycles = [always | {"segment.payload": sink, "segment.valid": 1}, {"block.valid": 0, "segment.payload": keys}]
    cycles += [{"segment.valid": 0}] + [{"running": 1}] * 14 + [{"key.ready": 1, "value.ready": 1}] * 12
    seen = clocked(SegmentIssuer(params), cycles, ["tag.valid", "tag.visit.sink", "advance", "cause"])
    shown = [sink for valid, sink, _, _ in seen if valid]
    assert shown == [1] * 8 + [0] * 8
    assert sum(advance for _, _, advance, _ in seen) == 1
    causes = [cause for *_, cause in seen if cause != BUSY]
    assert causes[-2:] == [Cause.SETUP] * 2 and Cause.WAIT_K in causes
