"""Frames: hardware and software make the same bytes of them, and find the same ones in bytes that are not all right."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from boards.link.crc import CYCLES, Crc32
from boards.link.frame_receiver import FrameReceiver
from boards.link.frame_sender import FrameSender
from boards.link.protocol import BLOCK, CRC, ESCAPE, FLAG, HEADER, Frame, decode, encode
from hwgen.tests.bench import receiver, run

BYTE_CYCLES = CYCLES + 2


def random_frame(rng: Any, length: int | None = None) -> Frame:
    """A frame with many bytes that must be escaped."""
    count = int(rng.integers(0, 12)) if length is None else length
    data = bytes(rng.choice([FLAG, ESCAPE, 0x20, 0x5D, 0x5E, 0xFF], count).tolist())
    return Frame(int(rng.integers(256)), int(rng.integers(256)), int(rng.integers(1 << 32)), count, data)


def spoil(line: bytes, rng: Any, probability: float) -> bytes:
    """Bytes lost, flipped or doubled."""
    out = bytearray()
    for byte in line:
        fate = rng.random()
        if fate < probability:
            continue
        out.append(byte ^ 1 << int(rng.integers(8)) if fate < 2 * probability else byte)
        if fate > 1 - probability:
            out.append(byte)
    return bytes(out)


def test_crc() -> None:
    dut, data = Crc32(), np.random.default_rng(1).bytes(9)
    said = []

    async def bench(ctx: Any) -> None:
        for part in (data, data[:4]):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for byte in [*part, *CRC.pack(zlib.crc32(part))]:
                ctx.set(dut.data, byte)
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
                await ctx.tick().repeat(CYCLES)
                said.append(ctx.get(dut.value))
            await ctx.tick()
            assert ctx.get(dut.good)

    run(dut, bench)
    whole = [
        part[: i + 1]
        for part in (data + CRC.pack(zlib.crc32(data)), data[:4] + CRC.pack(zlib.crc32(data[:4])))
        for i in range(len(part))
    ]
    assert said == [zlib.crc32(part) for part in whole]


def receive(line: bytes, hold: int = 0) -> tuple[list[Frame], int]:
    """The frames that the hardware finds, each released after so many cycles, and how often it said `garbled`."""
    dut, found, garbled = FrameReceiver(), [], []

    async def send(ctx: Any) -> None:
        for byte in line:
            ctx.set(dut.data, byte)
            ctx.set(dut.valid, 1)
            await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick().repeat(BYTE_CYCLES - 1)
        await ctx.tick().repeat(hold + 6)
        garbled.append(None)

    async def look(ctx: Any) -> None:
        buffer, count = bytearray(4 * BLOCK), 0
        while not (garbled and garbled[-1] is None):
            if ctx.get(dut.store):
                buffer[ctx.get(dut.address)] = ctx.get(dut.byte)
            if ctx.get(dut.garbled):
                garbled.insert(0, 1)
            count = count + 1 if ctx.get(dut.full) else 0
            if count == hold + 1:
                header = HEADER.unpack(ctx.get(dut.header).to_bytes(HEADER.size, "little"))
                found.append(Frame(*header, bytes(buffer[: ctx.get(dut.count)])))
            ctx.set(dut.release, count == hold + 1)
            await ctx.tick()

    run(dut, send, look, limit=200_000)
    return found, len(garbled) - 1


@pytest.mark.parametrize("seed", range(4))
def test_found_as_software_finds_them(seed: int) -> None:
    """Also behind bytes that were lost, flipped or doubled: the next flag begins a frame again."""
    rng = np.random.default_rng(seed)
    line = b"".join(encode(*random_frame(rng)) for _ in range(12))
    line = spoil(line, rng, 0.02 if seed else 0.0) + encode(1, 2, 3, 4, b"end!")
    bodies = [body for body in line[line.index(FLAG) :].split(bytes((FLAG,))) if body]
    expected = [frame for frame in map(decode, bodies) if frame is not None]
    assert receive(line)[0] == expected and len(expected) > 3
    assert seed or len(expected) == 13


def test_what_is_no_frame() -> None:
    """Too short, too long, escaped twice, cut off by a flag: dropped and said so; what follows is found."""
    good = encode(2, 3, 4, 0)
    short = bytes((FLAG,)) + good[1:5] + bytes((FLAG,))
    long = encode(2, 3, 4, 0, bytes(BLOCK + 1))
    twice = bytes((FLAG, ESCAPE, ESCAPE, 1, FLAG))
    for bad, said in ((short, 1), (long, 0), (twice, 0), (bytes((FLAG, ESCAPE, FLAG)), 0), (bytes((FLAG,)) * 5, 0)):
        assert receive(bad + good) == ([Frame(2, 3, 4, 0, b"")], said)
    longest = random_frame(np.random.default_rng(3), BLOCK)
    assert receive(encode(*longest))[0] == [longest]


def test_dropped_while_one_is_kept() -> None:
    """A frame that begins before the one in front is released is lost as a whole; the one behind it is not."""
    frames = [encode(number, 0, 0, 0) for number in (1, 2, 3)]
    found, _ = receive(b"".join(frames), hold=BYTE_CYCLES * (len(frames[1]) // 2))
    assert [frame.command for frame in found] == [1, 3]


@pytest.mark.parametrize("pressure", [None, 2], ids=["flowing", "back-pressure"])
def test_sent_as_software_sends_them(pressure: int | None) -> None:
    """Each twice: the second time is the same."""
    rng = np.random.default_rng(11)
    frames = [random_frame(rng, length) for length in (0, 1, 2, 9)]
    lines = [encode(*frame) for frame in frames for _ in range(2)]
    dut, sent = FrameSender(), []

    async def ask(ctx: Any) -> None:
        for frame in (frame for frame in frames for _ in range(2)):
            header = HEADER.pack(frame.command, frame.sequence, frame.address, frame.length)
            ctx.set(dut.header, int.from_bytes(header, "little"))
            ctx.set(dut.count, len(frame.data))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            addresses = [0, 0, 0]
            while ctx.get(dut.busy):
                # Three cycles from an address to its byte.
                addresses = [ctx.get(dut.address), *addresses[:2]]
                at = addresses[2]
                ctx.set(dut.byte, frame.data[at] if at < len(frame.data) else 0)
                await ctx.tick()

    run(dut, ask, receiver(dut.output, sum(map(len, lines)), sent, pressure))
    assert bytes(sent) == b"".join(lines)


def test_software_finds_what_it_sends() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        frame = random_frame(rng)
        line = encode(*frame)
        assert line[0] == line[-1] == FLAG and FLAG not in line[1:-1]
        assert decode(line[1:-1]) == frame
        assert decode(line[1:-2]) is None and decode(line[2:-1]) is None
