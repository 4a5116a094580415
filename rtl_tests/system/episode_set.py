"""The everyday set of episodes on three small machines: all features, all faults, stops at any time, every register."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from golden.formats import encode
from hwgen.control.descriptor import DESCRIPTOR_BYTES, PLACES, pack
from hwgen.control.register_map import Access, register_map
from hwgen.params import Params
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits
from rtl_tests.harness.configurations import accelerator
from rtl_tests.harness.episodes import Episode, Script, behind_resets, queue, ring_of
from rtl_tests.harness.layers import Layer, layer, stack
from rtl_tests.harness.runs import MEMORIES
from rtl_tests.harness.score_machines import machine, score_layer
from rtl_tests.system import test_faults, test_score_faults

MACHINES: dict[str, Callable[[], Params]] = {
    "plain": lambda: accelerator("bus of 64"),
    "bounds": lambda: machine("bounds"),
    "documents": lambda: machine("documents"),
}
"""Without a score program; with segments that are derived, sinks and dropout; with listed segments and a bias."""

ABORT, SOFT_RESET, CLEAR_COUNTERS = 1 << 4, 1 << 5, 1 << 6


def _layers(name: str, core: Params, layers: list[Layer], memory: MemoryTraits) -> Episode:
    image = Image(core)
    placed = [one.place(image) for one in layers]
    goods = [(place, one.golden(core)) for place, one in zip(placed, layers, strict=True)]
    return queue(name, core, image, [place.descriptor for place in placed], memory, goods=goods, faults=[])


def _random(name: str, core: Params, count: int, seed: int) -> list[Layer]:
    rng = np.random.default_rng([seed, len(name)])
    return [layer(rng, core) if name == "plain" else score_layer(rng, name) for _ in range(count)]


def ties(core: Params) -> list[Layer]:
    """Scores that lie half way between two that can be told apart, and those around the largest and smallest."""
    rng = np.random.default_rng(4)
    unit = math.log(2.0)  # so that a score is the product of its q and k in units of base 2
    layers = []
    # With odd numbers on both sides every product is a tie, and rows of any size need every shift.
    for power, first, step in (
        (-15, -255, 8),
        (-15, 1, 2),
        (-16, -200, 3),
        (0, -2100, 64),
        (0, 2048 - 40, 1),
        (3, -16, 1),
    ):
        k = np.arange(first, first + 64 * step, step, dtype=np.float64).reshape(1, 1, 64, 1)
        q = np.array([1.0, -1.0, 0.5, 3.0, 0.0, 7.0, -15.0, 31.0, -61.0, 127.0, 255.0]).reshape(1, 1, 11, 1)
        codes = encode(q, core.input), encode(k, core.input), stack(rng, (1, 1, 64, 3), core)
        layers.append(Layer(*codes, scale=2.0**power * unit))
    return layers


def jumps(core: Params) -> Layer:
    """Many equal keys, one whose score is larger by the query's number, and smaller ones again: sums are shifted by
    every amount that there is, and weights too."""
    rng = np.random.default_rng(10)
    q = np.arange(70.0).reshape(1, 1, -1, 1)
    k = np.repeat([0.0, 1.0, 2.0, 0.0], (40, 1, 1, 2)).reshape(1, 1, -1, 1)
    return Layer(encode(q, core.input), encode(k, core.input), stack(rng, (1, 1, 44, 3), core), scale=math.log(2.0))


def most_heads(core: Params) -> Layer:
    """As many heads for one key as there can be."""
    rng = np.random.default_rng(11)
    tensors = (stack(rng, (1, heads, 1, 1), core) for heads in (4096, 1, 1))
    return Layer(*tensors, scale=1.0, lse=False)


def long(core: Params) -> list[Layer]:
    """More keys than the buffers hold, read once for every block; one query of many heads; many blocks of few keys."""
    rng, c = np.random.default_rng(5), core.config
    layers = []
    for heads, length, keys, causal in ((1, 2 * core.block + 3, 70, True), (7, 1, 150, False), (3, 60, 3, False)):
        shapes = (1, heads, length, c.head_e), (1, 1, keys, c.head_e), (1, 1, keys, c.head_f)
        tensors = (stack(rng, shape, core) for shape in shapes)
        layers.append(Layer(*tensors, scale=0.4, causal=causal, offset=5))
    return layers


def plain_faults(memory: MemoryTraits) -> Episode:
    """Every field that can be wrong, a good descriptor behind each."""
    made = test_faults.Queue()
    base = test_faults.victim(8).place(made.image).descriptor
    for _, _, _, change in test_faults.FIELDS:
        made.add(replace(base, **(change(base) if callable(change) else change)))
    want = [
        (code, 2 * i, made.address(2 * i) + PLACES[field].offset + behind)
        for i, (code, field, behind, _) in enumerate(test_faults.FIELDS)
    ]
    goods = [(place, test_faults.GOLDEN) for place in made.goods]
    tails = range(2, len(made.descriptors) + 1, 2)
    return queue("faults", test_faults.CORE, made.image, made.descriptors, memory, tails, goods=goods, faults=want)


def mishaps(memory: MemoryTraits) -> Iterator[Episode]:
    """A beat or a burst goes wrong."""
    for seed, (code, mishap) in enumerate(test_faults.MISHAPS):
        made = test_faults.Queue()
        for victim in test_faults.VICTIMS.values():
            made.add(victim.place(made.image).descriptor)
        traits = replace(memory, faults=mishap, seed=seed)
        goods = [(place, test_faults.GOLDEN) for place in made.goods]
        name = f"mishap {seed} ({code.name})"
        yield behind_resets(name, test_faults.CORE, made.image, made.descriptors, traits, 2, goods=goods)


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


def stops(name: str, core: Params, memory: MemoryTraits, rounds: int = 36) -> Episode:
    """Abort, soft and hard reset of a descriptor at work, another one behind each."""
    rng = np.random.default_rng(6)
    victims, kinds = _random(name, core, 3, 7), _random(name, core, 2, 8)
    image, script = Image(core), Script(core)
    descriptors = [one.place(image).descriptor for one in victims]
    golden = [one.golden(core) for one in kinds]
    places = [kinds[i % 2].place(image) for i in range(rounds)]
    ring = ring_of(image, descriptors + [place.descriptor for place in places])
    script.prepare(ring, 1)
    tail = 0
    for i in range(rounds):
        kind = ("abort", "soft reset", "hard reset")[i % 3]
        tail += 1
        script.write("QUEUE_BASE", ring + DESCRIPTOR_BYTES * int(rng.integers(3))).write("QUEUE_TAIL", tail)
        script.add(f"go {int(2.0 ** rng.uniform(0, 11))}")
        if kind == "abort":
            script.write("CONTROL", ABORT).add("interrupt", "poll 36 17")
            script.read("QUEUE_HEAD", "INTERRUPT_STATUS", "ERROR_CODE", "ERROR_INDEX", "ERROR_ADDRESS")
            script.write("INTERRUPT_STATUS", 3).read("CONTROL")
        else:
            if kind == "soft reset":
                script.write("CONTROL", SOFT_RESET)
                if i % 2:
                    script.add("poll 36 17").read(*(r.name for r in register_map(core) if r.address < 0x40))
            else:
                script.add(f"reset {1 + i % 5}")
            script.prepare(ring, 1)
            tail = 0
        tail += 1
        script.write("QUEUE_BASE", ring + DESCRIPTOR_BYTES * (3 + i)).serve([tail])
    descriptors += [place.descriptor for place in places]
    goods = [(place, golden[i % 2]) for i, place in enumerate(places)]
    return Episode("stops", core, image, descriptors, script.lines, memory, goods)


def registers(core: Params, memory: MemoryTraits) -> Episode:
    """Every word is read and written byte by byte, at rest and with descriptors; interrupts behind each mask."""
    one = _random("plain", core, 1, 9)[0] if core.score is None else score_layer(np.random.default_rng(9), "bounds")
    image, script = Image(core), Script(core)
    place = one.place(image)
    ring = ring_of(image, [place.descriptor])
    script.lines += [f"read {address}" for address in (*range(0, 0x80, 4), 0x1F8, 0x1FC, 0x31C, 0x320, 0xFFC)]
    writable = [r for r in register_map(core) if any(f.access is Access.READ_WRITE for f in r.fields)]
    for pattern in (0xFFFFFFFF, 0x00000000, 0xA5C396F0):
        for register in writable:
            if register.name != "QUEUE_TAIL":
                for word in range(register.words):
                    at = register.address + 4 * word
                    script.lines += [
                        line
                        for strobe in (1, 2, 4, 8, 0, 15)
                        for line in (f"write {at} {pattern ^ strobe * 0x01010101} {strobe}", f"read {at}")
                    ]
    # Where there is nothing to write.
    script.lines += [
        f"write {address} 4294967295 15" for address in (0x20, 0x24, 0x28, 0x40, 0x74, 0x200, 0x7FC, 0xFFC)
    ]
    script.prepare(ring, 1)
    tail = 0
    for enabled, outer in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 1)):
        tail += 1
        script.write("INTERRUPT_ENABLE", enabled).write("GLOBAL_INTERRUPT_ENABLE", outer)
        script.write("QUEUE_TAIL", tail).read("CONTROL").add("poll 36 17", "go 40", "pin")
        script.read("CONTROL", "CONTROL", "STATUS", "QUEUE_HEAD", "QUEUE_TAIL", "INTERRUPT_STATUS")
        script.write("INTERRUPT_STATUS", 2).add("pin").write("INTERRUPT_STATUS", 1, strobe=14).add("pin")
        script.write("INTERRUPT_STATUS", 1).add("pin").read("INTERRUPT_STATUS")
    # A start with nothing to do; an abort and a clearing of counters at rest; too many descriptors.
    script.write("CONTROL", 1).add("go 40", "pin").read("CONTROL", "INTERRUPT_STATUS").write("INTERRUPT_STATUS", 3)
    script.counters().write("CONTROL", CLEAR_COUNTERS).add("go 200").counters().read("STATUS")
    script.write("CONTROL", ABORT).add("go 40").read("CONTROL", "INTERRUPT_STATUS", "ERROR_CODE", "STATUS")
    script.write("INTERRUPT_STATUS", 3).write("QUEUE_TAIL", tail + 3).add("go 60", "pin")
    script.read("INTERRUPT_STATUS", "ERROR_CODE", "ERROR_INDEX", "ERROR_ADDRESS", "ERROR_COUNT", "STATUS", "CONTROL")
    script.write("CONTROL", SOFT_RESET).add("poll 36 17").read("ERROR_COUNT", "QUEUE_HEAD", "QUEUE_TAIL", "ERROR_CODE")
    return Episode("registers", core, image, [place.descriptor], script.lines, memory)


def episodes(name: str) -> list[Episode]:
    """All of one machine, those first that notice most in the least time."""
    core, few = MACHINES[name](), test_faults.MEMORY
    found = [
        _layers("quick", core, _random(name, core, 7, 1), MEMORIES["quick"]),
        stops(name, core, MemoryTraits(latency=10)),
        _layers("busy", core, _random(name, core, 7, 2), MEMORIES["busy"]),
    ]
    if name == "plain":
        found += [plain_faults(few), registers(core, few), _layers("scores", core, [*ties(core), jumps(core)], few)]
        found += [_layers("long", core, long(core), MEMORIES["narrow"])]
        found += [_layers("most heads", core, [most_heads(core)], MEMORIES["quick"])]
        found += [*mishaps(few)]
    else:
        found.append(score_faults(name, few) if core.has_bias else registers(core, few))
    found.append(_layers("distant", core, _random(name, core, 3, 3), MEMORIES["distant"]))
    return found
