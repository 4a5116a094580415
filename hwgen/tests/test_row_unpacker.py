"""The row unpacker against slices of a list of elements."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value

from hwgen.memory.row_unpacker import RowUnpacker
from hwgen.params import Params
from hwgen.tests.bench import STALLS, Testbench, receiver, run, sender, tiny


def unpacker(bus_bits: int, in_format: str, beat: int, groups: int = 2) -> tuple[Params, int, int]:
    """Parameters, elements in a fold, and the longest row: three folds of `groups` beats."""
    rows = beat * groups
    shape = {"rows_e": rows, "rows_f": rows, "head_e": 3 * rows, "head_f": 3 * rows, "beat": beat, "out_beat": beat}
    return tiny(bus_bits=bus_bits, in_format=in_format, queue_beats=64, **shape), rows, 3 * rows


SHAPES = [
    pytest.param(*unpacker(32, "fp32", 1), id="word-is-an-element"),
    pytest.param(*unpacker(32, "bf16", 8, 1), id="four-words-a-beat"),
    pytest.param(*unpacker(64, "bf16", 4), id="word-is-a-beat"),
    pytest.param(*unpacker(32, "fp32", 3), id="three-words-a-beat"),
    pytest.param(*unpacker(128, "bf16", 4, 3), id="two-beats-a-word"),
    pytest.param(*unpacker(128, "bf16", 6), id="beat-6"),
    pytest.param(*unpacker(512, "bf16", 16, 1), id="512-bit-bus-beat-16"),
    pytest.param(*unpacker(512, "bf16", 1), id="512-bit-bus-beat-1"),
]


@dataclass
class Traffic:
    """Runs with the words they lie in and the beats they give."""

    params: Params
    fold: int
    elements: int

    def __post_init__(self) -> None:
        self.runs: list[dict[str, int]] = []
        self.words: list[int] = []
        self.beats: list[tuple[tuple[int, ...], int]] = []
        self.rng = np.random.default_rng(self.elements)

    @property
    def per_word(self) -> int:
        return self.params.config.bus_bits // self.params.input.bits

    def run(self, offset: int, rows: int) -> None:
        """Append a run; what lies before and behind it in its words is random too."""
        bits, beat = self.params.input.bits, self.params.config.beat
        used = offset + rows * self.elements
        count = -(-used // self.per_word)
        stored = [int(x) for x in self.rng.integers(1, 1 << bits, count * self.per_word)]
        self.runs.append({"offset": offset, "rows": rows})
        for start in range(0, len(stored), self.per_word):
            word = stored[start : start + self.per_word]
            self.words.append(sum(x << (i * bits) for i, x in enumerate(word)))
        padding = [0] * (-self.elements % self.fold)
        for start in range(offset, used, self.elements):
            row = stored[start : start + self.elements] + padding
            for i in range(0, len(row), beat):
                self.beats.append((tuple(row[i : i + beat]), int(i + beat == len(row))))

    def packed(self) -> list[int]:
        """The beats as the bits of their payloads."""
        bits, beat = self.params.input.bits, self.params.config.beat
        return [
            sum(x << (i * bits) for i, x in enumerate(elements)) | last << (bits * beat)
            for elements, last in self.beats
        ]


def unpack(params: Params, fold: int, limit: int, tasks: list[Traffic], idle: int | None, pressure: int | None) -> None:
    """Send one task's runs and words after the other's, assert the beats."""
    dut, done = RowUnpacker(params, fold, limit), [0]

    def each(part: Callable[[Traffic], Testbench]) -> Testbench:
        async def in_turn(ctx: Any) -> None:
            for i, task in enumerate(tasks):
                while done[0] < i:
                    await ctx.tick()
                await part(task)(ctx)

        return in_turn

    def take(task: Traffic) -> Testbench:
        async def compare(ctx: Any) -> None:
            got: list[int] = []
            ctx.set(dut.elements, task.elements)
            await receiver(dut.output, len(task.beats), got, pressure)(ctx)
            assert got == task.packed()
            done[0] += 1

        return compare

    def words(task: Traffic) -> Testbench:
        return sender(dut.words, task.words, idle and idle + 7)

    run(dut, each(take), each(lambda task: sender(dut.run, task.runs, idle)), each(words))
    assert done == [len(tasks)]


def random_traffic(params: Params, fold: int, elements: int, count: int) -> Traffic:
    """Runs of one or several rows at random offsets, those at both ends of a word among them."""
    traffic = Traffic(params, fold, elements)
    for i in range(count):
        offset = [0, traffic.per_word - 1, int(traffic.rng.integers(traffic.per_word))][i % 3]
        traffic.run(offset, int(traffic.rng.choice([1, 1, 2, 5])))
    return traffic


@STALLS
@pytest.mark.parametrize(("params", "fold", "limit"), SHAPES)
def test_rows_of_every_kind(params: Params, fold: int, limit: int, idle: int | None, pressure: int | None) -> None:
    lengths = sorted({1, params.config.beat, max(1, fold - 1), fold + 1, limit})
    unpack(params, fold, limit, [random_traffic(params, fold, n, 6) for n in lengths], idle, pressure)


@pytest.mark.parametrize(("bus_bits", "in_format", "beat"), [(64, "bf16", 2), (32, "fp32", 2), (32, "bf16", 3)])
def test_every_offset_and_row_length(bus_bits: int, in_format: str, beat: int) -> None:
    params, fold, limit = unpacker(bus_bits, in_format, beat)
    tasks = [Traffic(params, fold, elements) for elements in range(1, limit + 1)]
    for task in tasks:
        for offset in range(task.per_word):
            task.run(offset, 1)
            task.run(offset, 3)
    unpack(params, fold, limit, tasks, None, None)


def measured(params: Params, fold: int, limit: int, traffic: Traffic) -> tuple[list[int], list[int]]:
    """Cycles in which words are taken and in which beats leave, all streams being ready."""
    dut, taken, left, got = RowUnpacker(params, fold, limit), list[int](), list[int](), list[int]()

    async def watch(ctx: Any) -> None:
        ctx.set(dut.elements, traffic.elements)
        ctx.set(dut.output.ready, 1)
        # The runs are known before the first word comes, as they are while a memory is asked.
        await ctx.tick().repeat(3)
        words = iter(traffic.words)
        word, cycle = next(words, None), 0
        while len(got) < len(traffic.beats):
            ctx.set(dut.words.valid, int(word is not None))
            ctx.set(dut.words.payload, word or 0)
            valid, payload = ctx.get(dut.output.valid), ctx.get(Value.cast(dut.output.payload))
            if valid:
                left.append(cycle)
                got.append(payload)
            if word is not None and ctx.get(dut.words.ready):
                taken.append(cycle)
                word = next(words, None)
            cycle += 1
            await ctx.tick()

    run(dut, sender(dut.run, traffic.runs), watch)
    assert got == traffic.packed()
    return taken, left


@pytest.mark.parametrize(("params", "fold", "limit"), SHAPES)
def test_packed_rows_flow_at_full_rate(params: Params, fold: int, limit: int) -> None:
    traffic = Traffic(params, fold, limit)
    traffic.run(traffic.per_word - 1, 20)
    taken, left = measured(params, fold, limit, traffic)
    # Words that come one a cycle are taken at once until the ring is full; beats follow them, at most one a cycle.
    assert left[0] == first_beat(traffic) + RowUnpacker.LATENCY
    assert left[-1] - left[0] + 1 <= max(len(traffic.beats), len(traffic.words))
    assert taken[:2] == [0, 1]


@pytest.mark.parametrize("elements", [8, 16, 13])
def test_single_rows_flow_at_full_rate(elements: int) -> None:
    # Four beats a word: an unaligned row costs no cycle, whether or not its first and last beats cross words.
    params, fold, limit = unpacker(256, "bf16", 4, 1)[0], 4, 64
    traffic = Traffic(params, fold, elements)
    for _ in range(150):
        traffic.run(int(traffic.rng.integers(traffic.per_word)), 1)
    _, left = measured(params, fold, limit, traffic)
    assert left[-1] - left[0] + 1 == len(traffic.beats)


def first_beat(traffic: Traffic) -> int:
    """Index of the word that completes the first beat."""
    return (traffic.runs[0]["offset"] + min(traffic.params.config.beat, traffic.elements) - 1) // traffic.per_word
