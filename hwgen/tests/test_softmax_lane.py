"""The softmax lane against the golden model: queries interleaved, each visited as often as its loop allows."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.attention import Scores, State, scale_scores, stream
from golden.bitexact.convert import Block
from golden.bitexact.numerics import ScaleCode
from hwgen.params import Params
from hwgen.softmax.lane import SoftmaxLane, lane_latency
from hwgen.softmax.scale import ScoreScale
from hwgen.tests.bench import clocked, tiny
from hwgen.timing import row_bits

LOOP, LATENCY = SoftmaxLane.LOOP, lane_latency(tiny())
OUTPUTS = ("weight", "shift", "saturated", "tag_out.valid", "tag_out.visit.row", "result")
IDLE: dict[str, Any] = {"tag.valid": 0}
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Work:
    """P = slots x group queries and M keys: qk and seen (P, M); eq and q_bad (P,); ek, ev, bad and v (M,).

    Query p is in slot p // group, column p % group. Exponents are fields, as the converters give them.
    """

    scale: ScaleCode
    qk: Ints
    seen: Bools
    eq: Ints
    q_bad: Bools
    ek: Ints
    ev: Ints
    bad: Bools
    v: Ints


def random_work(rng: np.random.Generator, params: Params, keys: int, spread: int) -> Work:
    """Scores of either sign up to about 2^spread in units of x, mostly seen, now and then poisoned."""
    queries, bias = params.config.slots * params.group, params.input.bias
    lengths = rng.integers(8, params.qk_bits, (queries, keys))
    qk = np.array([[int(rng.integers(1 << int(n))) for n in row] for row in lengths])
    return Work(
        scale=params.numerics.encode_scale(float(rng.uniform(0.2, 1.0) * 2.0 ** (spread - 8))),
        qk=qk * rng.choice([1, -1], qk.shape),
        seen=rng.random(qk.shape) < rng.choice([0.0, 0.5, 1.0], (queries, 1), p=[0.1, 0.3, 0.6]),
        eq=rng.integers(bias - 3, bias + 3, queries),
        q_bad=rng.random(queries) < 0.2,
        ek=rng.integers(bias - 6, bias + 6, keys),
        ev=rng.integers(max(1, bias - 20), bias + 14, keys),
        bad=rng.random(keys) < 0.05,
        v=rng.integers(-(2**16), 2**16, keys),
    )


def scores(work: Work, params: Params) -> tuple[Ints, Bools]:
    """The golden model's x and clamped."""
    unbias = 1 - params.input.bias
    return scale_scores(work.qk, work.eq + unbias, work.ek + unbias, work.scale, params.numerics)


def golden(work: Work, keys: int, params: Params) -> State:
    """The golden model's state after some keys, for values of one element."""
    exponents = work.ev[:keys] + 1 - params.input.bias
    values = Block(work.v[:keys, None], exponents, work.bad[:keys])
    x, clamped = scores(work, params)
    seen, nothing = work.seen[:, :keys], np.zeros((len(x), keys), dtype=bool)
    return stream(Scores(x[:, :keys], seen, nothing, clamped[:, :keys], seen), values, params.numerics)


