"""Cuts a job into blocks of queries."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from hwgen.control.job import job_layout
from hwgen.control.tags import block_layout
from hwgen.params import LENGTH_BITS, OFFSET_BITS, Params
from hwgen.part import Part


class BlockWalker(Part):
    """One job in, its blocks out, in order; every number that a block needs is found by counting, a slot a cycle.

    Latency slots + 3 cycles a block at most, hidden behind the blocks before. `working`: a job is being cut.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(params))),
                "block": Out(stream.Signature(block_layout(params))),
                "working": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        job = Signal(job_layout(self._params))
        block = self.block.payload
        left = Signal(LENGTH_BITS)
        slot_left = Signal(LENGTH_BITS)
        counting_void = Signal()
        with m.FSM() as fsm:
            m.d.comb += self.working.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                with m.If(self.job.valid):
                    m.d.sync += [
                        job.eq(self.job.payload),
                        left.eq(self.job.payload.queries),
                        block.first_query.eq(0),
                    ]
                    m.next = "START"
            with m.State("START"):
                self._start(m, job, left, slot_left, counting_void)
                m.next = "COUNT"
            with m.State("COUNT"):
                self._count(m, slot_left, counting_void)
            with m.State("OFFER"):
                m.d.comb += self.block.valid.eq(1)
                with m.If(self.block.ready):
                    m.d.sync += [
                        left.eq(left - block.queries),
                        block.first_query.eq(block.first_query + self._params.block),
                    ]
                    m.next = "START"
                    with m.If(block.job_last):
                        m.next = "IDLE"
        return m

    def _start(self, m: Module, job, left: Signal, slot_left: Signal, counting_void: Signal) -> None:
        """Queries and keys of the block; what slot 0 may not see."""
        size = self._params.block
        block = self.block.payload
        queries = Signal(LENGTH_BITS)
        bound = Signal(signed(OFFSET_BITS))
        m.d.comb += [
            queries.eq(Mux(left > size, size, left)),
            bound.eq(block.first_query + queries + job.offset),
        ]
        m.d.sync += [
            block.queries.eq(queries),
            block.job_last.eq(left <= size),
            block.keys.eq(Mux(~job.causal | (bound > job.keys), job.keys, Mux(bound < 0, 0, bound))),
            block.causal.eq(job.causal),
            block.edge.eq(-(block.first_query + job.offset)),
            block.scale_mantissa.eq(job.scale_mantissa),
            block.scale_exponent.eq(job.scale_exponent),
            block.slots.eq(0),
            block.void_slots.eq(0),
            slot_left.eq(queries),
            counting_void.eq(job.causal),
        ]

    def _count(self, m: Module, slot_left: Signal, counting_void: Signal) -> None:
        """Slots in use, and leading slots whose last query may not even see key 0."""
        cols = self._params.config.cols
        block = self.block.payload
        more_slots, more_void = Signal(), Signal()
        m.d.comb += [
            more_slots.eq(slot_left > cols),
            more_void.eq(counting_void & (block.edge >= cols) & (block.void_slots != self._params.config.slots)),
        ]
        with m.If(more_slots):
            m.d.sync += [block.slots.eq(block.slots + 1), slot_left.eq(slot_left - cols)]
        with m.If(more_void):
            m.d.sync += [block.void_slots.eq(block.void_slots + 1), block.edge.eq(block.edge - cols)]
        with m.If(~more_slots & ~more_void):
            m.d.sync += block.width.eq(slot_left)
            m.next = "OFFER"
