"""The everyday set of episodes on three small machines: all features, all faults, stops at any time, every register."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from golden.bitexact.attention import Result
from hwgen.params import Params
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits
from rtl_tests.harness.episodes import Episode, queue
from rtl_tests.harness.layers import Layer
from rtl_tests.harness.runs import MEMORIES
from rtl_tests.harness.score_machines import BATCHES, HEADS, POSITIONS, dropout_edges, scored
from rtl_tests.system import corner_layers, test_faults
from rtl_tests.system.aimed import lengths, moments, unlisted, windows
from rtl_tests.system.episode_machines import MACHINES, layered, random_layers
from rtl_tests.system.fault_episodes import far_rows, immense, mishaps, plain_faults, poisoned, score_faults
from rtl_tests.system.host_episodes import hasty, left_over, registers, stops


def episodes(name: str) -> list[Episode]:
    """All of one machine, those first that notice most in the least time."""
    core, few = MACHINES[name](), test_faults.MEMORY
    stopped = [*random_layers(name, core, 3, 7), *random_layers(name, core, 2, 8)]
    found = [
        layered("quick", core, random_layers(name, core, 7, 1), MEMORIES["quick"]),
        stops("stops", core, MemoryTraits(latency=10), stopped),
        layered("busy", core, random_layers(name, core, 7, 2), MEMORIES["busy"], places=0x8001),
    ]
    if name == "plain":
        found += [plain_faults(few), registers(core, few), *plain_only(core, few), *mishaps(few)]
    else:
        found += [score_faults(name, few), registers(core, few), *mishaps(few, name)]
        found.append(layered("tables", core, tables(name), MEMORIES["quick"]))
    if name == "bounds":
        edges = dropout_edges(np.random.default_rng(26), name)
        found.append(layered("dropout", core, edges, MEMORIES["quick"]))
        found.append(layered("windows", core, [*windows(core), even_means(core)], few))
    if name == "documents":
        found.append(layered("unlisted", core, unlisted(core), few))
    found += [poisoned(name, few), far_rows(name, few)]
    found.append(layered("distant", core, random_layers(name, core, 3, 3), MEMORIES["distant"]))
    return found


def plain_only(core: Params, few: MemoryTraits) -> Iterator[Episode]:
    """What is asked of the machine without a score program only."""
    c = corner_layers
    even = [c.even_quotients(core, *shape) for shape in ((64, 1, -126, 1), (64, 1, 0, 2), (24, 16, -127, 3))]
    yield layered("scores", core, [*c.ties(core), *c.single_scores(core), c.jumps(core)], few)
    yield layered("quotients", core, [*even, c.divisors(core)], MEMORIES["quick"])
    yield layered("long", core, c.long(core), MEMORIES["narrow"])
    yield layered("narrow", core, c.narrow(core), MEMORIES["quick"])
    yield layered("narrow, slowly", core, c.narrow(core), few)
    yield layered("pages", core, c.pages(core), MemoryTraits(latency=60))
    yield most_heads(core)
    yield from (left_over(core, few), hasty(core, few), immense(few), lengths(few))
    yield moments(core, MemoryTraits(latency=10), test_faults.GOOD, test_faults.GOLDEN)
    yield stops("stops in narrow ones", core, few, [*c.narrow(core)[1:4], *random_layers("plain", core, 2, 8)], 15)


def most_heads(core: Params) -> Episode:
    """As many heads for one key as there can be; the model has one head of as many queries, which is quicker."""
    layer = corner_layers.most_heads(core)
    whole = replace(layer, q=layer.q.swapaxes(1, 2)).golden(core)
    want = Result(*(part.swapaxes(1, 2) for part in whole))
    image = Image(core)
    place = layer.place(image)
    return queue("most heads", core, image, [place.descriptor], MEMORIES["quick"], goods=[(place, want)], faults=[])


def even_means(core: Params) -> Layer:
    """Of machine `bounds`: sinks and keys that weigh a power of two together, all kept as they are."""
    base, sink = corner_layers.even_means(core, HEADS, 13)
    known = {"key_lengths": POSITIONS, "window_first": -POSITIONS, "window_last": POSITIONS, "sinks": sink << 8}
    known |= {"dropout_threshold": 0, "dropout_factor": 1 << 17}
    return scored(np.random.default_rng(46), "bounds", base, **known)


def tables(name: str) -> list[Layer]:
    """All places of all tables of a score program, key lengths of any size; a causal mask where nothing else hides."""
    core, rng = MACHINES[name](), np.random.default_rng(28)
    shapes = (3, 3, 3, POSITIONS, 3, 2, 3), (3, 3, 3, 3, POSITIONS, 2, 3), (1, HEADS, HEADS, 3, 4, 2, 3)
    found = []
    for seed, shape in enumerate(shapes):
        base, lengths = corner_layers.plain(core, seed, *shape), rng.integers(0, shape[4] + 2, BATCHES)
        found.append(scored(rng, name, base, key_lengths=lengths, window_first=-9, window_last=POSITIONS))
    wide = {"key_lengths": POSITIONS, "window_first": -POSITIONS, "window_last": POSITIONS}
    for seed, (group, offset) in enumerate(((1, 0), (1, -3), (3, 2), (2, 5))):
        base = corner_layers.plain(core, 40 + seed, 1, group, 1, 37, 30, 3, 3, causal=True, offset=offset)
        found.append(scored(rng, name, base, **wide))
    # Many keys that weigh the same.
    same = corner_layers.plain(core, 44, 1, 2, 2, 3, POSITIONS, 2, 3)
    same = scored(rng, name, replace(same, q=same.q & 0), **wide, relative_bias=0, document_ids=0)
    return [*found, same, scored(rng, name, corner_layers.odd_rows(core), **wide)]
