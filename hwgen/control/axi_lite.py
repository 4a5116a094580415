"""AXI4-Lite channels turned into single writes and reads of words."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.register_map import ADDRESS_BITS, WORD_BITS, WORD_BYTES
from hwgen.memory.axi import Response
from hwgen.part import Part
from hwgen.pipeline import unreset

WORD_ADDRESS_BITS = ADDRESS_BITS - ceil_log2(WORD_BYTES)

address_layout = data.StructLayout({"address": unsigned(ADDRESS_BITS)})
write_data_layout = data.StructLayout({"data": unsigned(WORD_BITS), "strobe": unsigned(WORD_BYTES)})
write_answer_layout = data.StructLayout({"response": unsigned(2)})
read_answer_layout = data.StructLayout({"data": unsigned(WORD_BITS), "response": unsigned(2)})


class RegisterWrites(Part):
    """One write at a time: an address and data, which may come in any order, become a `write` of one cycle.

    `error` is looked at in that cycle. Latency 2 cycles from the later of both to `write`, 3 to the answer.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "aw": In(stream.Signature(address_layout)),
                "w": In(stream.Signature(write_data_layout)),
                "b": Out(stream.Signature(write_answer_layout)),
                "write": Out(1),
                "word": Out(WORD_ADDRESS_BITS),
                "data": Out(WORD_BITS),
                "mask": Out(WORD_BITS),
                "error": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        strobe = Signal(WORD_BYTES, reset_less=True)
        word, data = unreset(m, self.word), unreset(m, self.data)
        answer = Signal(write_answer_layout, reset_less=True)
        m.d.comb += self.b.payload.eq(answer)
        addressed, filled = Signal(), Signal()
        m.d.comb += [
            self.aw.ready.eq(~addressed),
            self.w.ready.eq(~filled),
            self.mask.eq(Cat(bit.replicate(8) for bit in strobe)),
        ]
        m.d.sync += self.write.eq(addressed & filled & ~self.b.valid & ~self.write)
        with m.If(self.aw.valid & self.aw.ready):
            m.d.sync += [addressed.eq(1), word.eq(self.aw.payload.address[-WORD_ADDRESS_BITS:])]
        with m.If(self.w.valid & self.w.ready):
            m.d.sync += [filled.eq(1), data.eq(self.w.payload.data), strobe.eq(self.w.payload.strobe)]
        with m.If(self.b.ready):
            m.d.sync += self.b.valid.eq(0)
        with m.If(self.write):
            m.d.sync += [addressed.eq(0), filled.eq(0), self.b.valid.eq(1)]
            m.d.sync += answer.response.eq(Mux(self.error, Response.SLVERR, Response.OKAY))
        return m


class RegisterReads(Part):
    """One read at a time: `read` is high for a cycle; `data` and `error` are looked at two cycles later.

    Latency 1 cycle from an address to `read`, 4 to the answer.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "ar": In(stream.Signature(address_layout)),
                "r": Out(stream.Signature(read_answer_layout)),
                "read": Out(1),
                "word": Out(WORD_ADDRESS_BITS),
                "data": In(WORD_BITS),
                "error": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        busy, waiting, looking = Signal(), Signal(), Signal()
        word, answer = unreset(m, self.word), Signal(read_answer_layout, reset_less=True)
        m.d.comb += self.r.payload.eq(answer)
        m.d.comb += self.ar.ready.eq(~busy)
        m.d.sync += [self.read.eq(0), waiting.eq(self.read), looking.eq(waiting)]
        with m.If(self.ar.valid & self.ar.ready):
            m.d.sync += [busy.eq(1), self.read.eq(1), word.eq(self.ar.payload.address[-WORD_ADDRESS_BITS:])]
        with m.If(looking):
            m.d.sync += [self.r.valid.eq(1), answer.data.eq(self.data)]
            m.d.sync += answer.response.eq(Mux(self.error, Response.SLVERR, Response.OKAY))
        with m.If(self.r.valid & self.r.ready):
            m.d.sync += [self.r.valid.eq(0), busy.eq(0)]
        return m
