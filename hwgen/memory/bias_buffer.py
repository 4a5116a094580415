"""Where the biases of keys on their way to the lanes wait."""

from math import gcd

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.convert import raw_beat
from hwgen.params import Params
from hwgen.part import Part
from hwgen.timing import hazard_distance, issue_latency, score_latency

LEAST_ROWS = 8
AHEAD = 4
"""Rows besides those in flight: one that is written, one that waits for its issue, the last one read, which stays until
the next one is, and one that is never filled."""


def bias_rows(params: Params) -> int:
    """Keys whose biases are held, a power of two: those between issue and the last lane at the shortest visits, and
    AHEAD."""
    from hwgen.softmax.fold_sum import FoldSum

    in_flight = issue_latency() + score_latency(params) + FoldSum.LATENCY + params.config.cols
    shortest_visit = max(params.group, hazard_distance(params))
    return 1 << ceil_log2(max(LEAST_ROWS, -(-in_flight // shortest_visit) + AHEAD))


def bias_row_bits(params: Params) -> int:
    """Width of a row number in the bias buffer."""
    return ceil_log2(bias_rows(params))


def bias_address(params: Params) -> data.StructLayout:
    """Where the elements of one slot and one key lie."""
    return data.StructLayout({"slot": unsigned(params.slot_bits), "row": unsigned(bias_row_bits(params))})


def bias_write_layout(params: Params, columns: int) -> data.StructLayout:
    """A write of the elements of some neighbouring columns of a slot row."""
    elements = data.ArrayLayout(unsigned(params.input.bits), columns)
    return data.StructLayout({"valid": 1, "address": bias_address(params), "elements": elements})


class BiasBuffer(Part):
    """Key rows of bias elements, one element a query of the block, from beats to the memories of the lanes.

    A row's elements come in the order of the block's queries, slot 0 first, filled up to whole beats. They are
    gathered to slot rows of `cols` elements, each written to all lanes at once. Rows lie in a ring of `bias_rows`;
    `ready` says that the oldest unclaimed one is complete, `row` is its place and `advance` claims it; `row` is a cycle
    late. A row is given back when the last lane reads a later one.

    Latency 1 cycle from a row's last elements to `ready`, 2 to where lanes can read them. Throughput
    gcd(beat, cols) elements a cycle, that is a beat a cycle where `beat` divides `cols`.

    Members
    -------
    input:                 beats of codes, the last one of a row marked
    write:                 of a slot row to the lanes' BiasLane, lane 0 lowest
    ready, row, advance:   towards the issuer
    read_valid, read_row:  a visit enters the last lane, and where its key's row lies; for a visit without a key `row`
                           of the key issued next may stand for it
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        self._chunk = gcd(params.config.beat, params.config.cols)
        row = bias_row_bits(params)
        super().__init__(
            {
                "input": In(stream.Signature(raw_beat(params))),
                "write": Out(bias_write_layout(params, params.config.cols)),
                "ready": Out(1),
                "row": Out(row),
                "advance": In(1),
                "read_valid": In(1),
                "read_row": In(row),
            }
        )

    def elaborate(self, platform):
        m = Module()
        head, tail = Signal.like(self.row), Signal.like(self.row)
        complete = Signal(range(bias_rows(self._params)))
        room, finished, claimed = Signal(), Signal(), Signal()
        self._gather(m, head, room, finished)
        m.d.comb += [
            # Row `tail` stays; the row before it is never filled, so that `head` tells full from empty.
            room.eq((head + 1)[: len(head)] != tail),
            self.ready.eq(complete != 0),
        ]
        m.d.sync += [
            head.eq(head + finished),
            complete.eq(complete + finished - self.advance),
            claimed.eq(self.advance),
            self.row.eq(self.row + claimed),
        ]
        with m.If(self.read_valid):
            m.d.sync += tail.eq(self.read_row)
        return m

    def _gather(self, m: Module, head: Signal, room: Signal, finished: Signal) -> None:
        """Move a chunk a cycle to its place in the slot row; write the slot row when it is full or the row ends."""
        c, payload = self._params.config, self.input.payload
        width = self._chunk * self._params.input.bits
        pieces, places = c.beat // self._chunk, c.cols // self._chunk
        piece, place = Signal(range(max(pieces, 2))), Signal(range(max(places, 2)))
        slot = Signal(self._params.slot_bits)
        move, beat_end, full = Signal(), Signal(), Signal()
        gathered = Signal.like(self.write.elements, reset_less=True)
        address = Signal(bias_address(self._params), reset_less=True)
        m.d.comb += [
            move.eq(self.input.valid & room),
            full.eq(place == places - 1),
            # Behind the last slot there is nothing but what fills the beat.
            beat_end.eq((piece == pieces - 1) | (full & (slot == c.slots - 1))),
            finished.eq(move & beat_end & payload.last),
            self.input.ready.eq(room & beat_end),
            self.write.address.eq(address),
            self.write.elements.eq(gathered),
        ]
        written = Signal()
        m.d.comb += self.write.valid.eq(written)
        m.d.sync += [written.eq(finished | (move & full)), address.slot.eq(slot), address.row.eq(head)]
        with m.If(move):
            m.d.sync += [
                piece.eq(Mux(beat_end, 0, piece + 1)),
                place.eq(Mux(full | finished, 0, place + 1)),
                slot.eq(Mux(finished, 0, slot + full)),
            ]
        chunk = payload.elements.as_value().word_select(piece, width)
        for i in range(places):
            with m.If(move & (place == i)):
                m.d.sync += gathered.as_value()[i * width : (i + 1) * width].eq(chunk)


class BiasLane(Part):
    """The biases of one lane's columns: `element` of the slot, key and column asked for in the cycle before.

    Latency 1 cycle, throughput 1 read and 1 write of `group` elements a cycle.

    Members: write; address, column; element.
    """

    LATENCY = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "write": In(bias_write_layout(params, params.group)),
                "address": In(bias_address(params)),
                "column": In(params.group_bits),
                "element": Out(unsigned(params.input.bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        depth = 1 << bias_address(p).size
        m.submodules.elements = elements = Memory(shape=self.write.elements.shape(), depth=depth, init=[])
        write, read = elements.write_port(), elements.read_port(domain="sync")
        column = Signal.like(self.column, reset_less=True)
        m.d.sync += column.eq(self.column)
        m.d.comb += [
            write.en.eq(self.write.valid),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.elements),
            read.addr.eq(self.address),
            read.en.eq(1),
            self.element.eq(Cat(read.data).word_select(column, p.input.bits)),
        ]
        return m
