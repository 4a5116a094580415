"""The drain walker against a loop nest over the queries of all blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.block_fork import DEPTH
from hwgen.control.drain import DrainWalker
from hwgen.params import Params
from hwgen.tests.bench import clocked, run, tiny
from hwgen.tests.jobs import Fields, all_blocks, drain_steps, job
from hwgen.tests.segmenting import segmented_blocks

STEP = ("slot", "column", "fold", "group", "void", "first", "last", "slot_last", "job_last")

SHAPES = [
    pytest.param(tiny(), id="two-folds-two-groups"),
    pytest.param(tiny(slots=3, cols=3, lanes=3, out_beat=1, head_f=4), id="one-fold-four-groups"),
    pytest.param(tiny(slots=1, cols=1, out_beat=4, head_f=12), id="one-query-three-folds"),
    pytest.param(tiny(slots=5, cols=1, out_beat=4, head_f=4), id="one-step-a-query"),
]


class Machine:
    """Offers blocks and tells slots done, each slot once its result of the block before is walked.

    With a seed, blocks, results and room are late now and then.
    """

    def __init__(self, jobs: list[Fields], params: Params, seed: int | None, head_f: int) -> None:
        self.dut: Any = DrainWalker(params)
        self.params, self.head_f = params, head_f
        self.blocks = [block for _, block in all_blocks(jobs, params)]
        self.steps = drain_steps(jobs, params, head_f)
        self.rng = None if seed is None else np.random.default_rng(seed)
        # (block, slot) of every result, in the order in which they are finished.
        self.results = list(dict.fromkeys((s["block"], s["slot"]) for s in self.steps if not s["void"]))
        self.told: dict[tuple[int, int], int] = {}
        self.offered, self.valid = 0, False
        self.log: list[tuple[int, Fields]] = []
        self.roomy: list[int] = []

    def chance(self, probability: float) -> bool:
        return self.rng is None or bool(self.rng.random() < probability)

    def next_result(self) -> tuple[int, int] | None:
        """The result that is finished now: its place is free and its block has been offered."""
        if len(self.told) == len(self.results):
            return None
        block, slot = self.results[len(self.told)]
        walked = {(s["block"], s["slot"]) for _, s in self.log if s["slot_last"]}
        free = all(result in walked for result in self.told if result[1] == slot)
        known = block < self.offered + self.valid
        return (block, slot) if free and known and self.chance(0.2) else None

    def tell_more(self, ctx: Any) -> None:
        """What some machines are told, too."""

    async def drive(self, ctx: Any) -> None:
        dut, t = self.dut, 0
        ctx.set(dut.head_f, self.head_f)
        while self.offered < len(self.blocks):
            self.valid = self.offered < len(self.blocks) and (self.valid or self.chance(0.1))
            result, room = self.next_result(), self.chance(0.7)
            ctx.set(dut.block.valid, int(self.valid))
            ctx.set(dut.block.payload, self.blocks[min(self.offered, len(self.blocks) - 1)])
            ctx.set(dut.done, int(result is not None))
            if result:
                ctx.set(dut.done_slot, result[1])
                self.told[result] = t
            ctx.set(dut.room, int(room))
            self.tell_more(ctx)
            self.roomy += [t] if room else []
            if ctx.get(dut.step.valid):
                assert self.valid and room
                self.log.append((t, {n: ctx.get(getattr(dut.step, n)) for n in STEP} | {"block": self.offered}))
            if ctx.get(dut.block.ready):
                self.offered, self.valid = self.offered + 1, False
            t += 1
            await ctx.tick()


def random_jobs(seed: int, params: Params, count: int) -> list[Fields]:
    """Jobs of a few blocks; in many of them queries at the front see nothing."""
    rng = np.random.default_rng(seed)
    size = params.block
    return [
        job(
            int(rng.integers(1, 3 * size)),
            int(rng.choice([0, 3, 3, 50])),
            int(rng.random() < 0.7),
            int(rng.integers(-2 * size - 1, size)),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("late", [None, 1], ids=["in-time", "late"])
def test_every_query_once_and_in_order(late: int | None, params: Params) -> None:
    machine = Machine(random_jobs(1, params, 10), params, late, params.config.head_f)
    run(machine.dut, machine.drive)
    steps = [step for _, step in machine.log]
    assert steps == machine.steps
    assert machine.offered == len(machine.blocks)
    assert {step["void"] for step in steps} == {0, 1}
    # No slot is walked before it is done, but void ones.
    assert all(step["void"] or t > machine.told[step["block"], step["slot"]] for t, step in machine.log)


@pytest.mark.parametrize("head_f", range(1, 13))
def test_a_row_ends_where_f_does(head_f: int) -> None:
    """Two groups in each of three folds: rows of one to six beats."""
    params = tiny(head_f=12, cols=1, slots=3)
    machine = Machine(random_jobs(2, params, 2), params, 2, head_f)
    run(machine.dut, machine.drive)
    assert [step for _, step in machine.log] == machine.steps
    rows = sum(block["queries"] for block in machine.blocks)
    assert len(machine.steps) == rows * -(-head_f // 2)


@pytest.mark.parametrize("params", SHAPES)
def test_a_step_in_every_cycle_with_room(params: Params) -> None:
    block = all_blocks([job(params.block, 1)], params)[0][1]
    want = drain_steps([job(params.block, 1)], params)
    done: list[dict[str, Any]] = [{"done": 1, "done_slot": slot} for slot in range(params.config.slots)]
    inputs = [{"head_f": params.config.head_f, "block.valid": 1, "block.payload": block, **done[0]}, *done[1:]]
    inputs += [{"done": 0, "room": 1}]
    inputs += [{"room": int(i % 3 > 0)} for i in range(2 * len(want))]
    seen = clocked(DrainWalker(params), inputs, ["step.valid", "block.ready"])
    start = len(done)
    roomy = [start, *[start + 1 + i for i in range(2 * len(want)) if i % 3]]
    assert [t for t, (valid, _) in enumerate(seen) if valid][: len(want)] == roomy[: len(want)]
    assert [t for t, (_, ready) in enumerate(seen) if ready][0] == roomy[len(want) - 1] + 1


@pytest.mark.parametrize("params", SHAPES)
def test_first_step_follows_done_after_a_cycle(params: Params) -> None:
    block = all_blocks([job(params.block, 1)], params)[0][1]
    inputs: list[dict[str, Any]] = [{"block.valid": 1, "block.payload": block, "room": 1}, {}, {"done": 1}, {"done": 0}]
    seen = clocked(DrainWalker(params), inputs, ["step.valid"])
    assert [valid for (valid,) in seen] == [0, 0, 0, 1]


def test_void_slots_wait_for_nobody() -> None:
    params = tiny()
    block = all_blocks([job(params.block, 0)], params)[0][1]
    seen = clocked(DrainWalker(params), [{"block.valid": 1, "block.payload": block, "room": 1}], ["step.valid"], 3)
    # The block is looked at first.
    assert [valid for (valid,) in seen] == [0, 1, 1, 1]


class VoidMachine(Machine):
    """Tells which slots of a block are void when the block is issued: before the last of its results is done, and
    before any result of a later block."""

    def __init__(self, jobs: list[Fields], voids: list[int], params: Params, seed: int | None) -> None:
        super().__init__(jobs, params, seed, params.config.head_f)
        self.blocks = [block for work in jobs for block in segmented_blocks(work, params)]
        self.voids, self.issued = voids, 0
        self.steps = [step | {"void": voids[step["block"]] >> step["slot"] & 1} for step in self.steps]
        self.results = list(dict.fromkeys((s["block"], s["slot"]) for s in self.steps if not s["void"]))
        self.last = {block: (block, slot) for block, slot in self.results}

    def next_result(self) -> tuple[int, int] | None:
        """The next block's results may come while this one's void slots are waited for."""
        left = [result for result in self.results if result not in self.told]
        if not left or not self.chance(0.3):
            return None
        result = left[0]
        walked = {(s["block"], s["slot"]) for _, s in self.log if s["slot_last"]}
        free = all(other in walked for other in self.told if other[1] == result[1])
        return result if free and self.issued >= result[0] + (result == self.last[result[0]]) else None

    def tell_more(self, ctx: Any) -> None:
        """No more blocks are issued than fit into the walker's queue of blocks."""
        more = self.issued < min(len(self.voids), self.offered + DEPTH) and self.chance(0.2)
        ctx.set(self.dut.void.valid, int(more))
        ctx.set(self.dut.void.mask, self.voids[min(self.issued, len(self.voids) - 1)])
        self.issued += more


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(tiny(block_list=True), id="two-folds-two-groups"),
        pytest.param(tiny(block_list=True, slots=7, cols=1, out_beat=4, head_f=4), id="one-step-a-query"),
    ],
)
@pytest.mark.parametrize("late", [None, 1], ids=["in-time", "late"])
def test_void_slots_are_told(late: int | None, params: Params) -> None:
    """Any slots of a block may be void, all of them too."""
    jobs = random_jobs(5, params, 12)
    slots = [block["slots"] + 1 for work in jobs for block in segmented_blocks(work, params)]
    rng = np.random.default_rng(8)
    voids = [int(rng.choice([0, (1 << n) - 1, *rng.integers(1 << n, size=4)])) for n in slots]
    machine = VoidMachine(jobs, voids, params, late)
    run(machine.dut, machine.drive)
    assert [step for _, step in machine.log] == machine.steps
    assert {step["void"] for _, step in machine.log} == {0, 1}
