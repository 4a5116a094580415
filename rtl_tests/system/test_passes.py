"""How often the hardware goes through the keys: as often as the analysis of its cascade says, for every block of
queries once."""

from __future__ import annotations

import math

import pytest

from golden.cascade.passes import passes
from golden.cascade.read import load
from golden.exact import Shape
from hwgen.model.machine import Memory, predict
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.timing import resident_rows
from rtl_tests.harness.counting import builder, measured

PARAMS = Params(preset("tiny"))


def blocks(queries: int) -> int:
    """Blocks of queries of one head."""
    return math.ceil(queries / PARAMS.block)


@pytest.mark.parametrize("queries", [1, PARAMS.block, 3 * PARAMS.block + 1])
def test_every_key_is_read_once_a_block(queries: int) -> None:
    """More keys than stay: what is read of K and V, and what the array is shown, is one traversal for each block."""
    keys = resident_rows(PARAMS) + 32
    c = PARAMS.config
    work = Work(shape=Shape(1, 2, 2, queries, keys, c.head_e, c.head_f))
    element, heads = PARAMS.input.bits // 8, 2
    counters = measured(builder(PARAMS, work), work, Memory())
    streaming = passes(load("attention-streaming"))
    assert streaming.count == 1
    for name, size in (("k", c.head_e), ("v", c.head_f)):
        traversals = counters[f"read_bytes_{name}"] / (heads * blocks(queries) * keys * size * element)
        assert traversals == streaming.count
    assert predict(PARAMS, work).bytes["k"] == counters["read_bytes_k"]
    assert predict(PARAMS, work).bytes["v"] == counters["read_bytes_v"]


def test_other_cascades_need_more() -> None:
    """What the machine would have to read if it worked by another cascade."""
    assert {name: passes(load(f"attention-{name}")).count for name in ("streaming", "1-pass", "2-pass", "3-pass")} == {
        "streaming": 1,
        "1-pass": 1,
        "2-pass": 2,
        "3-pass": 3,
    }
