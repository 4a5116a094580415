"""The job walker against nested loops."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from hwgen.control.descriptor import STRIDES, TENSORS, Descriptor
from hwgen.control.faults import Fault
from hwgen.control.job import job_layout
from hwgen.control.job_walker import JobWalker, heads_layout
from hwgen.control.tensor_check import field_number
from hwgen.params import Params
from hwgen.tests.bench import STALLS, Testbench, receiver, run, tiny
from hwgen.tests.byte_memory import ByteMemory, words_of
from hwgen.tests.descriptors import plain
from hwgen.tests.scores import scored

SHAPES = [
    pytest.param(tiny(bus_bits=32, address_bits=32), id="32-bit-words"),
    pytest.param(tiny(), id="128-bit-words"),
    pytest.param(tiny(bus_bits=512, address_bits=41, burst_beats=8), id="512-bit-words"),
    pytest.param(scored(bias=True, block_list=True, address_bits=50), id="a-score-program"),
]

Jobs = list[dict[str, int]]


def random_descriptor(rng: np.random.Generator, params: Params, **changes: Any) -> Descriptor:
    """Few heads, any addresses and strides: the walker only adds."""
    top = 1 << params.config.address_bits
    kv_heads = int(rng.integers(1, 5))
    values: dict[str, Any] = {
        "batches": int(rng.integers(1, 5)),
        "kv_heads": kv_heads,
        "query_heads": kv_heads * int(rng.choice([1, 1, 2, 5])),
        "queries": int(rng.integers(1, (1 << 20) + 1)),
        "keys": int(rng.integers(1, (1 << 20) + 1)),
        "causal": int(rng.integers(2)),
        "key_lengths": int(rng.integers(2)),
        "key_lengths_address": 4 * int(rng.integers(1 << 20)),
        "offset": int(rng.integers(-(1 << 20), 1 << 20)),
        "scale_mantissa": int(rng.integers(-(1 << 20) + 1, 1 << 20)),
        "scale_exponent": int(rng.integers(-128, 128)),
    }
    for name in TENSORS:
        values[f"{name}_address"], *strides = (int(x) for x in rng.integers(0, top, 4, dtype=np.uint64))
        values[f"{name}_strides"] = tuple(strides)
    if params.config.block_list:
        values["listed"] = int(rng.integers(2))
    return dataclasses.replace(plain(params), **values | changes)


def bias_of(d: Descriptor, params: Params) -> dict[str, int]:
    """The bias that goes with a descriptor: anything that follows from it."""
    unit = d.q_address // 3, d.k_strides[0] // 5, d.v_strides[1] // 7
    names = ("address", "batch_stride", "head_stride")
    return {name: value % (1 << params.config.address_bits) for name, value in zip(names, unit, strict=True)}


def expected(d: Descriptor, lengths: list[int], params: Params) -> tuple[Jobs, Jobs]:
    """Jobs, and where their tensors begin."""
    jobs, heads = [], []
    group = d.query_heads // d.kv_heads
    for b in range(d.batches):
        keys = lengths[b] if d.key_lengths else d.keys
        for h in range(d.kv_heads):
            same = {"queries": d.queries * group, "keys": keys}
            jobs.append(same | {"group": group, "edge": -d.offset * group})
            jobs[-1] |= {name: getattr(d, name) for name in ("causal", "offset", "scale_mantissa", "scale_exponent")}
            if params.score is not None:
                jobs[-1] |= {"batch": b, "head": h * group}
            if params.config.block_list:
                jobs[-1] |= {"listed": d.listed}
            heads.append(dict(same))
            if params.has_bias:
                bias = bias_of(d, params)
                place = bias["address"] + b * bias["batch_stride"] + h * bias["head_stride"]
                heads[-1]["bias"] = place & ((1 << params.config.address_bits) - 1)
            for name in TENSORS:
                batch, head, _ = getattr(d, f"{name}_strides")
                first = h if name in ("k", "v") else h * group
                address = getattr(d, f"{name}_address") + b * batch + first * head
                heads[-1][name] = address & ((1 << params.config.address_bits) - 1)
    return jobs, heads


def random_lengths(rng: np.random.Generator, d: Descriptor) -> list[int]:
    return [int(rng.choice([0, d.keys, rng.integers(d.keys + 1)])) for _ in range(d.batches)]


def fields(layout: data.StructLayout, code: int) -> dict[str, int]:
    return {name: layout.from_bits(code)[name] for name in layout.members}


async def store(ctx: Any, dut: JobWalker) -> None:
    """The descriptor's words, each a cycle behind the question for it."""
    mask = (1 << len(dut.field.value)) - 1
    async for _, _, number, descriptor in ctx.tick().sample(dut.number, dut.descriptor):
        value = 0x123456789
        for name in TENSORS:
            strides = [descriptor[name][f"{dimension}_stride"] for dimension in STRIDES]
            for i, word in enumerate([*strides, descriptor[name].address]):
                value = word if field_number(name, i) == number else value
        ctx.set(dut.field.value, value & mask)


