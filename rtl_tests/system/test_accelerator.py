"""Whole layers through registers, descriptors and memory, every bit equal to the golden model."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest

import hwgen
from hwgen.control.register_map import counter_names
from hwgen.params import Params
from hwgen.sim import system
from hwgen.sim.system import MemoryTraits, build_system
from rtl_tests.harness.configurations import ACCELERATORS, BASE, accelerator
from rtl_tests.harness.layers import Layer, layer, stack
from rtl_tests.harness.runs import MEMORIES, assert_counters, run

CASES = [
    ("bus of 32", "quick"),
    ("bus of 32", "busy"),
    ("bus of 64", "distant"),
    ("bus of 64", "busy"),
    ("bus of 128", "quick"),
    ("bus of 128", "narrow"),
    ("bus of 512", "distant"),
    ("bus of 512", "narrow"),
]
LAYERS = 9


@pytest.mark.parametrize(("name", "memory"), CASES)
def test_random_layers(name: str, memory: str) -> None:
    core = accelerator(name)
    rng = np.random.default_rng([ACCELERATORS[name].get("bus_bits", 128), len(memory)])
    layers = [layer(rng, core) for _ in range(LAYERS)]
    result = run(core, layers, MEMORIES[memory])
    assert (result.last.head, result.last.errors) == (LAYERS, 0)
    assert_counters(core, layers, result)


def test_a_layer_without_keys_leaves_nothing_behind() -> None:
    """Its results are out before its queries are in; those must not meet the next layer."""
    core = accelerator("bus of 512")
    rng = np.random.default_rng(9)
    layers = []
    for hq, hkv, length, keys, e, f, visible in [(9, 3, 17, 9, 8, 12, 0), (3, 1, 14, 5, 7, 16, 2)]:
        shapes = ((1, hq, length, e), (1, hkv, keys, e), (1, hkv, keys, f))
        tensors = (stack(rng, shape, core) for shape in shapes)
        layers.append(Layer(*tensors, scale=0.4, causal=True, lengths=np.array([visible]), lse=False))
    result = run(core, layers, MEMORIES["narrow"])
    assert result.last.counters["pairs"] == sum(one.pairs for one in layers) > 0


def test_a_short_layer_behind_one_that_sees_nothing() -> None:
    """The same with a memory that answers at once."""
    core = accelerator("bus of 128")
    rng = np.random.default_rng(11)
    layers = []
    for batches, heads, length, keys, offset in [(2, 3, 3, 2, -3), (1, 1, 1, 7, 0)]:
        shapes = ((batches, heads, n, 8) for n in (length, keys, keys))
        tensors = (stack(rng, shape, core) for shape in shapes)
        layers.append(Layer(*tensors, scale=0.4, causal=True, offset=offset))
    assert run(core, layers, MEMORIES["quick"]).last.counters["pairs"] == 1


def test_the_cases_cover_what_matters() -> None:
    """Every variant and every memory; grouped, causal, short, ragged, moved and empty problems."""
    assert {name for name, _ in CASES} == set(ACCELERATORS) and {memory for _, memory in CASES} == set(MEMORIES)
    layers = []
    for name, memory in CASES:
        rng = np.random.default_rng([ACCELERATORS[name].get("bus_bits", 128), len(memory)])
        layers += [(one, accelerator(name)) for one in (layer(rng, accelerator(name)) for _ in range(LAYERS))]
    facts = {
        "grouped": [one.q.shape[1] > one.k.shape[1] > 1 for one, _ in layers],
        "one key head": [one.q.shape[1] > one.k.shape[1] == 1 for one, _ in layers],
        "causal": [one.causal and one.offset != 0 for one, _ in layers],
        "lengths": [one.lengths is not None and len(set(one.lengths.tolist())) > 1 for one, _ in layers],
        "moved": [bool(one.arrange) for one, _ in layers],
        "ragged E": [one.q.shape[3] % core.config.rows_e != 0 for one, core in layers],
        "ragged F": [one.v.shape[3] % core.config.rows_f != 0 for one, core in layers],
        "fewer folds": [one.q.shape[3] <= core.config.rows_e < core.config.head_e for one, core in layers],
        "no LSE": [not one.lse for one, _ in layers],
        "many blocks": [one.q.shape[2] > 2 * core.block for one, core in layers],
    }
    for fact, occurs in facts.items():
        assert sum(occurs) >= 3, fact


def test_one_by_one_round_the_ring() -> None:
    """A ring of three, the doorbell rung for one, two and four descriptors: the last of them are the first again."""
    core = accelerator("bus of 128")
    rng = np.random.default_rng(7)
    layers = [layer(rng, core, largest=9) for _ in range(3)]
    result = run(core, layers, MemoryTraits(seed=6), tails=[1, 3, 4, 6, 7])
    assert [one.head for one in result.runs] == [1, 3, 4, 6, 7]
    assert [one.counters["descriptors"] for one in result.runs] == [1, 3, 4, 6, 7]
    pairs = [one.counters["pairs"] for one in result.runs]
    whole = sum(one.pairs for one in layers)
    assert pairs == [layers[0].pairs, whole, whole + layers[0].pairs, 2 * whole, 2 * whole + layers[0].pairs]
    # From the doorbell to the interrupt, give or take the registers' latency and the copying of counters in between.
    spent = [result.runs[0].counters["cycles"], result.runs[1].counters["cycles"]]
    assert abs(result.runs[0].cycles - spent[0]) <= 10
    assert 0 <= result.runs[1].cycles - (spent[1] - spent[0]) <= 2 * len(counter_names())


def test_memory_that_answers_late_changes_no_bit_but_takes_longer() -> None:
    core = accelerator("bus of 128")
    rng = np.random.default_rng(8)
    layers = [layer(rng, core)]
    near, far = (run(core, layers, MemoryTraits(latency=latency)) for latency in (10, 400))
    assert near.memory.tobytes() == far.memory.tobytes()
    assert far.last.counters["read_wait"] > near.last.counters["read_wait"]
    assert far.last.cycles > near.last.cycles + 2 * 390


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_attention_of_arrays(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hwgen.attention` on the simulated accelerator and on its model."""
    if dtype == "float32":
        # A configuration of its own formats: that of the bus of 32, whose simulator is there.
        preset, kind = BASE.replace(ACCELERATORS["bus of 32"]), np.dtype(np.float32)
    else:
        preset, kind = BASE, np.dtype(ml_dtypes.bfloat16)
    monkeypatch.setattr(system, "build_system", functools.partial(build_system, fast=False))
    rng = np.random.default_rng(9)
    q, k, v = (rng.standard_normal(shape).astype(kind) for shape in ((2, 4, 9, 8), (2, 2, 11, 8), (2, 2, 11, 5)))
    options = {"is_causal": True, "causal_offset": -2, "kv_lengths": [3, 11], "scale": 0.4, "preset": preset}
    out, lse, stats = hwgen.attention(q, k, v, return_lse=True, return_stats=True, **options)
    want, want_lse = hwgen.attention(q, k, v, return_lse=True, backend="bitexact", **options)
    assert out.dtype == kind and out.shape == (2, 4, 9, 5)
    np.testing.assert_array_equal(out.view(np.uint8), want.view(np.uint8))
    np.testing.assert_array_equal(lse, want_lse)
    assert np.isneginf(lse).sum() == 2 * 4 * 2
    pairs = 4 * sum(min(max(i - 1, 0), length) for length in (3, 11) for i in range(9))
    assert stats["pairs"] == pairs and stats["heads"] == 8
    params = Params(preset)
    assert stats["utilisation"] == pairs * (8 + 5) / (stats["cycles"] * params.macs)
    assert not stats["poisoned"] and not stats["saturated"] and stats["seconds"] > 0
