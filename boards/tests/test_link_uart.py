"""The serial line: every byte comes through, at different clocks too, and latency is as said."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Out

from boards.link.uart import UartReceiver, UartTransmitter, require_clocks
from hwgen.part import Part
from hwgen.tests.bench import run, sender


class Line(Part):
    """A transmitter whose line a receiver listens to."""

    def __init__(self, clocks: int) -> None:
        self.transmitter, self.receiver = UartTransmitter(clocks), UartReceiver(clocks)
        super().__init__({"tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.transmitter, m.submodules.receiver = self.transmitter, self.receiver
        m.d.comb += [self.receiver.rx.eq(self.transmitter.tx), self.tx.eq(self.transmitter.tx)]
        return m


@pytest.mark.parametrize("clocks", [4, 5, 8])
@pytest.mark.parametrize("idle", [None, 1], ids=["flowing", "idle"])
def test_bytes_come_through(clocks: int, idle: int | None) -> None:
    dut = Line(clocks)
    sent = [int(byte) for byte in np.random.default_rng(clocks).integers(0, 256, 20)]
    got: list[int] = []

    async def listen(ctx: Any) -> None:
        while len(got) < len(sent):
            _, _, valid, byte, broken = await ctx.tick().sample(
                dut.receiver.valid, dut.receiver.data, dut.receiver.broken
            )
            assert not broken
            if valid:
                got.append(byte)

    run(dut, sender(dut.transmitter.input, sent, idle), listen)
    assert got == sent


def drive(clocks: int, levels: list[int]) -> list[tuple[int, int, int]]:
    """(cycle, data, broken) of what a receiver says about a line."""
    dut, said = UartReceiver(clocks), []

    async def bench(ctx: Any) -> None:
        for cycle, level in enumerate(levels):
            if ctx.get(dut.valid) or ctx.get(dut.broken):
                said.append((cycle, ctx.get(dut.data), ctx.get(dut.broken)))
            ctx.set(dut.rx, level)
            await ctx.tick()

    run(dut, bench)
    return said


def bits(byte: int, clocks: int, stop: int = 1) -> list[int]:
    return [level for bit in (0, *(byte >> i & 1 for i in range(8)), stop) for level in [bit] * clocks]


@pytest.mark.parametrize("clocks", [4, 7])
def test_latency(clocks: int) -> None:
    rest = [1] * 10
    said = drive(clocks, rest + bits(0xA6, clocks) + rest)
    assert said == [(10 + UartReceiver.latency(clocks), 0xA6, 0)]


def test_noise_and_broken_bytes() -> None:
    """A start bit that is too short is none; a byte without a stop bit is dropped, and so is a line held low."""
    rest = [1] * 12
    levels = rest + [0] + rest + bits(0x55, 4) + bits(0x0F, 4, stop=0) + [0] * 200 + rest + bits(0x33, 4) + rest
    assert [what[1:] for what in drive(4, levels) if not what[2]] == [(0x55, 0), (0x33, 0)]
    assert sum(what[2] for what in drive(4, levels)) == 1


@pytest.mark.parametrize("percent", [-4, 4])
def test_other_clocks(percent: int) -> None:
    """100 clocks a bit listen to 96 and 104."""
    sent = [0x00, 0xFF, 0x5A]
    levels = [level for byte in sent for level in bits(byte, 100 + percent)]
    assert [byte for _, byte, broken in drive(100, [1] * 9 + levels + [1] * 99) if not broken] == sent


def test_a_bit_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="at least 4 clocks, not 3"):
        require_clocks(3)
