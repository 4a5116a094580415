"""Episodes in which descriptors, records, rows, lists or the bus are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.control.descriptor import DESCRIPTOR_BYTES, KEY_LENGTH_BYTES, MAX_COUNT, PLACES, STRIDES, TENSORS, pack
from hwgen.control.faults import Fault
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits
from rtl_tests.harness.episodes import Episode, Script, behind_resets, queue, ring_of
from rtl_tests.harness.jobs import poison
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.harness.score_machines import (
    POSITIONS,
    scored,
)
from rtl_tests.system import corner_layers, test_faults, test_score_faults
from rtl_tests.system.episode_machines import ABORT, CLEAR_COUNTERS, MACHINES, random_layers


def plain_faults(memory: MemoryTraits) -> Episode:
    """Every field and every key length that can be wrong, a good descriptor behind each."""
    made = test_faults.Queue()
    base = test_faults.victim(8).place(made.image).descriptor
    found = []
    for code, field, behind, change in test_faults.FIELDS:
        found.append((code, PLACES[field].offset + behind))
        made.add(replace(base, **(change(base) if callable(change) else change)))
    places = []
    for lengths in ((6, 5), (5, 6), (0, 1 << 31), (0xFFFFFFFF, 0)):
        bad = test_faults.replace_lengths(test_faults.VICTIMS["lengths"], lengths).place(made.image).descriptor
        which = next(i for i, length in enumerate(lengths) if length > bad.keys)
        places.append((Fault.KEY_LENGTH, len(made.descriptors), bad.key_lengths_address + KEY_LENGTH_BYTES * which))
        made.add(bad)
    want = [(code, 2 * i, made.address(2 * i) + offset) for i, (code, offset) in enumerate(found)] + places
    goods = [(place, test_faults.GOLDEN) for place in made.goods]
    tails = range(2, len(made.descriptors) + 1, 2)
    return queue("faults", test_faults.CORE, made.image, made.descriptors, memory, tails, goods=goods, faults=want)


def score_faults(name: str, memory: MemoryTraits) -> Episode:
    """Every word of a record and of a list that can be wrong, a good descriptor behind each."""
    made = test_score_faults.Queue(name)
    test_score_faults.add_descriptors(made)
    test_score_faults.add_records(made)
    test_score_faults.add_places(made)
    segments = made.layers[-1].score.segments
    if segments is not None:
        for raw, which in test_score_faults.bad_lists(segments, made.core):
            made.segments(raw, test_score_faults.Fault.SEGMENT, which)
    _, ring = made.image.with_ring([pack(one) for one in made.descriptors])
    want = [
        (code, 2 * i, address + inside * (ring + 2 * i * DESCRIPTOR_BYTES))
        for i, (code, address, inside) in enumerate(made.expected)
    ]
    golden = [one.golden(made.core) for one in made.layers]
    goods = [(place, golden[kind]) for kind, place in made.goods]
    tails = range(2, len(made.descriptors) + 1, 2)
    return queue("score faults", made.core, made.image, made.descriptors, memory, tails, goods=goods, faults=want)


NO_MISHAPS = [
    (Fault.NONE, {"read_fault_beat": test_faults.DESCRIPTOR_BEATS + 60, "response": 1}),
    (Fault.NONE, {"write_fault_burst": 1, "response": 1}),
]
"""EXOKAY is no error."""


EARLY = (0, 1, 3, 4, 6, 9, 12)
"""Mishaps that happen to the first descriptor, however wide the bus is."""


LATE_WORDS = [(Fault.READ_RESPONSE, {"read_fault_beat": beat, "response": 2}) for beat in (3, 4)]
"""The third and the fourth word of a burst."""


def mishaps(memory: MemoryTraits, name: str = "plain") -> Iterator[Episode]:
    """A beat or a burst goes wrong."""
    core = MACHINES[name]()
    victims, good = list(test_faults.VICTIMS.values()), (test_faults.GOOD, test_faults.GOLDEN)
    if name != "plain":
        *victims, last = random_layers(name, core, 3, 27)
        good = last, last.golden(core)
    several = [*test_faults.MISHAPS, *NO_MISHAPS, *LATE_WORDS]
    for seed, (code, mishap) in enumerate(several):
        early = seed in EARLY or mishap in [late for _, late in LATE_WORDS]
        if name != "plain" and code and not early:
            continue
        image, descriptors, goods = Image(core), [], []
        for victim in victims:
            goods.append((good[0].place(image), good[1]))
            descriptors += [victim.place(image).descriptor, goods[-1][0].descriptor]
        traits = replace(memory, faults=mishap, seed=seed)
        yield behind_resets(f"mishap {seed} ({code.name})", core, image, descriptors, traits, 2, goods=goods)


def immense(memory: MemoryTraits) -> Episode:
    """As many keys, queries, heads and batches as there may be, from rows that all lie in one place, to where nothing
    answers. Each is stopped after a while if it does not end by itself; a good one behind it."""
    core, made = test_faults.CORE, test_faults.Queue()
    end = made.image.base + (1 << MEMORY_BITS)
    script = Script(core)
    same = {f"{name}_strides": (0, 0, 0) for name in "qkv"}
    base = replace(corner_layers.plain(core, 24, 1, 1, 1, 1, 1, 1, 1).place(made.image).descriptor, **same)
    apart: dict[str, Any] = {"o_address": end, "o_strides": (1 << 34, 1 << 24, 4)}
    apart |= {"lse_address": end, "lse_strides": (1 << 34, 1 << 24, 8)}
    many, most = 1 << 20, MAX_COUNT
    cases = [
        ({"keys": many}, 6),
        ({"keys": many, "causal": 1, "offset": many - 1}, 3),
        ({"queries": many, "keys": 2, "write_lse": 0}, 1),
        ({"queries": many, "causal": 1, "offset": 1 - many, "keys": many}, 2),
        ({"query_heads": 4096, "queries": 1 << 14}, 1),
        ({"query_heads": most, "kv_heads": most, "keys": 50}, 1),
        ({"batches": most - 1}, 1),
    ]
    for change, _ in cases:
        made.add(replace(base, **apart | change))
    script.prepare(made.ring, len(made.descriptors))
    for i, (_, thousands) in enumerate(cases):
        script.write("QUEUE_TAIL", 2 * i + 1)
        for _ in range(thousands):
            script.add("go 1000").read("STATUS")
        script.read("STATUS", "QUEUE_HEAD", "INTERRUPT_STATUS", "ERROR_CODE", "ERROR_ADDRESS").add("traffic")
        script.write("CONTROL", ABORT).add("interrupt", "poll 36 17")
        script.read("QUEUE_HEAD", "INTERRUPT_STATUS", "ERROR_CODE", "ERROR_INDEX", "ERROR_ADDRESS").counters()
        script.write("INTERRUPT_STATUS", 3).read("CONTROL").serve([2 * i + 2])
    goods = [(place, test_faults.GOLDEN) for place in made.goods]
    return Episode("immense", core, made.image, made.descriptors, script.lines, memory, goods)


def far_rows(name: str, memory: MemoryTraits) -> Episode:
    """The second batch, head or row of a tensor lies half of all addresses away, where nothing answers; key lengths of
    more keys than there are."""
    core, rng = MACHINES[name](), np.random.default_rng(31)
    image, descriptors, goods = Image(core), [], []
    bases = [corner_layers.plain(core, 32 + i, 2, 2, 2, 3, 3, 3, 3) for i in range(2)]
    if name != "plain":
        bases = [scored(rng, name, base, key_lengths=9) for base in bases]
    good, golden = bases[1], bases[1].golden(core)
    victim = bases[0].place(image).descriptor
    for tensor in TENSORS:
        for i in range(len(STRIDES)):
            strides = list(getattr(victim, f"{tensor}_strides"))
            strides[i] = 1 << core.config.address_bits - 1
            goods.append((good.place(image), golden))
            descriptors += [replace(victim, **{f"{tensor}_strides": tuple(strides)}), goods[-1][0].descriptor]
    for lengths in ((4, 0), (0, 1 << 31)):
        bad = replace(bases[0], lengths=np.array(lengths, dtype=np.uint32)).place(image).descriptor
        goods.append((good.place(image), golden))
        descriptors += [bad, goods[-1][0].descriptor]
    tails = range(2, len(descriptors) + 1, 2)
    return queue("far rows", core, image, descriptors, memory, tails, goods=goods)


def poisoned(name: str, memory: MemoryTraits) -> Episode:
    """A row without a number, of Q, of K or of V: of all that it touches only that is told."""
    core, rng = MACHINES[name](), np.random.default_rng(29)
    image, script, layers = Image(core), Script(core), []
    for tensor in "qkv":
        base = corner_layers.plain(core, 30, 1, 2, 1, 5, 6, 3, 3)
        rows = getattr(base, tensor).copy()
        poison(rng, rows.reshape(-1, rows.shape[-1]), 1, core)
        base = replace(base, scale=0.01, **{tensor: rows})
        wide = {"key_lengths": POSITIONS, "window_first": -POSITIONS, "window_last": POSITIONS}
        layers.append(base if name == "plain" else scored(rng, name, base, **wide))
    placed = [one.place(image) for one in layers]
    descriptors = [place.descriptor for place in placed]
    script.prepare(ring_of(image, descriptors), len(descriptors))
    for tail in range(1, len(layers) + 1):
        script.serve([tail]).write("CONTROL", CLEAR_COUNTERS).read("STATUS")
    goods = [(place, one.golden(core)) for place, one in zip(placed, layers, strict=True)]
    return Episode("poisoned", core, image, descriptors, script.lines, memory, goods, [])
