"""The query loader against dictionaries that play the operand memories and the lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.query_loader import QueryLoader
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, run, sender, tiny
from hwgen.tests.jobs import Fields, all_blocks, job
from hwgen.tests.rows import Row, beats, random_rows

SHAPES = [
    pytest.param(tiny(), id="two-folds-two-groups"),
    pytest.param(tiny(slots=3, cols=3, lanes=1, head_e=12), id="three-columns-a-lane"),
    pytest.param(tiny(slots=1, cols=4, rows_e=2, rows_f=2, head_e=2, head_f=2), id="one-beat-a-row"),
]


class Memories:
    """What cells and lanes hold: operands by (array row, column, operand), queries by (lane, address)."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.operands: dict[tuple[int, int, int], int] = {}
        self.queries: dict[tuple[int, int], tuple[int, int]] = {}

    def write(self, cycle: Row) -> None:
        c = self.params.config
        for r in range(c.rows_e):
            for column in range(c.cols):
                if cycle["rows"] >> (r // c.beat) & 1 and cycle["columns"] >> column & 1:
                    self.operands[r, column, cycle["operand"]] = cycle["elements"][r % c.beat]
        for lane in range(self.params.lanes):
            if cycle["lanes"] >> lane & 1:
                query = cycle["lane_query"]
                self.queries[lane, cycle["lane_address"]] = (query.exponent, query.poisoned)

    def row(self, bank: int, slot: int, column: int, folds: int) -> list[int]:
        """A query as its column reads it, fold after fold."""
        p = self.params
        start = (bank << p.slot_bits | slot) << p.fold_e_bits
        return [self.operands[r, column, start | f] for f in range(folds) for r in range(p.config.rows_e)]

    def query(self, bank: int, slot: int, column: int) -> tuple[int, int]:
        """What the column's lane knows of the query."""
        p = self.params
        lane, place = divmod(column, p.group)
        return self.queries[lane, (bank << p.slot_bits | slot) << p.group_bits | place]


class Machine:
    """Issues every block once it is loaded and releases it later; a seed makes both late."""

    def __init__(self, jobs: list[Fields], params: Params, seed: int | None, folds: int) -> None:
        self.dut, self.params, self.folds = QueryLoader(params), params, folds
        self.blocks = [block for _, block in all_blocks(jobs, params)]
        queries = sum(block["queries"] for block in self.blocks)
        self.rows = random_rows(7, params, folds * params.config.rows_e, queries)
        self.memories = Memories(params)
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.issued = self.released = 0

    def chance(self) -> bool:
        return self.rng is None or bool(self.rng.random() < 0.05)

    def check(self, ctx: Any, i: int) -> None:
        """Block i lies in its bank, query after query."""
        cols, bank, block = self.params.config.cols, i % 2, self.blocks[i]
        start = sum(block["queries"] for block in self.blocks[:i])
        for q, row in enumerate(self.rows[start : start + block["queries"]]):
            slot, column = divmod(q, cols)
            assert self.memories.row(bank, slot, column, self.folds) == row["elements"]
            assert self.memories.query(bank, slot, column) == (row["exponent"], row["poisoned"])
        scale = (ctx.get(self.dut.mantissa[bank]), ctx.get(self.dut.scale_exponent[bank]))
        assert scale == (block["scale_mantissa"], block["scale_exponent"])

    async def watch(self, ctx: Any) -> None:
        """Write what the loader sends; the cells and lanes take it in the cycle in which it leaves."""
        dut = self.dut
        names = ("rows", "columns", "operand", "elements", "lanes", "lane_address", "lane_query")
        while self.released < len(self.blocks):
            _, _, *values = await ctx.tick().sample(*(getattr(dut, name) for name in names))
            self.memories.write(dict(zip(names, values, strict=True)))

    async def consume(self, ctx: Any) -> None:
        dut = self.dut
        while self.released < len(self.blocks):
            bank = self.issued % 2
            loaded = bool(ctx.get(dut.loaded) >> bank & 1)
            # A bank is loaded again only behind its release.
            assert not loaded or self.issued < self.released + 2
            issue = loaded and self.chance()
            empty = issue and not self.blocks[self.issued]["keys"]
            release = self.released < self.issued and self.chance()
            # A block without keys is never visited: nobody releases it.
            while self.released < self.issued and not self.blocks[self.released]["keys"]:
                self.released, release = self.released + 1, False
            ctx.set(dut.issued, int(issue))
            ctx.set(dut.issued_bank, bank)
            ctx.set(dut.empty, int(empty))
            ctx.set(dut.release, int(release))
            ctx.set(dut.release_bank, self.released % 2)
            await ctx.tick()
            # The last beat's memories are written in the cycle in which `loaded` rises.
            if issue:
                self.check(ctx, self.issued)
                self.issued += 1
            if release:
                self.check(ctx, self.released)
                self.released += 1


def random_jobs(seed: int, params: Params, count: int) -> list[Fields]:
    """Jobs of one to three blocks, some without keys, each with a scale of its own."""
    rng = np.random.default_rng(seed)
    return [
        job(
            int(rng.integers(1, 2 * params.block + 2)),
            int(rng.choice([0, 5, 9])),
            scale=(int(rng.integers(-(2**20) + 1, 2**20)), int(rng.integers(-128, 128))),
        )
        for _ in range(count)
    ]


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_blocks_lie_where_they_are_read(params: Params, idle: int | None, pressure: int | None) -> None:
    check(Machine(random_jobs(1, params, 6), params, pressure, params.folds_e), idle)


@pytest.mark.parametrize("folds", [1, 2])
def test_rows_of_fewer_folds(folds: int) -> None:
    params = tiny(slots=2, head_e=12)
    check(Machine(random_jobs(2, params, 4), params, 3, folds), 4)


def check(machine: Machine, idle: int | None) -> None:
    """Every block lies in its bank when it is issued, and until it is released."""
    params = machine.params
    dut = machine.dut
    send_blocks = sender(dut.block, machine.blocks, idle)
    send_rows = sender(dut.query, beats(machine.rows, params), idle)
    assert {bool(block["keys"]) for block in machine.blocks} == {False, True}
    run(dut, send_blocks, send_rows, machine.watch, machine.consume)
    assert machine.released == len(machine.blocks)


@pytest.mark.parametrize("params", SHAPES)
def test_latency_and_throughput(params: Params) -> None:
    block = all_blocks([job(params.block, 3)], params)[0][1]
    sent = beats(random_rows(2, params, params.config.head_e, params.block), params)
    cycles: list[dict[str, Any]] = [{"block.valid": 1, "block.payload": block, "query.valid": 1}]
    cycles += [{"query.payload": beat} for beat in sent]
    cycles += [{"query.valid": 0, "block.valid": 0}]
    names = ["query.ready", "rows", "lanes", "loaded", "block.ready"]
    seen = clocked(QueryLoader(params), cycles, names, 2)
    last = len(sent)
    # The block is noticed in cycle 0; from cycle 1 on a beat is taken in every cycle, and written in the next.
    assert [t for t, (ready, *_) in enumerate(seen) if ready] == list(range(1, last + 1))
    assert [t for t, (_, rows, *_) in enumerate(seen) if rows] == list(range(2, last + 2))
    row = params.config.head_e // params.config.beat
    assert [t for t, (_, _, lanes, *_) in enumerate(seen) if lanes] == list(range(1 + row, last + 2, row))
    # With the last beat the block is given back, and loaded a cycle later.
    assert [t for t, cycle in enumerate(seen) if cycle[4]] == [last]
    assert [loaded for _, _, _, loaded, _ in seen] == [0] * (last + 1) + [1] * (len(seen) - last - 1)
