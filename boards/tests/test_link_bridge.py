"""The bridge: what frames ask for is done once and answered, whatever happens on the line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from boards.board import memory_base
from boards.link.bridge import Exchange
from boards.link.crc import CYCLES
from boards.link.protocol import (
    ANSWER,
    BLOCK,
    FLAG,
    IDENTITY,
    LINK_MAGIC,
    LINK_VERSION,
    Command,
    Frame,
    Status,
    decode,
    encode,
)
from hwgen.memory.axi import Response
from hwgen.tests.bench import gaps

BYTE_CYCLES = CYCLES + 2
MEMORY_BYTES = 8192
MEMORY_BASE = memory_base(MEMORY_BYTES)
NOWHERE = 0x100
"""A register that is not there."""

COUNTING = 0x20
"""A register that counts how often it was read."""


class World:
    """Registers and memory at the bridge's other side, and what was done to them; slow if there is a seed."""

    def __init__(self, seed: int | None = None) -> None:
        self.registers = {at: 0x1000 + at for at in range(0, 0x80, 4)}
        self.memory = bytearray(np.random.default_rng(1).bytes(MEMORY_BYTES))
        self.done: list[tuple[str, int]] = []
        self._seed = seed

    def register_port(self, bridge: Exchange) -> Any:
        async def serve(ctx: Any) -> None:
            taken: dict[str, int | None] = {"ar": None, "aw": None, "w": None}
            pauses = gaps(self._seed)
            while True:
                for channel in taken:
                    open_now = taken[channel] is None and next(pauses) == 0
                    ctx.set(getattr(bridge, f"s_axi_{channel}ready"), open_now)
                    if open_now and ctx.get(getattr(bridge, f"s_axi_{channel}valid")):
                        what = "wdata" if channel == "w" else f"{channel}addr"
                        taken[channel] = ctx.get(getattr(bridge, f"s_axi_{what}"))
                await ctx.tick()
                for channel in taken:
                    ctx.set(getattr(bridge, f"s_axi_{channel}ready"), 0)
                if taken["ar"] is not None:
                    await self._answer(ctx, bridge, "r", self._read(taken["ar"]))
                    taken["ar"] = None
                if taken["aw"] is not None and taken["w"] is not None:
                    await self._answer(ctx, bridge, "b", self._write(taken["aw"], taken["w"]))
                    taken["aw"] = taken["w"] = None

        return serve

    async def _answer(self, ctx: Any, bridge: Exchange, channel: str, answer: tuple[int, int]) -> None:
        if channel == "r":
            ctx.set(bridge.s_axi_rdata, answer[0])
        ctx.set(getattr(bridge, f"s_axi_{channel}resp"), answer[1])
        ctx.set(getattr(bridge, f"s_axi_{channel}valid"), 1)
        taken = False
        while not taken:
            taken = ctx.get(getattr(bridge, f"s_axi_{channel}ready"))
            await ctx.tick()
        ctx.set(getattr(bridge, f"s_axi_{channel}valid"), 0)

    def _read(self, address: int) -> tuple[int, int]:
        self.done.append(("read", address))
        if address not in self.registers:
            return 0, Response.SLVERR
        self.registers[COUNTING] += address == COUNTING
        return self.registers[address], Response.OKAY

    def _write(self, address: int, value: int) -> tuple[int, int]:
        self.done.append(("write", address))
        if address not in self.registers:
            return 0, Response.SLVERR
        self.registers[address] = value
        return 0, Response.OKAY

    def memory_port(self, bridge: Exchange) -> Any:
        async def serve(ctx: Any) -> None:
            while True:
                await ctx.tick()
                if not ctx.get(bridge.memory_start):
                    continue
                at, write = ctx.get(bridge.memory_address) - MEMORY_BASE, ctx.get(bridge.memory_write)
                inside = 0 <= at < MEMORY_BYTES
                if write and inside:
                    self.memory[at] = ctx.get(bridge.memory_data)
                await ctx.tick().repeat(3)
                ctx.set(bridge.memory_byte, self.memory[at] if inside else 0)
                ctx.set(bridge.memory_error, not inside)
                ctx.set(bridge.memory_done, 1)
                await ctx.tick()
                ctx.set(bridge.memory_done, 0)

        return serve


def talk(world: World, *sent: bytes, quiet: int = 300) -> list[Frame | None]:
    """What the bridge answers to the pieces, each sent when nothing has come for `quiet` cycles."""
    dut, came, quiet_for, left = Exchange(MEMORY_BYTES), bytearray(), [0], [len(sent)]

    async def listen(ctx: Any) -> None:
        ctx.set(dut.output.ready, 1)
        while left[0]:
            if ctx.get(dut.output.valid):
                came.append(ctx.get(dut.output.payload))
                quiet_for[0] = 0
            quiet_for[0] += 1
            await ctx.tick()

    async def speak(ctx: Any) -> None:
        for piece in sent:
            for byte in piece:
                ctx.set(dut.data, byte)
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
                await ctx.tick().repeat(BYTE_CYCLES - 1)
            quiet_for[0] = 0
            while quiet_for[0] < quiet:
                await ctx.tick()
            left[0] -= 1

    simulate(dut, world, listen, speak)
    return [decode(body) for body in bytes(came).split(bytes((FLAG,))) if body]


