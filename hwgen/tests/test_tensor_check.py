"""The tensor check against whole numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hwgen.control.descriptor import LSE_BYTES, TENSORS
from hwgen.control.tensor_check import ADDRESS, APART, FIELDS, TensorCheck, field_number
from hwgen.tests.bench import run, tiny

LIMITS = (65535, 65535, 1 << 20)


@dataclass
class Case:
    """Address, strides of batch, head and row, counts and row bytes of each tensor; which fields are beyond."""

    addresses: dict[str, int]
    strides: dict[str, list[int]]
    counts: dict[str, tuple[int, int, int]]
    row_bytes: dict[str, int]
    write_lse: bool
    beyond: frozenset[tuple[str, int]] = frozenset()

    @property
    def names(self) -> list[str]:
        return [name for name in TENSORS if name != "lse" or self.write_lse]

    def extent(self, name: str) -> int:
        steps = zip(self.strides[name], self.counts[name], strict=True)
        return self.row_bytes[name] + sum(stride * (count - 1) for stride, count in steps)

    def used(self, name: str) -> list[int]:
        return [i for i in range(ADDRESS) if self.counts[name][i] > 1]

    def overflow(self, name: str, bits: int) -> bool:
        far = any((name, i) in self.beyond for i in [*self.used(name), ADDRESS])
        return far or self.addresses[name] + self.extent(name) > 1 << bits

    def overlap(self, name: str) -> bool:
        reach, found = self.row_bytes[name], False
        for stride, count in sorted((self.strides[name][i], self.counts[name][i]) for i in self.used(name)):
            found |= stride < reach
            reach += stride * (count - 1)
        return found

    @property
    def cycles(self) -> int:
        total = 1
        for name in self.names:
            used = self.used(name)
            total += 2 + len(used) * (len(used) + 3) // 2 if used else 4
            total += sum(-(-(self.counts[name][i] - 1).bit_length() // 2) for i in used)
        return total


def random_counts(rng: np.random.Generator) -> dict[str, tuple[int, int, int]]:
    def pick(limit: int) -> int:
        return 1 if rng.random() < 0.3 else int(rng.integers(1, (limit >> rng.integers(0, 16)) + 1))

    batches, query_heads, kv_heads, queries, keys = (pick(LIMITS[i]) for i in (0, 1, 1, 2, 2))
    of_queries, of_keys = (batches, query_heads, queries), (batches, kv_heads, keys)
    return {name: of_keys if name in ("k", "v") else of_queries for name in TENSORS}


def random_case(rng: np.random.Generator, bits: int) -> Case:
    """Nested dimensions in any order, ending somewhere near the space's end."""
    e, f, o = (int(rng.integers(1, 2049)) for _ in range(3))
    sizes = {"q": e, "k": e, "v": f, "o": o, "lse": LSE_BYTES}
    case = Case({}, {}, random_counts(rng), sizes, bool(rng.random() < 0.7))
    for name, row_bytes in sizes.items():
        size, strides = row_bytes, [0, 0, 0]
        for dimension in rng.permutation(3):
            strides[dimension] = max(0, size + int(rng.choice([0, 0, 0, 4, -1])))
            size = strides[dimension] * case.counts[name][dimension]
        if rng.random() < 0.2:
            strides[rng.integers(3)] = int(rng.integers(1 << (bits - 1)))
        case.strides[name] = [min(stride, (1 << bits) - 1) for stride in strides]
        address = (1 << bits) - case.extent(name) + int(rng.choice([0, 1, -1, 5, -1000]))
        case.addresses[name] = min(max(0, address), (1 << bits) - 1)
    return case


def fields(case: Case) -> list[dict[str, int]]:
    """The descriptor's 64-bit words as a store gives them."""
    found = [{"value": 0x55, "beyond": 1} for _ in range(FIELDS)]
    for name in TENSORS:
        for i, value in enumerate([*case.strides[name], case.addresses[name]]):
            found[field_number(name, i)] = {"value": value, "beyond": int((name, i) in case.beyond)}
    return found


