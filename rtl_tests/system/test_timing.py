"""Cycles of the whole core: every one of them follows from the latencies that its parts state."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from hwgen.array.feeder import FeederRow
from hwgen.array.value_pe import ValuePE
from hwgen.control.causes import BUSY, Cause
from hwgen.control.job import geometry
from hwgen.memory.convert import conversion_latency
from hwgen.params import Params
from hwgen.sim.build import Build, build
from hwgen.sim.run import HeadJob, RunResult, row_beats, simulate
from hwgen.softmax.output import output_latency
from hwgen.timing import hazard_distance, issue_latency, value_latency
from rtl_tests.harness.check import assert_run, pairs, visits
from rtl_tests.harness.configurations import params
from rtl_tests.harness.jobs import every_shape, job

Head = tuple[int, int]

NAMES = ["base", "one_fold", "four_folds", "shared_lane"]
# The streams of these bring a key's rows as fast as a number of live slots takes them.
LIVE = [("base", 1), ("base", 4), ("one_fold", 1), ("one_fold", 2), ("one_fold", 3), ("one_fold", 4)]
LIVE += [("four_folds", 2), ("four_folds", 4), ("shared_lane", 1), ("shared_lane", 2)]
# Live slots and head dimensions that fill less than the core: fewer folds of E, of F, of both.
SMALL = [("four_folds", 4, (5, 16)), ("four_folds", 4, (16, 3)), ("four_folds", 3, (1, 1)), ("base", 4, (3, 7))]
# Cycles from end to end of BlockFork: a register, and an empty queue of two behind it.
QUEUE = 3
# Cycles from the loader's knowledge to a visit: its description waits for no rows, but for queries.
DESCRIBED = 1


@lru_cache
def simulator(name: str) -> Build:
    return build(params(name), address_bits=16, fast=False)


def run(name: str, jobs: list[HeadJob]) -> RunResult:
    """A run whose results are right, with streams that never pause."""
    result = simulate(simulator(name), jobs, trace=True)
    assert_run(params(name), jobs, result)
    return result


def plain_jobs(core: Params, seed: int, *shapes: tuple[int, int], head: Head | None = None) -> list[HeadJob]:
    """Jobs of (queries, keys), every key seen by every query."""
    rng = np.random.default_rng(seed)
    return [job(rng, core, queries, keys, head=head) for queries, keys in shapes]


def idle(result: RunResult) -> dict[Cause, int]:
    """The score array's idle cycles, causes that occur only."""
    counts = result.idle("score")
    return {cause: counts[cause.name.lower()] for cause in Cause if counts[cause.name.lower()]}


def cycle_by_cycle(result: RunResult) -> list[tuple[int, int]]:
    """(cause, value_busy) of every cycle of a run."""
    ends = [*(t for t, _, _ in result.activity[1:]), result.counters["cycles"]]
    assert result.activity[0][0] == 0 and all(a < b for a, b in pairwise(ends))
    return [(cause, busy) for (t, cause, busy), end in zip(result.activity, ends, strict=True) for _ in range(t, end)]


