"""Jobs of rows in a memory of bytes, for tests of what reads and writes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.params import Params
from hwgen.tests.bench import Testbench, gaps


@dataclass(frozen=True)
class Rows:
    """Where the rows of a job lie: row i at `head + (i // group) stride + (i % group) head_stride`, or one behind the
    other if they are packed."""

    stride: int
    head_stride: int
    group: int
    row_bytes: int
    packed: int = 0

    def address(self, head: int, row: int) -> int:
        position, member = divmod(row, self.group)
        step = position * self.stride + member * self.head_stride
        return head + (row * self.row_bytes if self.packed else step)

    def hold(self, dut: Any, **others: int) -> Testbench:
        """Sets the inputs of a reader or writer."""
        names = ("stride", "head_stride", "group", "row_bytes")

        async def set_all(ctx: Any) -> None:
            for name, value in ({name: getattr(self, name) for name in names} | others).items():
                ctx.set(getattr(dut, name), value)

        return set_all


class ByteMemory:
    """Random bytes at addresses from 0 on, and how bus words see them."""

    def __init__(self, params: Params, size: int, seed: int) -> None:
        self.width = params.bus_bytes
        self.bytes = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)

    def touched(self, address: int, count: int) -> range:
        """The numbers of the bus words that hold some bytes."""
        return range(address // self.width, (address + count - 1) // self.width + 1)

    def word(self, number: int) -> int:
        return int.from_bytes(self.bytes[number * self.width :][: self.width].tobytes(), "little")

    def write(self, number: int, value: int, strobe: int) -> None:
        for lane in range(self.width):
            if strobe >> lane & 1:
                self.bytes[number * self.width + lane] = value >> 8 * lane & 0xFF

    def serve(self, requests: Any, words: Any, count: int, seed: int | None) -> list[Testbench]:
        """Two testbenches: one takes `count` requests, the other answers each with the words it touches."""
        asked: list[int] = []
        taken = [0]

        async def take(ctx: Any) -> None:
            for gap in gaps(seed):
                await ctx.tick().repeat(gap) if gap else None
                ctx.set(requests.ready, 1)
                (request,) = await ctx.tick().sample(requests.payload).until(requests.valid)
                ctx.set(requests.ready, 0)
                asked.extend(self.touched(request.address, request.bytes))
                taken[0] += 1
                if taken[0] == count:
                    return

        async def answer(ctx: Any) -> None:
            for gap in gaps(seed and seed + 1):
                while not asked:
                    if taken[0] == count:
                        return
                    await ctx.tick()
                await ctx.tick().repeat(gap) if gap else None
                ctx.set(words.payload, self.word(asked.pop(0)))
                ctx.set(words.valid, 1)
                await ctx.tick().until(words.ready)
                ctx.set(words.valid, 0)

        return [take, answer]
