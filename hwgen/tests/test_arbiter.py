"""The round robin against a list."""

from typing import Any

import numpy as np
import pytest

from hwgen.memory.arbiter import RoundRobin
from hwgen.tests.bench import clocked


def expected(clients: int, cycles: list[dict[str, int]]) -> list[int]:
    """The grant of every cycle: the first in turn."""
    last, grants = clients - 1, []
    for cycle in cycles:
        turn = [(last + 1 + i) % clients for i in range(clients)]
        grant = next((i for i in turn if cycle["request"] >> i & 1), None)
        grants.append(0 if grant is None else 1 << grant)
        if grant is not None and cycle["advance"]:
            last = grant
    return grants


@pytest.mark.parametrize("clients", [1, 2, 3, 5])
def test_grants(clients: int) -> None:
    rng = np.random.default_rng(clients)
    full = 1 << clients
    cycles = [
        {"request": int(rng.integers(full)), "advance": int(rng.random() < 0.7)} for _ in range(300)
    ]
    seen = clocked(RoundRobin(clients), cycles, ["grant"])
    assert [grant for (grant,) in seen] == expected(clients, cycles)


def test_everybody_has_a_turn() -> None:
    cycles: list[dict[str, Any]] = [{"request": 0b1111, "advance": 1}]
    seen = clocked(RoundRobin(4), cycles, ["grant"], 7)
    assert [grant for (grant,) in seen] == [1, 2, 4, 8] * 2
