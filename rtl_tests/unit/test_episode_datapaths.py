"""The datapaths of the everyday episodes' machines by themselves, with numbers of keys and queries that no episode is
long enough for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.scoremod import Program, evaluate
from hwgen.softmax.pair import arrivals
from hwgen.tests.programs import assert_equal, random_inputs
from rtl_tests.harness.score_machines import arguments
from rtl_tests.system.episode_machines import MACHINES

COUNT, NEAR = 600, 40
"""Pairs, and how far apart a key and its query are: some less, some more than a window reaches."""

OPEN = {"window_first": -20, "window_last": 10, "key_lengths": 1 << 20}
"""Arguments that hide no key only because its number is high."""

LAST = (1 << 20) - 1
"""The highest number of a query or a key."""

SCORED = sorted(name for name, make in MACHINES.items() if make().score is not None)


def pairs(rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Numbers of queries and keys, of every length from one digit on and of the last there are, each key beside its
    query."""
    most = 1 << rng.integers(1, 21, COUNT)
    q = rng.integers(most // 2, most)
    q[::10] = LAST - rng.integers(0, NEAR, len(q[::10]))
    return {"q": q, "kv": np.clip(q + rng.integers(-NEAR, NEAR + 1, COUNT), 0, LAST)}


def inputs(rng: np.random.Generator, part: Program, known: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
    """What is known of a part's inputs, and anything for the others."""
    found = random_inputs(rng, part, COUNT)
    return found | {name: np.broadcast_to(known[name], COUNT) for name in found if name in known}


@pytest.mark.parametrize("name", SCORED)
def test_pairs_of_any_number(name: str) -> None:
    """What the query's and the key's part give goes into the pair's, which lets some through and others not."""
    machine = MACHINES[name]()
    partition = machine.partition
    rng = np.random.default_rng(5)
    codes = arguments(rng, name, **OPEN)
    known: dict[str, Any] = pairs(rng)
    for part, when in ((partition.query, ()), (partition.key, ()), (partition.lane, arrivals(machine))):
        own = {argument.name: codes[argument.name] for argument in part.arguments}
        given = inputs(rng, part, known)
        assert_equal(part, given, own, arrivals=dict(when), places=dict(partition.places(part)))
        known |= evaluate(part, given, own)
    seen = np.count_nonzero(known["seen"])
    assert min(seen, COUNT - seen) > 50


BOUNDED = [name for name in SCORED if MACHINES[name]().bounds is not None]


@pytest.mark.parametrize("first", [-20, 5])
@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_of_any_query(name: str, first: int) -> None:
    """Which keys a query sees: the first, which may lie behind the last key there can be, and the last."""
    machine = MACHINES[name]()
    assert machine.bounds is not None
    program = machine.bounds.program
    rng = np.random.default_rng(6)
    codes = arguments(rng, name, **OPEN | {"window_first": first})
    own = {argument.name: codes[argument.name] for argument in program.arguments}
    given = inputs(rng, program, pairs(rng))
    assert_equal(program, given, own, places=dict(machine.partition.places(program)))
    found = evaluate(program, given, own)
    assert all(len(np.unique(numbers)) > COUNT / 2 for numbers in found.values())
    assert (found["low"].max() > LAST) == (first > 0)
