"""Long division and its two products against whole numbers."""

from typing import Any

import numpy as np

from hwgen.control.head_group import HeadGroup
from hwgen.tests.bench import run, tiny


def random_case(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Query heads, key/value heads, queries, offset."""
    kv_heads = int(rng.integers(1, 65536 >> rng.integers(0, 16)))
    group = int(rng.integers(1, 65535 // kv_heads + 1))
    heads = min(65535, kv_heads * group + int(rng.choice([0, 0, 0, 1, kv_heads - 1])))
    queries = int(rng.integers(1, (1 << 20 >> rng.integers(0, 20)) + 1))
    return heads, kv_heads, queries, int(rng.integers(-(1 << 20), (1 << 20) + 1))


LIMITS = [
    (1, 1, 1, 0),
    (1, 65535, 1, 1),
    (65535, 1, 1 << 20, -(1 << 20)),
    (4096, 1, 1 << 16, 1 << 20),
    (4096, 1, (1 << 16) + 1, -(1 << 20)),
    (4097, 1, 1, 0),
]


def test_groups() -> None:
    rng = np.random.default_rng(1)
    dut = HeadGroup(tiny())
    outcomes = set()

    async def drive(ctx: Any) -> None:
        for heads, kv_heads, queries, offset in [*LIMITS, *(random_case(rng) for _ in range(200))]:
            ctx.set(dut.query_heads, heads)
            ctx.set(dut.kv_heads, kv_heads)
            ctx.set(dut.queries, queries)
            ctx.set(dut.offset, offset)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            busy = 0
            while ctx.get(dut.busy):
                await ctx.tick()
                busy += 1
            group, rest = divmod(heads, kv_heads)
            assert busy == 3 * max(1, group.bit_length()) + 2
            assert ctx.get(dut.uneven) == (rest != 0 or group > 4096)
            assert ctx.get(dut.crowded) == (group * queries > 1 << 28)
            if not ctx.get(dut.uneven) and not ctx.get(dut.crowded):
                assert ctx.get(dut.group) == group
                assert ctx.get(dut.job_queries) == group * queries
                assert ctx.get(dut.edge) == -group * offset
            outcomes.add((ctx.get(dut.uneven), ctx.get(dut.crowded)))

    run(dut, drive)
    assert len(outcomes) == 4
