"""Reads a descriptor's list of segments, checking each."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.control.faults import Fault
from hwgen.control.record import COUNT_BITS, SEGMENT_BYTES, list_layout
from hwgen.control.segments import segment_layout
from hwgen.memory.axi import fault_layout, request_layout
from hwgen.memory.word_lanes import WordLanes
from hwgen.params import LENGTH_BITS, Params
from hwgen.part import Part, place

# Bits of a record: first, keys and flags, live, last, row, zero.
FIRST, KEYS, SINK, BLOCK_LAST, LIVE, LAST, ROW, ZERO, END = 0, 32, 62, 63, 64, 128, 192, 224, 256


class SegmentReader(Part):
    """Gives the `count` segments at `address` in order, running ahead as far as the read engine's queue holds.

    A segment that cannot be is reported instead of given: bits that have to be zero, keys beyond S or none but in a
    block without any, slots that are not there, `last` slots that are not live, no live slot, a sink where there is
    none, a last segment that does not end its block. So are a block that begins when the list is at its end (the
    address behind the list) and a list that is not at its end when all work is done (the segment that comes next). The
    reader then stands still until it is reset.

    Throughput 1 segment in 4 cycles, 8 on a bus of 32 bits.

    Members
    -------
    start, list:    a pulse, after a reset or when all is done; where it lies, and how many there are
    keys:           S, constant while there is work
    request, words: the read engine's
    segments:       what is in the list
    block:          a pulse: a block begins, which needs segments
    finish:         all other work is done, if set when nothing is being started
    fault:          a pulse
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "list": In(list_layout(params)),
                "keys": In(LENGTH_BITS),
                "request": Out(stream.Signature(request_layout(params))),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "segments": Out(stream.Signature(segment_layout(params))),
                "block": In(1),
                "finish": In(1),
                "fault": Out(fault_layout(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = min(64, self._params.config.bus_bits)
        pieces = END // width
        lanes = WordLanes(self._params, width)
        place(m, "word_lanes", lanes)
        connect(m, flipped(self.words), lanes.words)
        record, piece, full = Signal(END), Signal(range(pieces)), Signal()
        address = Signal(self._params.config.address_bits)
        # Where the segment lies that is gathered, that which is offered, and how many are not offered yet.
        coming, offered, left = Signal.like(address), Signal.like(address), Signal(COUNT_BITS)
        active, stopped, move, wrong, taken = Signal(), Signal(), Signal(), Signal(), Signal()
        output = self.segments
        m.d.comb += [
            self.request.payload.address.eq(address),
            self.request.payload.bytes.eq(self.list.count * SEGMENT_BYTES),
            lanes.start.eq(self.start),
            lanes.lane.eq(self.list.address[ceil_log2(width // 8) :]),
            lanes.count.eq(self.list.count * pieces),
            lanes.output.ready.eq(~full | move),
            move.eq(full & (~output.valid | output.ready) & ~wrong & ~stopped),
            taken.eq(output.valid & output.ready),
            wrong.eq(self._wrong(m, record, left == 1, move)),
        ]
        with m.If(move):
            m.d.sync += [full.eq(0), offered.eq(coming), coming.eq(coming + SEGMENT_BYTES), left.eq(left - 1)]
        with m.If(lanes.output.valid & lanes.output.ready):
            m.d.sync += [piece.eq(piece + 1), full.eq(piece == pieces - 1)]
            for i in range(pieces):
                with m.If(piece == i):
                    m.d.sync += record[i * width : (i + 1) * width].eq(lanes.output.payload)
        with m.If(~output.valid | output.ready):
            m.d.sync += [output.valid.eq(move), self._fields(record)]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        # Blocks that have begun and whose last segment has not been taken; segments may be taken before.
        owed, end, early, late = Signal(signed(COUNT_BITS + 1)), Signal(), Signal(), Signal()
        m.d.sync += owed.eq(owed + self.block - (taken & output.payload.block_last))
        m.d.comb += [
            end.eq((left == 0) & ~output.valid),
            early.eq(active & end & (owed > 0)),
            late.eq(active & ~end & self.finish),
        ]
        with m.If(active & ~stopped & (early | late | (full & wrong))):
            m.d.comb += [
                self.fault.valid.eq(1),
                self.fault.code.eq(Fault.SEGMENT),
                self.fault.address.eq(Mux(late & output.valid, offered, coming)),
            ]
            m.d.sync += stopped.eq(1)
        with m.If(self.start):
            m.d.sync += [address.eq(self.list.address), coming.eq(self.list.address), left.eq(self.list.count)]
            m.d.sync += [self.request.valid.eq(1), active.eq(1), owed.eq(0)]
        with m.Elif(end & self.finish):
            m.d.sync += active.eq(0)
        return m

    def _fields(self, record: Signal):
        """What of a record is given."""
        to, slots = self.segments.payload, self._params.config.slots
        return to.eq(
            segment_layout(self._params)(
                Cat(
                    record[FIRST:][:LENGTH_BITS],
                    record[KEYS:][:LENGTH_BITS],
                    record[ROW:ZERO],
                    record[LIVE:][:slots],
                    record[LAST:][:slots],
                    record[SINK],
                    record[BLOCK_LAST],
                )
            )
        )

    def _wrong(self, m: Module, record: Signal, final, move: Signal):
        """Whether a record that has been gathered is wrong; sums and masks are looked at while its rest comes."""
        slots, has_sink = self._params.config.slots, self._params.has_sink
        first, keys = record[FIRST:][:LENGTH_BITS], record[KEYS:][:LENGTH_BITS]
        sink, block_last = record[SINK], record[BLOCK_LAST]
        live, last = record[LIVE:LAST], record[LAST:ROW]
        behind, stray, dead, void, inside = Signal(LENGTH_BITS + 1), Signal(), Signal(), Signal(), Signal()
        unused = Cat(record[FIRST + LENGTH_BITS : KEYS], record[KEYS + LENGTH_BITS : SINK], live[slots:])
        m.d.sync += [
            behind.eq(first + keys),
            void.eq(keys == 0),
            stray.eq(unused.any() | (sink & ((keys != 1) if has_sink else 1))),
            dead.eq((last & ~live).any() | (live[:slots] == 0)),
        ]
        with m.If(move):
            m.d.sync += inside.eq(~block_last)
        return (
            stray
            | record[ZERO:].any()
            | (~sink & (behind > self.keys))
            | Mux(void, inside | ~block_last, dead)
            | (final & ~block_last)
        )