def simulate(dut: Exchange, world: World, *benches: Any) -> None:
    """Registers and memory serve for as long as the benches take."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for serve in (world.register_port(dut), world.memory_port(dut)):
        simulator.add_testbench(serve, background=True)
    for bench in benches:
        simulator.add_testbench(bench)
    for _ in range(400_000):
        if not simulator.advance():
            return
    raise TimeoutError("the bridge hangs")


HELLO = encode(Command.HELLO, 7, 0xFEED, 0)
WELCOME = Frame(
    Command.HELLO | ANSWER,
    7,
    0xFEED,
    IDENTITY.size,
    IDENTITY.pack(LINK_MAGIC, LINK_VERSION, BLOCK, MEMORY_BASE, MEMORY_BYTES),
)


def answer(command: Command, sequence: int, data: bytes = b"", status: Status = Status.OKAY) -> Frame:
    return Frame(command | ANSWER, sequence, status, len(data), data)


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


@pytest.mark.parametrize("seed", [None, 3], ids=["flowing", "slow"])
def test_registers_and_memory(seed: int | None) -> None:
    world = World(seed)
    before = bytes(world.memory)
    got = talk(
        world,
        HELLO,
        encode(Command.READ_REGISTERS, 8, 0x10, 8),
        encode(Command.WRITE_REGISTERS, 9, 0x40, 8, words(0xDEADBEEF, 0x7E7D7E7D)),
        encode(Command.READ_MEMORY, 10, MEMORY_BASE + 5, 7),
        encode(Command.WRITE_MEMORY, 11, MEMORY_BASE + 3, 5, b"hello"),
        encode(Command.READ_MEMORY, 12, MEMORY_BASE, 0),
    )
    assert got == [
        WELCOME,
        answer(Command.READ_REGISTERS, 8, words(0x1010, 0x1014)),
        answer(Command.WRITE_REGISTERS, 9),
        answer(Command.READ_MEMORY, 10, before[5:12]),
        answer(Command.WRITE_MEMORY, 11),
        answer(Command.READ_MEMORY, 12),
    ]
    assert world.done == [("read", 0x10), ("read", 0x14), ("write", 0x40), ("write", 0x44)]
    assert world.registers[0x40] == 0xDEADBEEF and world.registers[0x44] == 0x7E7D7E7D
    assert world.memory == before[:3] + b"hello" + before[8:]


def test_once() -> None:
    """A repeated frame is answered as before, and not done again; one out of sequence is not done at all."""
    world = World()
    read, write = encode(Command.READ_REGISTERS, 8, COUNTING, 4), encode(Command.WRITE_REGISTERS, 9, 0, 4, words(5))
    first = answer(Command.READ_REGISTERS, 8, words(0x1000 + COUNTING + 1))
    strange = encode(Command.WRITE_REGISTERS, 20, 0, 4, words(6))
    got = talk(world, HELLO, read, read, read, write, write, strange, read)
    assert got == [WELCOME, first, first, first, *[answer(Command.WRITE_REGISTERS, 9)] * 2]
    assert world.done == [("read", COUNTING), ("write", 0)]


def test_nothing_without_a_session_or_a_crc() -> None:
    """Before the hello, and of a frame with any bit flipped or any byte missing, nothing is done."""
    world, frame = World(), encode(Command.WRITE_REGISTERS, 8, 0, 4, words(5))
    rng = np.random.default_rng(2)
    lost = [frame[:at] + frame[at + 1 :] for at in (1, 4, 12, len(frame) - 2)]
    flipped_bits = [
        bytes(b ^ (1 << int(rng.integers(8)) if i == at else 0) for i, b in enumerate(frame)) for at in (1, 2, 9, 14)
    ]
    got = talk(world, frame, HELLO, *lost, *flipped_bits, frame[: len(frame) // 2], HELLO, frame)
    nothing = answer(Command.WRITE_REGISTERS, 8, status=Status.NO_SESSION)
    assert got == [nothing, WELCOME, WELCOME, answer(Command.WRITE_REGISTERS, 8)]
    assert world.done == [("write", 0)]


def test_refused() -> None:
    """Unknown commands, lengths that do not fit, words that are not aligned: nothing is done. What is missing: said."""
    world = World()
    before = bytes(world.memory)
    bad = [
        (9, 0, 0, b""),
        (Command.WRITE_REGISTERS, 0, 4, words(1, 2)),
        (Command.READ_REGISTERS, 0, 4, words(1)),
        (Command.READ_REGISTERS, 2, 4, b""),
        (Command.READ_REGISTERS, 0, 6, b""),
        (Command.READ_MEMORY, MEMORY_BASE, BLOCK + 1, b""),
    ]
    frames = [encode(command, 8 + i, at, length, data) for i, (command, at, length, data) in enumerate(bad)]
    beyond = [
        (Command.READ_REGISTERS, NOWHERE, 4, b""),
        (Command.WRITE_REGISTERS, NOWHERE, 4, words(1)),
        (Command.READ_REGISTERS, 0x10000, 4, b""),
        (Command.WRITE_MEMORY, MEMORY_BASE + MEMORY_BYTES, 1, b"x"),
        (Command.READ_MEMORY, MEMORY_BASE - 1, 2, b""),
    ]
    more = [encode(command, 14 + i, at, length, data) for i, (command, at, length, data) in enumerate(beyond)]
    got = talk(world, HELLO, *frames, *more)
    refused = [answer(command, 8 + i, status=Status.REFUSED) for i, (command, *_) in enumerate(bad)]
    read = {0: bytes(4), 2: bytes(4), 4: bytes((0, before[0]))}
    gone = [answer(c, 14 + i, read.get(i, b""), Status.BUS) for i, (c, *_) in enumerate(beyond)]
    assert got == [WELCOME, *refused, *gone]
    assert world.done == [("read", NOWHERE), ("write", NOWHERE)] and world.memory == before
