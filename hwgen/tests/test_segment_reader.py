"""The reader of lists of segments against lists written by hand, good and bad."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from hwgen.control.faults import Fault
from hwgen.control.record import SEGMENT_BYTES
from hwgen.control.segments import segment_layout
from hwgen.memory.segment_reader import SegmentReader
from hwgen.params import Params
from hwgen.tests.bench import STALLS, gaps, run, tiny
from hwgen.tests.byte_memory import ByteMemory
from hwgen.tests.scores import scored

SHAPES = [
    pytest.param(tiny(block_list=True, bus_bits=32, address_bits=32), id="32-bit-words"),
    pytest.param(scored(sink=True, block_list=True, bus_bits=64, slots=64), id="64-bit-words"),
    pytest.param(scored(3, sink=True, block_list=True, slots=3), id="128-bit-words"),
    pytest.param(tiny(block_list=True, bus_bits=256, address_bits=45, slots=33), id="256-bit-words"),
    pytest.param(tiny(block_list=True, bus_bits=512, burst_beats=8, slots=1), id="512-bit-words"),
]

KEYS = 1000


@dataclass(frozen=True)
class Segment:
    """A record's fields as they lie in memory."""

    first: int
    keys: int
    live: int = 1
    last: int = 0
    row: int = 0
    sink: int = 0
    block_last: int = 0
    stray: int = 0
    zero: int = 0

    def pack(self) -> bytes:
        keys = self.keys | self.stray << 21 | self.sink << 30 | self.block_last << 31
        return struct.pack("<IIQQII", self.first, keys, self.live, self.last, self.row, self.zero)


def random_list(rng: np.random.Generator, params: Params, blocks: int) -> list[Segment]:
    """Blocks of some segments each, one of them without a key."""
    top, segments = (1 << params.config.slots) - 1, []
    for _ in range(blocks):
        if rng.random() < 0.2:
            segments.append(Segment(int(rng.integers(KEYS)), 0, live=0, block_last=1))
            continue
        many = int(rng.integers(1, 4))
        for i in range(many):
            live = top if rng.random() < 0.3 else int(rng.integers(1 << 62)) % top + 1
            masks = {"live": live, "last": live & int(rng.integers(1 << 62)), "block_last": int(i == many - 1)}
            if params.has_sink and i == 0:
                segments.append(Segment(int(rng.integers(1 << 21)), 1, sink=1, **masks))
                continue
            first = int(rng.integers(KEYS))
            keys = int(rng.choice([1, KEYS - first]))
            segments.append(Segment(first, keys, row=int(rng.integers(1 << 32)), **masks))
    return segments


class Reader:
    """A reader with a memory, and someone who takes the segments of a block some time after it has begun."""

    def __init__(self, params: Params, seed: int, latency: int = 10) -> None:
        self.params, self.dut = params, SegmentReader(params)
        self.memory = ByteMemory(seed, params, latency)
        self.got: list[Segment] = []
        self.faults: list[tuple[int, int]] = []

    async def read(self, ctx: Any, address: int, segments: list[Segment], blocks: int, pressure: int | None) -> None:
        """Start, and take what comes for so many blocks, then wait a while for faults."""
        dut, waits = self.dut, gaps(pressure)
        self.memory.put(address, b"".join(one.pack() for one in segments))
        ctx.set(dut.list, {"address": address, "count": len(segments)})
        ctx.set(dut.keys, KEYS)
        ctx.set(dut.finish, 1)
        await ctx.tick()
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.finish, 0)
        for _ in range(blocks):
            last, begun = 0, False
            while not last and not self.faults:
                for ready in [0] * next(waits) + [1]:
                    taken = await self.step(ctx, ready, int(not begun))
                    begun, last = True, taken is not None and taken.block_last
        ctx.set(dut.finish, 1)
        for _ in range(30):
            await self.step(ctx, 0, 0)

    async def step(self, ctx: Any, ready: int, block: int) -> Segment | None:
        """A cycle; gives the segment that was taken."""
        dut = self.dut
        ctx.set(dut.segments.ready, ready)
        ctx.set(dut.block, block)
        sampled = await ctx.tick().sample(dut.segments.valid, dut.segments.payload, dut.fault)
        _, _, valid, payload, fault = sampled
        if fault.valid:
            self.faults.append((fault.code, fault.address))
        if not (valid and ready):
            return None
        names = data.StructLayout(segment_layout(self.params).members).members
        self.got.append(Segment(**{name: payload[name] for name in names}))
        return self.got[-1]


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_lists_of_any_alignment(params: Params, idle: int | None, pressure: int | None) -> None:
    reader, rng = Reader(params, 3), np.random.default_rng(4)

    async def drive(ctx: Any) -> None:
        for blocks in (1, 6, 9):
            segments, address = random_list(rng, params, blocks), 8 * int(rng.integers(1 << 28))
            reader.got.clear()
            await reader.read(ctx, address, segments, blocks, pressure)
            assert reader.got == segments and not reader.faults
            assert reader.memory.asked[-1] == (address, SEGMENT_BYTES * len(segments))
            assert reader.memory.left == 0
        assert len(reader.memory.asked) == 3
        reader.memory.stop()

    run(reader.dut, drive, reader.memory.serve(reader.dut.request, reader.dut.words, idle, pressure))


