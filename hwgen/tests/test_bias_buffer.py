"""The bias buffer and the lanes' memories against the elements sent: each is read at its place, row after row.

The machine around them is played: keys are claimed, shown to slots one after the other, and reach the columns some
cycles later, one column after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import gcd
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.memory.bias_buffer import AHEAD, LEAST_ROWS, BiasBuffer, BiasLane, bias_address, bias_row_bits, bias_rows
from hwgen.memory.convert import raw_beat
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.presets import PRESETS
from hwgen.tests.bench import STALLS, clocked, run, sender, tiny
from hwgen.timing import hazard_distance, score_latency

SHAPES = [
    pytest.param(tiny(lanes=2), id="beat-a-slot-row"),
    pytest.param(tiny(cols=3, slots=3, lanes=1), id="beats-across-slot-rows"),
    pytest.param(tiny(cols=4, slots=2, lanes=2), id="two-beats-a-slot-row"),
    pytest.param(tiny(beat=4, slots=3, lanes=1), id="two-slot-rows-a-beat"),
    pytest.param(tiny(beat=4, cols=1, slots=2), id="more-in-a-beat-than-in-a-row"),
    pytest.param(tiny(beat=4, cols=6, slots=2, lanes=3, in_format="fp32"), id="three-chunks-a-slot-row"),
    pytest.param(tiny(beat=1, out_beat=1, cols=3, slots=1, lanes=3), id="one-slot"),
]

ENTRY = 3
"""Least cycles from a key's issue to column 0 in any machine, but for one."""


