"""The row buffer against a dictionary that plays the banks: rows arrive, are claimed and are freed, all in order."""

from typing import Any

import numpy as np
import pytest

from hwgen.memory.row_buffer import RowBuffer
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, run, sender, tiny
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

    def row(self, place: int) -> list[int]:
        """A row as its array reads it: fold after fold, from the top row down."""
        return [self.held[r, place << self.fold_bits | f] for f in range(self.folds) for r in range(self.rows)]


class Consumer:
    """Claims rows that are ready, some at once and some late, and frees them in order a while later."""

    def __init__(self, dut: RowBuffer, banks: Banks, rows: list[Row], seed: int | None) -> None:
        self.dut, self.banks, self.rows = dut, banks, rows
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.claimed: list[int] = []
        self.freed = 0

    def chance(self) -> bool:
        return self.rng is None or bool(self.rng.random() < 0.3)

    async def run(self, ctx: Any) -> None:
        dut = self.dut
        while self.freed < len(self.rows):
            # Rows stay intact until they are given back.
            for i, place in enumerate(self.claimed[self.freed :], self.freed):
                assert self.banks.row(place) == self.rows[i]["elements"]
            give = self.freed < len(self.claimed) and self.chance()
            claim = bool(ctx.get(dut.ready)) and self.chance()
            if claim:
                want = self.rows[len(self.claimed)]
                assert (ctx.get(dut.exponent), ctx.get(dut.poisoned)) == (want["exponent"], want["poisoned"])
                self.claimed.append(ctx.get(dut.row))
            self.freed += give
            ctx.set(dut.advance, int(claim))
            ctx.set(dut.freed, int(give))
            await ctx.tick()
        ctx.set(dut.advance, 0)
        ctx.set(dut.freed, 0)


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
    data = random_rows(3, params, rows * folds, 30)
    dut, banks = RowBuffer(params, rows, folds, row_bits), Banks(params, rows, folds)
    consumer = Consumer(dut, banks, data, pressure)
    run(dut, sender(dut.input, beats(data, params), idle), watcher(dut, banks, consumer), consumer.run)
    # Places are used in turn.
    assert consumer.claimed == [i % (1 << row_bits) for i in range(30)]


@pytest.mark.parametrize(("params", "rows", "folds", "row_bits"), SHAPES)
def test_full_and_ready(params: Params, rows: int, folds: int, row_bits: int) -> None:
    capacity, row_beats = 1 << row_bits, rows * folds // params.config.beat
    sent = beats(random_rows(4, params, rows * folds, capacity + 1), params)
    cycles: list[dict[str, Any]] = [{"input.payload": beat, "input.valid": 1} for beat in sent]
    full = capacity * row_beats
    # One row is freed when the beat after a full buffer's last one has waited for two cycles.
    inputs = [*cycles[: full + 1], {}, {"freed": 1}, {"freed": 0}, *cycles[full + 1 :]]
    seen = clocked(RowBuffer(params, rows, folds, row_bits), inputs, ["input.ready", "ready"], 2)
    assert [ready for ready, _ in seen] == [1] * full + [0] * 3 + [1] * row_beats + [0] * 2
    # A row is ready in the cycle after its last beat.
    assert [ready for _, ready in seen] == [0] * row_beats + [1] * (len(seen) - row_beats)


def test_a_row_is_not_ready_before_its_last_beat() -> None:
    params = tiny()
    sent = beats(random_rows(5, params, 8, 1), params)
    gap = [{"input.valid": 0}] * 3
    cycles = [inputs for beat in sent for inputs in ({"input.payload": beat, "input.valid": 1}, *gap)]
    seen = clocked(RowBuffer(params, 4, 2, 2), cycles, ["ready", "write_rows", "write_address"])
    last = 4 * (len(sent) - 1)
    assert [ready for ready, _, _ in seen] == [0] * (last + 1) + [1] * 3
    # Groups of rows first, then folds; nothing is written between beats.
    assert [(groups, address) for _, groups, address in seen[::4]] == [(1, 0), (2, 0), (1, 1), (2, 1)]
    assert not any(groups for t, (_, groups, _) in enumerate(seen) if t % 4)
