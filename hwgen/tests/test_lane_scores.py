"""The softmax lane with a score program: sinks, dropout, biases and masks against the golden model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.attention import Scores, State, denominators, numerators, scale_scores, weights
from golden.bitexact.numerics import ScaleCode
from golden.scoremod import Program, evaluate
from golden.scoremod.program import INDEX_BITS, KEEP_FRAC
from hwgen.memory.bias_buffer import bias_row_bits
from hwgen.params import Params
from hwgen.scoremod.schedule import schedule
from hwgen.softmax.exp2 import Exp2
from hwgen.softmax.lane import SoftmaxLane, lane_latency
from hwgen.softmax.pair import KeptWeight, arrivals, pair_latency
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.pairs import PROGRAMS, Bools, Ints, become, random_arguments, random_bias, writes

OUTPUTS = ("weight", "shift", "saturated", "pair", "tag_out.valid", "result")
IDLE: dict[str, Any] = {"tag.valid": 0}
KEYS = 8


@dataclass(frozen=True, kw_only=True)
class Work:
    """P = slots x group queries and M keys, as in test_softmax_lane; indices (P, 1) and (1, M) and bias (P, M)."""

    params: Params
    program: Program
    arguments: dict[str, Ints]
    inputs: dict[str, Any]
    scale: ScaleCode
    qk: Ints
    seen: Bools
    eq: Ints
    q_bad: Bools
    ek: Ints
    ev: Ints
    bad: Bools
    v: Ints
    bias_rows: Ints

    @property
    def scores(self) -> Scores:
        """The golden model's, behind the program."""
        unbias = 1 - self.params.input.bias
        x, clamped = scale_scores(self.qk, self.eq + unbias, self.ek + unbias, self.scale, self.params.numerics)
        poisoned = self.q_bad[:, None] | self.bad[None, :]
        before = Scores(x, self.seen, poisoned, clamped, self.seen)
        return become(self.program, self.params.numerics, before, self.inputs, self.arguments)


def random_work(rng: np.random.Generator, name: str, **choices: Any) -> Work:
    program = PROGRAMS[name]
    params = tiny(score=program, **choices)
    shape = queries, keys = params.config.slots * params.group, KEYS
    bias = params.input.bias
    inputs: dict[str, Any] = {
        "q": rng.integers(0, 1 << INDEX_BITS["q"], (queries, 1)),
        "h": rng.integers(0, 1 << INDEX_BITS["h"], (queries, 1)),
        "kv": rng.integers(0, 1 << INDEX_BITS["kv"], (1, keys)),
        "b": rng.integers(0, 1 << INDEX_BITS["b"], (1, 1)),
    }
    if params.has_bias:
        inputs["bias"] = random_bias(rng, shape, params)
    rows: npt.NDArray[np.int64] = rng.permutation(1 << bias_row_bits(params))[:keys]
    lengths = rng.integers(8, params.qk_bits, shape)
    return Work(
        params=params,
        program=program,
        arguments=random_arguments(rng, program),
        inputs=inputs,
        scale=params.numerics.encode_scale(float(rng.uniform(0.2, 1.0))),
        qk=(rng.random(shape) * 2.0**lengths).astype(np.int64) * rng.choice([1, -1], shape),
        seen=rng.random(shape) < rng.choice([0.0, 0.5, 1.0], (queries, 1), p=[0.2, 0.3, 0.5]),
        eq=rng.integers(bias - 3, bias + 3, queries),
        q_bad=rng.random(queries) < 0.2,
        ek=rng.integers(bias - 6, bias + 6, keys),
        ev=rng.integers(max(1, bias - 20), bias + 14, keys),
        bad=rng.random(keys) < 0.1,
        v=rng.integers(-(2**16), 2**16, keys),
        bias_rows=rows,
    )


def golden(work: Work, keys: int) -> State:
    """The state after some keys, of values of one element."""
    n, scores = work.params.numerics, work.scores
    ceiling, y = weights(scores.x, n)
    sink = None if scores.sink is None else weights(scores.sink, n)
    rm, rd = denominators(ceiling[:, :keys], y[:, :keys], scores.seen[:, :keys], sink)
    factor = 1 << KEEP_FRAC if scores.keep_factor is None else scores.keep_factor
    lift = 0 if scores.keep_shift is None else scores.keep_shift
    reference = (ceiling + lift + work.ev + 1 - work.params.input.bias)[:, :keys]
    kept_y = ((y * factor) >> KEEP_FRAC)[:, :keys]
    rmv, rnv = numerators(reference, kept_y, scores.kept[:, :keys], work.v[:keys, None], n.drop)
    return State(rm, rmv, rd, rnv)


def place(params: Params, p: int) -> int:
    """Where a query's state lies."""
    return p // params.group << params.group_bits | p % params.group


def load(work: Work) -> list[dict[str, Any]]:
    """Cycles that write arguments, queries and biases."""
    params, start = work.params, writes(work.program, work.arguments)
    settling = schedule(params.partition.lane, arrivals(params)).settling
    facts = {name: np.broadcast_to(codes, (len(work.eq), 1)) for name, codes in query_facts(work).items()}
    for p in range(len(work.eq)):
        query: dict[str, Any] = {"exponent": int(work.eq[p]), "poisoned": int(work.q_bad[p])}
        query["score"] = {name: int(codes[p, 0]) for name, codes in facts.items()}
        start.append({"load_enable": 1, "load_address": place(params, p), "load_query": query})
    start.append({"load_enable": 0, "mantissa.0": work.scale.mantissa, "scale_exponent.0": work.scale.exponent})
    if params.has_bias:
        for m, slot in np.ndindex(KEYS, params.config.slots):
            elements = work.inputs["bias"][slot * params.group : (slot + 1) * params.group, m].tolist()
            address = {"slot": slot, "row": int(work.bias_rows[m])}
            start.append({"bias": {"valid": 1, "address": address, "elements": elements}})
        start.append({"bias.valid": 0})
    return [*start, *[{}] * settling]