def fill(core: Params, queries: int, head: Head | None = None) -> int:
    """Cycles from a job's acceptance to its first visit, for queries of one block."""
    c = core.config
    row = row_beats(head[0] if head else c.head_e, c.rows_e, core)
    # The walker knows of the job, counts its queries, starts, adds them up, bounds the keys, chooses, counts a slot a
    # cycle and offers the block; the testbench knows of it a cycle after it sees it.
    offered = 6 + -(-queries // c.cols)
    first_beat = offered + QUEUE + 1
    last_beat = first_beat + queries * row - 1
    # A row is converted when it is complete; the loader has the last beat a cycle later, and knows of it in two more.
    return last_beat + row + conversion_latency(core) + 3 + DESCRIBED


def way_out(core: Params, queries: int, head: Head | None = None) -> int:
    """Cycles from the first last visit of the last block's `queries` until it is known that the last beat of O
    was taken, two cycles behind that."""
    c = core.config
    head_e, head_f = head or (c.head_e, c.head_f)
    shape, beats = geometry(core, head_e, head_f), -(-head_f // c.out_beat)
    assert c.cols * beats > shape["last_step"], "the drain would wait for the visits"
    # Folds of E that are not there are not waited for.
    latency = issue_latency() + value_latency(core) - (core.folds_e - 1 - shape["last_fold_e"])
    corner = latency + shape["last_fold_f"] + (c.rows_f - 1) * FeederRow.SKEW + FeederRow.LATENCY + c.cols
    first_step = corner + ValuePE.RESULT_LATENCY + 1
    return first_step + queries * beats + output_latency(core) + 1


def unknown(core: Params, live: int) -> int:
    """Whether the cycle behind the first visit is idle: that something has been issued is known a cycle later, and the
    cause is FILL until then."""
    return int(live * core.visit == 1 < hazard_distance(core))


def enough_keys(core: Params) -> int:
    """So many keys that a block lasts longer than its way out and, behind that, the loading of the block after next."""
    load = core.block * core.config.head_e // core.config.beat
    return -(-(way_out(core, core.block) + load) // (core.config.slots * core.visit))


@pytest.mark.parametrize("name", NAMES)
def test_values_follow_keys_at_the_stated_latency(name: str) -> None:
    core = params(name)
    result = run(name, every_shape(core, 1))
    log = cycle_by_cycle(result)
    keys = [t for t, (cause, _) in enumerate(log) if cause == BUSY]
    values = [t for t, (_, busy) in enumerate(log) if busy]
    late = issue_latency() + value_latency(core)
    assert values[0] - keys[0] == late
    # The same for the first fold of every other visit.
    assert [t - late for t in values[:: core.folds_f]] == keys[:: core.folds_e]
    counts = {cause: sum(code == cause for code, _ in log) for cause in Cause}
    assert {cause: count for cause, count in counts.items() if count} == idle(result)
    assert (len(keys), len(values)) == (result.counters["score_busy"], result.counters["value_busy"])


@pytest.mark.parametrize("name", NAMES)
def test_no_idle_cycle_between_blocks_and_jobs(name: str) -> None:
    core = params(name)
    assert core.config.slots * core.visit >= hazard_distance(core) and core.visit == core.folds_e
    keys = enough_keys(core)
    shapes = [(2 * core.block, keys), (core.block, keys + 3), (3 * core.block, keys), (core.block, keys)]
    result = run(name, plain_jobs(core, 2, *shapes))
    assert set(idle(result)) == {Cause.FILL, Cause.DRAIN}
    causes = [cause for cause, _ in cycle_by_cycle(result)]
    # One stretch of work, nothing in it.
    assert [b for a, b in pairwise([None, *causes]) if a != b] == [Cause.FILL, BUSY, Cause.DRAIN]
    work = sum(queries // core.config.cols * keys for queries, keys in shapes) * core.visit
    assert causes.count(BUSY) == work
    # Blocks and jobs cost their visits; the last round through the slots is on the way out already.
    ends = fill(core, core.block) + way_out(core, core.block) + 1 - core.config.slots * core.visit
    assert result.counters["cycles"] == work + ends


@pytest.mark.parametrize("name", NAMES)
def test_a_block_that_is_too_short_waits_for_the_next_queries(name: str) -> None:
    """Idle cycles are seen where there must be some."""
    core = params(name)
    result = run(name, plain_jobs(core, 3, (2 * core.block, 1)))
    load, work = core.block * core.config.head_e // core.config.beat, core.config.slots * core.visit
    # The next block is there when the loader has given back this one, in a cycle, and the queue has rested; the loader
    # turns to it while the visit is described, in a cycle of SETUP.
    assert idle(result)[Cause.WAIT_Q] == load + 2 - work > 0


@pytest.mark.parametrize(("name", "live"), LIVE)
def test_few_live_slots_wait_for_the_hazard(name: str, live: int) -> None:
    core = params(name)
    queries, keys = live * core.config.cols, enough_keys(core) * core.config.slots
    result = run(name, plain_jobs(core, 4, *[(queries, keys)] * 3))
    gap = max(hazard_distance(core) - live * core.visit, 0)
    # Every round through the slots but the first begins with the gap, those of the next jobs too.
    assert result.idle("score")["hazard"] == (3 * keys - 1) * gap - unknown(core, live)
    assert set(idle(result)) == {Cause.FILL, Cause.DRAIN} | ({Cause.HAZARD} if gap else set())


@pytest.mark.parametrize(("name", "live"), LIVE)
def test_every_cycle_is_accounted_for(name: str, live: int) -> None:
    core = params(name)
    queries, keys = live * core.config.cols, 17
    result = run(name, plain_jobs(core, 5, (queries, keys)))
    round_trip = live * core.visit
    period = max(hazard_distance(core), round_trip)
    counts = result.idle("score")
    assert counts["fill"] == fill(core, queries) + unknown(core, live)
    assert counts["hazard"] == (keys - 1) * (period - round_trip) - unknown(core, live)
    # The O beat that ends the run is taken in its last cycle but one.
    assert counts["drain"] == way_out(core, queries) + 1 - round_trip
    assert set(idle(result)) <= {Cause.FILL, Cause.HAZARD, Cause.DRAIN}
    assert result.counters["cycles"] == fill(core, queries) + (keys - 1) * period + way_out(core, queries) + 1


@pytest.mark.parametrize(("name", "live", "head"), SMALL)
def test_small_heads_take_fewer_cycles(name: str, live: int, head: Head) -> None:
    core = params(name)
    queries, keys = live * core.config.cols, 17
    result = run(name, plain_jobs(core, 6, (queries, keys), head=head))
    shape, counts = geometry(core, *head), result.idle("score")
    round_trip = live * (shape["last_step"] + 1)
    period = max(hazard_distance(core), round_trip)
    assert counts["fill"] == fill(core, queries, head)
    assert counts["hazard"] == (keys - 1) * (period - round_trip)
    assert counts["pad"] == keys * live * (shape["last_step"] - shape["last_fold_e"])
    assert counts["drain"] == way_out(core, queries, head) + 1 - round_trip
    assert set(idle(result)) <= {Cause.FILL, Cause.HAZARD, Cause.PAD, Cause.DRAIN}
    cycles = fill(core, queries, head) + (keys - 1) * period + way_out(core, queries, head) + 1
    assert result.counters["cycles"] == cycles
    assert result.utilisation(core) == queries * keys * sum(head) / (cycles * core.macs)


@pytest.mark.parametrize("name", NAMES)
def test_causal_work_is_skipped(name: str) -> None:
    core = params(name)
    rng = np.random.default_rng(7)
    slots, cols = 3 * core.config.slots, core.config.cols
    causal = job(rng, core, slots * cols, slots * cols, causal=True)
    full = HeadJob(causal.q, causal.k, causal.v, job(rng, core, 1, slots * cols).job)
    runs = {kind: run(name, [work]) for kind, work in (("causal", causal), ("full", full))}
    shown = {kind: result.counters["score_busy"] // core.folds_e for kind, result in runs.items()}
    assert shown["causal"] == visits(core, causal) == cols * slots * (slots + 1) // 2
    assert shown["full"] == visits(core, full) == cols * slots * slots
    assert shown["causal"] < shown["full"]
    assert runs["causal"].counters["cycles"] < runs["full"].counters["cycles"]
    assert runs["causal"].counters["pairs"] == pairs(causal) == cols * slots * (cols * slots + 1) // 2
