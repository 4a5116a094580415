"""Dictionaries that play the operand memories and the lanes which a query loader writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.lib import data

from golden.scoremod import evaluate
from hwgen.control.query_loader import QueryLoader
from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.scoremod.schedule import schedule
from hwgen.tests.bench import run, sender
from hwgen.tests.jobs import Fields, all_blocks, position
from hwgen.tests.pairs import Ints, writes
from hwgen.tests.rows import Row, beats, random_rows


class Memories:
    """What cells and lanes hold: operands by (array row, column, operand), queries by (lane, address)."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.operands: dict[tuple[int, int, int], int] = {}
        self.queries: dict[tuple[int, int], data.Const] = {}

    def write(self, cycle: Row) -> None:
        c = self.params.config
        for r in range(c.rows_e):
            for column in range(c.cols):
                if cycle["rows"] >> (r // c.beat) & 1 and cycle["columns"] >> column & 1:
                    self.operands[r, column, cycle["operand"]] = cycle["elements"][r % c.beat]
        for lane in range(self.params.lanes):
            if cycle["lanes"] >> lane & 1:
                self.queries[lane, cycle["lane_address"]] = cycle["lane_query"]

    def row(self, bank: int, slot: int, column: int, folds: int) -> list[int]:
        """A query as its column reads it, fold after fold."""
        p = self.params
        start = (bank << p.slot_bits | slot) << p.fold_e_bits
        return [self.operands[r, column, start | f] for f in range(folds) for r in range(p.config.rows_e)]

    def query(self, bank: int, slot: int, column: int) -> data.Const:
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
            query = self.memories.query(bank, slot, column)
            assert (query.exponent, query.poisoned) == (row["exponent"], row["poisoned"])
            self.check_query(i, q, query)
        scale = (ctx.get(self.dut.mantissa[bank]), ctx.get(self.dut.scale_exponent[bank]))
        assert scale == (block["scale_mantissa"], block["scale_exponent"])

    def check_query(self, block: int, number: int, query: data.Const) -> None:
        """More that a lane has to know of a block's query."""

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
            # The last beat's memories are written in the cycle before `loaded` rises.
            if issue:
                self.check(ctx, self.issued)
                self.issued += 1
            if release:
                self.check(ctx, self.released)
                self.released += 1


def scored_blocks(jobs: list[Fields], params: Params) -> list[tuple[Fields, Fields]]:
    """(job, block) of every block, as a machine with a score program is told of it."""
    names = {name for name, _ in block_layout(params)}
    made = []
    for work, block in all_blocks(jobs, params):
        told = block | {"batch": work["batch"], "head": work["head"]}
        made.append((work, {name: value for name, value in told.items() if name in names}))
    return made


class ScoredMachine(Machine):
    """Jobs of any batch entry and first head, for a machine with a score program."""

    def __init__(self, jobs: list[Fields], params: Params, seed: int | None, arguments: dict[str, Ints]) -> None:
        super().__init__(jobs, params, seed, params.folds_e)
        works, blocks = zip(*scored_blocks(jobs, params), strict=True)
        self.works, self.blocks, self.arguments = works, list(blocks), arguments

    def check_query(self, block: int, number: int, query: data.Const) -> None:
        work, part = self.works[block], self.params.partition.query
        at = self.blocks[block]["first_query"] + number
        indices = {"q": position(work, at), "h": work["head"] + at % work["group"], "b": work["batch"]}
        want = {name: int(value) for name, value in evaluate(part, indices, self.arguments).items()}
        assert {name: query.score[name] for name, _ in part.outputs} == want

    def simulate(self, idle: int | None) -> None:
        """Write the arguments, then bring blocks and rows, with gaps if there is a seed for them."""
        program, partition = self.params.score, self.params.partition
        assert program is not None
        send_blocks = sender(self.dut.block, self.blocks, idle)

        async def bring(ctx: Any) -> None:
            for cycle in writes(program, self.arguments):
                ctx.set(self.dut.argument, cycle.get("argument", {"valid": 0}))
                await ctx.tick()
            await ctx.tick().repeat(schedule(partition.query).settling)
            await send_blocks(ctx)

        rows = beats(self.rows, self.params)
        run(self.dut, bring, sender(self.dut.query, rows, idle), self.watch, self.consume)
        assert self.released == len(self.blocks)
