"""The row buffer against a dictionary that plays the banks: rows arrive, are claimed and are freed, all in order.

Rows that are kept are claimed again, block after block, before they are freed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hwgen.memory.row_buffer import RowBuffer
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, gaps, run, tiny
from hwgen.tests.rows import Row, beats, random_rows

SHAPES = [
    pytest.param(tiny(), 4, 2, 2, id="two-groups-two-folds"),
    pytest.param(tiny(beat=1, out_beat=1), 4, 1, 1, id="one-fold"),
    pytest.param(tiny(rows_e=2, rows_f=2), 2, 3, 2, id="one-group-three-folds"),
    pytest.param(tiny(rows_e=2, rows_f=2), 2, 1, 3, id="one-beat-a-row"),
]


class Banks:
    """What the feeders hold: (array row, address) to element."""

    def __init__(self, params: Params, rows: int, folds: int) -> None:
        self.beat, self.rows, self.folds = params.config.beat, rows, folds
        self.fold_bits = (folds - 1).bit_length()
        self.held: dict[tuple[int, int], int] = {}

    def write(self, groups: int, address: int, elements: Any) -> None:
        for r in range(self.rows):
            if groups >> (r // self.beat) & 1:
                self.held[r, address] = elements[r % self.beat]

    def row(self, place: int, folds: int) -> list[int]:
        """A row as its array reads it: fold after fold, from the top row down."""
        return [self.held[r, place << self.fold_bits | f] for f in range(folds) for r in range(self.rows)]


@dataclass
class Claim:
    """A row that is claimed; with the last one of its block, whether the block is kept."""

    row: int
    block_last: bool
    keep: bool


def claims(seed: int, rows: int, capacity: int) -> list[Claim]:
    """Jobs of one to four blocks; those that keep their rows have no more than fit, of which later blocks take more."""
    rng, made, first = np.random.default_rng(seed), list[Claim](), 0
    while first < rows:
        kept = bool(rng.random() < 0.7)
        size = min(int(rng.integers(1, capacity + 1 if kept else 2 * capacity)), rows - first)
        counts = sorted([*rng.integers(1, size + 1, int(rng.integers(4))).tolist(), size]) if kept else [size]
        for i, count in enumerate(counts):
            keep = i < len(counts) - 1
            made += [Claim(first + j, j == count - 1, keep) for j in range(count)]
        first += size
    return made


class Consumer:
    """Claims rows that are ready, some at once and some late, and frees those it need not keep in order a while later.

    `claimed` and `freed` count rows, those that are claimed again only once. What is told of a row comes in the cycle
    behind its claim, and may be that of one claimed again.
    """

    def __init__(self, dut: RowBuffer, banks: Banks, rows: list[Row], plan: list[Claim], seed: int | None) -> None:
        self.dut, self.banks, self.rows, self.plan = dut, banks, rows, iter(plan)
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.next: Claim | None = next(self.plan)
        self.claimed = self.done = self.freed = 0
        self.told: Claim | None = None
        self.capacity = 1 << len(dut.row)

    def chance(self) -> bool:
        return self.rng is None or bool(self.rng.random() < 0.3)

    def check(self) -> None:
        """Rows stay intact until they are given back."""
        for i, row in enumerate(self.rows[self.freed : self.claimed], self.freed):
            folds = len(row["elements"]) // self.banks.rows
            assert self.banks.row(i % self.capacity, folds) == row["elements"]

    def claim(self, ctx: Any) -> dict[str, int]:
        """Claim the next row, or none; look at what is told of the one claimed before."""
        dut, claim = self.dut, self.next
        self.compare(ctx)
        if claim is None or not ctx.get(dut.ready) or not self.chance():
            # Alone they mean nothing.
            return {"advance": 0, "block_last": int(self.rng is not None and self.chance()), "keep": int(self.chance())}
        self.told = claim
        self.claimed = max(self.claimed, claim.row + 1)
        self.done += not claim.keep
        self.next = next(self.plan, None)
        return {"advance": 1, "block_last": int(claim.block_last), "keep": int(claim.keep)}

    def compare(self, ctx: Any) -> None:
        """The row claimed in the cycle before."""
        claim, dut, self.told = self.told, self.dut, None
        if claim is not None:
            want = self.rows[claim.row]
            assert (ctx.get(dut.exponent), ctx.get(dut.poisoned)) == (want["exponent"], want["poisoned"])
            # Places are used in turn.
            assert ctx.get(dut.row) == claim.row % self.capacity

    async def run(self, ctx: Any) -> None:
        dut = self.dut
        while self.freed < len(self.rows):
            self.check()
            give = self.freed < self.done and self.chance()
            for name, value in self.claim(ctx).items():
                ctx.set(getattr(dut, name), value)
            self.freed += give
            await ctx.tick()
        ctx.set(dut.advance, 0)


def sender(dut: RowBuffer, payloads: list[dict[str, Any]], consumer: Consumer, seed: int | None) -> Any:
    """A testbench that sends beats, with gaps if it has a seed, of rows for which a place was free a cycle ago."""

    async def send(ctx: Any) -> None:
        begun, freed, first = 0, 0, True
        for payload, gap in zip(payloads, gaps(seed), strict=False):
            for _ in range(gap):
                freed = consumer.freed
                await ctx.tick()
            while first and begun - freed == consumer.capacity:
                freed = consumer.freed
                await ctx.tick()
            begun, first = begun + first, bool(payload["last"])
            ctx.set(dut.input.payload, payload)
            ctx.set(dut.input.valid, 1)
            freed = consumer.freed
            await ctx.tick()
            ctx.set(dut.input.valid, 0)

    return send


def watcher(dut: RowBuffer, banks: Banks, consumer: Consumer) -> Any:
    """A testbench that writes what the buffer sends to the banks."""

    async def watch(ctx: Any) -> None:
        ports = (dut.write_rows, dut.write_address, dut.write_data)
        while consumer.freed < len(consumer.rows):
            _, _, groups, address, elements = await ctx.tick().sample(*ports)
            banks.write(groups, address, elements)

    return watch


@STALLS
@pytest.mark.parametrize(("params", "rows", "folds", "row_bits"), SHAPES)
def test_rows_keep_until_freed(
    params: Params, rows: int, folds: int, row_bits: int, idle: int | None, pressure: int | None
) -> None:
    count = 40
    data = [random_rows(i, params, rows * (1 + i % folds), 1)[0] for i in range(count)]
    plan = claims(3, count, 1 << row_bits)
    assert {claim.keep for claim in plan} == {False, True}
    dut, banks = RowBuffer(params, rows, folds, row_bits), Banks(params, rows, folds)
    consumer = Consumer(dut, banks, data, plan, pressure)
    run(dut, sender(dut, beats(data, params), consumer, idle), watcher(dut, banks, consumer), consumer.run)
    assert consumer.next is None


def test_a_kept_block_is_ready_again_at_once() -> None:
    params, rows, bits = tiny(rows_e=2, rows_f=2), 2, 2
    sent = beats(random_rows(6, params, 2, 4), params)
    fill: list[dict[str, Any]] = [{"input.payload": beat, "input.valid": 1} for beat in sent]
    last = {"advance": 1, "block_last": 1}
    blocks: list[dict[str, Any]] = [{"advance": 1, "keep": 1}, last, {"block_last": 0}, last]
    # Two rows twice; then, with a third row, a last time.
    blocks += [{"block_last": 0, "keep": 0}, {}, last, {"advance": 0}]
    fill += [{"input.valid": 0}] * (RowBuffer.READY - 1)
    seen = clocked(RowBuffer(params, rows, 1, bits), [*fill, *blocks, {}], ["row", "ready"])[len(fill) :]
    # Which row it is comes a cycle later.
    assert [row for row, _ in seen[1:]] == [0, 1, 0, 1, 0, 1, 2, 3]
    assert [ready for _, ready in seen[:-1]] == [1] * 8


@pytest.mark.parametrize(("params", "rows", "folds", "row_bits"), SHAPES)
def test_ready_behind_a_row(params: Params, rows: int, folds: int, row_bits: int) -> None:
    capacity, row_beats = 1 << row_bits, rows * folds // params.config.beat
    sent = beats(random_rows(4, params, rows * folds, capacity), params)
    cycles: list[dict[str, Any]] = [{"input.payload": beat, "input.valid": 1} for beat in sent]
    seen = clocked(RowBuffer(params, rows, folds, row_bits), [*cycles, {"input.valid": 0}], ["ready"], 2)
    none = row_beats + RowBuffer.READY - 1
    assert [ready for (ready,) in seen] == [0] * none + [1] * (len(seen) - none)


def test_a_row_is_not_ready_before_its_last_beat() -> None:
    params = tiny()
    sent = beats(random_rows(5, params, 8, 1), params)
    gap = [{"input.valid": 0}] * 3
    cycles = [inputs for beat in sent for inputs in ({"input.payload": beat, "input.valid": 1}, *gap)]
    seen = clocked(RowBuffer(params, 4, 2, 2), cycles, ["ready", "write_rows", "write_address"])
    none = 4 * (len(sent) - 1) + RowBuffer.READY
    assert [ready for ready, _, _ in seen] == [0] * none + [1] * (len(seen) - none)
    # Groups of rows first, then folds; nothing is written between beats.
    assert [(groups, address) for _, groups, address in seen[::4]] == [(1, 0), (2, 0), (1, 1), (2, 1)]
    assert not any(groups for t, (_, groups, _) in enumerate(seen) if t % 4)