class Store(Part):
    """The buffer and the memories of all lanes."""

    def __init__(self, params: Params) -> None:
        self._params = params
        row, lanes = bias_row_bits(params), params.lanes
        super().__init__(
            {
                "input": In(stream.Signature(raw_beat(params))),
                "ready": Out(1),
                "row": Out(row),
                "advance": In(1),
                "read_valid": In(1),
                "read_row": In(row),
                "address": In(bias_address(params)).array(lanes),
                "column": In(params.group_bits).array(lanes),
                "element": Out(params.input.bits).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        buffer, group = BiasBuffer(self._params), self._params.group
        place(m, "buffer", buffer)
        connect(m, flipped(self.input), buffer.input)
        m.d.comb += [
            self.ready.eq(buffer.ready),
            self.row.eq(buffer.row),
            buffer.advance.eq(self.advance),
            buffer.read_valid.eq(self.read_valid),
            buffer.read_row.eq(self.read_row),
        ]
        for i in range(self._params.lanes):
            lane = BiasLane(self._params)
            place(m, f"lane_{i}", lane)
            m.d.comb += [
                lane.write.valid.eq(buffer.write.valid),
                lane.write.address.eq(buffer.write.address),
                lane.address.eq(self.address[i]),
                lane.column.eq(self.column[i]),
                self.element[i].eq(lane.element),
            ]
            for c in range(group):
                m.d.comb += lane.write.elements[c].eq(buffer.write.elements[i * group + c])
        return m


def random_rows(seed: int, params: Params, blocks: int, keys: int) -> list[list[int]]:
    """Rows of blocks of any number of queries; first of one that is full."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(blocks):
        queries = params.block if i == 0 else int(rng.integers(1, params.block + 1))
        rows += [rng.integers(1 << params.input.bits, size=queries).tolist() for _ in range(keys)]
    return rows


def beats(rows: Iterable[list[int]], params: Params) -> list[dict[str, Any]]:
    """Rows cut into beats; what fills the last one is not zero."""
    width, found = params.config.beat, []
    for row in rows:
        full = row + [(1 << params.input.bits) - 1] * (-len(row) % width)
        cut = [full[i : i + width] for i in range(0, len(full), width)]
        found += [{"elements": elements, "last": int(i == len(cut) - 1)} for i, elements in enumerate(cut)]
    return found


class Visits:
    """Claims rows, shows each to every slot in use, and reads it for one column after the other.

    With a seed, visits begin late now and then, and some show no key.
    """

    def __init__(self, dut: Store, params: Params, rows: list[list[int]], entry: int, seed: int | None) -> None:
        self.dut, self.params, self.rows, self.entry = dut, params, rows, entry
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.reads: dict[int, list[tuple[int, int, int, int | None]]] = defaultdict(list)
        self.now = self.key = self.slot = self.checked = self.free_at = 0
        self.begun: int | None = None

    def wait(self) -> int:
        """Cycles from one visit's begin to the next one's."""
        return self.params.group + (0 if self.rng is None else int(self.rng.choice([0, 0, 0, 1, 7, 30])))

    def issue(self, ctx: Any) -> int:
        """Begin a visit if there is a key; whether it is the key's last. Its row is told a cycle later."""
        dut, cols = self.dut, self.params.config.cols
        assert self.begun in (None, ctx.get(dut.row))
        self.begun = None
        if self.now < self.free_at or self.key == len(self.rows):
            return 0
        keyless = self.rng is not None and self.slot == 0 and self.rng.random() < 0.2
        if not keyless and not ctx.get(dut.ready):
            return 0
        row, number = self.rows[self.key], self.key % bias_rows(self.params)
        self.begun = number
        for c in range(cols):
            query = self.slot * cols + c
            element = row[query] if query < len(row) and not keyless else None
            self.reads[self.now + self.entry + c].append((c, number, self.slot, element))
        self.free_at = self.now + self.wait()
        if keyless:
            return 0
        last = (self.slot + 1) * cols >= len(row)
        self.slot = 0 if last else self.slot + 1
        self.key += last
        return int(last)

    def read(self, ctx: Any) -> list[tuple[int, int]]:
        """What the lanes ask for in this cycle; the lane and the element of each."""
        dut, group = self.dut, self.params.group
        ctx.set(dut.read_valid, 0)
        wanted = []
        for column, row, slot, element in self.reads.pop(self.now, []):
            lane = column // group
            ctx.set(dut.address[lane], {"row": row, "slot": slot})
            ctx.set(dut.column[lane], column % group)
            if lane == self.params.lanes - 1:
                ctx.set(dut.read_valid, 1)
                ctx.set(dut.read_row, row)
            if element is not None:
                wanted.append((lane, element))
        assert len({lane for lane, _ in wanted}) == len(wanted)
        return wanted

    async def run(self, ctx: Any) -> None:
        while self.key < len(self.rows) or self.reads:
            ctx.set(self.dut.advance, self.issue(ctx))
            wanted = self.read(ctx)
            await ctx.tick()
            self.now += 1
            for lane, element in wanted:
                # The element was asked for a cycle ago.
                ctx.set(self.dut.column[lane], 0)
                ctx.set(self.dut.address[lane], {"row": 0, "slot": 0})
                assert ctx.get(self.dut.element[lane]) == element
            self.checked += len(wanted)


@STALLS
@pytest.mark.parametrize("params", SHAPES)
def test_every_element_is_read_at_its_place(params: Params, idle: int | None, pressure: int | None) -> None:
    rows = random_rows(7, params, 4, bias_rows(params) // 2 + 1)
    assert len(rows) > 2 * bias_rows(params)
    dut = Store(params)
    visits = Visits(dut, params, rows, ENTRY if idle is None else score_latency(params) + 1, pressure)
    run(dut, sender(dut.input, beats(rows, params), idle), visits.run)
    assert visits.checked == sum(map(len, rows))


@pytest.mark.parametrize("params", SHAPES)
def test_all_rows_but_one_are_filled_and_the_last_one_read_stays(params: Params) -> None:
    c, capacity = params.config, bias_rows(params) - 1
    sent = beats([[1] * params.block] * (capacity + 3), params)
    # A beat takes a cycle for each of its chunks; those behind the last slot are dropped with the beat.
    row_cycles = params.block // gcd(c.beat, c.cols)
    taken = []

    async def drive(ctx: Any) -> None:
        def rows_taken() -> int:
            return sum(beat["last"] for beat in sent[: len(taken)])

        async def cycles(count: int) -> None:
            for _ in range(count):
                if len(taken) < len(sent):
                    ctx.set(dut.input.payload, sent[len(taken)])
                    ctx.set(dut.input.valid, 1)
                    if ctx.get(dut.input.ready):
                        taken.append(1)
                await ctx.tick()

        await cycles(row_cycles * capacity - 1)
        assert rows_taken() == capacity - 1
        await cycles(1)
        assert rows_taken() == capacity
        await cycles(5 * row_cycles)
        assert rows_taken() == capacity
        for read, room in ((0, 0), (0, 0), (2, 2)):
            ctx.set(dut.read_row, read)
            ctx.set(dut.read_valid, 1)
            await cycles(1)
            ctx.set(dut.read_valid, 0)
            await cycles(5 * row_cycles)
            assert rows_taken() == capacity + room

    dut = BiasBuffer(params)
    run(dut, drive)


def test_a_row_is_ready_behind_its_last_beat_until_it_is_claimed() -> None:
    params = tiny(cols=4, slots=2)
    send: list[dict[str, Any]] = [
        {"input.payload": beat, "input.valid": 1} for beat in beats([[1, 2, 3, 4, 5, 6, 7]] * 2, params)
    ]
    inputs: list[dict[str, Any]] = [*send, {"input.valid": 0}, {"advance": 1}, {}, {"advance": 0}]
    seen = clocked(BiasBuffer(params), inputs, ["ready", "row"], 1)
    assert [ready for ready, _ in seen] == [0] * 4 + [1] * 7 + [0] * 2
    assert [row for _, row in seen] == [0] * 11 + [1, 2]


def test_slot_rows_are_written_whole() -> None:
    params = tiny(cols=4, slots=2)
    send = [{"input.payload": beat, "input.valid": 1} for beat in beats([[1, 2, 3, 4, 5, 6], [7, 8]], params)]
    seen = clocked(BiasBuffer(params), send, ["write.valid", "write.address", "write.elements"], 1)
    # Of a slot row that is not full only the elements there are matter.
    written = [(address, [data >> 16 * i & 0xFFFF for i in range(4)]) for enable, address, data in seen if enable]
    assert [address for address, _ in written] == [0, 1, 1 << params.slot_bits]
    assert [written[0][1], written[1][1][:2], written[2][1][:2]] == [[1, 2, 3, 4], [5, 6], [7, 8]]


@pytest.mark.parametrize("name", PRESETS)
def test_rows_cover_those_in_flight(name: str) -> None:
    params = Params(PRESETS[name].config)
    in_flight = score_latency(params) + params.config.cols
    rows = bias_rows(params)
    assert rows == 1 << bias_row_bits(params) >= LEAST_ROWS
    assert (rows - AHEAD) * max(params.group, hazard_distance(params)) > in_flight
    # The entry that the tests assume is shorter than any machine's.
    assert score_latency(params) > ENTRY
