"""The three small machines of the everyday episodes, and their random layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwgen.params import Params
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits
from rtl_tests.harness.configurations import accelerator
from rtl_tests.harness.episodes import Episode, queue
from rtl_tests.harness.layers import Layer, layer
from rtl_tests.harness.score_machines import (
    machine,
    score_layer,
)

MACHINES: dict[str, Callable[[], Params]] = {
    "plain": lambda: accelerator("bus of 64"),
    "bounds": lambda: machine("bounds"),
    "documents": lambda: machine("documents"),
}
"""Without a score program; with segments that are derived, sinks and dropout; with listed segments and a bias."""

ABORT, SOFT_RESET, CLEAR_COUNTERS = 1 << 4, 1 << 5, 1 << 6


def layered(name: str, core: Params, layers: list[Layer], memory: MemoryTraits, **how: Any) -> Episode:
    image = Image(core)
    placed = [one.place(image) for one in layers]
    goods = [(place, one.golden(core)) for place, one in zip(placed, layers, strict=True)]
    return queue(name, core, image, [place.descriptor for place in placed], memory, goods=goods, faults=[], **how)


def random_layers(name: str, core: Params, count: int, seed: int) -> list[Layer]:
    rng = np.random.default_rng([seed, len(name)])
    return [layer(rng, core) if name == "plain" else score_layer(rng, name) for _ in range(count)]
