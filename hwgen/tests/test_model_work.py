"""What a problem asks for."""

from __future__ import annotations

import numpy as np
import pytest

from golden.exact import Shape
from hwgen.errors import InputError
from hwgen.model.work import Work

SHAPE = Shape(2, 6, 3, 5, 7, 4, 4)


def brute_force(work: Work) -> int:
    """Pairs counted one by one."""
    s = work.shape
    i, j = np.mgrid[: s.L, : s.S]
    seen = 0
    for keys in work.keys:
        allowed = j < keys
        if work.causal:
            allowed &= j <= i + work.offset
        seen += s.Hq * int(allowed.sum())
    return seen


@pytest.mark.parametrize("seed", range(40))
def test_pairs_are_those_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batches, queries, keys = (int(n) for n in rng.integers(1, 12, 3))
    lengths = tuple(int(n) for n in rng.integers(0, keys + 1, batches)) if rng.random() < 0.5 else None
    causal = bool(rng.random() < 0.7)
    offset = int(rng.integers(-queries - 2, keys + 3)) if causal else 0
    work = Work(shape=Shape(batches, 4, 2, queries, keys, 3, 3), causal=causal, offset=offset, key_lengths=lengths)
    assert work.pairs == brute_force(work)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"shape": SHAPE._replace(L=0)}, "L must be at least 1, not 0"),
        ({"shape": SHAPE._replace(Hkv=4)}, "Hq=6 must be a multiple of Hkv=4"),
        ({"offset": 1}, "offset 1 has no effect without a causal mask"),
        ({"key_lengths": (1,)}, "2 key lengths, one for each batch entry, not 1"),
        ({"key_lengths": (1, 8)}, "a key length must lie in 0 .. 7, not 8"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Work(**{"shape": SHAPE} | arguments)