def play(dut: JobWalker, *testbenches: Testbench) -> None:
    """With the store beside them."""

    async def beside(ctx: Any) -> None:
        await store(ctx, dut)

    run(dut, *testbenches, beside=beside)


async def begin(ctx: Any, dut: JobWalker, d: Descriptor, params: Params) -> None:
    """Set what the descriptor unit and the score record give, and start."""
    names = [name for name in dut.descriptor.shape().members if name not in TENSORS]
    if params.has_bias:
        ctx.set(dut.bias, bias_of(d, params))
    values = {name: getattr(d, name) for name in names}
    for name in TENSORS:
        strides = zip(("batch_stride", "head_stride", "row_stride"), getattr(d, f"{name}_strides"), strict=True)
        values[name] = {"address": getattr(d, f"{name}_address"), **dict(strides)}
    group = d.query_heads // d.kv_heads
    ctx.set(dut.descriptor, values)
    ctx.set(dut.derived, {"group": group, "queries": group * d.queries, "edge": -group * d.offset})
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


class Machine:
    """A walker whose jobs and heads are taken at different times."""

    def __init__(self, work: list[tuple[Descriptor, list[int]]], params: Params, latency: int = 20) -> None:
        self.dut, self.work, self.params = JobWalker(params), work, params
        self.memory = ByteMemory(5, params, latency)
        self.jobs: list[int] = []
        self.heads: list[int] = []
        self.faults: list[tuple[int, int]] = []
        self.want = [expected(d, lengths, params) for d, lengths in work]
        for d, lengths in work:
            self.memory.put(d.key_lengths_address, words_of(lengths))

    async def drive(self, ctx: Any) -> None:
        dut = self.dut
        assert not ctx.get(dut.finished)
        for d, _ in self.work:
            await begin(ctx, dut, d, self.params)
            await ctx.tick().until(dut.finished)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.finished)
        self.memory.stop()

    async def watch(self, ctx: Any) -> None:
        while not self.memory.stopped:
            _, _, fault = await ctx.tick().sample(self.dut.fault)
            if fault.valid:
                self.faults.append((fault.code, fault.address))

    def run(self, idle: int | None, pressure: int | None) -> None:
        dut, count = self.dut, sum(len(jobs) for jobs, _ in self.want)
        late = None if pressure is None else pressure + 7
        play(
            dut,
            self.drive,
            self.watch,
            self.memory.serve(dut.lengths_request, dut.lengths_words, idle, pressure),
            receiver(dut.job, count, self.jobs, pressure),
            receiver(dut.heads, count, self.heads, late),
        )
        assert [fields(job_layout(self.params), code) for code in self.jobs] == [j for w in self.want for j in w[0]]
        assert [fields(heads_layout(self.params), code) for code in self.heads] == [h for w in self.want for h in w[1]]
        assert not self.faults


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_jobs_in_order(params: Params, idle: int | None, pressure: int | None) -> None:
    rng = np.random.default_rng(6)
    descriptors = [random_descriptor(rng, params) for _ in range(8)]
    descriptors += [random_descriptor(rng, params, batches=12, kv_heads=1, query_heads=3, key_lengths=1)]
    assert {d.key_lengths for d in descriptors} == {0, 1}
    Machine([(d, random_lengths(rng, d)) for d in descriptors], params).run(idle, pressure)


