"""Everything that can be wrong with a descriptor or happen on the bus: it is reported with its place, and the good
descriptor behind it is right in every bit, without a reset."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.control.descriptor import DESCRIPTOR_BYTES, PLACES, STRIDES, TENSORS, Descriptor, pack
from hwgen.control.descriptor_rules import tensors
from hwgen.control.faults import Fault
from hwgen.sim.layout import Image, Placed, arrangements
from hwgen.sim.system import FaultReport, MemoryTraits, SystemResult, build_system, run_system
from rtl_tests.harness.configurations import accelerator
from rtl_tests.harness.layers import Layer, assert_layer, stack

# One of the machines of test_accelerator, so that no other has to be built.
CORE = accelerator("bus of 64")
MEMORY_BITS = 20
WORD = CORE.bus_bytes
SPACE = 1 << CORE.config.address_bits
DESCRIPTOR_BEATS = DESCRIPTOR_BYTES // WORD

MEMORY = MemoryTraits(latency=20, stall={"aw": 60, "w": 40, "b": 40, "ar": 60, "r": 40}, seed=3)

Change = dict[str, Any] | Callable[[Descriptor], dict[str, Any]]

# Fault, the field it is found in, bytes from the field's first to the one that is reported, what is changed.
FIELDS: list[tuple[Fault, str, int, Change]] = [
    (Fault.VERSION, "magic", 0, {"magic": 0x48574102}),
    (Fault.VERSION, "magic", 0, {"magic": 0}),
    (Fault.RESERVED, "reserved_flags", 0, {"reserved_flags": 1}),
    (Fault.RESERVED, "reserved", 0, {"reserved": 1 << 31}),
    (Fault.RESERVED, "tail", 0, {"tail": (1, 0, 0, 0, 0, 0)}),
    *((Fault.RESERVED, "tail", 4 * i, {"tail": tuple((1 << 31) * (i == j) for j in range(6))}) for i in range(1, 6)),
    (Fault.RESERVED, "listed", 0, {"listed": 1}),
    (Fault.RESERVED, "score_address", 0, {"score_address": 8}),
    (Fault.RESERVED, "score_address", 4, {"score_address": 1 << 63}),
    (Fault.FORMAT, "in_format", 0, {"in_format": 1}),
    (Fault.FORMAT, "in_format", 0, {"out_format": 0}),
    (Fault.FORMAT, "in_format", 0, {"reserved_formats": 1}),
    (Fault.DIMENSION, "batches", 0, {"batches": 0}),
    (Fault.DIMENSION, "batches", 0, {"batches": 65536}),
    (Fault.DIMENSION, "query_heads", 0, {"query_heads": 0}),
    (Fault.DIMENSION, "kv_heads", 0, {"kv_heads": 0}),
    (Fault.DIMENSION, "queries", 0, {"queries": 0}),
    (Fault.DIMENSION, "queries", 0, {"queries": (1 << 20) + 1}),
    (Fault.DIMENSION, "keys", 0, {"keys": 0}),
    (Fault.DIMENSION, "keys", 0, {"keys": (1 << 20) + 1}),
    (Fault.DIMENSION, "head_e", 0, {"head_e": 0}),
    (Fault.DIMENSION, "head_e", 0, {"head_e": CORE.config.head_e + 1}),
    (Fault.DIMENSION, "head_f", 0, {"head_f": 0}),
    (Fault.DIMENSION, "head_f", 0, {"head_f": CORE.config.head_f + 1}),
    (Fault.DIMENSION, "queries", 0, {"query_heads": 4096, "kv_heads": 1, "queries": 1 << 17}),
    (Fault.GROUP, "kv_heads", 0, {"kv_heads": 3}),
    (Fault.GROUP, "kv_heads", 0, {"query_heads": 4097, "kv_heads": 1}),
    (Fault.SCALE, "scale_mantissa", 0, {"scale_mantissa": -(1 << 20)}),
    (Fault.SCALE, "scale_exponent", 0, {"scale_exponent": 128}),
    (Fault.OFFSET, "offset", 0, {"offset": -(1 << 20) - 1}),
    (Fault.ALIGNMENT, "q_address", 0, lambda d: {"q_address": d.q_address + 1}),
    (Fault.ALIGNMENT, "o_address", 0, lambda d: {"o_address": d.o_address + 2}),
    (Fault.ALIGNMENT, "lse_address", 0, lambda d: {"lse_address": d.lse_address + 4}),
    (Fault.ALIGNMENT, "key_lengths_address", 0, {"key_lengths": 1, "key_lengths_address": 2}),
    (Fault.ALIGNMENT, "k_strides", 16, lambda d: {"k_strides": (*d.k_strides[:2], d.k_strides[2] + 1)}),
    (Fault.ALIGNMENT, "lse_strides", 0, lambda d: {"lse_strides": (d.lse_strides[0] + 4, *d.lse_strides[1:])}),
    (Fault.OVERFLOW, "q_address", 0, {"q_address": SPACE - 32}),
    (Fault.OVERFLOW, "k_address", 0, lambda d: {"k_address": d.k_address + SPACE}),
    (Fault.OVERFLOW, "v_address", 0, {"v_strides": (1 << 63, 0, 0)}),
    (Fault.OVERFLOW, "o_address", 0, lambda d: {"o_strides": (d.o_strides[0] + (1 << 38) * 3, *d.o_strides[1:])}),
    (Fault.OVERFLOW, "lse_address", 0, {"lse_address": SPACE - 8}),
    (Fault.OVERFLOW, "key_lengths_address", 0, {"key_lengths": 1, "key_lengths_address": SPACE - 4}),
    (Fault.OVERLAP, "o_address", 0, lambda d: {"o_strides": (*d.o_strides[:2], d.o_strides[2] - 4)}),
    (Fault.OVERLAP, "o_address", 0, lambda d: {"o_strides": (0, *d.o_strides[1:])}),
    (Fault.OVERLAP, "lse_address", 0, lambda d: {"lse_strides": (*d.lse_strides[:2], 0)}),
]


def far(tensor: str, dimension: int) -> Change:
    """The tensor's last row in a dimension lies beyond all addresses."""
    name = f"{tensor}_strides"

    def change(d: Descriptor) -> dict[str, Any]:
        strides = list(getattr(d, name))
        strides[dimension] = SPACE - 64
        return {name: tuple(strides)}

    return change


