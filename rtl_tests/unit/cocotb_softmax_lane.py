"""Runs in the simulator: columns and slots that share a lane take turns, each as often as the loop allows."""

from __future__ import annotations

import os
from dataclasses import dataclass

import cocotb
import numpy as np
from numpy.typing import NDArray

from golden.bitexact.attention import Scores, State, scale_scores, stream
from golden.bitexact.convert import Block
from golden.bitexact.numerics import ScaleCode
from hwgen.control.tags import lane_tag_layout, visit_layout
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.softmax.lane import SoftmaxLane, lane_latency, query_layout, result_layout
from hwgen.softmax.scale import ScoreScale
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import Inputs, bits_of, clocked
from rtl_tests.harness.streams import start

LOOP, LATENCY = SoftmaxLane.LOOP, lane_latency(params("base"))
KEYS = 9
# Scales from scores below one to scores that saturate, a block each.
SPREADS = (8, 14, 24)
IDLE: Inputs = {"tag": 0, "load_enable": 0}
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A block: P queries, one a column and slot, and M keys.

    qk, seen: (P, M);  eq, q_bad: (P,);  ek, ev, bad, v: (M,);  x, clamped: (P, M), the golden model's
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
    x: Ints
    clamped: Bools

    def state(self, keys: int, core: Params) -> State:
        """What the golden model keeps after some keys, of values with one element."""
        v = Block(self.v[:keys, None], self.ev[:keys] + 1 - core.input.bias, self.bad[:keys])
        seen, nothing = self.seen[:, :keys], np.zeros((len(self.x), keys), dtype=bool)
        return stream(Scores(self.x[:, :keys], seen, nothing, self.clamped[:, :keys], seen), v, core.numerics)


def random_work(rng: np.random.Generator, core: Params, spread: int) -> Work:
    """Dot products of many lengths; exponents as the converters give them; columns without a key among the queries."""
    shape = (core.config.slots * core.group, KEYS)
    bias, unbias = core.input.bias, 1 - core.input.bias
    lengths = rng.integers(26, core.qk_bits, shape)
    qk = (2.0**lengths * rng.uniform(0.5, 1.0, shape)).astype(np.int64) * rng.choice([1, -1], shape)
    scale = core.numerics.encode_scale(float(rng.uniform(0.5, 1.0) * 2.0 ** (spread - 8)))
    eq, ek = rng.integers(bias - 3, bias + 3, shape[0]), rng.integers(bias - 6, bias + 6, KEYS)
    x, clamped = scale_scores(qk, eq + unbias, ek + unbias, scale, core.numerics)
    return Work(
        scale=scale,
        qk=qk,
        seen=rng.random(shape) < rng.choice([0.0, 0.5, 1.0], (shape[0], 1), p=[0.2, 0.4, 0.4]),
        eq=eq,
        q_bad=rng.random(shape[0]) < 0.2,
        ek=ek,
        ev=rng.integers(max(1, bias - 20), bias + 14, KEYS),
        bad=rng.random(KEYS) < 0.1,
        v=rng.integers(-(2**16), 2**16, KEYS),
        x=x,
        clamped=clamped,
    )


