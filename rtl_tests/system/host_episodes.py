"""Episodes in which the host does more than wait: it stops, resets, reads and writes all the time."""

from __future__ import annotations

import numpy as np

from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.control.register_map import Access, counter_names, register_map
from hwgen.params import Params
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits
from rtl_tests.harness.episodes import Episode, Script, ring_of
from rtl_tests.harness.layers import Layer
from rtl_tests.system import corner_layers
from rtl_tests.system.episode_machines import ABORT, CLEAR_COUNTERS, MACHINES, SOFT_RESET, random_layers


def registers(core: Params, memory: MemoryTraits) -> Episode:
    """Every word is read and written byte by byte, at rest and with descriptors; interrupts behind each mask."""
    name = next(name for name, make in MACHINES.items() if make() == core)
    (one,) = random_layers(name, core, 1, 9)
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
    script.counters().write("CONTROL", CLEAR_COUNTERS).add("go 200").counters().read("STATUS").serve([tail + 1])
    tail += 1
    script.write("CONTROL", ABORT).add("go 40").read("CONTROL", "INTERRUPT_STATUS", "ERROR_CODE", "STATUS")
    script.write("INTERRUPT_STATUS", 3).write("QUEUE_TAIL", tail + 3).add("go 60", "pin")
    script.read("INTERRUPT_STATUS", "ERROR_CODE", "ERROR_INDEX", "ERROR_ADDRESS", "ERROR_COUNT", "STATUS", "CONTROL")
    script.write("CONTROL", SOFT_RESET).add("poll 36 17").read("ERROR_COUNT", "QUEUE_HEAD", "QUEUE_TAIL", "ERROR_CODE")
    # A reset while counters are copied.
    script.prepare(ring, 1).write("QUEUE_TAIL", 1).add("interrupt", "reset 1").read("STATUS").add("poll 36 17")
    return Episode("registers", core, image, [place.descriptor], script.lines, memory)


def stops(title: str, core: Params, memory: MemoryTraits, layers: list[Layer], rounds: int = 36) -> Episode:
    """Abort, soft and hard reset of a descriptor at work, another one behind each; the first three are stopped."""
    rng = np.random.default_rng(6)
    victims, kinds = layers[:3], layers[3:5]
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
            script.write("CONTROL", ABORT)
            if i % 2:
                # A start while the abort is done.
                script.write("CONTROL", 1)
            script.add("interrupt", "poll 36 17")
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
    return Episode(title, core, image, descriptors, script.lines, memory, goods)


def hasty(core: Params, memory: MemoryTraits, count: int = 24, reads: int = 70) -> Episode:
    """A host that reads all the time, counters that are being copied too."""
    rng = np.random.default_rng(25)
    image, script = Image(core), Script(core)
    layers = [corner_layers.plain(core, seed, 1, 1, 1, 3, 1 + seed, 2, 3) for seed in range(3)]
    golden = [one.golden(core) for one in layers]
    placed = [layers[i % len(layers)].place(image) for i in range(count)]
    descriptors = [place.descriptor for place in placed]
    script.prepare(ring_of(image, descriptors), count)
    names = [f"COUNTER_{name.upper()}" for name in counter_names()]
    for tail in range(1, count + 1):
        script.write("QUEUE_TAIL", tail)
        for i in rng.integers(len(names), size=reads):
            script.read(*(("STATUS", "QUEUE_HEAD", "INTERRUPT_STATUS") if i == 0 else (names[i],)))
        script.serve([tail])
    goods = [(place, golden[i % len(layers)]) for i, place in enumerate(placed)]
    return Episode("hasty", core, image, descriptors, script.lines, memory, goods, [])


def left_over(core: Params, memory: MemoryTraits) -> Episode:
    """What a block leaves in columns that the next one does not use is nobody's: no status bit tells of it."""
    full, single = corner_layers.left_over(core)
    image, script = Image(core), Script(core)
    layers = [one for first in full for one in (first, *single)]
    placed = [one.place(image) for one in layers]
    descriptors = [place.descriptor for place in placed]
    script.prepare(ring_of(image, descriptors), len(descriptors))
    for tail in range(0, len(layers), 1 + len(single)):
        script.serve([tail + 1]).write("CONTROL", CLEAR_COUNTERS).read("STATUS").serve([tail + 1 + len(single)])
    goods = [(place, one.golden(core)) for place, one in zip(placed, layers, strict=True)]
    return Episode("left over", core, image, descriptors, script.lines, memory, goods, [])