FIELDS += [(Fault.OVERFLOW, f"{name}_address", 0, far(name, i)) for name in TENSORS for i in range(len(STRIDES))]


def victim(seed: int, *, queries: int = 3, keys: int = 5, group: int = 2, **others: Any) -> Layer:
    """A problem of two batches and two key/value heads."""
    rng, kv_heads = np.random.default_rng(seed), 2
    q = stack(rng, (2, kv_heads * group, queries, 16), CORE)
    k, v = stack(rng, (2, kv_heads, keys, 16), CORE), stack(rng, (2, kv_heads, keys, 4), CORE)
    return Layer(q, k, v, scale=0.25, **others)


GOOD = victim(1, queries=2, keys=3, causal=True, offset=1, arrange=arrangements(5))
GOLDEN = GOOD.golden(CORE)
VICTIMS = {
    "packed": victim(2, group=1),
    "grouped": victim(3, arrange=arrangements(6)),
    "lengths": victim(4, lengths=np.array([5, 2]), arrange=arrangements(7)),
    "decode": victim(5, queries=1, keys=9, group=4),
}


class Queue:
    """Bad descriptors in a memory, a good one behind each."""

    def __init__(self) -> None:
        self.image = Image(CORE)
        self.descriptors: list[Descriptor] = []
        self.goods: list[Placed] = []

    def add(self, bad: Descriptor) -> None:
        self.goods.append(GOOD.place(self.image))
        self.descriptors += [bad, self.goods[-1].descriptor]

    @property
    def ring(self) -> int:
        return self.image.with_ring([pack(descriptor) for descriptor in self.descriptors])[1]

    def address(self, index: int) -> int:
        """Of the descriptor with this number."""
        return self.ring + index * DESCRIPTOR_BYTES

    def run(self, memory: MemoryTraits = MEMORY, **how: Any) -> SystemResult:
        """Run all of it; what is good must be right, and nothing else may have changed."""
        build = build_system(CORE, memory_bits=MEMORY_BITS, fast=False)
        result = run_system(build, self.image, self.descriptors, memory=memory, **how)
        for i, good in enumerate(self.goods):
            assert_layer(good, result.memory, GOLDEN, f"the good layer behind descriptor {2 * i}")
        self.image.require_untouched(result.memory)
        return result

    def pair_by_pair(self) -> list[FaultReport]:
        """Each bad descriptor with the good one behind it; gives the one fault of each pair."""
        count = len(self.goods)
        result = self.run(tails=range(2, 2 * count + 1, 2))
        assert len(result.runs) == count > 0
        for i, run in enumerate(result.runs):
            # The fault was told once, and the counters are the good descriptor's.
            assert (run.head, run.errors, len(run.faults)) == (2 * i + 2, i + 1, 1), i
            assert run.counters["descriptors"] == 1 and run.counters["jobs"] == 4
        return [run.faults[0] for run in result.runs]


