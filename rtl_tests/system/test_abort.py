"""Whenever a host stops the accelerator, it stops cleanly, and what it does next is right in every bit."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits, build_system, run_system
from rtl_tests.harness.configurations import accelerator
from rtl_tests.harness.layers import assert_layer, layer

# One of the machines of test_accelerator, so that no other has to be built.
CORE = accelerator("bus of 64")
MEMORY_BITS = 20
VICTIMS, ROUNDS = 3, 30

MEMORIES = {
    "at once": MemoryTraits(latency=0),
    "busy": MemoryTraits(latency=50, stall={"aw": 150, "w": 90, "b": 120, "ar": 150, "r": 90}, lite_stall=60),
    "waiting": MemoryTraits(latency=30, bandwidth=100, aw_waits=True, stall={"aw": 100, "ar": 100}),
}


@pytest.mark.parametrize(("name", "seed"), [(name, 11 + i) for i, name in enumerate(MEMORIES)])
def test_stopped_at_any_time(name: str, seed: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    image = Image(CORE)
    victims = [layer(rng, CORE, 12) for _ in range(VICTIMS)]
    kinds = [layer(rng, CORE, 4) for _ in range(3)]
    goods = [kinds[i % len(kinds)] for i in range(ROUNDS)]
    placed = [one.place(image) for one in victims + goods]
    build = build_system(CORE, memory_bits=MEMORY_BITS, fast=False)
    result = run_system(
        build,
        image,
        [one.descriptor for one in placed],
        memory=MEMORIES[name],
        module="rtl_tests.system.cocotb_abort",
        settings={"HWGEN_VICTIMS": VICTIMS, "HWGEN_SEED": seed},
    )
    counts = result.traffic
    assert len(result.runs) == ROUNDS
    assert min(counts[kind] for kind in ("abort", "soft reset", "hard reset")) > ROUNDS // 8
    assert counts["at work"] > ROUNDS // 2
    golden = [one.golden(CORE) for one in kinds]
    for i, place in enumerate(placed[VICTIMS:]):
        assert_layer(place, result.memory, golden[i % len(kinds)], f"round {i} ({goods[i]})")
    image.require_untouched(result.memory)
