"""The query loader of a machine with a score program: what it makes of queries reaches the lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.control.query_loader import QueryLoader
from hwgen.params import Params
from hwgen.scoremod.schedule import schedule
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.jobs import Fields, job
from hwgen.tests.pairs import PROGRAMS, random_arguments
from hwgen.tests.query_loading import ScoredMachine, scored_blocks
from hwgen.tests.rows import beats, random_rows

SHORT = {"slots": 1, "cols": 4, "rows_e": 2, "rows_f": 2, "head_e": 2, "head_f": 2}
SCORED = [
    pytest.param("everything", {}, id="everything-two-columns"),
    pytest.param("sink", {"slots": 2, "cols": 3, "lanes": 1, "head_e": 12}, id="sink-three-columns-a-lane"),
    pytest.param("query", SHORT, id="query-one-beat-a-row"),
]


def scored_jobs(rng: np.random.Generator, params: Params, count: int) -> list[Fields]:
    """Jobs of one to three blocks, mostly ragged, of groups of one to three heads."""
    made = []
    for _ in range(count):
        group = int(rng.integers(1, 4))
        work = job(int(rng.integers(1, 2 * params.block // group + 2)), int(rng.choice([0, 5])), group=group)
        made.append(work | {"batch": int(rng.integers(1 << 16)), "head": int(rng.integers((1 << 16) - 2))})
    return made


@pytest.mark.parametrize(("name", "choices"), SCORED)
def test_lanes_know_what_the_program_makes_of_a_query(name: str, choices: Fields) -> None:
    """Before the block counts as loaded, whatever gaps there are."""
    params, rng = tiny(score=PROGRAMS[name], **choices), np.random.default_rng(3)
    arguments = random_arguments(rng, PROGRAMS[name])
    jobs = scored_jobs(rng, params, 5)
    for idle, seed in ((None, None), (1, 2)):
        machine = ScoredMachine(jobs, params, seed, arguments)
        machine.simulate(idle)
    assert len(machine.blocks) > len(jobs)
    assert any(work["group"] > 1 for work in jobs) and any(block["first_query"] for block in machine.blocks)
    assert any(block["queries"] % params.block for block in machine.blocks)


@pytest.mark.parametrize("name", PROGRAMS)
def test_latency_of_the_program(name: str) -> None:
    """Lanes get a row so much later, and a block counts as loaded when they have the last one, or a cycle behind it."""
    params = tiny(score=PROGRAMS[name], slots=1)
    part = params.partition.query
    latency = schedule(part).latency if part.outputs else 1
    work = job(params.block, 3) | {"batch": 1, "head": 2}
    _, block = scored_blocks([work], params)[0]
    sent = beats(random_rows(2, params, params.config.head_e, params.block), params)
    cycles: list[dict[str, Any]] = [{"block.valid": 1, "block.payload": block}]
    cycles += [{"query.valid": 1, "query.payload": beat} for beat in sent]
    cycles += [{"query.valid": 0, "block.valid": 0}]
    seen = clocked(QueryLoader(params), cycles, ["rows", "lanes", "loaded"], latency + 3)
    row = params.config.head_e // params.config.beat
    assert [t for t, (rows, *_) in enumerate(seen) if rows] == list(range(3, len(sent) + 3))
    ends = range(row + latency + 1, len(sent) + latency + 2, row)
    assert [t for t, (_, lanes, _) in enumerate(seen) if lanes] == list(ends)
    known = ends[-1] + (latency == 1)
    assert [t for t, (*_, loaded) in enumerate(seen) if loaded] == list(range(known, len(seen)))
    assert ends[-1] == len(sent) + latency + 1
