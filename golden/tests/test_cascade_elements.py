"""The analysis of passes against graphs of all elements."""

from __future__ import annotations

import functools

import pytest

from golden.cascade.cascade import Cascade
from golden.cascade.passes import IN, Passes, passes
from golden.cascade.read import library
from golden.cascade.read import load as read_library
from golden.tests.cascade_elements import Elements
from golden.tests.random_cascades import random_cascade

load = functools.cache(read_library)


def element_sizes(cascade: Cascade, rank: str, along: int) -> dict[str, int]:
    """Sizes of 2, but `along` coordinates, or tiles of two, of the rank."""
    leaves = cascade.space.leaves(rank)
    sizes = {leaf: 2 for root in cascade.space.roots for leaf in cascade.space.leaves(root)}
    return sizes | {leaves[0]: along}


def numbers(found: Passes) -> dict[str, int]:
    """The pass of every Einsum that goes through the rank."""
    return {name: stage.number for name, stage in found.stages.items() if stage.kind == IN}


@pytest.mark.parametrize("name", library())
def test_library_element_by_element(name: str) -> None:
    cascade = load(name)
    for rank in cascade.space.roots:
        found = passes(cascade, rank)
        elements = Elements(cascade, rank, element_sizes(cascade, rank, 5))
        assert elements.barriers() == set(found.barriers)
        assert elements.passes() == found.count
        # A machine that goes along the rank and computes what it can needs as many passes.
        assert elements.sweeps() == elements.sweeps(numbers(found)) == found.count


@pytest.mark.parametrize("begin", range(0, 64, 8))
def test_random_cascades_element_by_element(begin: int) -> None:
    """`random_cascade(seed)` of golden.tests.random_cascades gives the cascade of a message."""
    for seed in range(begin, begin + 8):
        cascade, maker = random_cascade(seed)
        found = passes(cascade, "K")
        # Where a recurrence begins it needs nothing yet; that does not count.
        slack = maker.recurrences * (2 if maker.tiled else 1)
        along = max(2 * maker.recurrences + 3, found.count + 1)
        elements = Elements(cascade, "K", element_sizes(cascade, "K", along))
        message = f"seed {seed}\n{cascade}"
        assert elements.barriers(slack) == set(found.barriers), message
        assert elements.passes(slack) == found.count, message
        if found.waits or maker.suffix:
            # It can be necessary to go along again for something that is read for the first time, or to go back.
            assert elements.sweeps() >= found.count, message
        else:
            assert elements.sweeps() == elements.sweeps(numbers(found)) == found.count, message


def test_random_cascades_are_not_all_alike() -> None:
    counts = [passes(random_cascade(seed)[0], "K").count for seed in range(64)]
    assert {1, 2, 3} <= set(counts) and max(map(counts.count, counts)) < 48


def test_a_wrong_count_would_be_seen() -> None:
    """The graph of all elements of a cascade that waits differs from that of one that does not."""
    two, one = load("example-two-passes"), load("example-deferred")
    assert [Elements(c, "K", {"K": 5}).passes() for c in (two, one)] == [2, 1]
    assert [Elements(c, "K", {"K": 5}).sweeps() for c in (two, one)] == [2, 1]