class Plan:
    """Inputs of all cycles; which (block, query, key) is where, and where results are read."""

    def __init__(self, rng: np.random.Generator, core: Params) -> None:
        self.rng, self.core = rng, core
        self.works = [random_work(rng, core, spread) for spread in SPREADS]
        self.queries = core.config.slots * core.group
        self.inputs: list[Inputs] = [dict(IDLE) for _ in range(self.queries)]
        self.visits: dict[int, tuple[int, int, int]] = {}
        self.reads: dict[int, tuple[int, int]] = {}
        self._load(0, 0)
        for i in range(len(self.works)):
            self._block(i)

    def place(self, query: int) -> int:
        """Where a query's state lies: column within the lane below slot."""
        slot, column = divmod(query, self.core.group)
        return slot << self.core.group_bits | column

    def _load(self, i: int, first: int) -> None:
        """A block's queries into its bank, one a cycle."""
        work, bank = self.works[i], i % 2
        for query in range(self.queries):
            word = {"exponent": work.eq[query], "poisoned": work.q_bad[query]}
            self.inputs[first + query] |= {
                "load_enable": 1,
                "load_address": bank << (self.core.slot_bits + self.core.group_bits) | self.place(query),
                "load_query": bits_of(query_layout(self.core), word),
                f"mantissa__{bank}": work.scale.mantissa & (2 << self.core.numerics.scale_bits) - 1,
                f"scale_exponent__{bank}": work.scale.exponent & 255,
            }

    def _block(self, i: int) -> None:
        """Queries take turns, LOOP of them at a time; then all results are read."""
        first = len(self.inputs)
        order = self.rng.permutation(self.queries)
        for turn in range(0, self.queries, LOOP):
            for key, j in np.ndindex(KEYS, LOOP):
                if turn + j < self.queries:
                    self.visits[len(self.inputs)] = (i, int(order[turn + j]), key)
                    self.inputs.append(IDLE | self._visit(i, int(order[turn + j]), key))
                else:
                    self.inputs.append(dict(IDLE))
        if i + 1 < len(self.works):
            self._load(i + 1, first)
        # Two cycles behind its weight the last state is in the memory.
        self.inputs += [dict(IDLE) for _ in range(LATENCY + 1)]
        for query in range(self.queries):
            self.reads[len(self.inputs) + 1] = (i, query)
            self.inputs.append(IDLE | {"result_address": self.place(query)})

    def _visit(self, i: int, query: int, key: int) -> Inputs:
        """A key is hidden from a column before `skip` or behind `width`."""
        core, work, cols = self.core, self.works[i], self.core.config.cols
        hidden = [(1, 1), (cols, cols), (cols, 0), (0, 0)][int(self.rng.integers(4))]
        skip, width = (0, int(self.rng.integers(1, cols + 1))) if work.seen[query, key] else hidden
        visit = {name: int(self.rng.integers(1 << field.width)) for name, field in visit_layout(core)}
        visit |= {"slot": query // core.group, "bank": i % 2, "skip": skip, "width": width}
        visit |= {"first": int(key == 0), "last": int(key == KEYS - 1)}
        visit |= {"ek": int(work.ek[key]), "ev": int(work.ev[key]), "bad": int(work.bad[key])}
        tag = {"valid": 1, "column": query % core.group, "visit": visit}
        return {"tag": bits_of(lane_tag_layout(core), tag), "qk": int(work.qk[query, key]) & (1 << core.qk_bits) - 1}


def check_weights(plan: Plan, seen: list[tuple[int, ...]]) -> None:
    """An accumulator behind the lane has the golden RNV after every visit, if weight and shift come at LATENCY."""
    rnv = np.zeros((len(plan.works), plan.queries), dtype=object)
    golden = [[work.state(key + 1, plan.core).rnv[:, 0] for key in range(KEYS)] for work in plan.works]
    for t, (i, query, key) in plan.visits.items():
        weight, shift = seen[t + LATENCY][:2]
        assert plan.works[i].seen[query, key] or (weight, shift) == (0, 0)
        term = weight * int(plan.works[i].v[key]) >> plan.core.numerics.drop
        rnv[i, query] = (rnv[i, query] >> shift) + term
        assert rnv[i, query] == golden[i][key][query], f"block {i}, query {query}, key {key}"


def check_saturation(plan: Plan, seen: list[tuple[int, ...]]) -> None:
    """A pulse for every score that is seen, too large and of sound rows, when the scale has found it."""
    late = SoftmaxLane.INPUT + ScoreScale.LATENCY
    due = []
    for t, (i, query, key) in plan.visits.items():
        work = plan.works[i]
        sound = not (work.bad[key] or work.q_bad[query])
        due += [t + late] if work.seen[query, key] and work.clamped[query, key] and sound else []
    assert [t for t, cycle in enumerate(seen) if cycle[2]] == due and len(due) > 5


def check_results(plan: Plan, seen: list[tuple[int, ...]]) -> None:
    """The state read back is the golden one."""
    layout = result_layout(plan.core)
    kinds = set()
    for t, (i, query) in plan.reads.items():
        work, state = plan.works[i], plan.works[i].state(KEYS, plan.core)
        dirty = work.seen[query] & (work.bad | work.q_bad[query])
        want = {name: int(getattr(state, name)[query]) for name in ("rm", "rmv", "rd")}
        want |= {"empty": int(not work.seen[query].any()), "poisoned": int(dirty.any())}
        assert unpack(layout, seen[t][4]) == want, f"block {i}, query {query}"
        kinds.add((want["empty"], want["poisoned"]))
    assert kinds == {(0, 0), (0, 1), (1, 0)}


@cocotb.test()
async def states_close_their_loops(dut) -> None:
    core = params(os.environ["CORE"])
    plan = Plan(np.random.default_rng(int(os.environ["SEED"])), core)
    await start(dut)
    seen = await clocked(dut, plan.inputs, ["weight", "shift", "saturated", "tag_out", "result"], 1)
    # Whatever a tag says, it comes out as it went in, some cycles before its weight.
    tags, late = [cycle["tag"] for cycle in plan.inputs], LATENCY - SoftmaxLane.TAG_LEAD
    assert [cycle[3] for cycle in seen[late:]] == tags[: len(seen) - late]
    check_weights(plan, seen)
    check_saturation(plan, seen)
    check_results(plan, seen)
    # Every query is visited once in LOOP cycles.
    times: dict[tuple[int, int], list[int]] = {}
    for t, (i, query, _) in plan.visits.items():
        times.setdefault((i, query), []).append(t)
    assert all(np.diff(visits).tolist() == [LOOP] * (KEYS - 1) for visits in times.values())
