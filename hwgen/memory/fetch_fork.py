"""Tells the readers of Q, K and V which rows a block needs."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hwgen.control.tags import block_layout
from hwgen.memory.row_walker import row_block_layout
from hwgen.params import Params
from hwgen.part import Part

DEPTH = 4
AHEAD = 7
"""Blocks whose queries may be asked for before they are loaded: more than fit anywhere."""


class FetchFork(Part):
    """One stream of blocks in; for Q, K and V a stream of their rows out, each with a queue of its own so that each
    goes at its own pace.

    While the core is hungry Q goes first on the bus, but only the block it is hungry for: keys for it must not wait
    behind the queries of the next one.

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
        wanted = {"q": (block.queries, 0), "k": (block.fresh, block.rewind), "v": (block.fresh, block.rewind)}
        queues = {name: SyncFIFOBuffered(width=layout.size, depth=DEPTH) for name in wanted}
        ready = queues["q"].w_rdy & queues["k"].w_rdy & queues["v"].w_rdy
        m.d.comb += self.fetch.ready.eq(ready)
        open_gates = {"q": self._queries_may_go(m), "k": Const(1), "v": Const(1)}
        for name, (rows, rewind) in wanted.items():
            queue, output = queues[name], getattr(self, name)
            m.submodules[f"queue_{name}"] = queue
            entry = data.View(layout, queue.w_data)
            m.d.comb += [
                entry.rows.eq(rows),
                entry.rewind.eq(rewind),
                entry.last.eq(block.job_last),
                queue.w_en.eq(self.fetch.valid & ready),
                output.payload.eq(queue.r_data),
                output.valid.eq(queue.r_rdy & open_gates[name]),
                queue.r_en.eq(output.ready & open_gates[name]),
            ]
        return m

    def _queries_may_go(self, m: Module) -> Signal:
        """Not while the core is hungry and a block is under way; what is offered stays."""
        ahead, offered, gate = Signal(range(AHEAD + 1)), Signal(), Signal()
        m.d.comb += gate.eq(offered | ~((self.hungry & (ahead != 0)) | (ahead == AHEAD)))
        m.d.sync += [
            ahead.eq(ahead + (self.q.valid & self.q.ready) - self.loaded),
            offered.eq(self.q.valid & ~self.q.ready),
        ]
        return gate
