"""The reader of biases against the rows it has to bring, one by one."""

from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from hwgen.control.tags import block_layout
from hwgen.memory.bias_reader import BiasFork, BiasReader, BiasWalker, bias_block_layout
from hwgen.memory.convert import raw_beat
from hwgen.memory.fetch_fork import bias_rows_layout
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender
from hwgen.tests.byte_memory import ByteMemory
from hwgen.tests.scores import scored

SHAPES = [
    pytest.param(scored(bias=True, bus_bits=32, address_bits=32), id="32-bit-words"),
    pytest.param(scored(bias=True, bus_bits=64, in_format="fp32", beat=4), id="64-bit-words"),
    pytest.param(scored(bias=True, cols=6, slots=3), id="128-bit-words"),
    pytest.param(scored(bias=True, bus_bits=512, burst_beats=8, address_bits=40, slots=16, beat=4), id="512-bit-words"),
]

Block = dict[str, int]


def random_job(rng: np.random.Generator, params: Params) -> list[Block]:
    """Blocks of queries, the keys of each in parts, some of which continue the part before."""
    queries = int(rng.integers(1, 3 * params.block))
    parts: list[Block] = []
    for first_query in range(0, queries, params.block):
        many, key = min(params.block, queries - first_query), 0
        for _ in range(rng.integers(1, 4)):
            key = int(rng.choice([key, rng.integers(1000)]))
            keys = int(rng.choice([0, 1, rng.integers(1, 6)]))
            parts.append({"first_query": first_query, "queries": many, "first": key, "keys": keys, "last": 0})
            key += keys
    parts[-1]["last"] = 1
    return parts


def rows(head: int, stride: int, parts: list[Block], params: Params) -> list[tuple[int, int]]:
    """Address and number of elements of every row."""
    size, top = params.input.bits // 8, 1 << params.config.address_bits
    return [
        ((head + key * stride + part["first_query"] * size) % top, part["queries"])
        for part in parts
        for key in range(part["first"], part["first"] + part["keys"])
    ]


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_rows_of_any_alignment(params: Params, idle: int | None, pressure: int | None) -> None:
    dut, memory, rng = BiasReader(params), ByteMemory(3, params), np.random.default_rng(4)
    size, beat = params.input.bits // 8, params.config.beat
    stride = size * int(rng.integers(1 << 20))
    jobs = [random_job(rng, params) for _ in range(4)]
    heads = [size * int(rng.integers(1 << 28)) for _ in jobs]
    wanted, elements = [], []
    for head, parts in zip(heads, jobs, strict=True):
        for address, count in rows(head, stride, parts, params):
            raw = rng.bytes(size * count)
            memory.put(address, raw)
            wanted.append((address, size * count))
            codes = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
            codes += [0] * (-count % beat)
            beats = [codes[i : i + beat] for i in range(0, len(codes), beat)]
            elements += [(one, int(i == len(beats) - 1)) for i, one in enumerate(beats)]
    got: list[int] = []
    layout = data.StructLayout(raw_beat(params).members)
    late = receiver(dut.output, len(elements), got, pressure)

    async def take(ctx: Any) -> None:
        ctx.set(dut.stride, stride)
        await late(ctx)
        memory.stop()

    run(
        dut,
        take,
        sender(dut.head, heads, idle),
        sender(dut.block, [part for parts in jobs for part in parts], idle),
        memory.serve(dut.request, dut.words, idle, pressure),
    )
    assert memory.asked == wanted and memory.left == 0
    seen = [layout.from_bits(code) for code in got]
    assert [(list(one.elements), one.last) for one in seen] == elements


def test_cycles_of_the_walker() -> None:
    """A row in 2 cycles, 2 more a block; a block that does not continue the one before is sought."""
    params = scored(bias=True)
    dut, seen = BiasWalker(params), []
    shape = {"first_query": 0, "queries": 3}
    blocks = [(0, 3), (3, 2), (16, 1), (17, 1), (1, 1), (0, 1)]

    async def watch(ctx: Any) -> None:
        ctx.set(dut.run.ready, 1)
        ctx.set(dut.request.ready, 1)
        for cycle in range(60):
            _, _, valid = await ctx.tick().sample(dut.request.valid)
            if valid:
                seen.append(cycle)

    parts = [shape | {"first": first, "keys": keys} for first, keys in blocks]
    run(dut, watch, sender(dut.head, [0]), sender(dut.block, parts))
    assert np.diff(seen).tolist() == [2, 2, 4, 2, 4 + 5, 4, 4 + 1, 4]


def random_blocks(rng: np.random.Generator, params: Params, count: int) -> list[dict[str, int]]:
    layout = block_layout(params)
    names = ("first_query", "queries", "keys", "job_last")
    return [{name: int(rng.integers(1 << min(20, layout[name].width))) for name in names} for _ in range(count)]


@STALLS
def test_all_keys_of_a_block(idle: int | None, pressure: int | None) -> None:
    params, rng = scored(bias=True), np.random.default_rng(5)
    assert not params.segmented
    blocks = random_blocks(rng, params, 30)
    dut, passed, asked = BiasFork(params), list[int](), list[int]()
    run(
        dut,
        sender(dut.fetch, blocks, idle),
        receiver(dut.blocks, len(blocks), passed, pressure),
        receiver(dut.bias, len(blocks), asked, pressure and pressure + 1),
    )
    layout = block_layout(params)
    assert passed == [layout.const(block).as_bits() for block in blocks]
    seen = [bias_block_layout(params).from_bits(code) for code in asked]
    assert [(one.first_query, one.queries, one.first, one.keys, one.last) for one in seen] == [
        (block["first_query"], block["queries"], 0, block["keys"], block["job_last"]) for block in blocks
    ]


@STALLS
def test_segments_of_a_block(idle: int | None, pressure: int | None) -> None:
    params, rng = scored(bias=True, sink=True), np.random.default_rng(6)
    assert params.segmented
    blocks, segments, expected = random_blocks(rng, params, 20), [], []
    for block in blocks:
        many = int(rng.integers(1, 5))
        for i in range(many):
            one = {"first": int(rng.integers(1 << 20)), "rows": int(rng.integers(1 << 20)), "block_last": i == many - 1}
            segments.append(one | {"last": int(rng.integers(2))})
            expected.append((block["first_query"], block["queries"], one["first"], one["rows"], segments[-1]["last"]))
    dut, passed, asked = BiasFork(params), list[int](), list[int]()
    run(
        dut,
        sender(dut.fetch, blocks, idle),
        sender(dut.rows, segments, idle and idle + 1),
        receiver(dut.blocks, len(blocks), passed, pressure),
        receiver(dut.bias, len(segments), asked, pressure and pressure + 1),
    )
    layout = block_layout(params)
    assert passed == [layout.const(block).as_bits() for block in blocks]
    seen = [bias_block_layout(params).from_bits(code) for code in asked]
    assert [(one.first_query, one.queries, one.first, one.keys, one.last) for one in seen] == expected
    assert set(bias_rows_layout().members) == {"first", "rows", "block_last", "last"}


def test_blocks_wait_for_room() -> None:
    """Blocks are not lost when nobody takes their biases."""
    dut = BiasFork(scored(bias=True))
    seen = clocked(dut, [{"fetch.valid": 1, "blocks.ready": 1}], ["fetch.ready", "blocks.valid"], 30)
    assert [ready for ready, _ in seen].count(1) in (BiasFork.DEPTH, BiasFork.DEPTH + 1)
    assert all(ready == valid for ready, valid in seen)
