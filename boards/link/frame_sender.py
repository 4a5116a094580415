"""From an answer in a buffer to bytes on the line."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from boards.link.crc import CYCLES, Crc32
from boards.link.frame_receiver import COUNT_BITS
from boards.link.protocol import CRC, ESCAPE, FLAG, FLIP, HEADER
from hwgen.part import Part, place

FETCH_CYCLES = CYCLES + 2
"""From an address to the byte that is sent: the CRC takes longer than the buffer."""


class FrameSender(Part):
    """Flag, header, `count` bytes of the buffer, CRC, flag; as often as asked for, always the same.

    A byte every FETCH_CYCLES + 4 cycles at most, which is less than the line takes.

    Members
    -------
    start:         send; header and count must stay until `busy` falls
    header, count: what comes first, and how many bytes of data follow
    address, byte: of the buffer; the byte may come 3 cycles later
    output:        bytes for the line
    busy:          from the cycle behind `start` until the last byte was taken
    """

    def __init__(self) -> None:
        super().__init__(
            {"start": In(1), "header": In(8 * HEADER.size), "count": In(COUNT_BITS), "busy": Out(1)}
            | {"address": Out(COUNT_BITS), "byte": In(8), "output": Out(stream.Signature(unsigned(8)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        crc = Crc32()
        place(m, "crc", crc)
        shift, left, wait = Signal(8 * HEADER.size), Signal(COUNT_BITS), Signal(range(FETCH_CYCLES + 1))
        data, closing, byte = Signal(), Signal(), Signal(8)
        m.d.comb += crc.data.eq(byte)
        special = Signal()
        m.d.sync += special.eq((byte == FLAG) | (byte == ESCAPE))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [shift.eq(self.header), left.eq(HEADER.size), data.eq(0), closing.eq(0)]
                m.d.sync += self.address.eq(0)
                with m.If(self.start):
                    m.d.sync += self.busy.eq(1)
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += [self.output.valid.eq(1), self.output.payload.eq(FLAG)]
                m.d.sync += wait.eq(FETCH_CYCLES)
                with m.If(self.output.ready):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += [wait.eq(wait - 1), byte.eq(Mux(data, self.byte, shift[:8]))]
                with m.If(wait == 0):
                    m.next = "LOOK"
            with m.State("LOOK"):
                # `special` is of the byte that FETCH left.
                m.d.comb += crc.valid.eq(1)
                m.next = "SORT"
            with m.State("SORT"):
                m.next = "BYTE"
                with m.If(special):
                    m.d.sync += byte.eq(byte ^ FLIP)
                    m.next = "ESCAPE"
            with m.State("ESCAPE"):
                m.d.comb += [self.output.valid.eq(1), self.output.payload.eq(ESCAPE)]
                with m.If(self.output.ready):
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += [self.output.valid.eq(1), self.output.payload.eq(byte)]
                m.d.sync += wait.eq(FETCH_CYCLES)
                with m.If(self.output.ready):
                    m.d.sync += [left.eq(left - 1), shift.eq(shift >> 8), self.address.eq(self.address + data)]
                    m.next = "FETCH"
                    with m.If(left == 1):
                        m.next = "TURN"
            with m.State("TURN"):
                # Until the CRC has all bits of the last byte.
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += wait.eq(FETCH_CYCLES)
                    self._turn(m, crc.value, shift, left, data, closing)
            with m.State("CLOSE"):
                m.d.comb += [self.output.valid.eq(1), self.output.payload.eq(FLAG)]
                with m.If(self.output.ready):
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
        return m

    def _turn(self, m: Module, crc: Any, shift: Signal, left: Signal, data: Signal, closing: Signal) -> None:
        """Header, data and CRC follow each other."""
        m.next = "FETCH"
        with m.If(closing):
            m.next = "CLOSE"
        with m.Elif(~data & (self.count != 0)):
            m.d.sync += [data.eq(1), left.eq(self.count)]
        with m.Else():
            m.d.sync += [data.eq(0), closing.eq(1), left.eq(CRC.size), shift.eq(crc)]
