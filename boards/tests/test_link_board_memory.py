"""The board's memory: what is written is read, whoever does it, at the speed that is stated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Signal

from boards.board import Board, memory_base
from boards.link.bank import bank_words
from boards.link.board_memory import RESPONSE_PLACES, BoardMemory
from boards.link.bursts import Bursts, in_memory
from hwgen.memory.axi import Response, read_layout
from hwgen.tests.bench import STALLS, Testbench, receiver, run, sender, tiny

SIZE = 5 * 4096
MEMORY_BASE = memory_base(SIZE)
LONGEST = 16


def memory(bus_bits: int = 64, size: int = SIZE) -> BoardMemory:
    return BoardMemory(tiny(bus_bits=bus_bits, address_bits=32), size)


def bursts_of(seed: int, bus_bytes: int) -> list[tuple[int, int]]:
    """First words and numbers of words of bursts that share none, inside of their pages; one in every bank."""
    rng = np.random.default_rng(seed)
    firsts = rng.permutation(SIZE // bus_bytes // LONGEST)[:10]
    ends = (0, SIZE // bus_bytes // LONGEST - 1)
    return [(int(first) * LONGEST, int(rng.integers(1, LONGEST + 1))) for first in {*ends, *map(int, firsts)}]


def request(first: int, words: int, bus_bytes: int) -> dict[str, int]:
    return {"address": MEMORY_BASE + first * bus_bytes, "length": words - 1}


def after(ready: Callable[[], bool], then: Testbench) -> Testbench:
    """A testbench that begins when others are so far."""

    async def wait(ctx: Any) -> None:
        while not ready():
            await ctx.tick()
        await then(ctx)

    return wait


async def access(ctx: Any, dut: Any, address: int, data: int | None = None) -> tuple[int, int]:
    """Access to a byte as the bridge does it: what came, whether it was an error. Its latency is as stated."""
    ctx.set(dut.address, address)
    ctx.set(dut.write, data is not None)
    ctx.set(dut.data, data or 0)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    for _ in range(BoardMemory.BYTE_LATENCY - 1):
        assert not ctx.get(dut.done)
        await ctx.tick()
    assert ctx.get(dut.done)
    return ctx.get(dut.byte), ctx.get(dut.error)


@STALLS
@pytest.mark.parametrize("bus_bits", [32, 64, 128])
def test_bursts_and_bytes(bus_bits: int, idle: int | None, pressure: int | None) -> None:
    """Bursts are written twice, the second time with strobes, and read back, while the bridge does its bytes."""
    dut, size, rng = memory(bus_bits), bus_bits // 8, np.random.default_rng(7)
    places = bursts_of(bus_bits, size)
    taken = {first * size + n for first, count in places for n in range(count * size)}
    model = np.zeros(SIZE, dtype=np.uint8)
    asked = [request(first, count, size) for first, count in places] * 2
    words = []
    for turn in range(2):
        for first, count in places:
            strobe = rng.integers(0, 2, size).astype(bool) | (turn == 0)
            for n in range(count):
                word = rng.integers(0, 256, size, dtype=np.uint8)
                model[(first + n) * size :][:size][strobe] = word[strobe]
                mask = sum(int(bit) << i for i, bit in enumerate(strobe))
                words.append({"data": int.from_bytes(word.tobytes(), "little"), "strobe": mask, "last": n == count - 1})
    free = [int(at) for at in rng.permutation(sorted(set(range(SIZE)) - taken))[:40]]
    answers: list[Any] = []
    read: list[Any] = []
    bytes_done = []

    async def bridge(ctx: Any) -> None:
        for at in free:
            model[at] = at * 7 % 256
            assert (await access(ctx, dut, MEMORY_BASE + at, at * 7 % 256))[1] == 0
        for at in free:
            assert await access(ctx, dut, MEMORY_BASE + at) == (at * 7 % 256, 0)
            bytes_done.append(at)

    beats = sum(count for _, count in places)
    run(
        dut,
        sender(dut.aw, asked, idle),
        sender(dut.w, words, idle),
        receiver(dut.b, len(asked), answers, pressure),
        after(lambda: len(answers) == len(asked), sender(dut.ar, asked[: len(places)], idle)),
        receiver(dut.r, beats, read, pressure),
        bridge,
    )
    assert answers == [Response.OKAY] * len(asked) and bytes_done == free
    layout = read_layout(tiny(bus_bits=bus_bits, address_bits=32))
    expected = [
        layout.const(
            {
                "data": int.from_bytes(model[(first + n) * size :][:size].tobytes(), "little"),
                "response": Response.OKAY,
                "last": n == count - 1,
            }
        ).as_bits()
        for first, count in places
        for n in range(count)
    ]
    assert read == expected


def test_outside() -> None:
    """DECERR and errors outside of the memory, where nothing is written; what lies inside answers as ever."""
    dut = memory()
    ends = MEMORY_BASE - 4096, MEMORY_BASE + SIZE, MEMORY_BASE + (1 << 16), 0, 1 << 20
    asked = [{"address": at, "length": 1} for at in (*ends, MEMORY_BASE, MEMORY_BASE + SIZE - 4096)]
    word = {"data": (1 << 64) - 1, "strobe": 255, "last": 0}
    answers: list[Any] = []
    read: list[Any] = []
    inside = [False] * len(ends) + [True] * 2

    async def bridge(ctx: Any) -> None:
        for at in ends:
            assert (await access(ctx, dut, at, 1))[1] == 1 and (await access(ctx, dut, at))[1] == 1

    zeros = [{"data": 0, "strobe": 255, "last": 0}]
    run(
        dut,
        sender(dut.aw, [*asked[-2:], *asked[: len(ends)], asked[-1]]),
        sender(dut.w, zeros * 4 + [word] * (2 * len(ends) + 2)),
        receiver(dut.b, len(asked) + 1, answers),
        after(lambda: len(answers) == len(asked) + 1, sender(dut.ar, asked)),
        receiver(dut.r, 2 * len(asked), read),
        bridge,
    )
    assert answers == [Response.OKAY] * 2 + [Response.DECERR] * len(ends) + [Response.OKAY]
    assert [beat >> 64 & 3 for beat in read] == [Response.OKAY if x else Response.DECERR for x in inside for _ in "12"]
    assert [beat & (1 << 64) - 1 for beat in read[-4:]] == [0, 0, word["data"], word["data"]]


@pytest.mark.parametrize("words", [2, 16])
def test_throughput_and_latency(words: int) -> None:
    """A word a cycle each way at the same time, from burst to burst; R and B as long after AR and W as stated."""
    dut, number = memory(), 20
    asked = [request(first, words, 8) for first in range(0, number * words, words)]
    seen: list[tuple[int, ...]] = []

    async def watch(ctx: Any) -> None:
        streams = [dut.ar, dut.r, dut.aw, dut.w, dut.b]
        ctx.set(dut.r.ready, 1)
        ctx.set(dut.b.ready, 1)
        for _ in range(number * words + 30):
            *_, a, b, c, d, e = await ctx.tick().sample(*(s.valid & s.ready for s in streams))
            seen.append((a, b, c, d, e))

    data = [{"data": n, "strobe": 255, "last": 0} for n in range(number * words)]

    async def write(ctx: Any) -> None:
        # Words that come before their burst is known wait for it.
        await ctx.tick().repeat(Bursts.LATENCY)
        await sender(dut.w, data)(ctx)

    run(dut, watch, sender(dut.ar, asked), sender(dut.aw, asked), write)
    ar, r, _, w, b = ([cycle for cycle, taken in enumerate(column) if taken] for column in zip(*seen, strict=True))
    assert r[0] - ar[0] == BoardMemory.READ_LATENCY == Board.memory_latency
    assert r == list(range(r[0], r[0] + number * words)) and w == list(range(w[0], w[0] + number * words))
    assert b == [cycle + BoardMemory.WRITE_LATENCY for cycle in w[words - 1 :: words]]


def test_responses_that_nobody_takes() -> None:
    """As many bursts set out as there are places for their responses, and one that is offered; none is lost."""
    dut, number = memory(), 2 * RESPONSE_PLACES
    answers: list[Any] = []
    begun = [0]

    async def late(ctx: Any) -> None:
        for _ in range(100):
            *_, taken = await ctx.tick().sample(dut.aw.valid & dut.aw.ready)
            begun[0] += taken
        assert begun[0] == RESPONSE_PLACES + 1 and ctx.get(dut.b.valid)
        await receiver(dut.b, number, answers)(ctx)

    bursts = [request(index, 1, 8) for index in range(number)]
    run(dut, sender(dut.aw, bursts), sender(dut.w, [{"data": 0, "strobe": 255, "last": 1}] * number), late)
    assert answers == [Response.OKAY] * number


@pytest.mark.parametrize(
    ("kib", "bus_bytes", "words"),
    [(264, 8, (16384, 16384, 1024)), (264, 16, (16384, 512)), (264, 4, (16384,) * 4 + (2048,)), (20, 8, (2048, 512))],
)
def test_banks(kib: int, bus_bytes: int, words: tuple[int, ...]) -> None:
    assert bank_words(kib << 10, bus_bytes) == words and sum(words) * bus_bytes == kib << 10


@pytest.mark.parametrize(
    ("size", "text"), [(5000, "a multiple of 4096 bytes, not 5000"), (1 << 16, "addresses of 16 bits do not reach")]
)
def test_refused(size: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        in_memory(Signal(16), size)
