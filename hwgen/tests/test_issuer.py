"""The issuer against a loop nest, with grouped heads, kept rows and small heads, in time and late."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.control.causes import BUSY, Cause
from hwgen.params import Params
from hwgen.tests.bench import tiny
from hwgen.tests.issuing import Run
from hwgen.tests.jobs import Fields, all_blocks, job
from hwgen.timing import hazard_distance, resident_rows

SHAPES = [
    pytest.param(tiny(), id="two-folds"),
    pytest.param(tiny(slots=3, head_e=4, head_f=12), id="three-cycles-a-visit"),
    pytest.param(tiny(slots=5, cols=3, lanes=3, head_e=4, head_f=4), id="one-cycle-a-visit"),
    pytest.param(tiny(slots=1, cols=4, lanes=1), id="one-slot-four-columns-a-lane"),
]


def random_jobs(seed: int, params: Params, count: int, groups: tuple[int, ...] = (1,)) -> list[Fields]:
    """Jobs of a few blocks and keys, most of them causal, some without any visible key."""
    rng = np.random.default_rng(seed)
    size, jobs = params.block, []
    for _ in range(count):
        group = int(rng.choice(groups))
        jobs.append(
            job(
                int(rng.integers(1, max(5 * size // 2 // group, 2))),
                int(rng.choice([0, *rng.integers(1, 2 * size + 3, 5)])),
                int(rng.random() < 0.7),
                int(rng.integers(-2 * size // group, size)),
                group=group,
            )
        )
    return jobs


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("late", [None, 1], ids=["in-time", "late"])
def test_random_jobs(late: int | None, params: Params) -> None:
    simulation = Run(random_jobs(3, params, 8), params, late)
    assert len(simulation.starts) > 40
    simulation.check()


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("late", [None, 2], ids=["in-time", "late"])
def test_grouped_heads(late: int | None, params: Params) -> None:
    """With more heads than columns several slots leave at once."""
    cols = params.config.cols
    jobs = random_jobs(6, params, 2, groups=(2, 3, 2 * cols + 1))
    jobs += [job(-(-2 * params.block // group), 4, 1, -1, group=group) for group in (2, 3, 2 * cols + 1)]
    simulation = Run(jobs, params, late)
    simulation.check()
    leaving = [(v["block"], v["key"]) for v in simulation.visits if v["last"] and not v["at_end"]]
    assert params.config.slots == 1 or len(set(leaving)) < len(leaving)


@pytest.mark.parametrize("params", [tiny(slots=2), tiny(cols=1, slots=3, head_e=4, head_f=12)], ids=["2x2", "3x1"])
@pytest.mark.parametrize("late", [None, 3], ids=["in-time", "late"])
def test_kept_rows_are_shown_again(late: int | None, params: Params) -> None:
    size, most = params.block, resident_rows(params)
    jobs = [job(3 * size, most), job(2 * size, most + 1), job(3 * size, most, 1, 0), job(2 * size, 3, 1, -size - 1)]
    assert {bool(block["keep"]) for _, block in all_blocks(jobs, params)} == {False, True}
    simulation = Run([*jobs, job(size + 1, 2)], params, late)
    simulation.check()
    rows = [{v["row"] for v in simulation.visits if v["block"] == i} for i in range(5)]
    # Two jobs: the first shows each row three times, the second needs new ones for its second block.
    assert rows[0] == rows[1] == rows[2] and len(rows[0]) == most
    assert rows[3] != rows[4]


HEADS = [(1, 1), (5, 4), (4, 12), (3, 9), (8, 1)]


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_small_heads_take_fewer_cycles(head: tuple[int, int]) -> None:
    params = tiny(slots=3, lanes=2, head_e=8, head_f=12)
    simulation = Run(random_jobs(7, params, 3), params, 4, head)
    assert (simulation.folds, simulation.visit) == (-(-head[0] // 4), max(-(-head[0] // 4), -(-head[1] // 4)))
    simulation.check()


def test_a_lane_for_many_columns_takes_its_time() -> None:
    params = tiny(cols=6, lanes=2, slots=2, head_e=16)
    assert (params.folds_e, params.group) == (4, 3)
    simulation = Run(random_jobs(8, params, 4), params, None, (4, 4))
    assert (simulation.folds, simulation.visit) == (1, 3)
    simulation.check()


def test_every_cause_occurs() -> None:
    params = tiny(slots=2, head_e=4, head_f=8)
    simulation = Run(random_jobs(4, params, 24), params, 1)
    simulation.check()
    assert {cycle["cause"] for cycle in simulation.log} == {*Cause, BUSY}
    # Each cycle has one cause: they add up to all cycles.
    counts = {code: sum(cycle["cause"] == code for cycle in simulation.log) for code in (*Cause, BUSY)}
    assert sum(counts.values()) == len(simulation.log)
    assert counts[BUSY] == len(simulation.starts) * params.folds_e
    assert counts[Cause.PAD] == len(simulation.starts) * (params.visit - params.folds_e)


@pytest.mark.parametrize("params", SHAPES[:3])
def test_no_gap_if_nothing_is_missing(params: Params) -> None:
    assert params.config.slots * params.visit >= hazard_distance(params)
    simulation = Run([job(2 * params.block, 5), job(params.block, 3)], params)
    first = simulation.starts[0]
    assert simulation.starts == [first + i * params.visit for i in range(len(simulation.visits))]
    # The block is taken in the first cycle, its first visit described in the second and looked at in the third.
    assert first == 3


@pytest.mark.parametrize(("slots", "head"), [(1, 8), (1, 4), (3, 4)])
def test_few_slots_come_round_at_the_hazard_distance(slots: int, head: int) -> None:
    params = tiny(slots=slots, head_e=head, head_f=head)
    distance = hazard_distance(params)
    assert slots * params.visit < distance
    simulation = Run([job(params.block, 6)], params)
    assert len(simulation.starts) == 6 * slots
    assert all(simulation.starts[i + slots] - simulation.starts[i] == distance for i in range(5 * slots))


def test_causal_work_is_skipped() -> None:
    params = tiny()
    queries = 3 * params.block
    simulation = Run([job(queries, queries, 1, 0)], params)
    simulation.check()
    pairs = sum(cycle["pairs"] for cycle in simulation.log)
    assert pairs == queries * (queries + 1) // 2
    # A slot is shown a key for nothing only if the key lies beyond its last query.
    shown = {(v["block"], v["slot"]): 0 for v in simulation.visits}
    for visit in simulation.visits:
        shown[visit["block"], visit["slot"]] += 1
    cols = params.config.cols
    assert list(shown.values()) == [cols * (i + 1) for i in range(queries // cols)]
