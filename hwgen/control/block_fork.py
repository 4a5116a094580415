"""Hands every block to all who work on it."""

from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.part import Part

DEPTH = 4


class BlockFork(Part):
    """One stream of blocks in, `ways` equal streams out, each with a queue of its own so that each goes at its own
    pace."""

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
        queues = [SyncFIFOBuffered(width=self._layout.size, depth=DEPTH) for _ in range(self._ways)]
        ready = queues[0].w_rdy
        for queue in queues[1:]:
            ready = ready & queue.w_rdy
        m.d.comb += self.input.ready.eq(ready)
        for i, (queue, output) in enumerate(zip(queues, self.outputs, strict=True)):
            m.submodules[f"queue_{i}"] = queue
            m.d.comb += [
                queue.w_data.eq(self.input.payload),
                queue.w_en.eq(self.input.valid & ready),
                output.payload.eq(queue.r_data),
                output.valid.eq(queue.r_rdy),
                queue.r_en.eq(output.ready),
            ]
        return m
