"""The query loader against dictionaries that play the operand memories and the lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.query_loader import QueryLoader
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, run, sender, tiny
from hwgen.tests.jobs import Fields, all_blocks, job
from hwgen.tests.query_loading import Machine
from hwgen.tests.rows import beats, random_rows

SHAPES = [
    pytest.param(tiny(), id="two-folds-two-groups"),
    pytest.param(tiny(slots=3, cols=3, lanes=1, head_e=12), id="three-columns-a-lane"),
    pytest.param(tiny(slots=1, cols=4, rows_e=2, rows_f=2, head_e=2, head_f=2), id="one-beat-a-row"),
]


def random_jobs(seed: int, params: Params, count: int) -> list[Fields]:
    """Jobs of one to three blocks, some without keys, each with a scale of its own."""
    rng = np.random.default_rng(seed)
    return [
        job(
            int(rng.integers(1, 2 * params.block + 2)),
            int(rng.choice([0, 5, 9])),
            scale=(int(rng.integers(-(2**20) + 1, 2**20)), int(rng.integers(-128, 128))),
        )
        for _ in range(count)
    ]


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_blocks_lie_where_they_are_read(params: Params, idle: int | None, pressure: int | None) -> None:
    check(Machine(random_jobs(1, params, 6), params, pressure, params.folds_e), idle)


@pytest.mark.parametrize("folds", [1, 2])
def test_rows_of_fewer_folds(folds: int) -> None:
    params = tiny(slots=2, head_e=12)
    check(Machine(random_jobs(2, params, 4), params, 3, folds), 4)


def check(machine: Machine, idle: int | None) -> None:
    """Every block lies in its bank when it is issued, and until it is released."""
    params = machine.params
    dut = machine.dut
    send_blocks = sender(dut.block, machine.blocks, idle)
    send_rows = sender(dut.query, beats(machine.rows, params), idle)
    assert {bool(block["keys"]) for block in machine.blocks} == {False, True}
    run(dut, send_blocks, send_rows, machine.watch, machine.consume)
    assert machine.released == len(machine.blocks)


@pytest.mark.parametrize("params", SHAPES)
def test_latency_and_throughput(params: Params) -> None:
    block = all_blocks([job(params.block, 3)], params)[0][1]
    sent = beats(random_rows(2, params, params.config.head_e, params.block), params)
    cycles: list[dict[str, Any]] = [{"block.valid": 1, "block.payload": block}]
    cycles += [{"query.valid": 1, "query.payload": beat} for beat in sent]
    cycles += [{"query.valid": 0}, {}, {"block.valid": 0}]
    names = ["query.ready", "rows", "lanes", "loaded", "block.ready"]
    seen = clocked(QueryLoader(params), cycles, names, 3)
    last = len(sent)
    # The block is noticed in cycle 0; from cycle 1 on a beat is taken in every cycle, and written two cycles later.
    assert all(ready for ready, *_ in seen)
    assert [t for t, (_, rows, *_) in enumerate(seen) if rows] == list(range(3, last + 3))
    row = params.config.head_e // params.config.beat
    assert [t for t, (_, _, lanes, *_) in enumerate(seen) if lanes] == list(range(2 + row, last + 3, row))
    # When the last beat is written the block is given back, and loaded a cycle later.
    assert [t for t, cycle in enumerate(seen) if cycle[4]] == [last + 2]
    assert [loaded for _, _, _, loaded, _ in seen] == [0] * (last + 3) + [1] * (len(seen) - last - 3)


def test_two_beats_wait_for_a_block() -> None:
    params = tiny()
    cycles: list[dict[str, Any]] = [{"query.valid": 1}, *[{}] * 5]
    assert clocked(QueryLoader(params), cycles, ["query.ready", "rows"]) == [(1, 0), (1, 0), *[(0, 0)] * 4]
