"""The loader of score records against records written by hand."""

import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.control.faults import Fault
from hwgen.control.record import HEADER_BYTES, RecordHeader, c_records, pack_record, record_bytes
from hwgen.errors import InputError
from hwgen.memory.score_record import ScoreRecord
from hwgen.params import Params
from hwgen.tests.bench import STALLS, run, tiny
from hwgen.tests.byte_memory import ByteMemory
from hwgen.tests.scores import scored
from hwgen.timing import settling

SHAPES = [
    pytest.param(scored(7, bias=True, block_list=True, bus_bits=32, address_bits=32), id="32-bit-words"),
    pytest.param(scored(6, bias=True, block_list=True, bus_bits=64, in_format="fp32"), id="64-bit-words"),
    pytest.param(scored(5, bias=True), id="128-bit-words"),
    pytest.param(scored(40, block_list=True, bus_bits=256, address_bits=45), id="256-bit-words"),
    pytest.param(scored(bias=True, bus_bits=512, address_bits=40, burst_beats=8), id="no-arguments"),
    pytest.param(tiny(block_list=True, bus_bits=512, burst_beats=8), id="no-program"),
]

STRIDES = ("batch_stride", "head_stride", "row_stride")


class Loader:
    """A loader with a memory; collects what it writes and reports."""

    def __init__(self, params: Params, seed: int, latency: int = 10) -> None:
        self.params, self.dut = params, ScoreRecord(params)
        self.memory = ByteMemory(seed, params, latency)
        self.writes: list[tuple[int, int]] = []
        self.faults: list[tuple[int, int]] = []

    async def load(self, ctx: Any, address: int, *, wanted: int = 1, listed: int = 0, limit: int = 2000) -> int:
        """Start; gives the cycles until it is done, `limit` if it never is."""
        dut = self.dut
        for name, value in {"start": 1, "address": address, "wanted": wanted, "listed": listed}.items():
            ctx.set(getattr(dut, name), value)
        assert not ctx.get(dut.busy)
        await ctx.tick()
        for name in ("start", "address", "wanted", "listed"):
            ctx.set(getattr(dut, name), 0)
        for cycles in range(1, limit):
            assert ctx.get(dut.busy)
            if self.params.score is not None and ctx.get(dut.argument.valid):
                self.writes.append((ctx.get(dut.argument.address), ctx.get(dut.argument.data)))
            if ctx.get(dut.fault.valid):
                self.faults.append((ctx.get(dut.fault.code), ctx.get(dut.fault.address)))
            if ctx.get(dut.done):
                await ctx.tick()
                assert not ctx.get(dut.done) and not ctx.get(dut.busy)
                return cycles
            await ctx.tick()
        return limit

    def header(self, ctx: Any) -> RecordHeader:
        """What it has kept."""
        dut, kept = self.dut, {}
        if self.params.has_bias:
            kept = {"bias_address": ctx.get(dut.bias.address)}
            kept["bias_strides"] = tuple(ctx.get(dut.bias[name]) for name in STRIDES)
        if self.params.config.block_list:
            kept |= {"segments_address": ctx.get(dut.segments.address), "segments": ctx.get(dut.segments.count)}
        return RecordHeader(**kept)


