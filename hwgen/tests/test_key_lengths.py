"""Key lengths against a memory that answers late."""

from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from hwgen.control.key_lengths import AHEAD, KeyLengths, length_layout
from hwgen.params import Params
from hwgen.tests.bench import STALLS, receiver, run, tiny
from hwgen.tests.byte_memory import ByteMemory, words_of

SHAPES = [
    pytest.param(tiny(bus_bits=32), id="32-bit-words"),
    pytest.param(tiny(), id="128-bit-words"),
    pytest.param(tiny(bus_bits=512, address_bits=40, burst_beats=8), id="512-bit-words"),
]


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_lengths_in_order(params: Params, idle: int | None, pressure: int | None) -> None:
    dut, memory = KeyLengths(params), ByteMemory(1, params, 10)
    rng = np.random.default_rng(2)
    layout, total = data.StructLayout(length_layout(params).members), 0
    calls = [(4 * int(rng.integers(1, 1 << 30)), int(n)) for n in (1, 2, 3, 8, 9, 30)]
    got: list[int] = []

    async def drive(ctx: Any) -> None:
        nonlocal total
        for address, count in calls:
            lengths = [int(x) for x in rng.integers(0, 1 << 32, count)]
            memory.put(address, words_of(lengths))
            ctx.set(dut.address, address)
            ctx.set(dut.batches, count)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.address, 0)
            got.clear()
            await receiver(dut.length, count, got, pressure)(ctx)
            seen = [layout.from_bits(code) for code in got]
            assert [length.keys for length in seen] == lengths
            assert [length.address for length in seen] == [address + 4 * i for i in range(count)]
            total += count
            await ctx.tick().repeat(3)
            assert (len(memory.asked), memory.left) == (total, 0)
            assert {size for _, size in memory.asked} == {4}
        memory.stop()

    run(dut, drive, memory.serve(dut.request, dut.words, idle, pressure))
    assert total == 53


def test_eight_are_asked_for_ahead() -> None:
    params = tiny()
    dut, memory = KeyLengths(params), ByteMemory(3, params, 1)

    async def drive(ctx: Any) -> None:
        ctx.set(dut.batches, 100)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().repeat(50)
        for taken in range(20):
            assert len(memory.asked) == taken + AHEAD
            ctx.set(dut.length.ready, 1)
            await ctx.tick()
            ctx.set(dut.length.ready, 0)
            await ctx.tick().repeat(5)
        memory.stop()

    run(dut, drive, memory.serve(dut.request, dut.words, None, None))
