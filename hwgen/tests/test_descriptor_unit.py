"""The descriptor unit against the rules in Python, and what it works out against whole numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hwgen.control.descriptor import DESCRIPTOR_BYTES, Descriptor, pack
from hwgen.control.descriptor_rules import check, tensors
from hwgen.control.descriptor_unit import DescriptorUnit
from hwgen.control.faults import Fault
from hwgen.control.job import geometry
from hwgen.control.record import has_record
from hwgen.params import Params
from hwgen.tests.bench import gaps, run, tiny
from hwgen.tests.descriptors import RandomDescriptors, plain
from hwgen.tests.scores import scored

SHAPES = [
    pytest.param(tiny(), 120, id="128-bit-words"),
    pytest.param(tiny(bus_bits=512, address_bits=40, out_format="fp32", head_e=12, head_f=4), 160, id="512-bit-words"),
    pytest.param(tiny(bus_bits=64, address_bits=48, in_format="fp32", out_format="fp16"), 80, id="64-bit-words"),
    pytest.param(tiny(bus_bits=32, address_bits=32, rows_f=2, lanes=1, scale_bits=12), 36, id="32-bit-words"),
    pytest.param(tiny(bus_bits=32, address_bits=17), 36, id="short-addresses"),
    pytest.param(scored(5, block_list=True, bus_bits=64, address_bits=42), 60, id="a-score-program"),
    pytest.param(tiny(block_list=True, bus_bits=512, address_bits=32), 60, id="lists-of-segments"),
    pytest.param(tiny(bus_bits=256, rows_e=6, head_e=18, head_f=4, rows_f=4), 60, id="three-folds"),
]


def words(raw: bytes, params: Params) -> Iterator[int]:
    """The bytes as bus words."""
    for i in range(0, len(raw), params.bus_bytes):
        yield int.from_bytes(raw[i : i + params.bus_bytes], "little")


async def start(ctx: Any, dut: DescriptorUnit) -> None:
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    assert not ctx.get(dut.done)
    await ctx.tick()
    assert not ctx.get(dut.done)


async def send(ctx: Any, dut: DescriptorUnit, values: Descriptor, params: Params, waits: Iterator[int]) -> None:
    """All words; only as many as a descriptor has are taken."""
    for word, wait in zip(words(pack(values), params), waits, strict=False):
        ctx.set(dut.words.valid, 0)
        if wait:
            await ctx.tick().repeat(wait)
        ctx.set(dut.words.payload, word)
        ctx.set(dut.words.valid, 1)
        assert ctx.get(dut.words.ready) and not ctx.get(dut.done)
        await ctx.tick()
    assert not ctx.get(dut.words.ready)


async def verdict(ctx: Any, dut: DescriptorUnit) -> int:
    """Cycles from the last word to `done`, which is a pulse."""
    cycles = 1
    while not ctx.get(dut.done):
        await ctx.tick()
        cycles += 1
        assert cycles < 400
    return cycles


def see_fields(ctx: Any, dut: DescriptorUnit, values: Descriptor, params: Params) -> None:
    """What is kept and worked out."""
    d, derived = dut.descriptor, dut.derived
    for name in ("causal", "write_lse", "key_lengths", "batches", "query_heads", "kv_heads", "queries", "keys"):
        assert ctx.get(d[name]) == getattr(values, name)
    for name in ("head_e", "head_f", "scale_mantissa", "scale_exponent", "offset"):
        assert ctx.get(d[name]) == getattr(values, name)
    mask = (1 << params.config.address_bits) - 1
    assert ctx.get(d.key_lengths_address) == values.key_lengths_address & mask
    if has_record(params):
        assert ctx.get(d.score_address) == values.score_address & mask
    if params.config.block_list:
        assert ctx.get(d.listed) == values.listed
    for tensor in tensors(values, params):
        kept = ctx.get(d[tensor.name])
        strides = (kept.batch_stride, kept.head_stride, kept.row_stride)
        assert (kept.address, *strides) == (tensor.address, *(s & mask for s in tensor.strides))
    group = values.query_heads // values.kv_heads
    of = {tensor.name: tensor for tensor in tensors(values, params)}
    packed = {name: t.counts[2] == 1 or t.strides[2] == t.row_bytes for name, t in of.items()}
    assert ctx.get(derived.group) == group
    assert ctx.get(derived.queries) == group * values.queries
    assert ctx.get(derived.edge) == -group * values.offset
    sizes = (ctx.get(derived.row_bytes_e), ctx.get(derived.row_bytes_f), ctx.get(derived.row_bytes_o))
    assert sizes == (of["q"].row_bytes, of["v"].row_bytes, of["o"].row_bytes)
    for name in packed.keys() & {"q", "o", "lse"}:
        assert ctx.get(derived[f"packed_{name}"]) == (packed[name] and group == 1)
    assert (ctx.get(derived.packed_k), ctx.get(derived.packed_v)) == (packed["k"], packed["v"])
    for name, value in geometry(params, values.head_e, values.head_f).items():
        assert ctx.get(dut.geometry[name]) == value


@pytest.mark.parametrize("idle", [None, 1], ids=["flowing", "idle"])
@pytest.mark.parametrize(("params", "count"), SHAPES)
def test_random_descriptors(params: Params, count: int, idle: int | None) -> None:
    dut, random = DescriptorUnit(params), RandomDescriptors(count, params)
    waits, found = gaps(idle), set()

    async def drive(ctx: Any) -> None:
        for i in range(count // (1 if idle is None else 4)):
            values = random.good() if i % 3 == 0 else random.spoil(random.good())
            want = check(values, params)
            await start(ctx, dut)
            await send(ctx, dut, values, params, waits)
            assert await verdict(ctx, dut) <= 198 + 10
            assert (ctx.get(dut.code), ctx.get(dut.offset)) == (want or (Fault.NONE, 0)), values
            if want is None:
                see_fields(ctx, dut, values, params)
            await ctx.tick()
            assert not ctx.get(dut.done)
            found.add(want.fault if want else Fault.NONE)

    run(dut, drive, limit=30_000)
    assert len(found) >= (6 if idle is None else 3)


LARGEST = {"batches": 65535, "query_heads": 65535, "kv_heads": 65535, "queries": 1 << 20}

CYCLES: list[tuple[dict[str, Any], int]] = [
    ({"queries": 1024, "keys": 1024}, 49),
    ({"queries": 1, "keys": 1}, 29),
    ({"batches": 2, "query_heads": 32, "kv_heads": 8, "queries": 4096, "keys": 4096}, 95),
    (LARGEST, 145),
    (LARGEST | {"keys": 1 << 20, "write_lse": 1}, 198),
    ({"query_heads": 4096, "queries": 2}, 53),
    # Findings are passed one a cycle: 42 of single fields, 9 of several.
    ({"magic": 0}, 7),
    ({"tail": (0,) * 5 + (1,)}, 49),
    ({"queries": 1024, "kv_heads": 2}, 51),
    ({"queries": 1024, "key_lengths": 1, "key_lengths_address": (1 << 64) - 4, "batches": 2}, 68),
]


def test_latency() -> None:
    params = tiny(bus_bits=512)
    dut = DescriptorUnit(params)
    seen = []

    async def drive(ctx: Any) -> None:
        for changes, _ in CYCLES:
            await start(ctx, dut)
            await send(ctx, dut, plain(params, **changes), params, gaps(None))
            seen.append(await verdict(ctx, dut))

    run(dut, drive)
    assert seen == [cycles for _, cycles in CYCLES]


def test_a_start_forgets_what_was_there() -> None:
    """A start after any number of words, or at any point of the checks; no `done` is left over from before."""
    params = tiny(bus_bits=512)
    dut, random = DescriptorUnit(params), RandomDescriptors(9, params)
    rng, dones = np.random.default_rng(9), []

    async def drive(ctx: Any) -> None:
        for _ in range(60):
            ctx.set(dut.words.valid, 0)
            await start(ctx, dut)
            values = random.good()
            # The last of these words may be taken in the cycle of the next start.
            for word in list(words(pack(values), params))[: rng.choice([1, 4, 4])]:
                await ctx.tick()
                ctx.set(dut.words.payload, word)
                ctx.set(dut.words.valid, 1)
            for _ in range(rng.choice([0, rng.integers(30)])):
                await ctx.tick()
                ctx.set(dut.words.valid, 0)
            values = random.good()
            await start(ctx, dut)
            ctx.set(dut.words.valid, 0)
            for _ in range(rng.choice([0, 250])):
                await ctx.tick()
                assert not ctx.get(dut.done)
            await send(ctx, dut, values, params, gaps(None))
            await verdict(ctx, dut)
            dones.append(ctx.get(dut.code))
            see_fields(ctx, dut, values, params)

    run(dut, drive)
    assert dones == [Fault.NONE] * 60


def test_no_word_is_taken_without_a_start() -> None:
    params = tiny()
    dut = DescriptorUnit(params)

    async def drive(ctx: Any) -> None:
        ctx.set(dut.words.valid, 1)
        for _ in range(DESCRIPTOR_BYTES // params.bus_bytes + 3):
            assert not ctx.get(dut.words.ready)
            await ctx.tick()

    run(dut, drive)