def random_header(rng: np.random.Generator, params: Params, listed: bool) -> RecordHeader:
    """Anything that is accepted."""
    top = 1 << params.config.address_bits
    element, values = params.input.bits // 8, {}
    if params.has_bias:
        address, *strides = (int(x) * element for x in rng.integers(0, top // element, 4, dtype=np.uint64))
        values |= {"bias_address": address, "bias_strides": tuple(strides)}
    if params.config.block_list:
        values["segments_address"] = 8 * int(rng.integers(top // 8, dtype=np.uint64))
        values["segments"] = int(rng.integers(1, 1 << 26)) if listed else 0
    return RecordHeader(**values)


def test_bytes_by_hand() -> None:
    header = RecordHeader(bias_address=1 << 60, bias_strides=(2, 3, 1 << 63), segments_address=5, segments=6)
    raw = struct.pack("<5QI5I3i", 1 << 60, 2, 3, 1 << 63, 5, 6, 0, 0, 0, 0, 0, -1, 1 << 30, -(1 << 31))
    assert pack_record(header, [-1, 1 << 30, -(1 << 31)]) == raw
    assert pack_record(RecordHeader()) == bytes(HEADER_BYTES)
    with pytest.raises(InputError, match="a field of the score record must lie in 0 .. 4294967295, not 4294967296"):
        pack_record(RecordHeader(segments=1 << 32))
    with pytest.raises(InputError, match="an argument word of the score record does not fit 32 bits"):
        pack_record(RecordHeader(), [1 << 31])


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_records_of_any_alignment(params: Params, idle: int | None, pressure: int | None) -> None:
    loader, rng = Loader(params, 3), np.random.default_rng(4)

    async def drive(ctx: Any) -> None:
        for i in range(6):
            listed = params.config.block_list and bool(i % 2 or params.score is None)
            header, address = random_header(rng, params, listed), 8 * int(rng.integers(1 << 28))
            words = rng.integers(-(1 << 31), 1 << 31, params.argument_words)
            loader.memory.put(address, pack_record(header, words))
            loader.writes.clear()
            cycles = await loader.load(ctx, address, listed=int(listed))
            assert cycles < 2000 and not loader.faults
            assert loader.header(ctx) == header
            assert loader.writes == list(enumerate(words.tolist()))
            assert loader.memory.asked[-1] == (address, record_bytes(params))
            assert loader.memory.left == 0
        assert len(loader.memory.asked) == 6
        loader.memory.stop()

    run(loader.dut, drive, loader.memory.serve(loader.dut.request, loader.dut.words, idle, pressure))


def test_cycles() -> None:
    """Two to the request, two to this memory's first word, one for each of the 56, and one more until it is done, but
    for what the arguments take to settle."""
    params = scored(40, bus_bits=256)
    loader, seen = Loader(params, 3, latency=1), []

    async def drive(ctx: Any) -> None:
        for address in (0x100, 0x118):
            loader.memory.put(address, pack_record(RecordHeader(), range(40)))
            seen.append(await loader.load(ctx, address))
        seen.append(await loader.load(ctx, 0, wanted=0))
        loader.memory.stop()

    run(loader.dut, drive, loader.memory.serve(loader.dut.request, loader.dut.words))
    late = 60 + settling(params)
    assert seen == [late, late, 1] and settling(params) > 0


def test_no_record_no_list() -> None:
    params = tiny(block_list=True)
    loader = Loader(params, 1)

    async def drive(ctx: Any) -> None:
        loader.memory.put(64, pack_record(RecordHeader(segments_address=8, segments=5)))
        await loader.load(ctx, 64, listed=1)
        assert loader.header(ctx).segments == 5
        await loader.load(ctx, 64, wanted=0)
        assert loader.header(ctx).segments == 0 and len(loader.memory.asked) == 1
        loader.memory.stop()

    run(loader.dut, drive, loader.memory.serve(loader.dut.request, loader.dut.words))


BOTH = scored(3, bias=True, block_list=True, address_bits=40)

# Machine, whether a list is wanted, header word or field, what is written there.
BAD: list[tuple[Params, int, int, bytes]] = [
    (BOTH, 0, 0x00, b"\x01"),
    (BOTH, 0, 0x04, b"\x00\x01"),
    (BOTH, 0, 0x08, b"\x03"),
    (BOTH, 0, 0x0C, b"\x00\x00\x00\x80"),
    (BOTH, 0, 0x10, b"\x01"),
    (BOTH, 0, 0x1C, b"\x00\x80"),
    (BOTH, 0, 0x20, b"\x04"),
    (BOTH, 0, 0x24, b"\x00\x01"),
    (BOTH, 0, 0x28, b"\x01"),
    (BOTH, 1, 0x28, b"\x00"),
    (BOTH, 1, 0x28, b"\x00\x00\x00\x04"),
    *((BOTH, 1, offset, b"\x00\x00\x00\x80") for offset in range(0x2C, 0x40, 4)),
    (scored(3, bias=True, in_format="fp32"), 0, 0x18, b"\x02"),
    *((scored(bias=True), 0, offset, b"\x08") for offset in (0x20, 0x24, 0x28, 0x3C)),
    *((scored(1), 0, offset, b"\x00\x01") for offset in (0x00, 0x04, 0x18, 0x20)),
]


@pytest.mark.parametrize(("params", "listed", "offset", "change"), BAD)
def test_what_is_refused(params: Params, listed: int, offset: int, change: bytes) -> None:
    """The first wrong word is reported, and no argument is written."""
    loader, address = Loader(params, 5), 0x1008
    good = bytearray(pack_record(RecordHeader(segments=2 * listed), np.zeros(params.argument_words)))
    good[offset : offset + len(change)] = change
    if offset < 0x3C:
        # Another wrong word behind it is of no interest.
        good[0x3C] = 1

    async def drive(ctx: Any) -> None:
        loader.memory.put(address, bytes(good))
        assert await loader.load(ctx, address, listed=listed, limit=150) == 150
        loader.memory.stop()

    run(loader.dut, drive, loader.memory.serve(loader.dut.request, loader.dut.words))
    assert loader.faults == [(Fault.SCORE_RECORD, address + offset)]
    assert loader.writes == []


C = """
#include <stdio.h>
int main(void) {
    struct hwgen_score_record record = {1, {2, 3, 4}, 5, 6, {0}};
    struct hwgen_segment segment = {7, 8 | HWGEN_SEGMENT_SINK | HWGEN_SEGMENT_BLOCK_LAST, 9, 10, 11, 0};
    fwrite(&record, 1, sizeof record, stdout);
    return fwrite(&segment, 1, sizeof segment, stdout) != sizeof segment;
}
"""


def test_c_writes_the_same_bytes(tmp_path: Path) -> None:
    source, binary = tmp_path / "write.c", tmp_path / "write"
    source.write_text("#include <stdint.h>\n" + c_records() + C)
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", source, "-o", binary], check=True)
    header = RecordHeader(bias_address=1, bias_strides=(2, 3, 4), segments_address=5, segments=6)
    segment = struct.pack("<IIQQII", 7, 8 | 3 << 30, 9, 10, 11, 0)
    assert subprocess.run([binary], check=True, stdout=subprocess.PIPE).stdout == pack_record(header) + segment
