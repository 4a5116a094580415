"""Writes the rows of a tensor."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.control.descriptor_layout import ROW_BYTES_BITS
from hwgen.memory.axi import request_layout, word_layout
from hwgen.memory.row_packer import RowPacker, values_layout
from hwgen.memory.row_walker import RowWalker
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part, place
from hwgen.queue import Slice


class RowWriter(Part):
    """From rows of `beat` elements of `element_bits` bits to the words and the requests of the write engine; `limit` is
    the largest number of elements. A job whose rows are packed is one request, else each of its rows is.

    Latency and throughput are those of RowPacker, and Slice.LATENCY more: `values.ready` is a register.

    Members: head, rows (a job's base address and how many rows it has); stride, head_stride, group, row_bytes, packed,
    elements (constant while there is work); values; request, words (the write engine's); room (`words.ready` of the
    next cycle: it is far off, and what follows it here follows a register of its own); asked (so many rows are in the
    request that was taken a cycle ago).
    """

    def __init__(self, params: Params, element_bits: int, beat: int, limit: int) -> None:
        self._params, self._shape = params, (element_bits, beat, limit)
        address = unsigned(params.config.address_bits)
        super().__init__(
            {
                "head": In(stream.Signature(address)),
                "rows": In(stream.Signature(unsigned(QUERY_BITS))),
                "stride": In(address),
                "head_stride": In(address),
                "group": In(GROUP_BITS),
                "row_bytes": In(ROW_BYTES_BITS),
                "packed": In(1),
                "elements": In(range(limit + 1)),
                "values": In(stream.Signature(values_layout(element_bits, beat))),
                "request": Out(stream.Signature(request_layout(params))),
                "words": Out(stream.Signature(word_layout(params))),
                "room": In(1),
                "asked": Out(LENGTH_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        walker = RowWalker(self._params)
        packer = RowPacker(self._params.config.bus_bits, *self._shape)
        place(m, "walker", walker)
        place(m, "packer", packer)
        connect(m, flipped(self.head), walker.head)
        connect(m, walker.request, flipped(self.request))
        for name in ("stride", "head_stride", "group", "row_bytes", "packed"):
            m.d.comb += getattr(walker, name).eq(getattr(self, name))
        # Far off, and there long before.
        elements, ready = Signal.like(self.elements), Signal(reset_less=True)
        m.d.sync += [elements.eq(self.elements), ready.eq(self.room)]
        m.d.comb += [
            self.words.valid.eq(packer.words.valid),
            self.words.payload.eq(packer.words.payload),
            packer.words.ready.eq(ready),
            # A job is one block.
            walker.block.valid.eq(self.rows.valid),
            walker.block.payload.rows.eq(self.rows.payload),
            walker.block.payload.rewind.eq(0),
            walker.block.payload.last.eq(1),
            self.rows.ready.eq(walker.block.ready),
            packer.elements.eq(elements),
            packer.run.valid.eq(walker.run.valid),
            packer.run.payload.offset.eq(walker.run.payload.offset),
            packer.run.payload.rows.eq(walker.run.payload.rows),
            walker.run.ready.eq(packer.run.ready),
        ]
        self._take_values(m, packer)
        # A run still shows a cycle behind its request.
        taken = Signal()
        m.d.sync += taken.eq(self.request.valid & self.request.ready)
        m.d.comb += self.asked.eq(Mux(taken, walker.run.payload.rows, 0))
        return m

    def _take_values(self, m: Module, packer: RowPacker) -> None:
        """Nothing that the packer waits for is on the way to those who give values."""
        values, given = self.values, packer.values
        taken = Slice(values.payload.shape().size)
        place(m, "taken_values", taken)
        m.d.comb += [
            taken.input.valid.eq(values.valid),
            taken.input.payload.eq(values.payload),
            values.ready.eq(taken.input.ready),
            given.valid.eq(taken.output.valid),
            given.payload.eq(taken.output.payload),
            taken.output.ready.eq(given.ready),
        ]