def query_facts(work: Work) -> dict[str, Ints]:
    return evaluate(work.params.partition.query, work.inputs, work.arguments)


def visit(work: Work, m: int, p: int) -> dict[str, Any]:
    """Inputs that show key m, or the sink if it is -1, to query p; where they do not matter they are anything."""
    params = work.params
    first = int(m == -1 or (m == 0 and not params.has_sink))
    shown = m == -1 or bool(work.seen[p, m])
    visit = {
        "slot": p // params.group,
        "first": first,
        "last": int(m == KEYS - 1),
        "skip": 0 if shown else (p + m) % 2,
        "width": int(shown or (p + m) % 2),
        "ek": int(work.ek[m]),
        "ev": int(work.ev[m]),
        "bad": int(work.bad[m]),
    }
    if params.has_key_score:
        made = evaluate(params.partition.key, work.inputs, work.arguments)
        visit["key"] = {name: int(np.broadcast_to(codes, (1, KEYS))[0, m]) for name, codes in made.items()}
    visit |= {"sink": int(m == -1)} if params.has_sink else {}
    visit |= {"bias_row": int(work.bias_rows[m])} if params.has_bias else {}
    return {"tag": {"valid": 1, "column": p % params.group, "visit": visit}, "qk": int(work.qk[p, m])}


@pytest.mark.parametrize("choices", [{"slots": 2, "lanes": 1}, {"slots": 3, "lanes": 2}], ids=["shared", "own"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_weight_and_every_state(name: str, choices: dict[str, Any]) -> None:
    rng = np.random.default_rng(len(name))
    work = random_work(rng, name, **choices)
    params, scores = work.params, work.scores
    count, latency = len(work.eq), lane_latency(params)
    start, visits = load(work), []
    for m in range(-1 if params.has_sink else 0, KEYS):
        for p in range(count):
            visits += [(None, None)] * int(rng.random() < 0.2) + [(m, p)]
        # The loop of a slot.
        visits += [(None, None)] * max(0, SoftmaxLane.LOOP - count)
    cycles = [IDLE if p is None else visit(work, m, p) for m, p in visits]
    reads = [{**IDLE, "result_address": place(params, p)} for p in range(count)]
    lane = SoftmaxLane(params)
    results = lane.result.shape()
    seen = clocked(lane, [*start, *cycles, *[IDLE] * (latency + 2), *reads], OUTPUTS, 1)[len(start) :]
    rnv = np.zeros(count, dtype=np.int64)
    at, flags = latency, SoftmaxLane.INPUT + pair_latency(params)
    for t, (m, p) in enumerate(visits):
        weight, shift = seen[t + at][:2]
        valid = seen[t + at - SoftmaxLane.TAG_LEAD][4]
        saturated, pair = seen[t + flags][2:4]
        assert valid == (p is not None)
        if p is None or m == -1:
            # A sink weighs nothing, and is no pair.
            assert (weight, shift, saturated, pair) == (0, 0, 0, 0) or p is None
            continue
        assert pair == scores.seen[p, m]
        assert saturated == (pair and scores.clamped[p, m] and not scores.poisoned[p, m])
        assert scores.kept[p, m] or (weight, shift) == (0, 0)
        rnv[p] = (rnv[p] >> shift) + (weight * work.v[m] >> params.numerics.drop)
        if p == count - 1:
            assert rnv.tolist() == golden(work, m + 1).rnv[:, 0].tolist()
    state = golden(work, KEYS)
    got = [results.from_bits(row[-1]) for row in seen[-count:]]
    empty = np.full(count, not params.has_sink) & ~scores.seen.any(axis=1)
    poisoned = (scores.seen & scores.poisoned).any(axis=1)
    want = {"rm": state.rm, "rmv": state.rmv, "rd": state.rd, "empty": empty, "poisoned": poisoned}
    for field, values in want.items():
        assert [int(result[field]) for result in got] == values.astype(int).tolist(), field


def test_what_the_cases_cover() -> None:
    """Queries that see nothing, that drop all they see, whose first kept key is not the first seen."""
    works = [random_work(np.random.default_rng(len(name)), name, slots=2, lanes=1) for name in PROGRAMS]
    facts = {"nothing seen": 0, "all dropped": 0, "kept late": 0, "some poisoned": 0}
    for scores in (work.scores for work in works):
        for seen, kept in zip(scores.seen, scores.kept, strict=True):
            facts["nothing seen"] += not seen.any()
            facts["all dropped"] += bool(seen.any() and not kept.any())
            facts["kept late"] += bool(kept.any() and seen.argmax() < kept.argmax())
        facts["some poisoned"] += bool((scores.seen & scores.poisoned).any())
    assert all(facts.values()), facts


def test_latency() -> None:
    """What a lane is made of, in order; nothing but dropout takes time besides the program."""
    for program in (None, *PROGRAMS.values()):
        params = tiny(score=program)
        kept = KeptWeight.LATENCY if params.has_dropout else 0
        shifts = 2
        assert lane_latency(params) == SoftmaxLane.INPUT + pair_latency(params) + Exp2.LATENCY + kept + shifts
