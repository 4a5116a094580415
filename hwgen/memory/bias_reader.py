"""Brings the rows of a bias: of each key the numbers for the queries of a block."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hwgen.control.tags import block_layout
from hwgen.memory.axi import request_layout
from hwgen.memory.convert import raw_beat
from hwgen.memory.fetch_fork import bias_rows_layout
from hwgen.memory.row_steps import run_layout
from hwgen.memory.row_unpacker import RowUnpacker
from hwgen.params import LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part, place
from hwgen.queue import Queue


def bias_block_layout(params: Params) -> data.StructLayout:
    """Part of a bias: the numbers of `queries` queries from `first_query` on, for each of `keys` keys (maybe none) from
    `first` on. last: no part of the job follows."""
    return data.StructLayout(
        {
            "first_query": unsigned(QUERY_BITS),
            "queries": unsigned(ceil_log2(params.block + 1)),
            "first": unsigned(LENGTH_BITS),
            "keys": unsigned(LENGTH_BITS),
            "last": unsigned(1),
        }
    )


def bias_run_layout(params: Params) -> data.StructLayout:
    """A row of so many elements, the first one `offset` elements behind the beginning of a bus word."""
    elements = unsigned(ceil_log2(params.block + 1))
    return data.StructLayout({"offset": run_layout(params)["offset"].shape, "elements": elements})


class BiasWalker(Part):
    """One head address a job and its blocks in; a request and a run a key out.

    The row of key j begins at `head + j stride + first_query * element size`, modulo the address space. Latency 2
    cycles from a block to its first request, one more in the first block of a job, and, if the block is not the
    continuation of the one before, one more for every binary digit of `first`. Throughput a row in 2 cycles, and 2
    cycles more a block.

    Members: head; block; stride (constant while there is work); request; run.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        address = unsigned(params.config.address_bits)
        super().__init__(
            {
                "head": In(stream.Signature(address)),
                "block": In(stream.Signature(bias_block_layout(params))),
                "stride": In(address),
                "request": Out(stream.Signature(request_layout(params))),
                "run": Out(stream.Signature(bias_run_layout(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        address_bits = self._params.config.address_bits
        self._element_bits = ceil_log2(self._params.input.bits // 8)
        self._base, self._row, self._multiple = Signal(address_bits), Signal(address_bits), Signal(address_bits)
        self._factor, self._left, self._last = Signal(LENGTH_BITS), Signal(LENGTH_BITS), Signal()
        # What the row register would be right for.
        self._key, self._first_query, self._valid = Signal(LENGTH_BITS), Signal(QUERY_BITS), Signal()
        self._queries = Signal(ceil_log2(self._params.block + 1))
        for output in (self.request, self.run):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)
        with m.FSM():
            with m.State("JOB"):
                m.d.comb += self.head.ready.eq(1)
                m.d.sync += [self._base.eq(self.head.payload), self._valid.eq(0)]
                with m.If(self.head.valid):
                    m.next = "BLOCK"
            with m.State("BLOCK"):
                self._begin(m)
            with m.State("MULTIPLY"):
                m.d.sync += [self._factor.eq(self._factor >> 1), self._multiple.eq(self._multiple.shift_left(1))]
                with m.If(self._factor[0]):
                    m.d.sync += self._row.eq(self._row + self._multiple)
                with m.If(self._factor[1:] == 0):
                    m.next = "ROW"
            with m.State("ROW"):
                self._issue(m)
            with m.State("STEP"):
                m.d.sync += [
                    self._row.eq(self._row + self.stride),
                    self._left.eq(self._left - 1),
                    self._key.eq(self._key + 1),
                ]
                m.next = "ROW"
        return m

    def _begin(self, m: Module) -> None:
        """Take a block. Its first row is found by adding multiples of the stride unless it is the next one."""
        block, follows = self.block.payload, Signal()
        m.d.comb += [
            self.block.ready.eq(1),
            follows.eq(self._valid & (block.first == self._key) & (block.first_query == self._first_query)),
        ]
        m.d.sync += [
            self._left.eq(block.keys),
            self._last.eq(block.last),
            self._queries.eq(block.queries),
            self._factor.eq(block.first),
            self._multiple.eq(self.stride),
        ]
        with m.If(self.block.valid):
            m.next = "ROW"
            with m.If(~follows):
                m.d.sync += [
                    self._row.eq(self._base + block.first_query.shift_left(self._element_bits)),
                    self._key.eq(block.first),
                    self._first_query.eq(block.first_query),
                    self._valid.eq(1),
                ]
                with m.If(block.first != 0):
                    m.next = "MULTIPLY"

    def _issue(self, m: Module) -> None:
        """Offer a row once both outputs are free, or end the block."""
        request, run = self.request, self.run
        free = (~request.valid | request.ready) & (~run.valid | run.ready)
        with m.If(self._left == 0):
            m.next = "BLOCK"
            with m.If(self._last):
                m.next = "JOB"
        with m.Elif(free):
            word_bits = ceil_log2(self._params.bus_bytes)
            m.d.sync += [
                request.payload.address.eq(self._row),
                request.payload.bytes.eq(self._queries.shift_left(self._element_bits)),
                run.payload.offset.eq(self._row[self._element_bits : word_bits]),
                run.payload.elements.eq(self._queries),
                request.valid.eq(1),
                run.valid.eq(1),
            ]
            m.next = "STEP"


class BiasFork(Part):
    """Passes blocks on and says which part of the bias each of them needs: that of all its keys, or, where keys are
    given as segments, that of each of them in turn. It is brought for every block anew. There is a queue, so that
    readers go at their own pace.

    Members: fetch; blocks (the same); rows (the segments' keys, where there are segments); bias.
    """

    DEPTH = 8

    def __init__(self, params: Params) -> None:
        self._layout, self._segmented = bias_block_layout(params), params.segmented
        blocks = stream.Signature(block_layout(params))
        super().__init__(
            {"fetch": In(blocks), "blocks": Out(blocks), "bias": Out(stream.Signature(self._layout))}
            | ({"rows": In(stream.Signature(bias_rows_layout()))} if params.segmented else {})
        )

    def elaborate(self, platform):
        m = Module()
        queue = Queue(width=self._layout.size, depth=self.DEPTH)
        place(m, "queue", queue)
        block, entry = self.fetch.payload, data.View(self._layout, queue.w_data)
        m.d.comb += [
            self.blocks.valid.eq(self.fetch.valid & queue.w_rdy),
            self.blocks.payload.eq(block),
            self.fetch.ready.eq(self.blocks.ready & queue.w_rdy),
            entry.first_query.eq(block.first_query),
            entry.queries.eq(block.queries),
            queue.w_en.eq(self.fetch.valid & self.fetch.ready),
            self.bias.payload.eq(queue.r_data),
            self.bias.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.bias.ready),
        ]
        if self._segmented:
            rows = self.rows.payload
            m.d.comb += [
                self.bias.valid.eq(queue.r_rdy & self.rows.valid),
                self.bias.payload.first.eq(rows.first),
                self.bias.payload.keys.eq(rows.rows),
                self.bias.payload.last.eq(rows.last),
                self.rows.ready.eq(queue.r_rdy & self.bias.ready),
                queue.r_en.eq(self.bias.valid & self.bias.ready & rows.block_last),
            ]
        else:
            m.d.comb += [entry.keys.eq(block.keys), entry.last.eq(block.job_last)]
        return m


class BiasReader(Part):
    """From parts of a bias to its numbers: for every key those of the part's queries, in beats, the last one of a key
    filled up with zeros and marked.

    Requests run ahead of the words by as much as the read engine can hold. Latency and throughput are those of
    BiasWalker and RowUnpacker, one cycle more each way.

    Members: head (one address a job), block (what to bring); stride (constant while there is work); request, words (the
    read engine's); output.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        address = unsigned(params.config.address_bits)
        super().__init__(
            {
                "head": In(stream.Signature(address)),
                "block": In(stream.Signature(bias_block_layout(params))),
                "stride": In(address),
                "request": Out(stream.Signature(request_layout(params))),
                "words": In(stream.Signature(unsigned(params.config.bus_bits))),
                "output": Out(stream.Signature(raw_beat(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        walker, unpacker = BiasWalker(p), RowUnpacker(p, p.config.beat, p.block)
        place(m, "walker", walker)
        place(m, "unpacker", unpacker)
        connect(m, flipped(self.head), walker.head)
        connect(m, flipped(self.block), walker.block)
        connect(m, walker.request, flipped(self.request))
        connect(m, flipped(self.words), unpacker.words)
        connect(m, unpacker.output, flipped(self.output))
        # What was asked for and has not come: at most a run a word.
        layout = bias_run_layout(p)
        runs = Queue(width=layout.size, depth=p.config.queue_beats)
        place(m, "runs", runs)
        run = data.View(layout, runs.r_data)
        m.d.comb += [
            walker.stride.eq(self.stride),
            runs.w_data.eq(walker.run.payload),
            runs.w_en.eq(walker.run.valid),
            walker.run.ready.eq(runs.w_rdy),
            unpacker.run.payload.offset.eq(run.offset),
            unpacker.run.payload.rows.eq(1),
            unpacker.elements.eq(run.elements),
            unpacker.run.valid.eq(runs.r_rdy),
            runs.r_en.eq(unpacker.run.ready),
        ]
        return m
