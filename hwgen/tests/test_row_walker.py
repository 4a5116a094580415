"""The row walker against the addresses of the rows, computed from their numbers."""

from typing import Any

import numpy as np
import pytest

from hwgen.memory.axi import request_layout
from hwgen.memory.row_walker import RowWalker, run_layout
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender, tiny

WIDE = tiny()
NARROW = tiny(bus_bits=32, address_bits=40)

Fields = dict[str, int]
Job = tuple[int, list[Fields]]


def static(rng: np.random.Generator, params: Params, group: int, packed: int) -> Fields:
    """Strides anywhere below the address space, so that sums wrap around."""
    top = 1 << params.config.address_bits
    return {
        "stride": int(rng.integers(top, dtype=np.uint64)) if top < 1 << 64 else int(rng.bit_generator.random_raw()),
        "head_stride": int(rng.integers(1 << 36)),
        "group": group,
        "row_bytes": int(rng.integers(1, 1025)) * 2,
        "packed": packed,
    }


def random_jobs(seed: int, params: Params, count: int) -> list[Job]:
    """Jobs of one to four blocks of up to nine rows, some of none."""
    rng = np.random.default_rng(seed)
    jobs = []
    for _ in range(count):
        blocks = int(rng.integers(1, 5))
        rows = rng.choice([0, 1, 2, 5, 9], blocks)
        described = [
            {"rows": int(n), "rewind": int(rng.integers(2)), "last": int(i == blocks - 1)} for i, n in enumerate(rows)
        ]
        jobs.append((int(rng.integers(1 << params.config.address_bits - 1)), described))
    return jobs


def sought(seed: int, jobs: list[Job]) -> list[Job]:
    """The same rows from anywhere on; some blocks follow the one before."""
    rng = np.random.default_rng(seed)
    moved = []
    for head, blocks in jobs:
        following, made = 0, []
        for block in blocks:
            row = int(rng.choice([following, following, 0, rng.integers(100), rng.integers(1 << 32)]))
            row = min(row, (1 << 32) - 10)
            made.append({"rows": block["rows"], "row": row, "last": block["last"]})
            following = row + block["rows"] if block["rows"] else following
        moved.append((head, made))
    return moved


def requests(jobs: list[Job], s: Fields, params: Params) -> list[tuple[int, int, int, int]]:
    """What has to come out: address, bytes, offset in the bus word, rows."""

    def one(address: int, rows: int) -> tuple[int, int, int, int]:
        address %= 1 << params.config.address_bits
        return address, rows * s["row_bytes"], address % params.bus_bytes, rows

    expected = []
    for head, blocks in jobs:
        first = 0
        for block in blocks:
            first = block["row"] if "row" in block else 0 if block["rewind"] else first
            rows = range(first, first + block["rows"])
            first += block["rows"]
            if s["packed"] and rows:
                expected.append(one(head + rows[0] * s["row_bytes"], len(rows)))
            elif not s["packed"]:
                places = (divmod(i, s["group"]) for i in rows)
                expected += [one(head + p * s["stride"] + g * s["head_stride"], 1) for p, g in places]
    return expected


@STALLS
@pytest.mark.parametrize(
    ("params", "group", "packed"),
    [
        pytest.param(WIDE, 1, 0, id="single"),
        pytest.param(WIDE, 3, 0, id="grouped"),
        pytest.param(WIDE, 1, 1, id="packed"),
        pytest.param(NARROW, 4, 0, id="narrow-grouped"),
        pytest.param(NARROW, 1, 1, id="narrow-packed"),
    ],
)
@pytest.mark.parametrize("seek", [False, True], ids=["in-turn", "sought"])
def test_every_row_is_asked_for(
    params: Params, group: int, packed: int, seek: bool, idle: int | None, pressure: int | None
) -> None:
    group = 1 if seek else group
    jobs = random_jobs(group + 10 * packed, params, 12)
    jobs = sought(group, jobs) if seek else jobs
    s = static(np.random.default_rng(5), params, group, packed)
    expected = requests(jobs, s, params)
    assert len(expected) > 15
    dut, asked, runs = RowWalker(params, seek), [], []

    async def hold(ctx: Any) -> None:
        for name, value in s.items():
            ctx.set(getattr(dut, name), value)

    run(
        dut,
        hold,
        sender(dut.head, [head for head, _ in jobs], pressure),
        sender(dut.block, [block for _, blocks in jobs for block in blocks], idle),
        receiver(dut.request, len(expected), asked, pressure),
        receiver(dut.run, len(expected), runs, idle),
    )
    asked = [request_layout(params).from_bits(bits) for bits in asked]
    runs = [run_layout(params).from_bits(bits) for bits in runs]
    seen = [(r.address, r.bytes, run.offset, run.rows) for r, run in zip(asked, runs, strict=True)]
    assert seen == expected