PLAIN = tiny(block_list=True, slots=5)
SINK = scored(sink=True, block_list=True, slots=5)
GOOD = [Segment(3, 5, live=7, last=1), Segment(90, 10, live=6, last=6, block_last=1)]
FINAL = Segment(0, 1, live=1, last=1, block_last=1)

BAD: list[tuple[Params, Segment]] = [
    (PLAIN, Segment(KEYS - 4, 5, block_last=1)),
    (PLAIN, Segment(1 << 21, 1, block_last=1)),
    (PLAIN, Segment((1 << 32) - 1, 1, block_last=1)),
    (PLAIN, Segment(0, KEYS + 1, block_last=1)),
    (PLAIN, Segment((1 << 21) - 1, (1 << 21) - 1, block_last=1)),
    (PLAIN, Segment(0, 1, stray=1, block_last=1)),
    (PLAIN, Segment(0, 1, stray=1 << 8, block_last=1)),
    (PLAIN, Segment(0, 1, live=1 << 5, block_last=1)),
    (PLAIN, Segment(0, 1, live=1 | 1 << 63, block_last=1)),
    (PLAIN, Segment(0, 1, live=2, last=3, block_last=1)),
    (PLAIN, Segment(0, 1, live=2, last=1 << 40, block_last=1)),
    (PLAIN, Segment(0, 1, live=0, block_last=1)),
    (PLAIN, Segment(0, 0)),
    (PLAIN, Segment(0, 1, zero=1 << 31, block_last=1)),
    (PLAIN, Segment(0, 1, sink=1, block_last=1)),
    (SINK, Segment(0, 2, sink=1, block_last=1)),
    (SINK, Segment(0, 0, sink=1, block_last=1)),
]


@pytest.mark.parametrize(("params", "bad"), BAD)
@pytest.mark.parametrize("bus_bits", [32, 512])
def test_what_cannot_be(params: Params, bad: Segment, bus_bits: int) -> None:
    """It is reported in its turn, and nothing comes behind it."""
    params = Params(params.config.replace({"bus_bits": bus_bits, "burst_beats": 8}))
    reader, address = Reader(params, 5), 0x1008

    async def drive(ctx: Any) -> None:
        await reader.read(ctx, address, [*GOOD, bad, FINAL], 3, None)
        reader.memory.stop()

    run(reader.dut, drive, reader.memory.serve(reader.dut.request, reader.dut.words))
    assert reader.got == GOOD
    assert reader.faults == [(Fault.SEGMENT, address + 2 * SEGMENT_BYTES)]


# Segments, blocks that begin, which segment is reported.
WRONG: list[tuple[list[Segment], int, int]] = [
    # The last one does not end its block; none in the middle of one.
    (GOOD[:1], 1, 0),
    ([*GOOD, GOOD[0]], 2, 2),
    ([GOOD[0], Segment(0, 0, live=0, block_last=1)], 1, 1),
    # Too few, too many.
    (GOOD, 2, 2),
    ([*GOOD, FINAL], 5, 3),
    ([*GOOD, FINAL], 1, 2),
    ([FINAL] * 40, 2, 2),
    ([FINAL] * 40, 0, 0),
]


@pytest.mark.parametrize(("segments", "blocks", "reported"), WRONG)
def test_lists_of_the_wrong_length(segments: list[Segment], blocks: int, reported: int) -> None:
    reader, address = Reader(PLAIN, 6), 0x2000

    async def drive(ctx: Any) -> None:
        await reader.read(ctx, address, segments, blocks, None)
        reader.memory.stop()

    run(reader.dut, drive, reader.memory.serve(reader.dut.request, reader.dut.words))
    assert reader.got == segments[:reported]
    assert reader.faults == [(Fault.SEGMENT, address + reported * SEGMENT_BYTES)]


@pytest.mark.parametrize(("bus_bits", "cycles"), [(32, 8), (64, 4), (512, 4)])
def test_throughput(bus_bits: int, cycles: int) -> None:
    params = tiny(block_list=True, bus_bits=bus_bits, burst_beats=8)
    reader, seen = Reader(params, 7), []
    reader.memory.put(64, FINAL.pack() * 20)

    async def drive(ctx: Any) -> None:
        ctx.set(reader.dut.list, {"address": 64, "count": 20})
        ctx.set(reader.dut.keys, KEYS)
        ctx.set(reader.dut.start, 1)
        await ctx.tick()
        ctx.set(reader.dut.start, 0)
        for cycle in range(400):
            if await reader.step(ctx, 1, 0) is not None:
                seen.append(cycle)
        reader.memory.stop()

    run(reader.dut, drive, reader.memory.serve(reader.dut.request, reader.dut.words))
    assert np.diff(seen).tolist() == [cycles] * 19
