"""What schedules may not do, and what they are told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from golden.exact import Shape
from hwgen.schedule import arrays, legality
from hwgen.schedule.cascade_only import cascade_only
from hwgen.schedule.cost import evaluate
from hwgen.schedule.flat import Mapping as FlatMapping
from hwgen.schedule.flat import flat, published_mappings
from hwgen.schedule.fusemax import architecture, fusemax
from hwgen.schedule.parts import Array, Schedule, ScheduleError
from hwgen.schedule.two_pass import two_pass
from hwgen.schedule.unfused import unfused

SHAPE = Shape(1, 2, 2, 4096, 4096, 64, 64)


def blocked(schedule: Schedule, block: Mapping[str, int], outer: tuple[str, ...]) -> Schedule:
    """The same with the blocks of its first phase cut otherwise."""
    return replace(schedule, phases=(replace(schedule.phases[0], block=block, outer=outer), *schedule.phases[1:]))


@pytest.mark.parametrize("keys", [4096, 5000, 65536])
def test_rows_that_do_not_fit_are_told_by_how_much_and_what_fits(keys: int) -> None:
    shape = SHAPE._replace(L=1 << 20, S=keys)
    fits = arrays.FLAT.buffer_bytes // (2 * keys)
    assert evaluate(flat(shape, FlatMapping(rows=fits)), arrays.FLAT, shape).buffer_bytes <= arrays.FLAT.buffer_bytes
    with pytest.raises(ScheduleError) as caught:
        evaluate(flat(shape, FlatMapping(rows=fits + 64)), arrays.FLAT, shape)
    over = 2 * keys * (fits + 64) - arrays.FLAT.buffer_bytes
    assert f"{over:,} too many; of {fits + 64:,} rows of queries at a time {fits:,} fit" in str(caught.value)


def test_when_not_even_one_row_fits() -> None:
    tiny = replace(arrays.FLAT, buffer_bytes=4096)
    with pytest.raises(ScheduleError, match="not even one row of queries fits"):
        evaluate(flat(SHAPE, FlatMapping(rows=1)), tiny, SHAPE)
    with pytest.raises(
        ScheduleError, match=r"one tile of 256 queries needs [\d,]+ bytes of buffer, FLAT gives it 4,096"
    ):
        fusemax(tiny, SHAPE)


def test_what_overflows_does_not_have_to_fit() -> None:
    over = FlatMapping(rows=4096, overflow=0.25)
    small = replace(arrays.FLAT, buffer_bytes=24 * 2**20)
    whole = evaluate(flat(SHAPE, FlatMapping(rows=4096)), arrays.FLAT, SHAPE)
    assert evaluate(flat(SHAPE, over), small, SHAPE).bytes > whole.bytes
    with pytest.raises(ScheduleError, match="too many"):
        evaluate(flat(SHAPE, over), replace(small, buffer_bytes=small.buffer_bytes - 1), SHAPE)


def test_einsums_of_different_passes_are_not_fused_over_keys() -> None:
    cut, outer = {"P": 1024, "M": 256}, ("M", "P")
    with pytest.raises(ScheduleError) as caught:
        evaluate(blocked(flat(SHAPE, FlatMapping(rows=1024)), cut, outer), arrays.FLAT, SHAPE)
    assert "pass 1: QK, GM; pass 2: SN, SD; pass 3: A, AV" in str(caught.value)
    assert "works on 256 of 4,096 keys at a time" in str(caught.value)
    with pytest.raises(ScheduleError, match="pass 1: QK, GM; pass 2: SN, SD, SNV"):
        evaluate(blocked(two_pass(SHAPE, FlatMapping(rows=1024)), cut, outer), arrays.FLAT, SHAPE)
    # One pass, or all keys in one block, is what the rule allows.
    legality.check_passes(fusemax(arrays.FUSEMAX, SHAPE), fusemax(arrays.FUSEMAX, SHAPE).phases[0], SHAPE)
    whole = blocked(flat(SHAPE, FlatMapping(rows=1024)), {"P": 1024, "M": 4096}, outer)
    assert (
        evaluate(whole, arrays.FLAT, SHAPE).cycles
        == evaluate(flat(SHAPE, FlatMapping(rows=1024)), arrays.FLAT, SHAPE).cycles
    )


def test_a_schedule_computes_its_cascade_and_nothing_else() -> None:
    schedule = fusemax(arrays.FUSEMAX, SHAPE)
    with pytest.raises(ScheduleError, match="leaves out BQK of attention-1-pass; did you mean 'QK'"):
        legality.check_complete(replace(schedule, einsums={"BK": "QK", "BV": "SLNV"}))
    with pytest.raises(ScheduleError, match="unknown cascade 'attention-1-pas'; did you mean 'attention-1-pass'"):
        legality.check_complete(replace(schedule, cascade="attention-1-pas"))
    extra = replace(schedule.phases[0].steps[0], name="XY")
    phase = replace(schedule.phases[0], steps=(*schedule.phases[0].steps, extra))
    with pytest.raises(ScheduleError, match="has a step 'XY' that attention-1-pass does not"):
        legality.check_complete(replace(schedule, phases=(phase,)))


def test_a_block_needs_a_loop_over_it() -> None:
    with pytest.raises(ScheduleError, match="M is cut into blocks, but no loop goes over them"):
        evaluate(blocked(fusemax(arrays.FUSEMAX, SHAPE), {"P": 1024, "M": 256}, ("P",)), arrays.FUSEMAX, SHAPE)


def test_an_array_without_the_unit() -> None:
    without = replace(arrays.FUSEMAX, units={"2d": arrays.FUSEMAX.units["2d"]})
    with pytest.raises(ScheduleError, match="FuseMax has no unit '1d'; did you mean '2d'"):
        evaluate(fusemax(arrays.FUSEMAX, SHAPE), without, SHAPE)


@pytest.mark.parametrize(("head", "length"), published_mappings())
def test_all_published_schedules_are_legal(head: int, length: int) -> None:
    """Of FLAT too: what its table says overflows is what does not fit."""
    shape = Shape(1, 1, 1, length, length, head, head)
    built: list[tuple[Schedule, Array]] = [(flat(shape), arrays.FLAT), (two_pass(shape), arrays.FLAT)]
    built.append((unfused(arrays.FLAT, shape), arrays.FLAT))
    built.append((cascade_only(arrays.FLAT, shape), arrays.FLAT))
    built.append((architecture(arrays.FUSEMAX, shape), arrays.FUSEMAX))
    built.append((fusemax(arrays.FUSEMAX, shape), arrays.FUSEMAX))
    for schedule, array in built:
        cost = evaluate(schedule, array, shape)
        assert cost.buffer_bytes * (1 - schedule.overflow) <= array.buffer_bytes, schedule.name
        assert all(share <= 1 for share in map(cost.utilisation, ("2d", "1d"))), schedule.name


def test_flat_needs_a_mapping_where_none_was_published() -> None:
    message = re.escape("no mapping of FLAT was published for L=4,096, S=1,000, E=64, F=64")
    with pytest.raises(ScheduleError, match=message):
        flat(SHAPE._replace(S=1000))
