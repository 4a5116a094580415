"""Block conversion of a stream against the golden model, with gaps and with a consumer that pauses."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.hdl import Value

from golden.bitexact.convert import convert_rows
from hwgen.memory.convert import (
    BlockConverter,
    conversion_latency,
    converted_beat,
    converting_places,
    shifting_latency,
)
from hwgen.params import Params
from hwgen.tests.bench import STALLS, clocked, gaps, receiver, run, sender, tiny

SHAPES = [
    pytest.param(tiny(), 8, id="bf16"),
    pytest.param(tiny(in_format="fp16", operand_bits=12), 6, id="fp16"),
    pytest.param(tiny(in_format="fp32", operand_bits=8), 4, id="fp32-cut-short"),
    pytest.param(tiny(in_format="fp32", operand_bits=24, scale_bits=12, accumulator_bits=52), 4, id="fp32"),
    pytest.param(tiny(operand_bits=4, accumulator_bits=48), 2, id="one-beat-a-row"),
]


def random_rows(seed: int, params: Params, dimension: int, count: int) -> npt.NDArray[Any]:
    """Rows whose exponents lie close together or far apart, with zeros, subnormals, NaN and infinity among them."""
    rng = np.random.default_rng(seed)
    fmt = params.input
    top = rng.integers(0, fmt.max_exponent_field, (count, 1))
    top[rng.random((count, 1)) < 0.1] = fmt.max_exponent_field
    below = rng.integers(0, rng.choice([1, 4, params.config.operand_bits + 3], (count, 1)), (count, dimension))
    field = np.maximum(top - below, 0)
    mantissa = rng.choice([0, 1], (count, dimension)) * rng.integers(0, 1 << fmt.mantissa_bits, (count, dimension))
    mantissa |= rng.choice([0, 0, (1 << fmt.mantissa_bits) - 1], (count, dimension))
    sign = rng.integers(0, 2, (count, dimension))
    return (sign << (fmt.bits - 1) | field << fmt.mantissa_bits | mantissa).astype(fmt.dtype)


def beats(rows: npt.NDArray[Any], params: Params) -> list[dict[str, Any]]:
    """Rows cut into beats."""
    beat, width = params.config.beat, rows.shape[1]
    return [
        {"elements": row[i : i + beat], "last": int(i + beat == width)}
        for row in rows.tolist()
        for i in range(0, width, beat)
    ]


def expected(rows: npt.NDArray[Any], params: Params) -> list[tuple[Any, ...]]:
    """(elements, exponent field, poisoned, last) of every beat, by the golden model."""
    block, beat = convert_rows(rows, params.numerics), params.config.beat
    fields = block.exponent + params.input.bias - 1
    return [
        (block.elements[i, j : j + beat].tolist(), fields[i], block.poisoned[i], j + beat == rows.shape[1])
        for i in range(len(rows))
        for j in range(0, rows.shape[1], beat)
    ]


def taken(payloads: list[int], params: Params) -> list[tuple[Any, ...]]:
    """What a receiver took, in the same form."""
    views = [converted_beat(params).from_bits(bits) for bits in payloads]
    width = range(params.config.beat)
    return [([v.elements[i] for i in width], v.exponent, v.poisoned, v.last) for v in views]


@STALLS
@pytest.mark.parametrize(("params", "dimension"), SHAPES)
def test_random_rows(params: Params, dimension: int, idle: int | None, pressure: int | None) -> None:
    rows = random_rows(1, params, dimension, 60)
    want = expected(rows, params)
    assert {bool(poisoned) for _, _, poisoned, _ in want} == {False, True}
    dut, got = BlockConverter(params, dimension), list[int]()
    run(dut, sender(dut.input, beats(rows, params), idle), receiver(dut.output, len(want), got, pressure))
    assert taken(got, params) == want


@STALLS
def test_rows_of_any_number_of_beats(idle: int | None, pressure: int | None) -> None:
    """A long row beside a short one: each is as long, and shifted by as much, as if it were alone."""
    params, rng = tiny(beat=2), np.random.default_rng(9)
    sizes = [2 * int(size) for size in rng.choice([1, 2, 3, 4, 4], 60)]
    rows = [random_rows(100 + i, params, size, 1) for i, size in enumerate(sizes)]
    sent = [beat for row in rows for beat in beats(row, params)]
    want = [beat for row in rows for beat in expected(row, params)]
    dut, got = BlockConverter(params, 8), list[int]()
    run(dut, sender(dut.input, sent, idle), receiver(dut.output, len(want), got, pressure))
    assert taken(got, params) == want


@pytest.mark.parametrize("seed", range(2, 5))
def test_idle_and_back_pressure_in_other_orders(seed: int) -> None:
    params = tiny()
    rows = random_rows(seed, params, 8, 40)
    dut, got = BlockConverter(params, 8), list[int]()
    run(dut, sender(dut.input, beats(rows, params), seed), receiver(dut.output, 160, got, seed + 10))
    assert taken(got, params) == expected(rows, params)


@pytest.mark.parametrize(("params", "dimension"), SHAPES)
def test_latency_and_throughput(params: Params, dimension: int) -> None:
    rows = random_rows(6, params, dimension, 5)
    sent = beats(rows, params)
    latency = dimension // params.config.beat + conversion_latency(params)
    cycles: list[dict[str, Any]] = [{"input.payload": beat, "input.valid": 1, "output.ready": 1} for beat in sent]
    dut = BlockConverter(params, dimension)
    seen = clocked(dut, [*cycles, {"input.valid": 0}], ["input.ready", "output.valid", "output.payload"], latency)
    assert all(ready for ready, _, _ in seen[: len(sent)])
    assert [valid for _, valid, _ in seen] == [0] * latency + [1] * len(sent) + [0]
    assert taken([bits for _, valid, bits in seen if valid], params) == expected(rows, params)


def test_a_stopped_consumer_stops_the_source() -> None:
    params = tiny()
    rows = random_rows(7, params, 8, 12)
    dut = BlockConverter(params, 8)
    accepted: list[int] = []

    async def stuff(ctx: Any) -> None:
        ctx.set(dut.input.valid, 1)
        for beat in beats(rows, params):
            ctx.set(dut.input.payload, beat)
            _, _, ready = await ctx.tick().sample(Value.cast(dut.input.ready))
            if not ready:
                break
            accepted.append(ready)

    run(dut, stuff)
    # Two banks are full, and so are all places behind them.
    assert len(accepted) == converting_places(params) + 2 * 4


@STALLS
@pytest.mark.parametrize("places", [1, 3, 8])
@pytest.mark.parametrize(("params", "dimension"), SHAPES)
def test_rows_wait_for_their_places(
    params: Params, dimension: int, places: int, idle: int | None, pressure: int | None
) -> None:
    """Never more of them come out than there are places, which are given back late."""
    rows = random_rows(8, params, dimension, 40)
    want, row_beats = expected(rows, params), dimension // params.config.beat
    dut, got = BlockConverter(params, dimension, places), list[int]()
    waits, freed = gaps(pressure), 0

    async def receive(ctx: Any) -> None:
        nonlocal freed
        wait = next(waits)
        while len(got) < len(want):
            wait -= wait > 0
            give = wait == 0 and freed < len(got) // row_beats
            ctx.set(dut.freed, give)
            *_, valid, payload = await ctx.tick().sample(dut.output.valid, Value.cast(dut.output.payload))
            got.extend([payload] * valid)
            assert -(-len(got) // row_beats) - freed <= places
            freed, wait = freed + give, next(waits) if give else wait

    run(dut, sender(dut.input, beats(rows, params), idle), receive)
    assert taken(got, params) == want


@pytest.mark.parametrize(("params", "dimension"), SHAPES)
def test_latency_with_places_for_rows(params: Params, dimension: int) -> None:
    rows, row_beats = random_rows(9, params, dimension, 4), dimension // params.config.beat
    sent, late = beats(rows, params), shifting_latency(params)
    cycles: list[dict[str, Any]] = [{"input.payload": beat, "input.valid": 1} for beat in sent]
    # Three rows pass; the last one is given its place when all is at rest.
    cycles += [{"input.valid": 0}, *[{}] * (late + row_beats), {"freed": 1}, {"freed": 0}]
    seen = clocked(
        BlockConverter(params, dimension, 3), cycles, ["output.valid", "output.payload"], late + row_beats + 3
    )
    times = [t for t, (valid, _) in enumerate(seen) if valid]
    begin, again = row_beats + late, len(cycles) - 2 + 2 + late
    assert times == [*range(begin, begin + 3 * row_beats), *range(again, again + row_beats)]
    assert taken([bits for valid, bits in seen if valid], params) == expected(rows, params)
