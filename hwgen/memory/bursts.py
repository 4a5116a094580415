"""Cuts requests for bytes into AXI bursts."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.axi import BYTE_COUNT_BITS, request_layout
from hwgen.params import Params
from hwgen.part import Part


def split_layout(params: Params) -> data.StructLayout:
    """A burst: address of its first word, beats minus one, and whether it is the last of its request."""
    return data.StructLayout(
        {"address": unsigned(params.config.address_bits), "length": unsigned(8), "last": unsigned(1)}
    )


class BurstSplitter(Part):
    """The bus words that a request touches, in bursts of at most `burst_beats` words.

    Memory is cut into chunks of `burst_beats` words, aligned to their size; a request gives one burst for every chunk
    it touches, so no burst crosses a page. Addresses go on at 0 behind the last one.

    Latency LATENCY cycles; throughput a burst in 2 cycles, within a request and from one to the next: that one is taken
    then enables no register of an address.

    Members
    -------
    input:  requests
    output: their bursts
    clear:  forgets everything it holds, and takes nothing; there is no reset but this
    empty:  holds no request
    """

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "input": In(stream.Signature(request_layout(params))),
                "output": Out(stream.Signature(split_layout(params))),
                "clear": In(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        word_bits, beat_bits = ceil_log2(p.bus_bytes), ceil_log2(p.config.burst_beats)
        chunk_bits = word_bits + beat_bits
        # chunk, word: where the burst starts; left: chunks behind this one; end: last word in the last chunk.
        layout = data.StructLayout(
            {
                "chunk": unsigned(p.config.address_bits - chunk_bits),
                "word": unsigned(beat_bits),
                "left": unsigned(BYTE_COUNT_BITS + 1 - chunk_bits),
                "end": unsigned(beat_bits),
            }
        )
        counted, counted_valid = Signal(layout, reset_less=True), Signal(reset_less=True)
        # A burst is offered from `work`, or that changes: `done` says that nothing is left of its request but the burst
        # that may be offered; whether that is taken is known late.
        work = Signal(layout, reset_less=True)
        offered, done = Signal(reset_less=True), Signal(init=1, reset_less=True)
        # Of the burst that is offered: beats minus one, whether it is the last one, and the last but one.
        length, final, second = Signal(beat_bits, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        longest = p.config.burst_beats - 1
        request = self.input.payload
        last_byte = Signal(BYTE_COUNT_BITS + 1)
        m.d.comb += [
            self.input.ready.eq(~counted_valid & ~self.clear),
            last_byte.eq(request.address[:chunk_bits] - 1 + request.bytes),
            self.empty.eq(~counted_valid & done & ~offered),
        ]
        with m.If(~counted_valid):
            m.d.sync += [
                counted_valid.eq(self.input.valid),
                counted.chunk.eq(request.address[chunk_bits:]),
                counted.word.eq(request.address[word_bits:chunk_bits]),
                counted.left.eq(last_byte[chunk_bits:]),
                counted.end.eq(last_byte[word_bits:chunk_bits]),
            ]
        with m.Elif(~offered & done):
            m.d.sync += counted_valid.eq(0)
        m.d.sync += done.eq(Mux(offered, final, done & ~counted_valid))
        with m.If(~offered):
            m.d.sync += offered.eq(counted_valid | ~done)
            with m.If(done):
                m.d.sync += [
                    work.eq(counted),
                    final.eq(counted.left == 0),
                    second.eq(counted.left == 1),
                    length.eq(Mux(counted.left == 0, counted.end - counted.word, longest - counted.word)),
                ]
            with m.Else():
                m.d.sync += [
                    work.chunk.eq(work.chunk + 1),
                    work.word.eq(0),
                    work.left.eq(work.left - 1),
                    final.eq(second),
                    second.eq(work.left == 2),
                    length.eq(Mux(second, work.end, longest)),
                ]
        with m.Elif(self.output.ready):
            m.d.sync += offered.eq(0)
        with m.If(self.clear):
            m.d.sync += [counted_valid.eq(0), offered.eq(0), done.eq(1)]
        m.d.comb += [
            self.output.valid.eq(offered),
            self.output.payload.address.eq(Cat(Const(0, word_bits), work.word, work.chunk)),
            self.output.payload.length.eq(length),
            self.output.payload.last.eq(final),
        ]
        return m
