"""Everything that can be wrong with a score record, a bias or a list of segments: it is reported with its place, and
the good descriptor behind it is right in every bit, without a reset."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.bitexact.attention import Result
from golden.formats import encode
from hwgen.control.descriptor import DESCRIPTOR_BYTES, PLACES, Descriptor, pack
from hwgen.control.faults import Fault
from hwgen.control.record import ARGUMENT_BYTES, HEADER, HEADER_BYTES, RECORD_ALIGNMENT, SEGMENT_BYTES, record_bytes
from hwgen.params import Params
from hwgen.scoremod.block_list import BLOCK_LAST, RECORD, SINK, encode_list, machine_list
from hwgen.sim.layout import Arrangement, Image, Placed, arrangements
from hwgen.sim.system import FaultReport, MemoryTraits, build_system, run_system
from rtl_tests.harness.layers import Layer, Score, assert_layer, stack
from rtl_tests.harness.runs import MEMORY_BITS
from rtl_tests.harness.score_machines import arguments, machine

MEMORY = MemoryTraits(latency=20, stall={"aw": 60, "w": 40, "b": 40, "ar": 60, "r": 40}, seed=3)
ALIGNED = Arrangement()
KEYS = 6


def victim(name: str, seed: int, listed: bool) -> Layer:
    """A problem of two batches, two key/value heads with two query heads each, and more than one block of queries."""
    core, rng = machine(name), np.random.default_rng(seed)
    q = stack(rng, (2, 4, 5, core.config.head_e), core)
    k, v = (stack(rng, (2, 2, KEYS, n), core) for n in (core.config.head_e, core.config.head_f))
    bias = encode(rng.standard_normal((2, 4, 5, KEYS)), core.input)
    seen = rng.random((2, 4, 5, KEYS)) < 0.6
    bias = np.where(seen, bias, encode(np.array(-np.inf), core.input)) if listed else bias
    bias = bias if core.has_bias else None
    segments = encode_list(machine_list(seen, core, 2)) if listed else None
    score = Score(params=core, arguments=arguments(rng, name), bias=bias, segments=segments)
    return Layer(q, k, v, scale=0.25, arrange=arrangements(seed), score=score)


class Queue:
    """Bad descriptors in a memory, a good one behind each, and what has to be reported."""

    def __init__(self, name: str) -> None:
        self.name, self.core = name, machine(name)
        self.image = Image(self.core)
        kinds = (False, True) if self.core.config.block_list else (False,)
        self.layers = [victim(name, 1 + listed, listed) for listed in kinds]
        self.base = [layer.place(self.image) for layer in self.layers]
        memory = self.image.content()
        self.records = [self.bytes_at(memory, p.descriptor.score_address, record_bytes(self.core)) for p in self.base]
        self.descriptors: list[Descriptor] = []
        self.goods: list[tuple[int, Placed]] = []
        self.expected: list[tuple[Fault, int, bool]] = []

    def bytes_at(self, memory: np.ndarray, address: int, count: int) -> bytes:
        return memory[address - self.image.base :][:count].tobytes()

    @property
    def end(self) -> int:
        """The first address without memory."""
        return self.image.base + (1 << MEMORY_BITS)

    def add(self, bad: Descriptor, code: Fault, address: int, in_descriptor: bool = False) -> None:
        """`address` counts from the descriptor's first byte if it is in there."""
        self.expected.append((code, address, in_descriptor))
        kind = len(self.goods) % len(self.layers)
        self.goods.append((kind, self.layers[kind].place(self.image)))
        self.descriptors += [bad, self.goods[-1][1].descriptor]

    def record(self, changes: dict[int, int], listed: bool = False, shift: int = 0) -> tuple[Descriptor, int]:
        """A descriptor whose record has other 32-bit words at some places, and the record's address."""
        raw = bytearray(self.records[listed])
        for offset, word in changes.items():
            struct.pack_into("<I", raw, offset, word)
        address = self.image._place_bytes(bytes(raw), replace(ALIGNED, shift=shift))
        return replace(self.base[listed].descriptor, score_address=address), address

    def word(self, offset: int, listed: bool = False) -> int:
        """A word of the good record."""
        return int(struct.unpack_from("<I", self.records[listed], offset)[0])

    def bad_word(self, offset: int, word: int, listed: bool = False, also: dict[int, int] | None = None) -> None:
        """One word is refused; those behind it do not matter."""
        bad, address = self.record({offset: word} | (also or {}), listed, shift=len(self.goods) % 8)
        self.add(bad, Fault.SCORE_RECORD, address + offset)

    def segments(self, raw: bytes, code: Fault, which: int) -> None:
        """A list with something wrong at segment `which`."""
        address = self.image._place_bytes(raw, replace(ALIGNED, shift=len(self.goods) % 8))
        offset = HEADER["segments_address"]
        words = {offset: address & 0xFFFFFFFF, offset + 4: address >> 32, HEADER["segments"]: len(raw) // SEGMENT_BYTES}
        self.add(self.record(words, True)[0], code, address + SEGMENT_BYTES * which)

    def run(self) -> None:
        """Each bad descriptor with the good one behind it: what was expected is reported, once, and nothing else."""
        build = build_system(self.core, memory_bits=MEMORY_BITS, fast=False)
        tails = range(2, len(self.descriptors) + 1, 2)
        result = run_system(build, self.image, self.descriptors, memory=MEMORY, tails=tails)
        _, ring = self.image.with_ring([pack(descriptor) for descriptor in self.descriptors])
        want = []
        for i, (code, address, in_descriptor) in enumerate(self.expected):
            want.append(FaultReport(code, 2 * i, address + in_descriptor * (ring + 2 * i * DESCRIPTOR_BYTES)))
        assert [fault for run in result.runs for fault in run.faults] == want
        for i, run in enumerate(result.runs):
            assert (run.head, run.errors, len(run.faults)) == (2 * i + 2, i + 1, 1), i
            assert run.counters["descriptors"] == 1 and run.counters["jobs"] == 4, i
        golden = [layer.golden(self.core) for layer in self.layers]
        for i, (kind, good) in enumerate(self.goods):
            assert_layer(good, result.memory, golden[kind], f"the good layer behind descriptor {2 * i}")
        self.image.require_untouched(result.memory)


def add_records(queue: Queue) -> None:
    """Every word of the header that can be wrong: one that has to be zero, that is not aligned, beyond addresses."""
    core, element = queue.core, queue.core.input.bits // 8
    lists, beyond = core.config.block_list, core.config.address_bits < 64
    fields = [HEADER["bias_address"], *(HEADER["bias_strides"] + 8 * i for i in range(3))]
    for i, offset in enumerate(fields):
        if not core.has_bias:
            queue.bad_word(offset, 1 << 31)
            queue.bad_word(offset + 4, 1)
            continue
        queue.bad_word(offset, queue.word(offset) ^ element >> 1, listed=lists and i % 2 == 1)
        if beyond:
            queue.bad_word(offset + 4, 1 << (core.config.address_bits - 32))
    place, count = HEADER["segments_address"], HEADER["segments"]
    if lists:
        queue.bad_word(place, queue.word(place, True) ^ 4, listed=True)
        # No list; one of more segments than can be told; one that nobody announced.
        queue.bad_word(count, 0, listed=True)
        queue.bad_word(count, queue.word(count, True) | 1 << 26, listed=True)
        queue.bad_word(count, 1)
    else:
        for offset in (place, place + 4, count):
            queue.bad_word(offset, 1)
    for offset in range(count + 4, HEADER_BYTES, ARGUMENT_BYTES):
        queue.bad_word(offset, 1 << offset % 32, listed=lists)
        queue.bad_word(offset, 1 << 31, listed=lists)
    # Of several the first one, whatever comes behind it.
    queue.bad_word(HEADER_BYTES - 8, 7, also={HEADER_BYTES - 4: 9})


def add_places(queue: Queue) -> None:
    """Where nothing answers: the first bus word that lies there is reported."""
    core, word = queue.core, queue.core.bus_bytes
    base = queue.base[0].descriptor

    def far(bad: Descriptor, address: int) -> None:
        queue.add(bad, Fault.READ_RESPONSE, address // word * word)

    far(replace(base, score_address=queue.end + 72), queue.end + 72)
    # The header has memory, the arguments have not.
    far(replace(base, score_address=queue.end - HEADER_BYTES), queue.end)
    outside = queue.end + 128
    if core.has_bias:
        add_bias_places(queue, far)
    if core.config.block_list:
        place = HEADER["segments_address"]
        far(queue.record({place: outside & 0xFFFFFFFF, place + 4: outside >> 32}, True)[0], outside)


def add_bias_places(queue: Queue, far: Callable[[Descriptor, int], None]) -> None:
    """The bias's first row, and the second batch, head and key."""
    outside, offset = queue.end + 128, HEADER["bias_address"]
    address = int.from_bytes(queue.records[0][offset : offset + 8], "little")
    far(queue.record({offset: outside & 0xFFFFFFFF, offset + 4: outside >> 32})[0], outside)
    for i in range(3):
        # Batches, heads, keys from the second on; all the others where they are.
        stride = HEADER["bias_strides"] + 8 * i
        far(queue.record({stride: 1 << MEMORY_BITS, stride + 4: 0})[0], address + (1 << MEMORY_BITS))


def add_descriptors(queue: Queue) -> None:
    """The descriptor's own fields."""
    base, top = queue.base[0].descriptor, 1 << queue.core.config.address_bits
    fields = [("score_address", Fault.ALIGNMENT, base.score_address + 4)]
    size = record_bytes(queue.core)
    fields.append(("score_address", Fault.OVERFLOW, top - (size - 1) // RECORD_ALIGNMENT * RECORD_ALIGNMENT))
    if not queue.core.config.block_list:
        fields.append(("listed", Fault.RESERVED, 1))
    for name, code, value in fields:
        queue.add(replace(base, **{name: value}), code, PLACES[name].offset, in_descriptor=True)
    # The last address at which it does not end beyond the others.
    last = top - -(-size // RECORD_ALIGNMENT) * RECORD_ALIGNMENT
    word = queue.core.bus_bytes
    queue.add(replace(base, score_address=last), Fault.READ_RESPONSE, last // word * word)


def bad_lists(good: bytes, core: Params) -> list[tuple[bytes, int]]:
    """(list, the segment that is wrong) for every rule of docs/descriptor.md."""
    segments = np.frombuffer(good, dtype=RECORD)
    count = len(segments)
    ends = np.flatnonzero(segments["keys"] & BLOCK_LAST)
    within = next(i for i in range(count) if i not in ends)
    keys = int(segments["keys"][within]) & ~BLOCK_LAST

    def changed(which: int, **fields: Any) -> tuple[bytes, int]:
        copy = segments.copy()
        for name, value in fields.items():
            copy[name][which] = value
        return copy.tobytes(), which

    live = int(segments["live"][within])
    stranger = 1 << core.config.slots
    return [
        changed(0, first=1 << 21),
        changed(within, first=KEYS - keys + 1),
        changed(count - 1, keys=BLOCK_LAST | 1 << 20),
        changed(within, keys=keys | 1 << 21),
        changed(within, keys=keys | 1 << 29),
        changed(within, keys=0),
        # One that shows nothing must be the only one of its block.
        changed(int(ends[0]), keys=BLOCK_LAST) if ends[0] else changed(within, keys=0),
        changed(within, keys=1 | SINK),
        changed(1, live=live | stranger, last=0),
        changed(within, live=1 << 63 | live),
        changed(within, live=0, last=0),
        changed(within, live=1, last=2),
        changed(count - 2, zero=1),
        changed(count - 1, zero=1 << 31),
        # It does not end, ends early, goes on.
        changed(count - 1, keys=int(segments["keys"][-1]) & ~BLOCK_LAST),
        (good[: SEGMENT_BYTES * (int(ends[-2]) + 1)], int(ends[-2]) + 1),
        (good[: SEGMENT_BYTES * (int(ends[0]) + 1)], int(ends[0]) + 1),
        (good + good[-SEGMENT_BYTES:], count),
        (good * 3, count),
    ]


@pytest.mark.parametrize("name", ["documents", "random"])
def test_score_records(name: str) -> None:
    queue = Queue(name)
    add_descriptors(queue)
    add_records(queue)
    add_places(queue)
    queue.run()
    codes = {code for code, *_ in queue.expected}
    assert codes >= {Fault.SCORE_RECORD, Fault.READ_RESPONSE, Fault.ALIGNMENT, Fault.OVERFLOW}


def test_lists_of_segments() -> None:
    queue = Queue("documents")
    good = queue.layers[1].score
    assert good is not None and good.segments is not None
    for raw, which in bad_lists(good.segments, queue.core):
        queue.segments(raw, Fault.SEGMENT, which)
    queue.run()


def test_a_list_that_contradicts_itself_spoils_nothing_behind_it() -> None:
    """Every segment is for all slots, with queries or without, and the last one for all of them."""
    queue = Queue("documents")
    good = queue.layers[1].score
    assert good is not None and good.segments is not None
    segments = np.frombuffer(good.segments, dtype=RECORD).copy()
    shown = segments["live"] != 0
    assert (np.diff(np.flatnonzero(segments["keys"] & BLOCK_LAST)) > 1).any()
    segments["live"][shown] = segments["last"][shown] = (1 << queue.core.config.slots) - 1
    address = queue.image._place_bytes(segments.tobytes(), ALIGNED)
    offset = HEADER["segments_address"]
    bad, _ = queue.record({offset: address & 0xFFFFFFFF, offset + 4: address >> 32}, True)
    kinds = (0, 1, 1, 0)
    goods = [queue.layers[kind].place(queue.image) for kind in kinds]
    ring = [descriptor for placed in goods for descriptor in (bad, placed.descriptor)]
    build = build_system(queue.core, memory_bits=MEMORY_BITS, fast=False)
    result = run_system(build, queue.image, ring, memory=MEMORY)
    result.require_faultless()
    for kind, placed in zip(kinds, goods, strict=True):
        assert_layer(placed, result.memory, queue.layers[kind].golden(queue.core), "the good layer behind a bad list")
    queue.image.require_untouched(result.memory)


def test_good_layers_are_not_trivial() -> None:
    for name in ("documents", "random"):
        for layer in Queue(name).layers:
            result: Result = layer.golden(machine(name))
            assert layer.pairs and not result.empty.all() and result.out.any()
