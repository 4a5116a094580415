"""Rows out of a memory of bytes, wherever they lie."""

from typing import Any

import pytest

from hwgen.memory.convert import raw_beat
from hwgen.memory.row_reader import RowReader
from hwgen.params import Params
from hwgen.tests.bench import STALLS, receiver, run, sender, tiny
from hwgen.tests.row_places import ByteMemory, Rows

LIMIT, FOLD = 12, 4

Block = tuple[int, int, int]
Job = tuple[int, list[Block]]

WIDE, NARROW = tiny(), tiny(bus_bits=32, in_format="fp32", out_format="fp32", queue_beats=32)
BROAD = tiny(bus_bits=512, beat=4)

# Parameters, elements in a row, where rows lie.
PLACES = [
    pytest.param(WIDE, 8, Rows(16, 0, 1, 16), id="aligned"),
    pytest.param(WIDE, 7, Rows(30, 0, 1, 14), id="unaligned"),
    pytest.param(WIDE, 12, Rows(50, 1000, 3, 24), id="grouped"),
    pytest.param(WIDE, 5, Rows(10, 0, 1, 10, packed=1), id="packed"),
    pytest.param(WIDE, 1, Rows(0, 2, 2, 2), id="one-element"),
    pytest.param(NARROW, 9, Rows(400, 36, 2, 36), id="narrow-grouped"),
    pytest.param(NARROW, 3, Rows(12, 0, 1, 12, packed=1), id="narrow-packed"),
    pytest.param(BROAD, 11, Rows(26, 500, 2, 22), id="broad-grouped"),
    pytest.param(BROAD, 6, Rows(12, 0, 1, 12, packed=1), id="broad-packed"),
]

# Of each job where it begins, in elements, and its blocks: rows, rewind, last.
JOBS: list[Job] = [
    (3, [(3, 0, 0), (2, 0, 0), (4, 1, 1)]),
    (64, [(0, 0, 0), (1, 0, 0), (0, 1, 0), (3, 1, 1)]),
    (150, [(2, 0, 1)]),
]


def rows_of(jobs: list[Job], places: Rows, element: int) -> list[int]:
    """Addresses of all rows in the order in which they are wanted."""
    found = []
    for head, blocks in jobs:
        first = 0
        for rows, rewind, _ in blocks:
            first = 0 if rewind else first
            found += [places.address(head * element, first + i) for i in range(rows)]
            first += rows
    return found


def beats(memory: ByteMemory, addresses: list[int], elements: int, params: Params) -> list[tuple[list[int], int]]:
    """Rows filled up with zeros to whole folds, in beats."""
    element, beat = params.input.bits // 8, params.config.beat
    padded = -(-elements // FOLD) * FOLD
    expected = []
    for address in addresses:
        raw = memory.bytes[address : address + elements * element].tobytes()
        codes = [int.from_bytes(raw[i : i + element], "little") for i in range(0, len(raw), element)]
        codes += [0] * (padded - elements)
        expected += [(codes[i : i + beat], int(i + beat == padded)) for i in range(0, padded, beat)]
    return expected


@STALLS
@pytest.mark.parametrize(("params", "elements", "places"), PLACES)
def test_rows(params: Params, elements: int, places: Rows, idle: int | None, pressure: int | None) -> None:
    element = params.input.bits // 8
    memory = ByteMemory(params, 4096, elements)
    addresses = rows_of(JOBS, places, element)
    expected = beats(memory, addresses, elements, params)
    count = sum(min(rows, 1) if places.packed else rows for _, blocks in JOBS for rows, _, _ in blocks)
    dut, seen = RowReader(params, FOLD, LIMIT), list[int]()
    blocks: list[dict[str, Any]] = [
        {"rows": rows, "rewind": rewind, "last": last} for _, some in JOBS for rows, rewind, last in some
    ]
    run(
        dut,
        places.hold(dut, elements=elements, packed=places.packed),
        sender(dut.head, [head * element for head, _ in JOBS], idle),
        sender(dut.block, blocks, idle and idle + 3),
        *memory.serve(dut.request, dut.words, count, idle and idle + 5),
        receiver(dut.output, len(expected), seen, pressure),
    )
    views = [raw_beat(params).from_bits(code) for code in seen]
    assert [([view.elements[i] for i in range(params.config.beat)], view.last) for view in views] == expected


def test_requests_run_ahead_of_the_words() -> None:
    """Nothing comes, and as much is asked for as there are places in the queue of runs."""
    params = tiny(queue_beats=32)
    dut, asked = RowReader(params, FOLD, LIMIT), list[int]()
    places = Rows(16, 0, 1, 16)

    async def take(ctx: Any) -> None:
        ctx.set(dut.request.ready, 1)
        for _ in range(200):
            _, _, valid = await ctx.tick().sample(dut.request.valid)
            asked.append(valid)

    block = {"rows": 100, "rewind": 0, "last": 1}
    run(dut, places.hold(dut, elements=8, packed=0), sender(dut.head, [0]), sender(dut.block, [block]), take)
    assert 32 <= sum(asked) <= 32 + 3 and not any(asked[-100:])
