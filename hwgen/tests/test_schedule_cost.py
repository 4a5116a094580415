"""Costs fall out of schedules: against loops that are walked one by one, and against closed forms."""

from __future__ import annotations

import itertools
import math
import random
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from golden.exact import Shape
from hwgen.config import Config
from hwgen.errors import InputError
from hwgen.params import Params
from hwgen.schedule import arrays
from hwgen.schedule.cascade_only import cascade_only
from hwgen.schedule.cost import Cost, evaluate
from hwgen.schedule.flat import Mapping, flat
from hwgen.schedule.fusemax import architecture, fusemax
from hwgen.schedule.nest import BLOCKED, nest
from hwgen.schedule.parts import Array, Phase, Step, Unit
from hwgen.schedule.streaming import machine, streaming
from hwgen.schedule.two_pass import two_pass

SMALL = Array(
    name="small",
    units={"2d": Unit(4, 4), "1d": Unit(1, 4)},
    clock_hz=1e9,
    bandwidth=1e12,
    buffer_bytes=1 << 20,
)
LENGTHS = (1024, 4096, 16384, 65536, 262144, 1048576)


def walked(step: Step, phase: Phase, array: Array, shape: Shape, ranks: str, *, blocks: bool) -> int:
    """Words of a tensor brought, by going through all loops and looking which tile is needed in each round."""
    loops = nest(step, phase, array, shape)
    all_loops = [*reversed(loops.outer), *([] if blocks else reversed(loops.inner))]
    sizes = loops.block if blocks else loops.tile
    words, held = 0, None
    for round_ in itertools.product(*(range(int(loop.trips)) for loop in all_loops)):
        names = ranks.split()
        wanted = tuple(
            place
            for loop, place in zip(all_loops, round_, strict=True)
            if loop.rank in names or (loop.blocks and any(BLOCKED.get(rank) == loop.rank for rank in names))
        )
        if wanted != held:
            words += math.prod(sizes[rank] for rank in names if rank not in BLOCKED)
            held = wanted
    return words


@pytest.mark.parametrize("seed", range(6))
def test_words_are_those_of_loops_walked_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    e, f = (4 * rng.randint(1, 2) for _ in range(2))
    shape = Shape(1, 1, 1, 4 * rng.choice((4, 6)), 4 * rng.choice((2, 3)), e, f)
    config = Config(rows_e=4, rows_f=4, cols=4, slots=2, head_e=e, head_f=f, beat=2, out_beat=2, buffer_rows=4)
    ours = machine(Params(config), clock_hz=1e9, bandwidth=1e12)
    cases = [
        (fusemax(SMALL, shape), SMALL),
        (cascade_only(SMALL, shape), SMALL),
        (flat(shape, Mapping(rows=8, stationary=rng.choice(("output", "weight")))), SMALL),
        (two_pass(shape, Mapping(rows=4, on_chip=("Q", "QK", "AV"))), SMALL),
        (streaming(Params(config)), ours),
    ]
    for schedule, array in cases:
        (phase,) = schedule.phases
        for step in phase.steps:
            loops = nest(step, phase, array, shape)
            for ranks, blocks in itertools.product((*step.inputs.values(), step.output[1]), (False, True)):
                expected = walked(step, phase, array, shape, ranks, blocks=blocks)
                assert loops.words(ranks, blocks=blocks) == expected, (seed, schedule.name, step.name, ranks, blocks)


def period(cost: Cost, shape: Shape) -> Fraction:
    """Cycles of a tile of 256 x 256 scores."""
    return Fraction(cost.cycles) / Fraction(shape.B * shape.Hq * shape.L * shape.S, 65536)


