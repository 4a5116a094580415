"""The read engine with a small memory behind it: every client gets its words, whatever the others and the bus do."""

import gc
from typing import Any

import numpy as np
import pytest

from hwgen.control.faults import Fault
from hwgen.errors import ConfigError
from hwgen.memory.axi import Response
from hwgen.memory.read_engine import ReadEngine
from hwgen.params import Params
from hwgen.tests.bench import STALLS, Testbench, gaps, receiver, run, sender, tiny
from hwgen.tests.memory import Beat, ReadMemory, word_at

Request = dict[str, int]


def bus(bits: int, burst: int, outstanding: int, address_bits: int = 40) -> Params:
    return tiny(
        bus_bits=bits, burst_beats=burst, outstanding=outstanding, address_bits=address_bits, queue_beats=2 * burst
    )


ENGINES = [
    pytest.param(bus(32, 4, 3, 33), (4, 9, 16), 1, id="three-clients"),
    pytest.param(bus(64, 1, 1, 32), (1, 2), 5, id="one-beat-one-burst"),
    pytest.param(bus(128, 16, 16, 64), (48, 16, 32, 17, 40), 60, id="five-clients-slow-memory"),
    pytest.param(bus(512, 2, 5), (8,), 9, id="one-client"),
]


def words_of(request: Request, params: Params) -> list[int]:
    width = params.bus_bytes
    first, end = request["address"] // width, (request["address"] + request["bytes"] - 1) // width
    return [word_at(params, index) for index in range(first, end + 1)]


def random_requests(rng: np.random.Generator, params: Params, count: int) -> list[Request]:
    """Requests of a byte up to a few bursts, from anywhere."""
    top = 4 * params.config.burst_beats * params.bus_bytes
    return [
        {"address": int(rng.integers(1 << 30)), "bytes": int(rng.choice([1, params.bus_bytes, rng.integers(1, top)]))}
        for _ in range(count)
    ]


def until(memory: ReadMemory, count: int) -> Any:
    """Called at the end of each of `count` testbenches: the last one stops the memory."""
    left = [count]

    def finished() -> None:
        left[0] -= 1
        memory.stop = left[0] == 0

    return finished


def served(dut: ReadEngine, memory: ReadMemory) -> Testbench:
    async def serve(ctx: Any) -> None:
        await memory.serve(ctx, dut.ar, dut.r)

    return serve


