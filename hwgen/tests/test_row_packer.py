"""The row packer against a byte array: words with strobes put every run of rows in its place and touch nothing else."""

import gc
from typing import Any

import numpy as np
import pytest

from hwgen.errors import ConfigError
from hwgen.memory.row_packer import RowPacker
from hwgen.tests.bench import STALLS, receiver, run, sender

SHAPES = [
    # bus_bits, element_bits, beat, limit
    (32, 16, 1, 5),
    (32, 16, 2, 9),
    (32, 32, 2, 8),
    (32, 16, 3, 12),
    (32, 32, 1, 3),
    (64, 16, 8, 24),
    (64, 16, 6, 20),
    (64, 32, 3, 9),
    (128, 16, 8, 40),
    (128, 16, 5, 20),
    (128, 32, 2, 2),
    (128, 16, 1, 8),
    (256, 32, 16, 33),
    (256, 16, 6, 20),
    (512, 16, 8, 36),
    (512, 32, 2, 2),
]

GUARD = 0xA5


class Case:
    """Runs of `together` rows of `elements` elements at chosen byte offsets, each in a place of its own between guard
    bytes."""

    def __init__(
        self, shape: tuple[int, int, int, int], elements: int, offsets: list[int], spare: int = 0, together: int = 1
    ) -> None:
        self.bus_bits, self.element_bits, self.beat, limit = shape
        self.dut, self.elements, self.offsets = RowPacker(*shape), elements, offsets
        rng = np.random.default_rng([*shape, elements])
        self.together = together
        self.rows = rng.integers(1 << self.element_bits, size=(len(offsets) * together, elements)).tolist()
        size, word = self.element_bits // 8, self.bus_bits // 8
        # `spare` beats beyond the row's end hold anything, as does the rest of its last beat.
        self.beats = []
        for row in self.rows:
            row = row + rng.integers(1 << self.element_bits, size=-elements % self.beat + spare * self.beat).tolist()
            for i in range(0, len(row), self.beat):
                self.beats.append({"elements": row[i : i + self.beat], "last": int(i + self.beat == len(row))})
        self.counts = [-(-(offset + together * elements * size) // word) for offset in offsets]
        self.starts = [{"offset": offset, "rows": together} for offset in offsets]

    async def hold(self, ctx: Any) -> None:
        ctx.set(self.dut.elements, self.elements)

    def check(self, words: list[int]) -> None:
        """Apply the words of each run to bytes of its own and compare them all."""
        size, word = self.element_bits // 8, self.bus_bits // 8
        assert len(words) == sum(self.counts)
        seen = iter(words)
        runs = [sum(self.rows[i : i + self.together], []) for i in range(0, len(self.rows), self.together)]
        for row, offset, count in zip(runs, self.offsets, self.counts, strict=True):
            got, want = [bytearray([GUARD] * count * word) for _ in range(2)]
            for i in range(count):
                payload = next(seen)
                strobe = payload >> self.bus_bits
                assert strobe
                for b in range(word):
                    if strobe >> b & 1:
                        got[i * word + b] = payload >> 8 * b & 0xFF
            want[offset : offset + len(row) * size] = b"".join(x.to_bytes(size, "little") for x in row)
            assert got == want


def offsets(shape: tuple[int, int, int, int]) -> list[int]:
    """Every place in a word where a row may begin, shuffled."""
    return np.random.default_rng(3).permutation(range(0, shape[0] // 8, shape[1] // 8)).tolist()


def lengths(shape: tuple[int, int, int, int]) -> list[int]:
    """One element, around a beat, a word, and the longest."""
    bus_bits, element_bits, beat, limit = shape
    return sorted({n for n in (1, beat - 1, beat, beat + 1, bus_bits // element_bits, limit) if 1 <= n <= limit})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_of_all_lengths_at_all_offsets(shape: tuple[int, int, int, int]) -> None:
    assert len(lengths(shape)) >= 2
    for elements in lengths(shape):
        case, words = Case(shape, elements, offsets(shape)), []
        receive = receiver(case.dut.words, sum(case.counts), words)
        run(case.dut, case.hold, sender(case.dut.run, case.starts), sender(case.dut.values, case.beats), receive)
        case.check(words)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_that_follow_each_other_share_words(shape: tuple[int, int, int, int]) -> None:
    for elements in lengths(shape):
        case, words = Case(shape, elements, offsets(shape)[:4], together=5), []
        receive = receiver(case.dut.words, sum(case.counts), words)
        run(case.dut, case.hold, sender(case.dut.run, case.starts), sender(case.dut.values, case.beats), receive)
        case.check(words)


@STALLS
@pytest.mark.parametrize("shape", [(32, 16, 3, 12), (64, 32, 3, 9), (128, 16, 4, 20)], ids=str)
def test_stalls(shape: tuple[int, int, int, int], idle: int | None, pressure: int | None) -> None:
    """With gaps everywhere, with beats behind the row's elements, and with rows that follow each other closely."""
    for elements, spare, together in ((shape[2] + 1, 2, 1), (shape[3], 0, 1), (shape[2] + 1, 1, 4), (1, 0, 7)):
        case, words = Case(shape, elements, 2 * offsets(shape)[:8], spare, together), []
        receive = receiver(case.dut.words, sum(case.counts), words, pressure)
        port = case.dut.words

        async def take(ctx: Any, receive: Any = receive, port: Any = port) -> None:
            await receive(ctx)
            # Beats that make no word any more move with words too.
            ctx.set(port.ready, 1)

        starts, beats = sender(case.dut.run, case.starts, pressure), sender(case.dut.values, case.beats, idle)
        run(case.dut, case.hold, starts, beats, take)
        case.check(words)


def trace(case: Case) -> tuple[list[int], list[int]]:
    """Cycles in which beats are taken and in which words leave, all streams being always ready.

    Every row has the same offset; the first one's run is taken in cycle 0.
    """
    dut, beats = case.dut, len(case.beats) // len(case.rows)
    taken: list[int] = []
    leaving: list[int] = []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.elements, case.elements)
        ctx.set(dut.run.payload, case.starts[0])
        for port in (dut.run.valid, dut.values.valid, dut.words.ready):
            ctx.set(port, 1)
        for t in range(40):
            # Time does not depend on the elements.
            ctx.set(dut.values.payload.last, int(len(taken) % beats == beats - 1))
            if ctx.get(dut.values.ready):
                taken.append(t)
            if ctx.get(dut.words.valid):
                leaving.append(t)
            await ctx.tick()

    run(dut, drive)
    return taken, leaving


@pytest.mark.parametrize("shape", [(128, 16, 8, 64), (128, 16, 4, 60), (128, 32, 2, 2), (256, 32, 8, 8)], ids=str)
def test_a_beat_a_cycle(shape: tuple[int, int, int, int]) -> None:
    """Also across rows; only a row whose last beat reaches into one word more costs a cycle."""
    bus_bits, element_bits, beat, elements = shape
    beats, lanes = elements // beat, bus_bits // element_bits
    taken, leaving = trace(Case(shape, elements, [0]))
    assert taken == list(range(1, 40))
    ends = [t for i, t in enumerate(taken) if (i % beats + 1) * beat % lanes == 0 or (i + 1) % beats == 0]
    assert leaving == [t + RowPacker.LATENCY for t in ends if t + RowPacker.LATENCY < 40]
    # From the last place in a word on, the last beat of each of these rows reaches over.
    offset = lanes - 1
    assert (offset + elements - beat) % lanes + beat > lanes
    taken, leaving = trace(Case(shape, elements, [offset * element_bits // 8]))
    assert taken == [t for t in range(1, 40) if t % (beats + 1)]


@pytest.mark.parametrize(("shape", "steps"), [((32, 16, 8, 16), 4), ((64, 32, 8, 16), 4), ((32, 16, 3, 9), 2)], ids=str)
def test_the_bus_rate_bounds_wide_beats(shape: tuple[int, int, int, int], steps: int) -> None:
    taken, _ = trace(Case(shape, shape[3], [0]))
    assert taken == list(range(steps, 40, steps))


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_bad_shapes() -> None:
    with pytest.raises(ConfigError, match="48 bits of a bus do not hold a power of two of 16-bit elements"):
        RowPacker(48, 16, 1, 1)
    with pytest.raises(ConfigError, match="32 bits of a bus do not hold a power of two of 64-bit elements"):
        RowPacker(32, 64, 1, 1)
    with pytest.raises(ConfigError, match="at least one element, not 0 and 4"):
        RowPacker(64, 16, 4, 0)
    # A part that was refused goes while its warning is ignored.
    gc.collect()
