"""Short episodes, each aimed at something that random ones seldom meet: a stop in every cycle of the queue's work, key
lengths that are too large, slots that see nothing beside others that do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from golden.bitexact.attention import Result
from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.control.faults import Fault
from hwgen.params import Params
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits
from rtl_tests.harness.episodes import Episode, Script, queue, ring_of
from rtl_tests.harness.layers import Layer, stack
from rtl_tests.harness.score_machines import scored
from rtl_tests.system import test_faults

ABORT, SOFT_RESET = 1 << 4, 1 << 5
AT_REST = "poll 36 17"
"""Until STATUS says that nothing is to be done."""


def moments(core: Params, memory: MemoryTraits, layer: Layer, golden: Result) -> Episode:
    """A soft reset one cycle later every time while the queue finds that it has been told more than the ring holds, and
    an abort while a descriptor begins to run."""
    image, script = Image(core), Script(core)
    victim, last = layer.place(image), layer.place(image)
    refused = replace(victim.descriptor, magic=0)
    descriptors = [refused, victim.descriptor, last.descriptor]
    rings = [ring_of(image, descriptors) + i * DESCRIPTOR_BYTES for i in range(len(descriptors))]
    for moment in range(40, 80):
        script.prepare(rings[0], 1).write("QUEUE_TAIL", 1).write("QUEUE_TAIL", 3).add(f"go {moment}")
        script.write("CONTROL", SOFT_RESET).add(AT_REST).read("QUEUE_HEAD", "STATUS", "ERROR_CODE")
    for moment in range(115, 160):
        script.prepare(rings[1], 1).write("QUEUE_TAIL", 1).add(f"go {moment}").write("CONTROL", ABORT).add(AT_REST)
        script.read("QUEUE_HEAD", "STATUS", "ERROR_CODE", "ERROR_ADDRESS", "ERROR_COUNT")
        script.write("CONTROL", SOFT_RESET).add(AT_REST)
    script.prepare(rings[2], 1).serve([1])
    return Episode("moments", core, image, descriptors, script.lines, memory, [(last, golden)])


def lengths(memory: MemoryTraits) -> Episode:
    """Key lengths beyond the keys there are, in the first and in the last batch."""
    made, expected = test_faults.Queue(), []
    for numbers, which in (((6, 5), 0), ((5, 6), 1), ((0, 1 << 31), 1), ((0xFFFFFFFF, 0), 0)):
        bad = test_faults.replace_lengths(test_faults.VICTIMS["lengths"], numbers).place(made.image).descriptor
        expected.append((Fault.KEY_LENGTH, len(made.descriptors), bad.key_lengths_address + 4 * which))
        made.add(bad)
    goods = [(place, test_faults.GOLDEN) for place in made.goods]
    tails = range(2, len(made.descriptors) + 1, 2)
    return queue("lengths", test_faults.CORE, made.image, made.descriptors, memory, tails, goods=goods, faults=expected)


def square(rng: np.random.Generator, core: Params, length: int, **masks: Any) -> Layer:
    """One head with as many keys as queries."""
    tensors = (stack(rng, (1, 1, length, size), core) for size in (core.config.head_e,) * 2 + (core.config.head_f,))
    return Layer(*tensors, scale=0.3, **masks)


def windows(core: Params) -> list[Layer]:
    """Of machine `bounds`: a window before the query, so that the first slots see nothing; one around it, for which
    every block goes back in packed rows."""
    rng, layers = np.random.default_rng(12), []
    for first, last in ((-40, -6), (-3, 2)):
        base = scored(rng, "bounds", square(rng, core, 40), window_first=first, window_last=last)
        assert base.score is not None
        everything = {n: np.full_like(a, 40) if "length" in n else a for n, a in base.score.arguments.items()}
        layers.append(replace(base, score=replace(base.score, arguments=everything)))
    return layers


def unlisted(core: Params) -> list[Layer]:
    """Of machine `documents`: no list, a first block that sees nothing, and blocks whose slots leave one by one."""
    rng = np.random.default_rng(13)
    return [scored(rng, "documents", square(rng, core, 3 * core.block, causal=True, offset=-core.block))]