@STALLS
@pytest.mark.parametrize(("params", "depths", "latency"), ENGINES)
def test_every_client_gets_its_words(
    params: Params, depths: tuple[int, ...], latency: int, idle: int | None, pressure: int | None
) -> None:
    rng = np.random.default_rng(4)
    dut, memory = ReadEngine(params, depths), ReadMemory(params, latency, idle)
    finished = until(memory, len(depths))
    testbenches, total = [served(dut, memory)], 0
    counts = [0] * len(depths)

    def take(i: int, want: list[int]) -> Testbench:
        async def compare(ctx: Any) -> None:
            got: list[int] = []
            await receiver(dut.words[i], len(want), got, pressure and pressure + i)(ctx)
            assert got == want
            finished()

        return compare

    async def count(ctx: Any) -> None:
        while not memory.stop:
            _, _, taken = await ctx.tick().sample(dut.taken)
            for i in range(len(depths)):
                counts[i] += taken >> i & 1
        await ctx.tick()
        assert ctx.get(dut.idle)

    wanted = []
    for i in range(len(depths)):
        requests = random_requests(rng, params, 20 // len(depths))
        want = [word for request in requests for word in words_of(request, params)]
        testbenches += [sender(dut.requests[i], requests, idle and idle + i), take(i, want)]
        wanted.append(len(want))
        total += len(want)
    run(dut, *testbenches, count)
    assert counts == wanted
    assert len(memory.sent) == total


@pytest.mark.parametrize(
    ("burst", "size", "clients"),
    [(16, 64, 1), (4, 16, 3), (4, 2, 1), (2, 2, 2), (4, 1, 2), (1, 1, 2)],
    ids=lambda value: str(value),
)
def test_a_word_a_cycle(burst: int, size: int, clients: int) -> None:
    # `size` words a request; enough bursts in flight for a latency of 30 cycles.
    params, latency, each = bus(64, burst, 40), 30, 120 // size // clients
    dut, memory = ReadEngine(params, (128,) * clients), ReadMemory(params, latency)
    finished = until(memory, clients)

    def take(i: int, count: int) -> Testbench:
        async def watch(ctx: Any) -> None:
            await receiver(dut.words[i], count, [])(ctx)
            finished()

        return watch

    testbenches = [served(dut, memory)]
    for i in range(clients):
        requests = [{"address": n * 8 * size, "bytes": 8 * size} for n in range(each)]
        testbenches += [sender(dut.requests[i], requests), take(i, each * size)]
    run(dut, *testbenches)
    # In cycle 0 nothing is taken.
    start = 1 + dut.REQUEST_LATENCY
    assert memory.asked[0] == start
    words = each * size * clients
    assert memory.sent == list(range(start + latency, start + latency + words))
    if burst == 1 or size == 1:
        assert memory.asked == list(range(start, start + words))


def test_latencies() -> None:
    params = bus(64, 4, 4)
    dut, memory = ReadEngine(params, (8,)), ReadMemory(params, 7)
    seen: list[int] = []
    busy: list[tuple[int, int, int]] = []

    async def watch(ctx: Any) -> None:
        async for _, _, valid, idle, waiting, taken in ctx.tick().sample(
            dut.words[0].valid, dut.idle, dut.waiting, dut.taken
        ):
            seen.append(valid)
            busy.append((idle, waiting, taken))
            if len(seen) == 18:
                break
        memory.stop = True

    run(dut, served(dut, memory), sender(dut.requests[0], [{"address": 8, "bytes": 17}]), watch)
    # In cycle 0 nothing is taken.
    ask = 1 + dut.REQUEST_LATENCY
    come = ask + 7
    assert (memory.asked, memory.sent) == ([ask], [come, come + 1, come + 2])
    # Nobody takes the words.
    assert [t for t, valid in enumerate(seen) if valid] == list(range(come + dut.WORD_LATENCY, 18))
    assert [t for t, (idle, *_) in enumerate(busy) if idle] == [1, 2]
    assert [t for t, (_, waiting, _) in enumerate(busy) if waiting] == list(range(ask + 1, come + 1))
    assert [t for t, (*_, taken) in enumerate(busy) if taken] == [come + 1, come + 2, come + 3]


def test_no_more_words_are_asked_for_than_the_queue_holds() -> None:
    params = bus(32, 4, 16)
    dut, memory = ReadEngine(params, (10, 16)), ReadMemory(params)
    request = {"address": 0, "bytes": 400}

    async def wait(ctx: Any) -> None:
        await ctx.tick().repeat(100)
        # Two registers behind each memory hold words too.
        assert sum(length + 1 for _, length in memory.bursts) == 12 + 16
        got: list[int] = []
        await receiver(dut.words[0], 100, got)(ctx)
        assert got == words_of(request, params)
        memory.stop = True

    run(dut, served(dut, memory), sender(dut.requests[0], [request]), sender(dut.requests[1], [request]), wait)


def test_preferred_clients_are_served_first() -> None:
    params, chunk = bus(32, 4, 16), 16
    dut, memory = ReadEngine(params, (64, 64, 64)), ReadMemory(params)
    requests = [{"address": i << 12, "bytes": 12 * chunk} for i in range(3)]

    async def wait(ctx: Any) -> None:
        ctx.set(dut.prefer, 0b100)
        await ctx.tick().repeat(200)
        memory.stop = True

    run(dut, served(dut, memory), *(sender(dut.requests[i], [requests[i]]) for i in range(3)), wait)
    turns = [address >> 12 for address, _ in memory.bursts]
    # One burst was chosen before it was seen that somebody preferred asks.
    assert turns == [0] + [2] * 12 + [0, 1] * 11 + [1]


def collected(dut: ReadEngine, memory: ReadMemory, faults: list[tuple[int, int]], cycles: int) -> Testbench:
    """A testbench that notes faults and stops the memory."""

    async def watch(ctx: Any) -> None:
        for _ in range(cycles):
            _, _, fault = await ctx.tick().sample(dut.fault)
            if fault.valid:
                faults.append((fault.code, fault.address))
        memory.stop = True

    return watch


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"response": Response.SLVERR}, Fault.READ_RESPONSE),
        ({"response": Response.DECERR}, Fault.READ_RESPONSE),
        ({"response": Response.EXOKAY}, None),
        ({"last": 1}, Fault.READ_LAST),
    ],
    ids=["slverr", "decerr", "exokay", "early-last"],
)
def test_bad_beats(at: int, change: Beat, code: Fault | None) -> None:
    params = bus(32, 4, 4)

    def spoil(address: int, beats: list[Beat]) -> list[Beat]:
        if address != 0x110:
            return beats
        beats[at] = beats[at] | change
        # A burst ends where its RLAST is.
        return beats[: at + 1] if beats[at]["last"] else beats

    dut, memory, faults = ReadEngine(params, (64,)), ReadMemory(params, 3, None, spoil), list[tuple[int, int]]()
    request = {"address": 0x100, "bytes": 48}
    run(dut, served(dut, memory), sender(dut.requests[0], [request]), collected(dut, memory, faults, 40))
    fine = code is None or (code == Fault.READ_LAST and at == 3)
    assert faults == ([] if fine else [(code, 0x110 + 4 * at)])