def offers(machine: Machine) -> list[int]:
    """Cycles after the start in which a job is offered, all being taken at once, and that in which it is finished."""
    dut, seen = machine.dut, []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.job.ready, 1)
        ctx.set(dut.heads.ready, 1)
        await begin(ctx, dut, machine.work[0][0], machine.params)
        cycle = 1
        while not ctx.get(dut.finished):
            assert ctx.get(dut.job.valid) == ctx.get(dut.heads.valid)
            if ctx.get(dut.job.valid):
                seen.append(cycle)
            await ctx.tick()
            cycle += 1
        seen.append(cycle)
        machine.memory.stop()

    play(dut, drive, machine.memory.serve(dut.lengths_request, dut.lengths_words, None, None))
    return seen


@pytest.mark.parametrize("group", [1, 2, 7])
def test_cycles_between_jobs(group: int) -> None:
    params = tiny()
    rng = np.random.default_rng(7)
    shape = {"batches": 2, "kv_heads": 3, "query_heads": 3 * group, "key_lengths": 0}
    d = random_descriptor(rng, params, **shape)
    batch = len(TENSORS) + 4
    step = batch + 3 * (group - 1)
    first = [batch - 1 + i * step for i in range(3)]
    second = [start + 2 * step + batch for start in first]
    assert offers(Machine([(d, [])], params)) == [*first, *second, second[-1] + 2]


def test_lengths_hide_the_memory_latency() -> None:
    """With 100 cycles of latency eight batches take little more than one."""
    params = tiny()
    d = random_descriptor(np.random.default_rng(8), params, batches=24, kv_heads=1, query_heads=1, key_lengths=1)
    seen = offers(Machine([(d, [d.keys] * 24)], params, latency=100))
    assert len(seen) == 25
    # Eight lengths arrive together; each is followed by the request for the one eight batches on.
    one = len(TENSORS) + 7
    assert np.diff(seen).tolist() == [*[one] * 7, 101 - 7 * one] * 2 + [*[one] * 7, 2]


@pytest.mark.parametrize("batch", [0, 2])
def test_a_length_larger_than_the_keys_stops_the_walker(batch: int) -> None:
    params = tiny()
    rng = np.random.default_rng(9)
    d = random_descriptor(rng, params, batches=4, kv_heads=2, query_heads=2, key_lengths=1)
    lengths = [d.keys, 0, d.keys, 5]
    for wrong in (d.keys + 1, 1 << 31):
        lengths[batch] = wrong
        machine = Machine([(d, lengths)], params, latency=5)
        dut, taken = machine.dut, 0

        async def drive(ctx: Any, machine: Machine = machine, dut: JobWalker = dut) -> None:
            nonlocal taken
            ctx.set(dut.job.ready, 1)
            ctx.set(dut.heads.ready, 1)
            await begin(ctx, dut, d, params)
            for _ in range(100):
                taken += ctx.get(dut.job.valid)
                await ctx.tick()
                assert not ctx.get(dut.finished)
            machine.memory.stop()

        play(dut, drive, machine.watch, machine.memory.serve(dut.lengths_request, dut.lengths_words, None, None))
        assert machine.faults == [(Fault.KEY_LENGTH, d.key_lengths_address + 4 * batch)]
        assert taken == 2 * batch
