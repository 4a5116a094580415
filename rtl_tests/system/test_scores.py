"""Accelerators with score programs: every bit equal to the golden model, for every function, under stalls."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import hwgen
from hwgen.scoremod.block_list import create_block_mask
from rtl_tests.harness.configurations import BASE
from rtl_tests.harness.layers import Layer
from rtl_tests.harness.runs import MEMORIES, assert_counters, run
from rtl_tests.harness.score_machines import FUNCTIONS, MACHINES, machine, score_layer

LAYERS = 8
CASES = [
    ("bounds", "quick"),
    ("bounds", "busy"),
    ("prefix", "distant"),
    ("prefix", "busy"),
    ("random", "quick"),
    ("random", "narrow"),
    ("documents", "distant"),
    ("documents", "busy"),
]


def assert_layers(name: str, layers: list[Layer], memory: str) -> None:
    """Every bit, every counter; what nobody sees is not visited where the machine is told."""
    result = run(machine(name), layers, MEMORIES[memory])
    assert (result.last.head, result.last.errors) == (len(layers), 0)
    assert_counters(machine(name), layers, result)


@pytest.mark.parametrize("memory", ["quick", "busy", "narrow"])
def test_every_function(memory: str) -> None:
    """One layer each, of one machine that has them all."""
    rng = np.random.default_rng([len(memory), 1])
    layers = [score_layer(rng, "functions", 14, which=i) for i in range(len(FUNCTIONS))]
    assert_layers("functions", layers, memory)


@pytest.mark.parametrize(("name", "memory"), CASES)
def test_random_layers(name: str, memory: str) -> None:
    rng = np.random.default_rng([len(name), len(memory), 2])
    assert_layers(name, [score_layer(rng, name) for _ in range(LAYERS)], memory)


@pytest.mark.parametrize(("first", "last"), [(1, 0), (0, 0), (-64, 64)])
def test_a_mask_of_nothing_one_key_and_everything(first: int, last: int) -> None:
    """With a sink, which is all there is where nothing is seen."""
    rng = np.random.default_rng([first + 64, last])
    known = {"window_first": first, "window_last": last}
    assert_layers("bounds", [score_layer(rng, "bounds", **known) for _ in range(3)], "quick")


def test_the_cases_cover_what_matters() -> None:
    assert {name for name, _ in CASES} | {"functions"} == set(MACHINES)
    rng = np.random.default_rng(1)
    layers = [(score_layer(rng, "functions", 14, which=i), machine("functions")) for i in range(len(FUNCTIONS))]
    for name, memory in CASES:
        rng = np.random.default_rng([len(name), len(memory), 2])
        layers += [(score_layer(rng, name), machine(name)) for _ in range(LAYERS)]
    facts = {
        "segmented": [core.segmented for _, core in layers],
        "unsegmented": [not core.segmented for _, core in layers],
        "listed": [one.score.segments is not None for one, _ in layers],
        "not listed": [one.score.segments is None and core.config.block_list for one, core in layers],
        "grouped": [one.q.shape[1] > one.k.shape[1] for one, _ in layers],
        "batches": [one.q.shape[0] > 1 for one, _ in layers],
        "causal": [one.causal for one, _ in layers],
        "blocks": [one.q.shape[2] * one.q.shape[1] // one.k.shape[1] > core.block for one, core in layers],
        "nothing seen": [one.pairs == 0 for one, _ in layers],
    }
    assert {name: sum(found) > 0 for name, found in facts.items()} == dict.fromkeys(facts, True)


def test_paged_cache() -> None:
    """Pages in any order, some shared by two batch entries, against the same keys in one piece."""
    rng = np.random.default_rng(4)
    pools = [rng.standard_normal((7, 2, 4, 8)).astype(ml_dtypes.bfloat16) for _ in range(2)]
    q = rng.standard_normal((3, 4, 11, 8)).astype(ml_dtypes.bfloat16)
    table = np.array([[6, 0, 3, 1], [6, 0, 5, 2], [4, 4, 4, 4]])
    for lengths, causal in (([15, 9, 6], None), ([14, 14, 14], "bottom_right")):
        options = {"kv_lengths": np.array(lengths), "causal": causal, "return_lse": True, "preset": BASE}
        got = hwgen.attention(q, *pools, block_table=table, **options)
        whole = [pool[table].swapaxes(1, 2).reshape(3, 2, 16, 8) for pool in pools]
        want = hwgen.attention(q, *whole, backend="bitexact", **options)
        for a, b in zip(got, want, strict=True):
            assert np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


def test_skipped_blocks_are_neither_fetched_nor_computed() -> None:
    rng = np.random.default_rng(5)
    q, k, v = (rng.standard_normal((1, 1, 64, 8)).astype(ml_dtypes.bfloat16) for _ in range(3))
    chosen = rng.random((8, 8)) < 0.3
    mask = create_block_mask(lambda b, h, q_idx, kv_idx: chosen[q_idx // 8, kv_idx // 8], 1, 1, 64, 64, 8)
    out, stats = hwgen.attention(q, k, v, block_mask=mask, preset=BASE, return_stats=True)
    want = hwgen.attention(q, k, v, block_mask=mask, preset=BASE, backend="bitexact")
    assert np.array_equal(out.view(np.uint16), want.view(np.uint16))
    assert stats["pairs"] == 64 * chosen.sum()
    # A block of queries holds 8 of them in 4 slots of 2, and a visit takes two folds.
    assert stats["score_busy"] == 2 * 4 * 8 * chosen.sum()
    assert stats["read_bytes_k"] == stats["read_bytes_v"] == 8 * 16 * chosen.sum()
