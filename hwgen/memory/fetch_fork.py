"""Tells the readers of Q, K and V which rows a block needs."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from hwgen.control.segments import fetch_layout
from hwgen.control.tags import block_layout
from hwgen.memory.row_walker import row_block_layout
from hwgen.params import LENGTH_BITS, Params
from hwgen.part import Part, place
from hwgen.queue import Queue

DEPTH = 4
SEGMENT_DEPTH = 8
"""Blocks that may wait for their segments."""

AHEAD = 7
"""Blocks whose queries may be asked for before they are loaded: more than fit anywhere."""


class FetchFork(Part):
    """One stream of blocks in; for Q, K and V a stream of their rows out, each with a queue of its own so that each
    goes at its own pace, at most a block in 2 cycles.

    While the core is hungry Q goes first on the bus, but only the block it is hungry for: keys for it must not wait
    behind the queries of the next one.

    Ready in every third cycle at most, one behind that in which all queues have room: blocks are longer than that. They
    come from afar and go far, so that what readers need is in registers first, as is whether a block was taken.

    Members: fetch; q, k, v; hungry, loaded (the core's).
    """

    def __init__(self, params: Params) -> None:
        rows = stream.Signature(row_block_layout())
        super().__init__(
            {"fetch": In(stream.Signature(block_layout(params))), "q": Out(rows), "k": Out(rows), "v": Out(rows)}
            | {"hungry": In(1), "loaded": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        block = self.fetch.payload
        layout = row_block_layout()
        queries, keys = Signal(layout, reset_less=True), Signal(layout, reset_less=True)
        words = {"q": queries, "k": keys, "v": keys}
        queues = {name: Queue(width=layout.size, depth=DEPTH, rests=True, counted=True) for name in words}
        ready, taken, there = Signal(), Signal(), Signal()
        m.d.comb += [self.fetch.ready.eq(ready), taken.eq(self.fetch.valid & ready)]
        m.d.sync += [
            ready.eq(Cat(queue.w_rdy for queue in queues.values()).all() & ~taken & ~there),
            there.eq(taken),
            queries.rows.eq(block.queries),
            queries.rewind.eq(0),
            keys.rows.eq(block.fresh),
            keys.rewind.eq(block.rewind),
            queries.last.eq(block.job_last),
            keys.last.eq(block.job_last),
        ]
        open_gates = {"q": queries_may_go(m, self), "k": Const(1), "v": Const(1)}
        for name, word in words.items():
            queue, output = queues[name], getattr(self, name)
            place(m, f"queue_{name}", queue)
            m.d.comb += [
                queue.w_data.eq(word),
                queue.w_en.eq(there),
                output.payload.eq(queue.r_data),
                output.valid.eq(queue.r_rdy & open_gates[name]),
                queue.r_en.eq(output.ready & open_gates[name]),
            ]
        return m


class SegmentFetch(Part):
    """Likewise where keys are given as segments: one stream of blocks and one of their segments in, for Q, K and V a
    stream of their rows out, and for the bias, if there is one, the keys whose rows it needs. Segments without rows ask
    for nothing.

    Members: fetch; segments; q, k, v; bias; hungry, loaded (the core's).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        rows, sought = stream.Signature(row_block_layout()), stream.Signature(row_block_layout(True))
        super().__init__(
            {
                "fetch": In(stream.Signature(block_layout(params))),
                "segments": In(stream.Signature(fetch_layout(params))),
                "q": Out(rows),
                "k": Out(sought),
                "v": Out(sought),
                "hungry": In(1),
                "loaded": In(1),
            }
            | ({"bias": Out(stream.Signature(bias_rows_layout()))} if params.has_bias else {})
        )

    def elaborate(self, platform):
        m = Module()
        block, segment = self.fetch.payload, self.segments.payload
        # Whether a block is the last one of its job, for its last segment.
        ends = Queue(width=1, depth=SEGMENT_DEPTH)
        place(m, "ends", ends)
        names = ("k", "v", "bias") if self._params.has_bias else ("k", "v")
        queries = self._queue(m, "q", queries_may_go(m, self))
        queues = {name: self._queue(m, name, Const(1)) for name in names}
        go = ends.r_rdy
        for queue in queues.values():
            go = go & queue.w_rdy
        rows = Mux(segment.sink, 0, segment.keys)
        taken = self.fetch.valid & self.fetch.ready
        entry = data.View(row_block_layout(), queries.w_data)
        m.d.comb += [
            self.fetch.ready.eq(queries.w_rdy & ends.w_rdy),
            ends.w_data.eq(block.job_last),
            ends.w_en.eq(taken),
            entry.rows.eq(block.queries),
            entry.last.eq(block.job_last),
            queries.w_en.eq(taken),
            self.segments.ready.eq(go),
            ends.r_en.eq(self.segments.valid & go & segment.block_last),
        ]
        for name, queue in queues.items():
            entry = getattr(self, name).payload.shape()(queue.w_data)
            m.d.comb += [
                entry.rows.eq(rows),
                entry.last.eq(segment.block_last & ends.r_data),
                queue.w_en.eq(self.segments.valid & go),
            ]
            if name == "bias":
                m.d.comb += [entry.first.eq(segment.first), entry.block_last.eq(segment.block_last)]
            else:
                m.d.comb += entry.row.eq(segment.row)
        return m

    def _queue(self, m: Module, name: str, gate) -> Queue:
        """The queue in front of an output, which is closed while `gate` is 0."""
        output = getattr(self, name)
        queue = Queue(width=output.payload.shape().size, depth=DEPTH)
        place(m, f"queue_{name}", queue)
        m.d.comb += [
            output.payload.eq(queue.r_data),
            output.valid.eq(queue.r_rdy & gate),
            queue.r_en.eq(output.ready & gate),
        ]
        return queue


def bias_rows_layout() -> data.StructLayout:
    """The keys first .. first + rows - 1, maybe none, of a block: the bias has a row for each of them.

    block_last: the last ones of their block;  last: of the job
    """
    length = unsigned(LENGTH_BITS)
    return data.StructLayout({"first": length, "rows": length, "block_last": unsigned(1), "last": unsigned(1)})


def queries_may_go(m: Module, fork) -> Signal:
    """Not while the core is hungry, as it was a cycle ago, and a block is under way; what is offered stays."""
    ahead, following, offered, closed = Signal(range(AHEAD + 1)), Signal(range(AHEAD + 1)), Signal(), Signal()
    gate = Signal()
    m.d.comb += [
        gate.eq(offered | ~closed),
        following.eq(ahead + (fork.q.valid & fork.q.ready) - fork.loaded),
    ]
    m.d.sync += [
        ahead.eq(following),
        closed.eq((fork.hungry & (following != 0)) | (following == AHEAD)),
        offered.eq(fork.q.valid & ~fork.q.ready),
    ]
    return gate
