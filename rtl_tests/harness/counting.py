"""What the accelerator's counters say of a problem, and how that differs from what the model says."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden.formats import encode
from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.model.machine import Memory, Prediction
from hwgen.model.placing import places
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.sim.layer import run_placed
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits, SystemBuild, build_system, memory_bits_for
from rtl_tests.harness.runs import MEMORY_BITS

EARLY = ("value_idle_fill", "value_idle_no_job")
"""Causes of the value array, late by its pipeline: with the first descriptor behind a reset some of the cycles before
it still count as FILL, as that is what a pipeline holds that was reset. Their sum is what it always is."""

WORTH_A_FAST_BUILD = 512
"""Multipliers from which compiling for speed takes less time than it saves."""


def builder(params: Params, work: Work) -> SystemBuild:
    """The simulator of a machine, which other tests build too where they have the same one; with a larger memory if the
    problem does not fit the usual one."""
    size = places(params, work).ring + 2 * DESCRIPTOR_BYTES
    bits = max(MEMORY_BITS, memory_bits_for(size))
    return build_system(params, memory_bits=bits, fast=params.macs >= WORTH_A_FAST_BUILD)


def measured(build: SystemBuild, work: Work, memory: Memory, seed: int = 1) -> dict[str, int]:
    """The counters behind one descriptor with normally distributed tensors. Raises SimulationError if it fails."""
    s, rng = work.shape, np.random.default_rng(seed)
    sizes = (s.B, s.Hq, s.L, s.E), (s.B, s.Hkv, s.S, s.E), (s.B, s.Hkv, s.S, s.F)
    tensors = [encode(rng.standard_normal(size), build.params.input) for size in sizes]
    masks: dict[str, Any] = {"causal": work.causal, "offset": work.offset}
    if work.key_lengths is not None:
        masks["key_lengths"] = np.array(work.key_lengths)
    image = Image(build.params)
    scale = build.params.numerics.encode_scale(s.E**-0.5)
    placed = image.add(*tensors, scale=scale, lse=work.lse, **masks)
    traits = MemoryTraits(latency=memory.latency, bandwidth=memory.bandwidth)
    _, result = run_placed(build, image, placed, memory=traits)
    return result.last.counters


def differences(prediction: Prediction, counters: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Of every counter that is not what the model says: (model, measured)."""

    def joined(values: dict[str, int]) -> dict[str, int]:
        rest = {name: value for name, value in values.items() if name not in EARLY}
        return rest | {" + ".join(EARLY): sum(values[name] for name in EARLY)}

    model, rtl = joined(prediction.counters), joined(counters)
    return {name: (model[name], value) for name, value in rtl.items() if model[name] != value}