def test_missing_last() -> None:
    params = bus(32, 4, 4)

    def spoil(address: int, beats: list[Beat]) -> list[Beat]:
        # Three beats too many.
        return [beat | {"last": 0} for beat in beats] * 2 if address == 0x110 else beats

    def ended(address: int, beats: list[Beat]) -> list[Beat]:
        beats = spoil(address, beats)
        return beats[:6] + [beats[6] | {"last": 1}] if len(beats) > 4 else beats

    dut, memory, faults = ReadEngine(params, (64,)), ReadMemory(params, 3, None, ended), list[tuple[int, int]]()
    request, got = {"address": 0x100, "bytes": 48}, list[int]()
    take = receiver(dut.words[0], 12, got)
    run(dut, served(dut, memory), sender(dut.requests[0], [request]), take, collected(dut, memory, faults, 50))
    assert faults == [(Fault.READ_LAST, 0x11C)]
    # The rest is dropped, the next burst has its place.
    assert got == words_of(request, params)


@pytest.mark.parametrize("seed", range(6))
def test_flush_and_go_on(seed: int) -> None:
    params, depths = bus(64, 4, 6), (8, 16)
    rng = np.random.default_rng(seed)
    dut, memory = ReadEngine(params, depths), ReadMemory(params, 12, seed)
    phases, done = 5, [0]
    requests = [[random_requests(rng, params, 6) for _ in depths] for _ in range(phases)]
    breaks = [int(rng.integers(0, 90)) for _ in range(phases)]
    got: list[list[int]] = [[] for _ in depths]

    async def control(ctx: Any) -> None:
        for phase in range(phases):
            await ctx.tick().repeat(breaks[phase])
            ctx.set(dut.flush, 1)
            # One more may be on its way.
            asked = len(memory.bursts) + ctx.get(dut.ar.valid) + 1
            flushed = 0
            done[0] += 1
            # Some flushes end before everything has come back, and nothing is issued before it has.
            for cycle in range(int(rng.choice([1, 3, 200]))):
                # Words are there for three more cycles.
                assert cycle < 3 or not any(ctx.get(dut.words[i].valid) for i in range(len(depths)))
                assert len(memory.bursts) <= asked
                await ctx.tick()
                flushed += 1
            # One that is long enough comes to rest before it ends.
            assert flushed < 200 or ctx.get(dut.idle)
            ctx.set(dut.flush, 0)
            while not ctx.get(dut.idle):
                assert flushed < 3 or not any(ctx.get(dut.words[i].valid) for i in range(len(depths)))
                await ctx.tick()
                flushed += 1
            assert memory.flying == 0
            done[0] += 1
        for i in range(len(depths)):
            want = [word for request in requests[0][i] for word in words_of(request, params)]
            while len(got[i]) < len(want):
                await ctx.tick()
            assert got[i] == want
        memory.stop = True

    def client(i: int) -> list[Testbench]:
        port = dut.requests[i]

        async def ask(ctx: Any) -> None:
            for phase in range(phases + 1):
                while done[0] < 2 * phase:
                    await ctx.tick()
                got[i].clear()
                for request, gap in zip(requests[phase % phases][i], gaps(seed), strict=False):
                    await ctx.tick().repeat(gap + 1)
                    ctx.set(port.payload, request)
                    ctx.set(port.valid, int(done[0] == 2 * phase))
                    while ctx.get(port.valid) and not ctx.get(port.ready):
                        await ctx.tick()
                        ctx.set(port.valid, int(done[0] == 2 * phase))
                    await ctx.tick()
                    ctx.set(port.valid, 0)

        async def take(ctx: Any) -> None:
            rng = np.random.default_rng(seed)
            while not memory.stop:
                ready = int(rng.random() < 0.6)
                ctx.set(dut.words[i].ready, ready)
                _, _, valid, word = await ctx.tick().sample(dut.words[i].valid, dut.words[i].payload)
                if valid and ready:
                    got[i].append(word)

        return [ask, take]

    run(dut, served(dut, memory), control, *client(0), *client(1))


