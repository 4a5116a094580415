"""Fetches the batches' numbers of keys ahead of their use."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.descriptor import KEY_LENGTH_BYTES
from hwgen.control.descriptor_layout import COUNT_BITS
from hwgen.memory.axi import request_layout
from hwgen.params import Params
from hwgen.part import Part

AHEAD = 8
"""Lengths asked for and not taken, at most. They wait as bus words in the queue of the reader's client."""


def length_layout(params: Params) -> data.StructLayout:
    """A length as it was read, and where."""
    return data.StructLayout({"keys": unsigned(32), "address": unsigned(params.config.address_bits)})


class KeyLengths(Part):
    """`length[b] = the 32-bit number at address + 4 b`, for every batch b in order; the address is a multiple of 4.

    A request for each length, up to AHEAD of them before the first word comes. Latency 0 cycles from word to length,
    throughput 1 length a cycle.

    Members: start (a pulse; all that was asked for has to be taken), address, batches (at `start`); request; words;
    length.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "start": In(1),
                "address": In(params.config.address_bits),
                "batches": In(COUNT_BITS),
                "request": Out(stream.Signature(request_layout(params))),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "length": Out(stream.Signature(length_layout(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lane_bits = ceil_log2(self._params.bus_bytes // KEY_LENGTH_BYTES)
        # Of the length that is asked for next, and of the one that is taken next.
        address, oldest = Signal(self._params.config.address_bits), Signal(self._params.config.address_bits)
        left, ahead = Signal(COUNT_BITS), Signal(range(AHEAD + 1))
        asked, taken = Signal(), Signal()
        # Who takes requests is far: the one of the cycle before is counted in this one.
        counted, full = Signal(), Signal()
        length = self.length.payload
        m.d.comb += [
            full.eq((ahead == AHEAD) | ((ahead == AHEAD - 1) & counted)),
            self.request.valid.eq((left != 0) & ~full),
            self.request.payload.address.eq(address),
            self.request.payload.bytes.eq(KEY_LENGTH_BYTES),
            asked.eq(self.request.valid & self.request.ready),
            self.length.valid.eq(self.words.valid),
            self.words.ready.eq(self.length.ready),
            taken.eq(self.length.valid & self.length.ready),
            length.address.eq(oldest),
            length.keys.eq(self.words.payload.word_select(length.address[2 : 2 + lane_bits], 32)),
        ]
        m.d.sync += counted.eq(asked)
        with m.If(self.start):
            m.d.sync += [address.eq(self.address), oldest.eq(self.address), left.eq(self.batches), ahead.eq(0)]
        with m.Else():
            m.d.sync += ahead.eq(ahead + counted - taken)
            with m.If(taken):
                m.d.sync += oldest.eq(oldest + KEY_LENGTH_BYTES)
            with m.If(asked):
                m.d.sync += [address.eq(address + KEY_LENGTH_BYTES), left.eq(left - 1)]
        return m
