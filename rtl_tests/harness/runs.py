"""Layers on the simulated accelerator, and what has to hold of every run."""

from __future__ import annotations

from hwgen.control.causes import Cause
from hwgen.control.descriptor import LSE_BYTES
from hwgen.params import Params
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits, SystemResult, build_system, run_system
from rtl_tests.harness.layers import Layer, assert_layer

MEMORY_BITS = 20

MEMORIES = {
    "quick": MemoryTraits(latency=0, seed=2),
    "distant": MemoryTraits(latency=500, stall=20, seed=3),
    "busy": MemoryTraits(latency=30, stall={"aw": 120, "w": 90, "b": 60, "ar": 150, "r": 90}, lite_stall=100, seed=4),
    "narrow": MemoryTraits(latency=100, bandwidth=60, aw_waits=True, seed=5),
}


def run(core: Params, layers: list[Layer], memory: MemoryTraits, tails: list[int] | None = None) -> SystemResult:
    """All layers as one queue. Every bit is compared, the counters have to add up."""
    image = Image(core)
    placed = [one.place(image) for one in layers]
    build = build_system(core, memory_bits=MEMORY_BITS, fast=False)
    result = run_system(build, image, [p.descriptor for p in placed], memory=memory, tails=tails)
    result.require_faultless()
    image.require_untouched(result.memory)
    golden = [one.golden(core) for one in layers]
    for i, (place, want) in enumerate(zip(placed, golden, strict=True)):
        assert_layer(place, result.memory, want, f"layer {i} ({layers[i]})")
    flags = (result.last.saturated, result.last.poisoned)
    assert flags == tuple(any(bool(getattr(want, name).any()) for want in golden) for name in ("saturated", "poisoned"))
    return result


def assert_counters(core: Params, layers: list[Layer], result: SystemResult) -> None:
    """Of all layers since reset."""
    counters, traffic = result.last.counters, result.traffic
    assert counters["descriptors"] == len(layers)
    assert counters["jobs"] == sum(one.k.shape[0] * one.k.shape[1] for one in layers)
    assert counters["heads"] == sum(one.q.shape[0] * one.q.shape[1] for one in layers)
    assert counters["pairs"] == sum(one.pairs for one in layers)
    for array in ("score", "value"):
        idle = sum(counters[f"{array}_idle_{cause.name.lower()}"] for cause in Cause)
        assert counters[f"{array}_busy"] + idle == counters["cycles"]
    read = sum(value for name, value in counters.items() if name.startswith("read_bytes_"))
    written = sum(counters[f"written_bytes_{name}"] for name in ("o", "lse"))
    assert (read, written) == (traffic["read_beats"] * core.bus_bytes, traffic["write_beats"] * core.bus_bytes)
    lse = sum(one.q[..., 0].size for one in layers if one.lse) * LSE_BYTES
    # A record that is not aligned to a word takes two.
    assert lse <= counters["written_bytes_lse"] <= 2 * lse * max(1, core.bus_bytes // LSE_BYTES)
    assert (counters["poisoned_rows"] > 0) >= result.last.poisoned