@pytest.mark.parametrize("at", range(9))
def test_a_flush_of_one_cycle(at: int) -> None:
    # Wherever the requests are, nothing of them is left.
    params = bus(32, 2, 8)
    dut, memory, got = ReadEngine(params, (16,)), ReadMemory(params, 3), list[int]()
    lost, request = {"address": 0, "bytes": 80}, {"address": 0x400, "bytes": 12}

    async def control(ctx: Any) -> None:
        port = dut.requests[0]
        ctx.set(port.payload, lost)
        ctx.set(port.valid, 1)
        for cycle in range(at + 1):
            ctx.set(port.valid, int(cycle < 3))
            ctx.set(dut.flush, int(cycle == at))
            await ctx.tick()
        ctx.set(port.valid, 0)
        ctx.set(dut.flush, 0)
        while not ctx.get(dut.idle):
            await ctx.tick()
        await sender(port, [request])(ctx)
        await receiver(dut.words[0], 3, got)(ctx)
        memory.stop = True

    run(dut, served(dut, memory), control)
    assert got == words_of(request, params)


def test_busy_until_the_last_word_is_taken() -> None:
    params = bus(32, 2, 8)
    dut, memory = ReadEngine(params, (4,)), ReadMemory(params, 3)
    idle: list[int] = []

    async def watch(ctx: Any) -> None:
        await ctx.tick().repeat(2)
        ctx.set(dut.words[0].ready, 1)
        while not ctx.get(dut.words[0].valid):
            await ctx.tick()
            idle.append(ctx.get(dut.idle))
        # The word is taken, and a cycle later the engine says so.
        await ctx.tick()
        idle.append(ctx.get(dut.idle))
        await ctx.tick()
        assert ctx.get(dut.idle)
        memory.stop = True

    run(dut, served(dut, memory), sender(dut.requests[0], [{"address": 0, "bytes": 1}]), watch)
    assert idle == [0] * (dut.REQUEST_LATENCY + 3 + dut.WORD_LATENCY)


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_a_queue_that_is_too_short() -> None:
    with pytest.raises(ConfigError, match="a queue must hold a burst of 4 words, not 3"):
        ReadEngine(bus(32, 4, 4), (4, 3))
    # A part that was refused goes while its warning is ignored.
    gc.collect()