@pytest.mark.parametrize("head", [64, 128])
@pytest.mark.parametrize("length", LENGTHS)
def test_periods_are_the_closed_forms_of_the_literature(head: int, length: int) -> None:
    """FuseMax's artifact computes these from one formula for each configuration; here they are sums over the steps."""
    shape, blocks = Shape(2, 4, 4, length, length, head, head), length // 256
    last = Fraction(head, blocks)
    built = {
        cascade_only: (arrays.FLAT, 4 * 256 + (1 + 2 + 1 + 1) + 2 * head + last),
        architecture: (arrays.FUSEMAX, max(head + 1, 1 + last) + 256 + 1 + 8 + 2 * head),
        fusemax: (arrays.FUSEMAX, max(head + 1, 1 + head + last) + 1 + 8 + head),
    }
    for build, (array, expected) in built.items():
        assert period(evaluate(build(array, shape), array, shape), shape) == expected, build.__name__
    if length <= 65536:
        assert period(evaluate(flat(shape), arrays.FLAT, shape), shape) == 1024
        assert period(evaluate(two_pass(shape), arrays.FLAT, shape), shape) == 768 + last


@pytest.mark.parametrize("head", [64, 128])
@pytest.mark.parametrize("length", LENGTHS)
def test_traffic_of_fusemax_is_its_closed_form(head: int, length: int) -> None:
    """Queries and results once; keys and values once for each block of queries that the buffer holds with its state."""
    shape = Shape(1, 3, 3, length, length, head, head)
    fits = (16 * 2**20 - 2 * 256 * 2 * head) // (256 * 2 * (2 * head + 2))
    tiles = length // 256
    block = max(n for n in range(1, tiles + 1) if tiles % n == 0 and n <= fits)
    cost = evaluate(fusemax(arrays.FUSEMAX, shape), arrays.FUSEMAX, shape)
    once, again = 2 * length * head, tiles // block * length * head * 2
    assert cost.bytes == 2 * 3 * (once + again)
    assert cost.reads == 2 * 3 * (once // 2 + again)


def test_operations_are_those_of_the_iteration_spaces() -> None:
    shape = Shape(1, 1, 1, 1024, 512, 64, 32)
    scores, rows = 1024 * 512, 1024 * 2
    cost = evaluate(fusemax(arrays.FUSEMAX, shape), arrays.FUSEMAX, shape)
    assert cost.operations == {
        ("2d", "mac"): scores * (64 + 32 + 6),
        ("2d", "max"): scores,
        ("2d", "add"): 2 * scores,
        ("1d", "max"): rows,
        ("1d", "mac"): rows * (6 + 1 + 32),
        ("1d", "add"): rows * (1 + 1 + 32),
        ("1d", "divide"): 1024 * 32,
    }
    assert cost.macs == scores * (64 + 32)
    cost = evaluate(flat(shape, Mapping(rows=256)), arrays.FLAT, shape)
    assert cost.operations["1d", "divide"] == cost.operations["1d", "exp"] == scores
    cost = evaluate(two_pass(shape, Mapping(rows=256)), arrays.FLAT, shape)
    assert cost.operations["1d", "divide"] == 1024 * 32


def test_busy_elements_and_idle_ones_are_all() -> None:
    """Half of the rows have keys: the array is as long at work, with half of its elements."""
    whole, half = (Shape(1, 1, 1, 1024, keys, 64, 64) for keys in (256, 128))
    costs = [evaluate(fusemax(arrays.FUSEMAX, shape), arrays.FUSEMAX, shape) for shape in (whole, half)]
    assert costs[0].cycles == costs[1].cycles
    assert costs[0].utilisation("2d") == 2 * costs[1].utilisation("2d")
    assert costs[0].useful == 2 * costs[1].useful
    total = sum(costs[0].step_utilisation(name) for name in ("QK", "LM", "SLN", "SLD", "SLNV"))
    assert total == pytest.approx(costs[0].utilisation("2d"), rel=1e-12)


def test_the_last_tile_takes_as_long_as_a_whole_one() -> None:
    """1,000 keys and queries as 1,024, with less to show for it; FLAT only rounds up what lies over the array."""
    whole, less = (Shape(1, 2, 2, size, size, 64, 64) for size in (1024, 1000))
    for build, array in ((fusemax, arrays.FUSEMAX), (architecture, arrays.FUSEMAX), (cascade_only, arrays.FLAT)):
        costs = [evaluate(build(array, shape), array, shape) for shape in (whole, less)]
        assert costs[0].cycles == costs[1].cycles and costs[1].bytes < costs[0].bytes
        assert costs[1].useful == pytest.approx(costs[0].useful * (1000 / 1024) ** 2, rel=1e-12)
    rows = evaluate(flat(less, Mapping(rows=1000)), arrays.FLAT, less).compute["1d"]
    assert rows == 2 * 4 * 1000 * 4


def test_a_wider_state_takes_room_and_energy() -> None:
    shape = Shape(1, 1, 1, 1024, 1024, 64, 32)
    costs = [evaluate(fusemax(arrays.FUSEMAX, shape, wide_state=wide), arrays.FUSEMAX, shape) for wide in (False, True)]
    state = 1024 * (1 + 1 + 32)
    assert costs[1].buffer_bytes - costs[0].buffer_bytes == 2 * state
    assert costs[0].buffer_bytes == 2 * (256 * (64 + 32) + 1024 * 64 + state)
    # RM, RD and RNV are written once for every block of keys.
    assert costs[1].accesses["buffer", "write"] - costs[0].accesses["buffer", "write"] == 4 * state
    assert costs[0].cycles == costs[1].cycles and costs[0].traffic == costs[1].traffic


def test_memory_bounds_what_computing_does_not() -> None:
    shape = Shape(1, 1, 1, 1024, 1024, 64, 64)
    slow = Array(**{**vars(arrays.FUSEMAX), "bandwidth": 1e9})
    cost = evaluate(fusemax(slow, shape), slow, shape)
    assert cost.cycles == cost.memory == cost.bytes / 1e9 * slow.clock_hz
    assert max(cost.compute.values()) < cost.cycles


def test_ours_is_busy_all_the_time_and_reads_keys_once_a_block() -> None:
    config = Config(rows_e=16, rows_f=16, cols=16, slots=8, head_e=64, head_f=64)
    params, shape = Params(config), Shape(2, 4, 4, 1024, 512, 64, 64)
    array = machine(params, clock_hz=1e9, bandwidth=1e12)
    cost = evaluate(streaming(params), array, shape)
    assert cost.useful == cost.utilisation("score") == cost.utilisation("value") == 1
    assert cost.cycles == 8 * 1024 * 512 * (64 // 16) / 16
    blocks = 1024 // (16 * 8)
    heads = 2 * 4 * 2
    assert cost.traffic == {
        "Q": heads * 1024 * 64,
        "K": heads * blocks * 512 * 64,
        "V": heads * blocks * 512 * 64,
        "AV": heads * 1024 * 64,
    }


def test_cores_share_the_heads() -> None:
    config = Config(rows_e=16, rows_f=16, cols=16, slots=8, head_e=16, head_f=16)
    params, shape = Params(config), Shape(1, 4, 4, 512, 512, 16, 16)
    one, two = (machine(params, clock_hz=1e9, bandwidth=1e12, cores=cores) for cores in (1, 2))
    costs = [evaluate(streaming(params, cores=n), array, shape) for n, array in ((1, one), (2, two))]
    assert costs[0].cycles == 2 * costs[1].cycles
    assert costs[0].multipliers * 2 == costs[1].multipliers
    assert costs[0].traffic == costs[1].traffic
    assert [cost.buffer_bytes for cost in costs] == [one.buffer_bytes, two.buffer_bytes]
    assert two.buffer_bytes == 2 * one.buffer_bytes == 2 * config.buffer_rows * 2 * 16 * 2


def test_heads_that_share_keys_are_refused() -> None:
    shape = Shape(1, 4, 2, 1024, 1024, 64, 64)
    with pytest.raises(InputError, match="Hq=4 and Hkv=2"):
        evaluate(fusemax(arrays.FUSEMAX, shape), arrays.FUSEMAX, shape)


def test_examples_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
    blocks = re.findall(r"(?m)(?:^    \S.*\n|^    .*\n|^\n(?=    ))+", text)
    code = [block for block in blocks if "import" in block]
    assert len(code) == 2
    space: dict[str, Any] = {}
    for block in code:
        exec("\n".join(line[4:] for line in block.splitlines()), space)
    said = capsys.readouterr().out.split()
    assert f"{float(said[1]):.3f}" == "0.901" and f"{float(said[-1]):.3f}" == "0.934"