def test_every_field() -> None:
    queue, expected = Queue(), []
    base = victim(8).place(queue.image).descriptor
    for fault, field, behind, change in FIELDS:
        queue.add(replace(base, **(change(base) if callable(change) else change)))
        expected.append((fault, PLACES[field].offset + behind))
    found = queue.pair_by_pair()
    assert found == [
        FaultReport(fault, 2 * i, queue.address(2 * i) + offset) for i, (fault, offset) in enumerate(expected)
    ]
    assert {fault for fault, _ in expected} == {fault for fault in Fault if 1 <= fault <= Fault.OVERLAP}


def row_addresses(d: Descriptor, name: str) -> list[int]:
    """Of each row of a tensor its first byte, in order of batches, heads and rows."""
    tensor = next(t for t in tensors(d, CORE) if t.name == name)
    places = itertools.product(*(range(n) for n in tensor.counts))
    return [tensor.address + sum(i * s for i, s in zip(place, tensor.strides, strict=True)) for place in places]


def touched(d: Descriptor, name: str) -> set[int]:
    """The bus words in which a tensor's rows lie."""
    size = next(t.row_bytes for t in tensors(d, CORE) if t.name == name)
    return {word for address in row_addresses(d, name) for word in range(address // WORD * WORD, address + size, WORD)}


def test_places_without_memory() -> None:
    """Where nothing answers but DECERR: the first word that lies there is reported."""
    queue, expected = Queue(), []
    end = queue.image.base + (1 << MEMORY_BITS)

    def add(code: Fault, bad: Descriptor, address: int) -> None:
        expected.append(FaultReport(code, len(queue.descriptors), address // WORD * WORD))
        queue.add(bad)

    base = VICTIMS["lengths"].place(queue.image).descriptor
    for name in ("q", "k", "v", "o", "lse"):
        code = Fault.WRITE_RESPONSE if name in ("o", "lse") else Fault.READ_RESPONSE
        add(code, replace(base, **{f"{name}_address": end + 72}), end + 72)
        # Rows, heads or batches from the second on, all the others where they were.
        first, strides = getattr(base, f"{name}_address"), getattr(base, f"{name}_strides")
        for dimension in range(3):
            far = tuple(1 << MEMORY_BITS if i == dimension else s for i, s in enumerate(strides))
            moved = replace(base, **{f"{name}_strides": far})
            add(code, moved, first + (1 << MEMORY_BITS))
    add(Fault.READ_RESPONSE, replace(base, key_lengths_address=end + 12), end + 12)
    add(Fault.READ_RESPONSE, replace(base, key_lengths_address=end - 4), end)
    assert queue.pair_by_pair() == expected


def test_key_lengths_that_are_too_large() -> None:
    queue, expected = Queue(), []
    for lengths in [(6, 5), (5, 6), (0, 1 << 31), (0xFFFFFFFF, 0)]:
        bad = replace_lengths(VICTIMS["lengths"], lengths).place(queue.image).descriptor
        which = next(i for i, length in enumerate(lengths) if length > bad.keys)
        expected.append(FaultReport(Fault.KEY_LENGTH, len(queue.descriptors), bad.key_lengths_address + 4 * which))
        queue.add(bad)
    assert queue.pair_by_pair() == expected


def replace_lengths(layer: Layer, lengths: tuple[int, int]) -> Layer:
    return replace(layer, lengths=np.array(lengths, dtype=np.uint32))


def test_more_descriptors_than_the_ring_holds() -> None:
    """The queue halts, and goes on when the host has thought better of it."""
    queue = Queue()
    queue.add(GOOD.place(queue.image).descriptor)
    first, then = queue.run(tails=(3, 2)).runs
    assert first.faults == [FaultReport(Fault.QUEUE, 0, queue.ring)] and first.head == 0
    assert then.faults == [] and (then.head, then.errors, then.counters["descriptors"]) == (2, 1, 2)


# Fault, plus arguments of the memory.
SLVERR, DECERR = {"response": 2}, {"response": 3}
MISHAPS: list[tuple[Fault, dict[str, int]]] = [
    (Fault.READ_RESPONSE, {"read_fault_beat": 1} | SLVERR),
    (Fault.READ_RESPONSE, {"read_fault_beat": 18} | DECERR),
    (Fault.READ_RESPONSE, {"read_fault_beat": DESCRIPTOR_BEATS} | SLVERR),
    (Fault.READ_RESPONSE, {"read_fault_beat": DESCRIPTOR_BEATS + 1} | SLVERR),
    (Fault.READ_RESPONSE, {"read_fault_beat": DESCRIPTOR_BEATS + 60} | DECERR),
    (Fault.READ_RESPONSE, {"read_fault_beat": DESCRIPTOR_BEATS + 82} | SLVERR),
    (Fault.READ_RESPONSE, {"read_fault_burst": 2} | SLVERR),
    (Fault.READ_RESPONSE, {"read_fault_burst": 18} | DECERR),
    (Fault.READ_LAST, {"early_last": 1}),
    (Fault.READ_LAST, {"early_last": 15}),
    (Fault.READ_LAST, {"late_last": 2}),
    (Fault.READ_LAST, {"late_last": 21}),
    (Fault.WRITE_RESPONSE, {"write_fault_burst": 1} | SLVERR),
    (Fault.WRITE_RESPONSE, {"write_fault_burst": 4} | DECERR),
]
"""Bursts have at most 16 beats, so that a descriptor takes two."""


def where(queue: Queue, index: int, address: int) -> str:
    """What of a descriptor an address belongs to."""
    d = queue.descriptors[index]
    places = {name: touched(d, name) for name in ("q", "k", "v", "o", "lse")}
    first = queue.address(index)
    places["descriptor"] = set(range(first, first + DESCRIPTOR_BYTES, WORD))
    if d.key_lengths:
        places["lengths"] = {(d.key_lengths_address + 4 * b) // WORD * WORD for b in range(d.batches)}
    found = [name for name, words in places.items() if address in words]
    assert len(found) == 1, f"{address:#x} belongs to {found}"
    return found[0]


def test_mishaps_on_the_bus() -> None:
    """A beat or a burst goes wrong, counted from a reset before each descriptor."""
    hit: dict[Fault, set[str]] = {}
    for seed, (code, mishap) in enumerate(MISHAPS):
        queue = Queue()
        for layer in VICTIMS.values():
            queue.add(layer.place(queue.image).descriptor)
        memory = replace(MEMORY, faults=mishap, seed=seed)
        settings = {"HWGEN_EPISODE": 2}
        result = queue.run(memory, module="rtl_tests.system.cocotb_episodes", settings=settings)
        assert len(result.runs) == len(VICTIMS)
        for i, run in enumerate(result.runs):
            assert (run.head, run.errors, len(run.faults)) == (2, 1, 1), (mishap, i)
            (fault,) = run.faults
            assert (fault.code, fault.index) == (code, 0), (mishap, i)
            hit.setdefault(code, set()).add(where(queue, 2 * i, fault.address))
            beat = first_beat(mishap)
            if beat is not None:
                assert fault.address == queue.address(2 * i) + WORD * beat, (mishap, i)
    assert hit == {
        Fault.READ_RESPONSE: {"descriptor", "lengths", "q", "k", "v"},
        Fault.READ_LAST: {"descriptor", "q", "k", "v"},
        Fault.WRITE_RESPONSE: {"o", "lse"},
    }


def first_beat(mishap: dict[str, int]) -> int | None:
    """Which beat of the descriptor is the first bad one; None if it is behind the descriptor."""
    beats = {"read_fault_beat": lambda n: n - 1, "read_fault_burst": lambda n: 16 * (n - 1)}
    beats |= {"early_last": lambda n: 16 * n - 2, "late_last": lambda n: 16 * n - 1}
    name, number = next(iter(mishap.items()))
    beat = beats[name](number) if name in beats else DESCRIPTOR_BEATS
    return beat if beat < DESCRIPTOR_BEATS else None
