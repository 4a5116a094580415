"""From bytes on the line to frames whose CRC is right."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from boards.link.crc import Crc32
from boards.link.protocol import BLOCK, CRC, ESCAPE, FLAG, FLIP, HEADER
from hwgen.part import Part, place

BUFFER_BYTES = 2 * BLOCK
"""Room for the data of a frame and the CRC behind them."""

COUNT_BITS = ceil_log2(BUFFER_BYTES)


class FrameReceiver(Part):
    """Keeps one frame until it is released. What comes meanwhile is dropped, and so is what lacks a byte, has one too
    many or a wrong one: the next flag begins a frame again.

    Latency 3 cycles from the closing flag to `full`; bytes at least `crc.CYCLES + 2` cycles apart.

    Members
    -------
    valid, data:    a byte of the line
    broken:         a byte was lost
    full:           a frame is there
    header, count:  its header, and how many bytes of data follow it
    release:        it is done with
    garbled:        for a cycle: what came between two flags was no frame
    store, address, byte: data to be written to the buffer
    """

    def __init__(self) -> None:
        super().__init__(
            {"valid": In(1), "data": In(8), "broken": In(1), "release": In(1)}
            | {"full": Out(1), "header": Out(8 * HEADER.size), "count": Out(COUNT_BITS), "garbled": Out(1)}
            | {"store": Out(1), "address": Out(COUNT_BITS), "byte": Out(8)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        crc = Crc32()
        place(m, "crc", crc)
        # What the byte is, a cycle later.
        valid, flag, escape, byte = Signal(), Signal(), Signal(), Signal(8)
        m.d.sync += [valid.eq(self.valid), byte.eq(self.data)]
        m.d.sync += [flag.eq(self.data == FLAG), escape.eq(self.data == ESCAPE)]
        inside, escaped = Signal(), Signal()
        taken, plain, number = Signal(), Signal(8), Signal(range(BUFFER_BYTES + HEADER.size))
        m.d.comb += [
            taken.eq(valid & inside & ~flag & ~escape),
            plain.eq(Mux(escaped, byte ^ FLIP, byte)),
            crc.valid.eq(taken),
            crc.data.eq(plain),
            crc.start.eq(valid & flag),
        ]
        m.d.sync += [self.store.eq(taken & (number >= HEADER.size)), self.byte.eq(plain)]
        m.d.sync += [self.address.eq(number - HEADER.size), self.garbled.eq(0)]
        with m.If(taken):
            m.d.sync += [number.eq(number + 1), escaped.eq(0)]
            with m.If(number < HEADER.size):
                m.d.sync += self.header.eq(Cat(self.header[8:], plain))
            with m.If(number == HEADER.size + BLOCK + CRC.size):
                m.d.sync += inside.eq(0)
        with m.If(valid & inside & escape):
            # Nothing that was sent has two of them: the frame ends here.
            m.d.sync += [escaped.eq(1), inside.eq(~escaped)]
        enough = Signal()
        m.d.sync += enough.eq(number >= HEADER.size + CRC.size)
        with m.If(valid & flag):
            good = inside & crc.good & enough & ~escaped
            m.d.sync += [self.full.eq(good), inside.eq(~good), self.garbled.eq(inside & (number != 0) & ~good)]
            m.d.sync += [self.count.eq(number - (HEADER.size + CRC.size)), number.eq(0), escaped.eq(0)]
        with m.If(self.broken):
            m.d.sync += inside.eq(0)
        # Last, so that nothing above counts while a frame is kept.
        with m.If(self.full):
            m.d.sync += [inside.eq(0), self.store.eq(0), self.full.eq(~self.release)]
            m.d.sync += [self.header.eq(self.header), self.count.eq(self.count), self.garbled.eq(0)]
        return m
