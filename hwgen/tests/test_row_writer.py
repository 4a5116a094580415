"""Rows into a memory of bytes: they arrive, and nothing else changes."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value

from hwgen.memory.axi import request_layout, word_layout
from hwgen.memory.row_writer import RowWriter
from hwgen.params import Params
from hwgen.tests.bench import STALLS, Testbench, receiver, run, sender, tiny
from hwgen.tests.row_places import ByteMemory, Rows

LIMIT = 12
WIDE, NARROW, BROAD = tiny(), tiny(bus_bits=32), tiny(bus_bits=512)

# Parameters, bits of an element, elements in a beat, elements in a row, where rows lie.
PLACES = [
    pytest.param(WIDE, 16, 2, 8, Rows(16, 0, 1, 16), id="aligned"),
    pytest.param(WIDE, 16, 4, 7, Rows(30, 0, 1, 14), id="unaligned"),
    pytest.param(WIDE, 32, 2, 12, Rows(52, 1000, 3, 48), id="grouped"),
    pytest.param(WIDE, 16, 1, 1, Rows(4, 2, 2, 2), id="one-element"),
    pytest.param(NARROW, 32, 4, 9, Rows(400, 36, 2, 36), id="narrow-grouped"),
    pytest.param(BROAD, 16, 4, 11, Rows(46, 700, 2, 22), id="broad-grouped"),
    pytest.param(WIDE, 32, 2, 2, Rows(8, 400, 2, 8), id="records"),
    pytest.param(NARROW, 32, 2, 2, Rows(24, 8, 3, 8), id="narrow-records"),
    pytest.param(WIDE, 16, 2, 7, Rows(99, 99, 1, 14, packed=1), id="packed"),
    pytest.param(BROAD, 32, 2, 2, Rows(99, 99, 1, 8, packed=1), id="packed-records"),
]

JOBS = [(3, 5), (450, 1), (500, 3)]
"""Of each job where it begins, in elements, and how many rows it has."""


def cut(codes: list[int], beat: int) -> list[dict[str, Any]]:
    """A row in beats; what lies behind its end is not to be seen."""
    padded = codes + [~0 & 0xFFFF] * (-len(codes) % beat)
    last = len(padded) - beat
    return [{"elements": padded[i : i + beat], "last": int(i == last)} for i in range(0, len(padded), beat)]


def taker(dut: RowWriter, count: int, into: list[int], seed: int | None) -> Testbench:
    """Takes words as the write engine does, which tells a cycle ahead whether it will."""
    rng = None if seed is None else np.random.default_rng(seed)

    async def take(ctx: Any) -> None:
        ready, words = 0, dut.words
        while len(into) < count:
            room = int(rng is None or rng.random() < 0.6)
            ctx.set(words.ready, ready)
            ctx.set(dut.room, room)
            _, _, valid, payload = await ctx.tick().sample(words.valid, Value.cast(words.payload))
            if valid and ready:
                into.append(payload)
            ready = room

    return take


@STALLS
@pytest.mark.parametrize(("params", "bits", "beat", "elements", "places"), PLACES)
def test_rows(
    params: Params, bits: int, beat: int, elements: int, places: Rows, idle: int | None, pressure: int | None
) -> None:
    rng = np.random.default_rng(elements)
    element = bits // 8
    memory = ByteMemory(params, 6144, 1)
    expected, values, touched = memory.bytes.copy(), [], []
    for head, rows in JOBS:
        for row in range(rows):
            address = places.address(head * element, row)
            codes = [int(code) for code in rng.integers(1 << bits, size=elements)]
            values += cut(codes, beat)
            raw = b"".join(code.to_bytes(element, "little") for code in codes)
            expected[address : address + len(raw)] = np.frombuffer(raw, dtype=np.uint8)
            if not places.packed:
                touched.append((address, len(raw)))
        if places.packed:
            touched.append((places.address(head * element, 0), rows * elements * element))
    numbers = [number for address, size in touched for number in memory.touched(address, size)]
    dut, asked, words = RowWriter(params, bits, beat, LIMIT), list[int](), list[int]()
    paid = []

    async def pay(ctx: Any) -> None:
        while len(words) < len(numbers):
            _, _, rows = await ctx.tick().sample(dut.asked)
            paid.append(rows)

    run(
        dut,
        places.hold(dut, elements=elements, packed=places.packed),
        sender(dut.head, [head * element for head, _ in JOBS], idle),
        sender(dut.rows, [rows for _, rows in JOBS], idle and idle + 2),
        sender(dut.values, values, idle and idle + 4),
        receiver(dut.request, len(touched), asked, pressure),
        taker(dut, len(numbers), words, pressure and pressure + 1),
        pay,
    )
    requests = [request_layout(params).from_bits(code) for code in asked]
    assert [(request.address, request.bytes) for request in requests] == touched
    assert [rows for rows in paid if rows] == [size // (elements * element) for _, size in touched]
    for number, code in zip(numbers, words, strict=True):
        word = word_layout(params).from_bits(code)
        memory.write(number, word.data, word.strobe)
    assert np.array_equal(memory.bytes, expected)
