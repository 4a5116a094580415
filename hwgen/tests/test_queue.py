"""Queue and slice: the queue against Amaranth's, the slice against a list."""

import gc
from typing import Any

import numpy as np
import pytest
from amaranth.lib.fifo import SyncFIFOBuffered

from hwgen.queue import LandingQueue, Queue, Slice
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender


@pytest.mark.parametrize("depth", [2, 3, 5, 8, 17])
def test_queue_is_cycle_by_cycle_amaranths(depth: int) -> None:
    """In phases in which more is written, or more read, than the other way round."""
    rng = np.random.default_rng(depth)
    eager = np.repeat(rng.choice([0.1, 0.5, 0.9, 1.0], (30, 2)), 20, axis=0)
    cycles = [
        {"w_en": int(w), "r_en": int(r), "w_data": int(rng.integers(256))} for w, r in rng.random(eager.shape) < eager
    ]
    names = ["w_rdy", "r_rdy", "r_data"]
    seen = clocked(Queue(8, depth), cycles, [*names, "empty"])
    told = clocked(SyncFIFOBuffered(width=8, depth=depth), cycles, [*names, "level"])
    assert {ready for ready, *_ in told} == {valid for _, valid, *_ in told} == {0, 1}
    assert [(w, r, data if r else None, empty) for w, r, data, empty in seen] == [
        (w, r, data if r else None, level == 0) for w, r, data, level in told
    ]


@pytest.mark.parametrize("depth", [2, 4, 5])
def test_queue_that_rests(depth: int) -> None:
    """What went in comes out in order: two cycles behind its writing, and none in the cycle behind one that went."""
    rng = np.random.default_rng(depth)
    eager = np.repeat(rng.choice([0.1, 0.5, 0.9, 1.0], (40, 2)), 20, axis=0)
    wishes = [*(rng.random(eager.shape) < eager), *[(1, 0)] * 20, *[(0, 1)] * 20]
    cycles = [{"w_en": int(w), "r_en": int(r), "w_data": i % 256} for i, (w, r) in enumerate(wishes)]
    seen = clocked(Queue(8, depth, rests=True), cycles, ["w_rdy", "r_rdy", "r_data"])
    went_in = [cycle["w_data"] for cycle, (ready, *_) in zip(cycles, seen, strict=True) if cycle["w_en"] and ready]
    taken = [bool(cycle["r_en"] and ready) for cycle, (_, ready, _) in zip(cycles, seen, strict=True)]
    assert [word for take, (*_, word) in zip(taken, seen, strict=True) if take] == went_in
    assert [ready for _, ready, _ in seen[-20:]] == [1, 0] * depth + [0] * (20 - 2 * depth)
    assert not any(take and ready for take, (_, ready, _) in zip(taken, seen[1:], strict=False))


@pytest.mark.parametrize("rests", [False, True])
def test_counted_queue_is_the_same_to_a_writer_that_counts(rests: bool) -> None:
    rng = np.random.default_rng(3)
    wishes = rng.random((400, 2)) < np.repeat(rng.choice([0.2, 0.5, 1.0], (20, 2)), 20, axis=0)
    cycles = [{"w_en": int(w), "r_en": int(r), "w_data": i % 256} for i, (w, r) in enumerate(wishes)]
    names = ["w_rdy", "r_rdy", "r_data", "empty"]
    want = clocked(Queue(8, 4, rests), cycles, names)
    for cycle, (ready, *_) in zip(cycles, want, strict=True):
        cycle["w_en"] &= ready
    assert {ready for ready, *_ in want} == {0, 1}
    assert clocked(Queue(8, 4, rests, counted=True), cycles, names) == want


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_queue_with_one_place() -> None:
    with pytest.raises(ValueError, match="at least 2 places, not 1"):
        Queue(8, 1)
    # A part that was refused goes while its warning is ignored.
    gc.collect()


@STALLS
def test_slice_keeps_words_in_order(idle: int | None, pressure: int | None) -> None:
    dut, got, words = Slice(16), list[int](), [(i * 40503) % 65536 for i in range(60)]
    run(dut, sender(dut.input, words, idle), receiver(dut.output, len(words), got, pressure))
    assert got == words


def test_slice_latency_throughput_and_places() -> None:
    cycles: list[dict[str, Any]] = [{"input.valid": 1, "input.payload": i, "output.ready": 1} for i in range(6)]
    # Nobody takes words: two more come in.
    cycles += [{"input.payload": 6 + i, "output.ready": 0} for i in range(4)]
    seen = clocked(Slice(8), cycles, ["input.ready", "output.valid", "output.payload"])
    assert [(valid, word) for _, valid, word in seen[1:]] == [(1, i) for i in (0, 1, 2, 3, 4, 5, 5, 5, 5)]
    assert [ready for ready, *_ in seen] == [1] * 7 + [0] * 3


@pytest.mark.parametrize("way", [0, 3, 9])
@STALLS
def test_landing_queue_loses_nothing_on_its_way(way: int, idle: int | None, pressure: int | None) -> None:
    """Words set out whenever there is room, are `way` cycles on their way and are taken at any time."""
    count, seeds = 60, [None if seed is None else np.random.default_rng(seed) for seed in (idle, pressure)]
    cycles, got, sent, flying = 0, list[int](), 0, [None] * way
    dut = LandingQueue(16, way + LandingQueue.LATENCY + 2)

    async def step(ctx: Any) -> None:
        nonlocal cycles, sent
        while len(got) < count:
            begins = bool(ctx.get(dut.room)) and sent < count and (seeds[0] is None or seeds[0].random() < 0.6)
            flying.append(sent if begins else None)
            lands = flying.pop(0)
            sent += begins
            ctx.set(dut.begin, begins)
            ctx.set(dut.valid, lands is not None)
            ctx.set(dut.word, lands or 0)
            takes = seeds[1] is None or seeds[1].random() < 0.5
            ctx.set(dut.output.ready, takes)
            *_, valid, word = await ctx.tick().sample(dut.output.valid, dut.output.payload)
            got.extend([word] * (valid & takes))
            cycles += 1

    run(dut, step)
    assert got == list(range(count))
    if idle is None and pressure is None:
        # One in every cycle, the last one as late as the way is long.
        assert cycles == count + way + LandingQueue.LATENCY


def test_landing_queue_is_full_when_its_places_are_taken() -> None:
    """8 places are the least power of two for 5, and a ninth word is in the register behind them until it is taken."""
    cycles: list[dict[str, Any]] = [{"begin": 1, "valid": 1, "word": i} for i in range(9)]
    cycles += [{"begin": 0, "valid": 0}, {}, {"output.ready": 1}, {}, {}]
    assert [room for (room,) in clocked(LandingQueue(8, 5), cycles, ["room"])] == [1] * 9 + [0] * 4 + [1]
