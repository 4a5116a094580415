"""The burst splitter against a function of a request, for every alignment."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value

from hwgen.memory.bursts import BurstSplitter
from hwgen.params import PAGE_BYTES, Params
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender, tiny

Request = dict[str, int]

SIZES = [
    pytest.param(tiny(bus_bits=32, address_bits=40, burst_beats=4), id="narrow"),
    pytest.param(tiny(bus_bits=64, address_bits=32, burst_beats=1, queue_beats=2), id="single-beat"),
    pytest.param(tiny(bus_bits=128, address_bits=64, burst_beats=256, queue_beats=512), id="page"),
    pytest.param(tiny(bus_bits=512, address_bits=64, burst_beats=16), id="wide"),
]


def bursts(request: Request, params: Params) -> list[tuple[int, int, int]]:
    """Address, beats minus one and last of every burst, word by word."""
    width, space = params.bus_bytes, 1 << params.config.address_bits
    first, end = request["address"] // width, (request["address"] + request["bytes"] - 1) // width
    found: list[list[int]] = []
    for word in range(first, end + 1):
        if not found or word % params.config.burst_beats == 0:
            found.append([word * width % space, -1, 0])
        found[-1][1] += 1
    found[-1][2] = 1
    return [(address, length, last) for address, length, last in found]


def packed(params: Params, address: int, length: int, last: int) -> int:
    """A burst as the bits of its payload."""
    return address | length << params.config.address_bits | last << (params.config.address_bits + 8)


def random_requests(seed: int, params: Params, count: int) -> list[Request]:
    """Requests of every alignment: bytes, words, a few chunks; some end at the top of the address space."""
    rng = np.random.default_rng(seed)
    chunk = params.bus_bytes * params.config.burst_beats
    top = (1 << params.config.address_bits) - 4 * chunk
    sizes = [1, 2, params.bus_bytes, chunk, chunk + 1, 3 * chunk]
    return [
        {
            "address": int(rng.choice([0, 0x1234 * chunk, top])) + int(rng.integers(chunk)),
            "bytes": int(rng.choice(sizes)) if rng.random() < 0.5 else int(rng.integers(1, 3 * chunk)),
        }
        for _ in range(count)
    ]


@STALLS
@pytest.mark.parametrize("params", SIZES)
def test_bursts_of_random_requests(params: Params, idle: int | None, pressure: int | None) -> None:
    requests = random_requests(1, params, 40)
    want = [burst for request in requests for burst in bursts(request, params)]
    assert {last for *_, last in want} == {0, 1}
    for address, length, _ in want:
        assert address // PAGE_BYTES == (address + (length + 1) * params.bus_bytes - 1) // PAGE_BYTES
    dut, got = BurstSplitter(params), list[int]()
    run(dut, sender(dut.input, requests, idle), receiver(dut.output, len(want), got, pressure))
    assert got == [packed(params, *burst) for burst in want]


def test_every_alignment() -> None:
    params = tiny(bus_bits=32, address_bits=32, burst_beats=2)
    requests = [{"address": 0x100 + a, "bytes": n} for a in range(8) for n in range(1, 26)]
    want = [burst for request in requests for burst in bursts(request, params)]
    dut, got = BurstSplitter(params), list[int]()
    run(dut, sender(dut.input, requests), receiver(dut.output, len(want), got))
    assert got == [packed(params, *burst) for burst in want]


def test_a_request_of_all_bytes() -> None:
    """The sum of offset and bytes has a bit more than each: without it this request would have one burst."""
    params = tiny(bus_bits=128, address_bits=40, burst_beats=256, queue_beats=512)
    dut, seen = BurstSplitter(params), list[tuple[int, int, int]]()

    async def count(ctx: Any) -> None:
        ctx.set(dut.input.valid, 1)
        ctx.set(dut.input.payload, {"address": 4095, "bytes": (1 << 32) - 1})
        ctx.set(dut.output.ready, 1)
        await ctx.tick()
        ctx.set(dut.input.valid, 0)
        async for _, _, valid, burst in ctx.tick().sample(dut.output.valid, dut.output.payload):
            if valid:
                seen.append((burst.address, burst.length, burst.last))
            if len(seen) == 30:
                break

    run(dut, count)
    assert seen[:2] == [(4080, 0, 0), (4096, 255, 0)]
    assert [address for address, *_ in seen[1:]] == [4096 * i for i in range(1, 30)]
    assert not any(last for *_, last in seen)


@pytest.mark.parametrize("params", SIZES)
def test_latency_and_throughput(params: Params) -> None:
    chunk = params.bus_bytes * params.config.burst_beats
    # Requests of one burst, then one of five, then one of one again.
    requests = [{"address": i * chunk + 1, "bytes": 1} for i in range(6)]
    requests += [{"address": chunk - 1, "bytes": 3 * chunk + 2}, {"address": 7, "bytes": 1}]
    want = [burst for request in requests for burst in bursts(request, params)]
    dut, got, cycles = BurstSplitter(params), list[int](), list[int]()
    pending = iter(requests)

    async def drive(ctx: Any) -> None:
        ctx.set(dut.output.ready, 1)
        for cycle in range(2 * len(want) + dut.LATENCY):
            if ctx.get(dut.input.ready):
                request = next(pending, None)
                ctx.set(dut.input.valid, int(request is not None))
                if request:
                    ctx.set(dut.input.payload, request)
            if ctx.get(dut.output.valid):
                cycles.append(cycle)
                got.append(ctx.get(Value.cast(dut.output.payload)))
            await ctx.tick()

    run(dut, drive)
    assert got == [packed(params, *burst) for burst in want]
    assert cycles == list(range(dut.LATENCY, 2 * len(want) + dut.LATENCY, 2))


def test_clear_forgets() -> None:
    params = tiny(bus_bits=32, address_bits=32, burst_beats=2)
    request, other = {"address": 0, "bytes": 100}, {"address": 0x40, "bytes": 4}
    offer = {"input.valid": 1, "input.payload": request}
    cycles: list[dict[str, Any]] = [offer, offer, {}, {"clear": 1}, {"clear": 0, "input.payload": other}]
    cycles += [{"input.valid": 0}, {}, {"output.ready": 1}]
    seen = clocked(BurstSplitter(params), cycles, ["empty", "output.valid", "output.payload.address"], 2)
    assert [empty for empty, *_ in seen] == [1, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    assert [valid for _, valid, _ in seen] == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert [address for _, valid, address in seen if valid] == [0, 0, 0x40, 0x40]
