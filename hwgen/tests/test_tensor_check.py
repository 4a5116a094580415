"""The tensor check against whole numbers."""

from typing import Any

import numpy as np
import pytest

from hwgen.control.tensor_check import TensorCheck
from hwgen.tests.bench import run, tiny

NAMES = ("batches", "heads", "rows")
LIMITS = (65535, 65535, 1 << 20)


def expected(tensor: list[int], counts: tuple[int, ...], row_bytes: int, bits: int) -> tuple[bool, bool, int]:
    """Whether it ends beyond the address space, whether rows overlap, and the cycles that the check takes."""
    address, *strides = tensor
    used = sorted((stride, count) for stride, count in zip(strides, counts, strict=True) if count > 1)
    extent, overlap = row_bytes, False
    for stride, count in used:
        overlap |= stride < extent
        extent += stride * (count - 1)
    cycles = 1 + sum(1 + (count - 1).bit_length() for _, count in used)
    return address + extent > 1 << bits, overlap, cycles


def random_case(rng: np.random.Generator, bits: int) -> tuple[list[int], tuple[int, ...], int]:
    """Address and strides, counts, row bytes: nested dimensions in any order, ending somewhere near the space's end."""
    counts = [1 if rng.random() < 0.3 else int(rng.integers(1, (limit >> rng.integers(0, 16)) + 1)) for limit in LIMITS]
    size = row_bytes = int(rng.integers(1, 2049))
    strides = [0, 0, 0]
    for dimension in rng.permutation(3):
        strides[dimension] = max(0, size + int(rng.choice([0, 0, 0, 4, -1])))
        size = strides[dimension] * counts[dimension]
    if rng.random() < 0.2:
        strides[rng.integers(3)] = int(rng.integers(1 << (bits - 1)))
    strides = [min(stride, (1 << bits) - 1) for stride in strides]
    extent = row_bytes + sum(stride * (count - 1) for stride, count in zip(strides, counts, strict=True))
    address = (1 << bits) - extent + int(rng.choice([0, 1, -1, 5, -1000]))
    return [min(max(0, address), (1 << bits) - 1), *strides], tuple(counts), row_bytes


async def ask(ctx: Any, dut: TensorCheck, tensor: list[int], counts: tuple[int, ...], row_bytes: int) -> int:
    """Start a check; gives the cycles it was busy."""
    names = ("address", "batch_stride", "head_stride", "row_stride")
    ctx.set(dut.tensor, dict(zip(names, tensor, strict=True)))
    for name, count in zip(NAMES, counts, strict=True):
        ctx.set(getattr(dut, name), count)
    ctx.set(dut.row_bytes, row_bytes)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    busy = 0
    while ctx.get(dut.busy):
        await ctx.tick()
        busy += 1
    return busy


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "shared"])
@pytest.mark.parametrize("bits", [32, 41, 64])
def test_random_tensors(bits: int, apart: bool) -> None:
    rng = np.random.default_rng(bits)
    dut = TensorCheck(tiny(address_bits=bits), apart)
    outcomes = set()

    async def drive(ctx: Any) -> None:
        for _ in range(150):
            tensor, counts, row_bytes = random_case(rng, bits)
            overflow, overlap, cycles = expected(tensor, counts, row_bytes, bits)
            assert await ask(ctx, dut, tensor, counts, row_bytes) == cycles
            assert ctx.get(dut.overflow) == overflow
            # What is beyond the address space may overlap or not.
            if not overflow:
                assert ctx.get(dut.overlap) == (overlap and apart)
            outcomes.add((overflow, overlap))

    run(dut, drive)
    assert len(outcomes) == 4


def test_bits_above_the_address_count_if_they_are_used() -> None:
    dut = TensorCheck(tiny(address_bits=32), True)
    seen = {}

    async def drive(ctx: Any) -> None:
        for beyond in range(16):
            for used in range(8):
                counts = tuple(1 + (used >> i & 1) for i in range(3))
                ctx.set(dut.beyond, beyond)
                await ask(ctx, dut, [64, 400, 200, 100], counts, 16)
                seen[beyond, used] = ctx.get(dut.overflow)

    run(dut, drive)
    assert seen == {(b, u): int(bool(b & (1 | u << 1))) for b in range(16) for u in range(8)}


def test_a_start_ends_the_check_before() -> None:
    dut = TensorCheck(tiny(), True)

    async def drive(ctx: Any) -> None:
        for wait in range(1, 30):
            ctx.set(dut.tensor, {"address": 0, "batch_stride": 1 << 62, "head_stride": 8, "row_stride": 8})
            for name in NAMES:
                ctx.set(getattr(dut, name), 1000)
            ctx.set(dut.row_bytes, 16)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(wait)
            assert await ask(ctx, dut, [0, 5 << 20, 1 << 12, 64], (3, 7, 9), 64) == 1 + 3 + 4 + 5
            assert not ctx.get(dut.overflow) and not ctx.get(dut.overlap)

    run(dut, drive)