def test_largest_run() -> None:
    """2^20 packed rows of 2 KiB less two bytes: no count overflows."""
    blocks = [{"rows": 1 << 20, "rewind": 0, "last": 0}, {"rows": 1, "rewind": 0, "last": 1}]
    s = {"stride": 0, "head_stride": 0, "group": 1, "row_bytes": 2046, "packed": 1}
    expected = requests([(6, blocks)], s, WIDE)
    cycles: list[dict[str, Any]] = [
        {**s, "head.payload": 6, "head.valid": 1, "request.ready": 1, "run.ready": 1},
        {"head.valid": 0, "block.payload": blocks[0], "block.valid": 1},
        {"block.payload": blocks[1]},
    ]
    names = ["request.valid", "request.payload.address", "request.payload.bytes", "run.payload.rows"]
    seen = [cycle[1:] for cycle in clocked(RowWalker(WIDE), cycles, names, 40) if cycle[0]]
    assert seen == [(address, size, rows) for address, size, _, rows in expected]


def offers(s: Fields, rows: int, rest: int) -> list[int]:
    """Cycles of requests and the cycle in which the second of two jobs begins, all streams being always ready.

    The first job's head is taken in cycle 0 and its block in cycle 1.
    """
    block = {"rows": rows, "rewind": 0, "last": 1}
    always = {"head.valid": 1, "block.payload": block, "block.valid": 1, "request.ready": 1, "run.ready": 1}
    names = ["head.ready", "request.valid", "run.valid"]
    seen = clocked(RowWalker(WIDE), [{**s, **always}], names, rest)
    assert [cycle[1] for cycle in seen] == [cycle[2] for cycle in seen]
    second = [t for t, cycle in enumerate(seen) if cycle[0]][1]
    return [*(t for t, cycle in enumerate(seen[:second]) if cycle[1]), second]


def test_latency_and_throughput() -> None:
    s = {"stride": 64, "head_stride": 0, "group": 1, "row_bytes": 64, "packed": 0}
    assert offers(s, 5, 20) == [4, 6, 8, 10, 12, 14]
    # Seven cycles more to multiply by 64.
    assert offers({**s, "packed": 1}, 5, 20) == [11, 13]
    assert offers(s, 0, 20) == [4]


def test_seeking_takes_a_cycle_a_digit_unless_the_rows_follow() -> None:
    s = {"stride": 64, "head_stride": 0, "group": 1, "row_bytes": 64, "packed": 0, "head.valid": 1}
    ready = {"request.ready": 1, "run.ready": 1, "block.valid": 1}
    for row, digits in ((0, 1), (1, 1), (5, 3), (1 << 20, 21)):
        blocks = [{"rows": 1, "row": start, "last": 0} for start in (row, row + 1, row)]
        cycles = [s | ready | {"block.payload": blocks[0]}, {}, {"block.payload": blocks[1]}]
        # The first block is taken in cycle 1, the second one when the first one's row has been asked for.
        cycles += [{}] * (5 + digits) + [{"block.payload": blocks[2]}]
        seen = clocked(RowWalker(WIDE, True), cycles, ["block.ready", "request.valid"], 60)
        taken = [t for t, (now, _) in enumerate(seen) if now][:3]
        offers = [t for t, (_, valid) in enumerate(seen) if valid][:3]
        sought = 0 if row == 0 else digits
        assert [later - t for t, later in zip(taken, offers, strict=True)] == [3 + sought, 3, 3 + digits]
