"""Hands every block, and every segment of its keys, to all who work on it."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from hwgen.control.segments import fetch_layout, issue_layout, placed_layout
from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.queue import Queue

DEPTH = 4


class BlockFork(Part):
    """One stream of blocks in, `ways` equal streams out, each with a queue of its own so that each goes at its own
    pace.

    Latency 3 cycles; throughput 1 block every 3 cycles, more than anybody cuts: a block is wide and its takers are
    apart, so it is in registers first, as is whether it was taken.
    """

    def __init__(self, params: Params, ways: int) -> None:
        self._layout, self._ways = block_layout(params), ways
        super().__init__(
            {
                "input": In(stream.Signature(self._layout)),
                "outputs": Out(stream.Signature(self._layout)).array(ways),
            }
        )

    def elaborate(self, platform):
        m = Module()
        queues = [Queue(width=self._layout.size, depth=DEPTH, rests=True, counted=True) for _ in range(self._ways)]
        # As it was a cycle ago, unless a block came in since, or in the cycle before.
        ready, taken, there = Signal(init=1), Signal(), Signal()
        block = Signal(self._layout, reset_less=True)
        m.d.comb += [self.input.ready.eq(ready), taken.eq(self.input.valid & ready)]
        m.d.sync += [
            ready.eq(Cat(queue.w_rdy for queue in queues).all() & ~taken & ~there),
            there.eq(taken),
            block.eq(self.input.payload),
        ]
        for i, (queue, output) in enumerate(zip(queues, self.outputs, strict=True)):
            place(m, f"queue_{i}", queue)
            m.d.comb += [
                queue.w_data.eq(block),
                queue.w_en.eq(there),
                output.payload.eq(queue.r_data),
                output.valid.eq(queue.r_rdy),
                queue.r_en.eq(output.ready),
            ]
        return m


SEGMENT_DEPTH = 16
"""Segments whose rows may be asked for before they are issued: each may be of a single key."""


class SegmentFork(Part):
    """One stream of segments in; out what the issuer and what the readers of rows have to know of them, each with a
    queue of its own so that the readers run ahead."""

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "input": In(stream.Signature(placed_layout(params))),
                "issue": Out(stream.Signature(issue_layout(params))),
                "fetch": Out(stream.Signature(fetch_layout(params))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        queues = {
            name: Queue(width=getattr(self, name).payload.shape().size, depth=SEGMENT_DEPTH)
            for name in ("issue", "fetch")
        }
        ready = queues["issue"].w_rdy & queues["fetch"].w_rdy
        m.d.comb += self.input.ready.eq(ready)
        for name, queue in queues.items():
            place(m, f"{name}_queue", queue)
            output = getattr(self, name)
            entry = output.payload.shape()(queue.w_data)
            m.d.comb += [entry[field].eq(self.input.payload[field]) for field in output.payload.shape().members]
            m.d.comb += [
                queue.w_en.eq(self.input.valid & ready),
                output.payload.eq(queue.r_data),
                output.valid.eq(queue.r_rdy),
                queue.r_en.eq(output.ready),
            ]
        return m