async def begin(ctx: Any, dut: TensorCheck, case: Case) -> None:
    batches, query_heads, queries = case.counts["q"]
    _, kv_heads, keys = case.counts["k"]
    values = {"batches": batches, "query_heads": query_heads, "kv_heads": kv_heads, "queries": queries, "keys": keys}
    values |= {"row_bytes_e": case.row_bytes["q"], "row_bytes_f": case.row_bytes["v"]}
    values |= {"row_bytes_o": case.row_bytes["o"], "write_lse": int(case.write_lse), "start": 1}
    for name, value in values.items():
        ctx.set(getattr(dut, name), value)
    await ctx.tick()
    ctx.set(dut.start, 0)


async def ask(ctx: Any, dut: TensorCheck, case: Case) -> int:
    """Start a check; gives the cycles it was busy."""
    words = fields(case)
    await begin(ctx, dut, case)
    busy = 0
    while ctx.get(dut.busy):
        number = ctx.get(dut.number)
        await ctx.tick()
        ctx.set(dut.field, words[number])
        busy += 1
    return busy


def see(ctx: Any, dut: TensorCheck, case: Case, bits: int) -> set[tuple[str, bool, bool]]:
    outcomes = set()
    for i, name in enumerate(TENSORS):
        overflow = name in case.names and case.overflow(name, bits)
        assert ctx.get(dut.overflow) >> i & 1 == overflow, (name, case)
        # What is beyond the address space may overlap or not.
        if name in APART and not overflow:
            overlap = name in case.names and case.overlap(name)
            assert ctx.get(dut.overlap) >> APART.index(name) & 1 == overlap, (name, case)
            outcomes.add((name, overflow, overlap))
        outcomes.add((name, overflow, False))
    return outcomes


@pytest.mark.parametrize("bits", [32, 41, 64])
def test_random_tensors(bits: int) -> None:
    rng = np.random.default_rng(bits)
    dut = TensorCheck(tiny(address_bits=bits))
    outcomes = set()

    async def drive(ctx: Any) -> None:
        for _ in range(60):
            case = random_case(rng, bits)
            assert await ask(ctx, dut, case) == case.cycles
            outcomes.update(see(ctx, dut, case, bits))

    run(dut, drive, limit=30_000)
    assert len(outcomes) == 2 * len(TENSORS) + len(APART)


def small(counts: tuple[int, int, int], beyond: frozenset[tuple[str, int]] = frozenset()) -> Case:
    """All tensors alike, each row apart from the others."""
    strides = {name: [400, 200, 100] for name in TENSORS}
    sizes = {name: LSE_BYTES if name == "lse" else 16 for name in TENSORS}
    return Case(dict.fromkeys(TENSORS, 64), strides, dict.fromkeys(TENSORS, counts), sizes, True, beyond)


def test_bits_above_the_address_count_if_they_are_used() -> None:
    dut = TensorCheck(tiny(address_bits=32))

    async def drive(ctx: Any) -> None:
        for used in range(8):
            counts = (1 + (used & 1), 1 + (used >> 1 & 1), 1 + (used >> 2))
            for beyond in [{(name, i)} for name in TENSORS for i in range(ADDRESS + 1)]:
                case = small(counts, frozenset(beyond))
                await ask(ctx, dut, case)
                see(ctx, dut, case, 32)

    run(dut, drive)


def test_a_start_ends_the_check_before() -> None:
    dut = TensorCheck(tiny())
    rng = np.random.default_rng(3)

    async def drive(ctx: Any) -> None:
        good = small((3, 2, 2))
        assert not any(good.overflow(name, 64) or good.overlap(name) for name in TENSORS)
        for wait in range(1, 60):
            ctx.set(dut.field, {"value": int(rng.integers(1 << 63)), "beyond": 1})
            await begin(ctx, dut, small((1000, 1000, 1000)))
            await ctx.tick().repeat(wait)
            assert await ask(ctx, dut, good) == good.cycles
            assert not ctx.get(dut.overflow) and not ctx.get(dut.overlap)

    run(dut, drive)