def places(params: Params) -> list[int]:
    """Where each query's state lies: column within the group, then slot."""
    queries = range(params.config.slots * params.group)
    return [p // params.group << params.group_bits | p % params.group for p in queries]


def load(work: Work, bank: int, params: Params) -> list[dict[str, Any]]:
    """A cycle for every query of the bank."""
    start = bank << (params.slot_bits + params.group_bits)
    return [
        {
            "load_enable": 1,
            "load_address": start + place,
            "load_query": {"exponent": int(work.eq[p]), "poisoned": int(work.q_bad[p])},
            f"mantissa.{bank}": work.scale.mantissa,
            f"scale_exponent.{bank}": work.scale.exponent,
        }
        for p, place in enumerate(places(params))
    ] + [{"load_enable": 0}]


def visit(rng: np.random.Generator, work: Work, bank: int, params: Params, m: int, p: int) -> dict[str, Any]:
    """Inputs that show key m to query p."""
    # A column does not see a key if it lies before `skip` or behind `width`.
    cols = params.config.cols
    hidden = [(1, 1), (cols, cols), (cols, 0), (0, 0)][int(rng.integers(4))]
    skip, width = (0, int(rng.integers(1, cols + 1))) if work.seen[p, m] else hidden
    side = {
        "slot": p // params.group,
        "bank": bank,
        "first": int(m == 0),
        "last": int(m == work.qk.shape[1] - 1),
        "skip": skip,
        "width": width,
        "ek": int(work.ek[m]),
        "ev": int(work.ev[m]),
        "bad": int(work.bad[m]),
        "row": int(rng.integers(1 << row_bits(params))),
    }
    return {"tag": {"valid": 1, "column": p % params.group, "visit": side}, "qk": int(work.qk[p, m])}


def visits(rng: np.random.Generator, work: Work, bank: int, params: Params, idle: float) -> list[dict[str, Any]]:
    """Key after key, each shown to all queries in turn; a share of idle cycles in between."""
    queries, keys = work.qk.shape
    cycles = []
    for m, p in np.ndindex(keys, queries):
        while rng.random() < idle:
            cycles.append(IDLE)
        cycles.append(visit(rng, work, bank, params, m, p))
    return cycles


def assert_weights(work: Work, sent: list[dict[str, Any]], seen: list[tuple[Any, ...]], params: Params) -> None:
    """Follow the outputs of a block's cycles with an accumulator a query: RNV equals the golden one after every key."""
    x, clamped = scores(work, params)
    rnv = np.zeros(work.qk.shape[0], dtype=np.int64)
    steps = iter(np.ndindex(work.qk.T.shape))
    for t, cycle in enumerate(sent):
        weight, shift = seen[t + LATENCY][:2]
        valid, row = seen[t + LATENCY - SoftmaxLane.TAG_LEAD][3:5]
        assert valid == (cycle is not IDLE)
        if cycle is IDLE:
            continue
        m, p = next(steps)
        shown = bool(work.seen[p, m])
        assert row == cycle["tag"]["visit"]["row"]
        assert shown or (weight, shift) == (0, 0)
        saturated = seen[t + SoftmaxLane.INPUT + ScoreScale.LATENCY][2]
        assert saturated == (shown and clamped[p, m] and not (work.bad[m] or work.q_bad[p]))
        rnv[p] = (rnv[p] >> shift) + (weight * work.v[m] >> params.numerics.drop)
        if p == len(rnv) - 1:
            assert rnv.tolist() == golden(work, m + 1, params).rnv[:, 0].tolist()
    assert next(steps, None) is None


def assert_results(work: Work, results: list[Any], params: Params) -> None:
    """The state read back equals the golden one."""
    state = golden(work, work.qk.shape[1], params)
    empty = ~work.seen.any(axis=1)
    poisoned = (work.seen & (work.bad | work.q_bad[:, None])).any(axis=1)
    fields = ("rm", "rmv", "rd", "empty", "poisoned")
    got = [tuple(int(result[name]) for name in fields) for result in results]
    columns = (state.rm, state.rmv, state.rd, empty, poisoned)
    assert got == [tuple(int(value) for value in row) for row in zip(*columns, strict=True)]


def simulate(rng: np.random.Generator, works: list[Work], params: Params, idle: float) -> None:
    """Blocks one after the other in alternating banks, the next one's queries loaded behind the current one."""
    sent: list[dict[str, Any]] = []
    starts = []
    lead = load(works[0], 0, params)
    for i, work in enumerate(works):
        starts.append(len(lead) + len(sent))
        sent += visits(rng, work, i % 2, params, idle)
    starts.append(len(lead) + len(sent))
    cycles = [dict(cycle) for cycle in lead + sent + [IDLE] * (LATENCY + 3 + 2 * len(places(params)))]
    for i, work in enumerate(works[1:], 1):
        # The bank may be written when the weights of the block before the current one have left.
        for offset, inputs in enumerate(load(work, i % 2, params), LATENCY):
            cycles[starts[i - 1] + offset] |= inputs
    # Results are read in turn all the time.
    turn = places(params)
    for t, cycle in enumerate(cycles):
        cycle["result_address"] = turn[t % len(turn)]
    lane = SoftmaxLane(params)
    layout = lane.result.shape()
    seen = clocked(lane, cycles, OUTPUTS, LATENCY)
    for i, work in enumerate(works):
        assert_weights(work, (lead + sent)[starts[i] : starts[i + 1]], seen[starts[i] :], params)
        # Two cycles behind its weight, a block's last state is in the memory, and read a cycle later.
        written = starts[i + 1] - 1 + LATENCY + 2
        reads = {(t - 1) % len(turn): seen[t][-1] for t in range(written + 1, written + 1 + len(turn))}
        assert_results(work, [layout.from_bits(reads[p]) for p in range(len(turn))], params)


SHAPES = [
    pytest.param({"slots": LOOP, "lanes": 2}, id="at-the-loop"),
    pytest.param({"slots": 2, "lanes": 1}, id="two-columns-a-lane"),
    pytest.param({"slots": 2, "cols": 3, "lanes": 1, "head_e": 16, "weight_bits": 18}, id="three-columns-a-lane"),
    pytest.param({"slots": 6, "cols": 1, "in_format": "fp16", "score_frac": 10, "exp_segments": 8}, id="fp16"),
]


@pytest.mark.parametrize("choices", SHAPES)
@pytest.mark.parametrize("idle", [0.0, 0.3], ids=["busy", "idle"])
@pytest.mark.parametrize("seed", range(2))
def test_blocks(seed: int, idle: float, choices: dict[str, Any]) -> None:
    params = tiny(**choices)
    rng = np.random.default_rng(seed)
    # From scores below one to scores that saturate.
    works = [random_work(rng, params, 12, spread) for spread in (0, 5, 12)]
    simulate(rng, works, params, idle)


@pytest.mark.parametrize("step", [1, 2, 31, 70, 300])
def test_every_key_a_new_maximum(step: int) -> None:
    params = tiny(slots=LOOP, lanes=2)
    rng = np.random.default_rng(step)
    work = random_work(rng, params, 10, 0)
    unit = 1 << (2 * (params.numerics.operand_bits - 1) - 2)
    rising = unit * np.tile(np.arange(10), (LOOP, 1))
    bias = params.input.bias - 1
    level = np.full(10, bias)
    # A unit is a quarter at these exponents: the scale makes it `step` of x.
    scale = params.numerics.encode_scale(step * 4 * math.log(2))
    seen = np.ones_like(rising, dtype=bool)
    work = dataclasses.replace(work, scale=scale, qk=rising, seen=seen, eq=np.full(LOOP, bias), ek=level, ev=level)
    simulate(rng, [work], params, 0.0)


def two_visits(distance: int) -> int:
    """RD after two visits of one slot with a score of zero, and the weight of such a score."""
    params = tiny(slots=4, lanes=2)
    rng = np.random.default_rng(0)
    zeros, ones = np.zeros((4, 2), dtype=np.int64), np.ones((4, 2), dtype=bool)
    work = dataclasses.replace(random_work(rng, params, 2, 0), qk=zeros, seen=ones)
    pair = [visit(rng, work, 0, params, m, 1) for m in (0, 1)]
    cycles = [*load(work, 0, params), pair[0], *[IDLE] * (distance - 1), pair[1], {**IDLE, "result_address": 1}]
    lane = SoftmaxLane(params)
    layout = lane.result.shape()
    seen = clocked(lane, cycles, OUTPUTS, LATENCY + 4)
    weight = seen[len(load(work, 0, params)) + LATENCY][0]
    return layout.from_bits(seen[-1][-1]).rd // weight


def test_loop_is_as_long_as_stated() -> None:
    assert [two_visits(LOOP), two_visits(LOOP + 1)] == [2, 2]
    # A cycle sooner the first weight is not in RD yet, which holds the zero it began with.
    assert two_visits(LOOP - 1) == 1
