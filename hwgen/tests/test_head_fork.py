"""Where jobs begin, handed to everyone at his own pace; and the count of rows that were promised."""

from typing import Any

import numpy as np
import pytest

from hwgen.control.descriptor import TENSORS
from hwgen.control.head_fork import DEPTH, WRITTEN, HeadFork, RowsOwed
from hwgen.params import QUERY_BITS
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender, tiny
from hwgen.tests.scores import scored

PARAMS = tiny(address_bits=40)
OUTPUTS = (*TENSORS, *(f"{name}_rows" for name in WRITTEN))
WITHOUT_LSE = tuple(name for name in OUTPUTS if not name.startswith("lse"))

Heads = list[dict[str, int]]


def random_heads(seed: int, count: int) -> Heads:
    """Places of jobs, with every bit in use."""
    rng = np.random.default_rng(seed)
    heads = []
    for _ in range(count):
        one = {name: int(rng.integers(1 << 40)) for name in TENSORS}
        heads.append(one | {"queries": int(rng.integers(1 << QUERY_BITS)), "keys": int(rng.integers(1 << 20))})
    return heads


def wanted(heads: Heads, name: str) -> list[int]:
    return [one["queries" if name.endswith("_rows") else name] for one in heads]


def set_lse(dut: HeadFork, write_lse: int) -> Any:
    async def hold(ctx: Any) -> None:
        ctx.set(dut.write_lse, write_lse)

    return hold


@STALLS
@pytest.mark.parametrize("write_lse", [0, 1])
def test_everyone_gets_his_part(write_lse: int, idle: int | None, pressure: int | None) -> None:
    heads = random_heads(3, 30)
    dut, seen = HeadFork(PARAMS), {name: list[int]() for name in OUTPUTS}
    names = OUTPUTS if write_lse else WITHOUT_LSE
    takers = [
        receiver(getattr(dut, name), len(heads), seen[name], pressure and pressure + i) for i, name in enumerate(names)
    ]
    run(dut, set_lse(dut, write_lse), sender(dut.heads, heads, idle), *takers)
    assert seen == {name: wanted(heads, name) if name in names else [] for name in OUTPUTS}


@pytest.mark.parametrize("slow", OUTPUTS)
def test_each_output_is_waited_for(slow: str) -> None:
    """The others get all that fits the slow one's queue, and nothing is lost when that moves on."""
    heads = random_heads(4, 9)
    dut, seen = HeadFork(PARAMS), {name: list[int]() for name in OUTPUTS}
    late = receiver(getattr(dut, slow), len(heads), seen[slow])

    async def wait(ctx: Any) -> None:
        await ctx.tick().repeat(40)
        # One waits in the queue's output besides those that it holds.
        assert {len(got) for name, got in seen.items() if name != slow} == {DEPTH}
        await late(ctx)

    others = [receiver(getattr(dut, name), len(heads), seen[name]) for name in OUTPUTS if name != slow]
    run(dut, set_lse(dut, 1), sender(dut.heads, heads), *others, wait)
    assert seen == {name: wanted(heads, name) for name in OUTPUTS}


def test_no_lse_is_offered_unless_it_is_written() -> None:
    dut = HeadFork(PARAMS)
    cycles: list[dict[str, Any]] = [{"heads.valid": 1, "heads.payload": random_heads(1, 1)[0]}]
    seen = clocked(dut, cycles, ["lse.valid", "lse_rows.valid", "q.valid", "heads.ready"], 12)
    assert not any(lse or rows for lse, rows, _, _ in seen)
    assert seen[-1] == (0, 0, 1, 0)


def test_the_bias_is_one_more() -> None:
    params = scored(bias=True)
    rng = np.random.default_rng(5)
    heads = [{name: int(rng.integers(1 << 40)) for name in (*TENSORS, "bias")} for _ in range(9)]
    dut, seen = HeadFork(params), {name: list[int]() for name in (*TENSORS, "bias")}
    takers = [receiver(getattr(dut, name), len(heads), seen[name]) for name in seen]
    rows = [receiver(getattr(dut, f"{name}_rows"), len(heads), []) for name in WRITTEN]
    run(dut, set_lse(dut, 1), sender(dut.heads, heads), *takers, *rows)
    assert seen == {name: [one[name] for one in heads] for name in seen}


def test_rows_owed() -> None:
    rng = np.random.default_rng(6)
    dut, owed, cycles, expected = RowsOwed(), [0, 0, 0, 0], [], []
    for _ in range(400):
        add, rows = int(rng.random() < 0.1), int(rng.integers(1, 6))
        pay = int(rng.integers(0, owed[-1] + 1)) if rng.random() < 0.6 else 0
        # What was added counts at once, what was paid three cycles later.
        expected.append((int(owed[-4] == 0 and not any(cycle["add"] for cycle in cycles[-3:])),))
        cycles.append({"add": add, "rows": rows, "pay": pay})
        owed.append(owed[-1] + add * rows - pay)
    assert clocked(dut, cycles, ["none"]) == expected
    assert 50 < sum(none for (none,) in expected) < 350


def test_most_rows_that_can_be_owed() -> None:
    """All queues full of the largest jobs, one in work on either side of them: the count does not wrap to none."""
    cycles = [{"add": 1, "rows": 1 << (QUERY_BITS - 1), "pay": 0}] * (DEPTH + 2)
    assert clocked(RowsOwed(), cycles, ["none"], 1) == [(1,), *[(0,)] * (DEPTH + 2)]
