"""Brings the rows of a tensor."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.control.descriptor_layout import ROW_BYTES_BITS
from hwgen.memory.axi import request_layout
from hwgen.memory.convert import raw_beat
from hwgen.memory.row_unpacker import RowUnpacker
from hwgen.memory.row_walker import RowWalker, row_block_layout
from hwgen.params import GROUP_BITS, Params
from hwgen.part import Part, place
from hwgen.queue import Queue


class RowReader(Part):
    """From blocks of rows to their elements, padded to whole folds of an array with `rows` rows; `limit` is the largest
    number of elements. With `seek` a block says at which row it starts.

    Requests run ahead of the words by as much as the read engine can hold. Latency and throughput are those of
    RowWalker and RowUnpacker, one cycle more each way.

    Members: head, block (what to bring); stride, head_stride, group, row_bytes, packed, elements (constant while there
    is work); request, words (the read engine's); output.
    """

    def __init__(self, params: Params, rows: int, limit: int, seek: bool = False) -> None:
        self._params, self._rows, self._limit, self._seek = params, rows, limit, seek
        address = unsigned(params.config.address_bits)
        super().__init__(
            {
                "head": In(stream.Signature(address)),
                "block": In(stream.Signature(row_block_layout(seek))),
                "stride": In(address),
                "head_stride": In(address),
                "group": In(GROUP_BITS),
                "row_bytes": In(ROW_BYTES_BITS),
                "packed": In(1),
                "elements": In(range(limit + 1)),
                "request": Out(stream.Signature(request_layout(params))),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "output": Out(stream.Signature(raw_beat(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The same module as where nobody seeks.
        walker = RowWalker(self._params, True) if self._seek else RowWalker(self._params)
        unpacker = RowUnpacker(self._params, self._rows, self._limit)
        place(m, "walker", walker)
        place(m, "unpacker", unpacker)
        connect(m, flipped(self.head), walker.head)
        connect(m, flipped(self.block), walker.block)
        connect(m, walker.request, flipped(self.request))
        connect(m, flipped(self.words), unpacker.words)
        connect(m, unpacker.output, flipped(self.output))
        for name in ("stride", "head_stride", "group", "row_bytes", "packed"):
            m.d.comb += getattr(walker, name).eq(getattr(self, name))
        # Far off, and there long before.
        elements = Signal.like(self.elements)
        m.d.sync += elements.eq(self.elements)
        m.d.comb += unpacker.elements.eq(elements)
        self._queue_runs(m, walker, unpacker)
        return m

    def _queue_runs(self, m: Module, walker: RowWalker, unpacker: RowUnpacker) -> None:
        """What was asked for and has not come: at most a run a word."""
        run = unpacker.run.payload
        depth = self._params.config.queue_beats
        runs = Queue(width=run.shape().size, depth=depth)
        place(m, "runs", runs)
        entry = run.shape()(runs.w_data)
        element_bytes = ceil_log2(self._params.input.bits // 8)
        m.d.comb += [
            entry.offset.eq(walker.run.payload.offset.shift_right(element_bytes)),
            entry.rows.eq(walker.run.payload.rows),
            runs.w_en.eq(walker.run.valid),
            walker.run.ready.eq(runs.w_rdy),
            run.eq(runs.r_data),
            unpacker.run.valid.eq(runs.r_rdy),
            runs.r_en.eq(unpacker.run.ready),
        ]
