"""Cuts a job into blocks of queries."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from hwgen.control.job import batch_head, job_layout, listed
from hwgen.control.tags import block_layout
from hwgen.params import GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part
from hwgen.timing import resident_rows


class BlockWalker(Part):
    """One job in, its blocks out, in order; every number that a block needs is found by counting.

    Where keys are given as segments, a block's are those of its job, and rows and void slots are not found here.

    Latency slots + 9 cycles a block at most, and ceil(cols x slots / group) + 2 more in a causal job of grouped heads,
    hidden behind the blocks before; with segments slots + 5. `working`: a job is being cut.
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
        self._job = job = Signal(job_layout(self._params))
        block = self.block.payload
        # Queries that are left, and that will be behind this block; those of the block, which is the last one.
        self._left, self._rest, self._final = Signal(QUERY_BITS), Signal(QUERY_BITS), Signal()
        self._queries = Signal.like(block.queries)
        # The same a cycle later, for the sums, which may lie elsewhere.
        self._added = Signal.like(block.queries)
        # Queries up to the block's end: so many positions times the group, and `part` more; the positions and the
        # offset, which is what they see if there is no part. Whether there is a part is known a cycle later.
        self._end, self._part, self._some_part = Signal(QUERY_BITS), Signal(GROUP_BITS + 8), Signal()
        self._sight = Signal(signed(QUERY_BITS + 2))
        # The part less a group: whether there is one more position in it is a bit.
        self._over = Signal(signed(len(self._part) + 1))
        # Every head has its own queries.
        self._resident, self._single, size = Signal(), Signal(), self._params.block
        m.d.sync += [
            self._rest.eq(self._left - block.queries),
            self._final.eq(self._left <= size),
            self._queries.eq(Mux(self._final, self._left[: len(block.queries)], size)),
            self._added.eq(self._queries),
            self._resident.eq(job.keys <= resident_rows(self._params)),
            self._single.eq(job.group == 1),
            self._some_part.eq(self._part != 0),
        ]
        self._slot_left = Signal.like(block.queries)
        self._brought = Signal(LENGTH_BITS)
        # The block's edge less a slot: whether it is void is a bit. Another slot may be void.
        self._beyond, self._void_room = Signal(signed(len(block.edge) + 1)), Signal()
        # The block sees all keys, or so many.
        self._all_keys, self._seen = Signal(), Signal(LENGTH_BITS)
        self._bound(m)
        # Much changes with each of these, so they are registers: the state is IDLE; a job came; a block that is not
        # the last one is gone; the state is START, or was.
        idle, came, gone, starting, adding = Signal(init=1), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [self.working.eq(~idle), self.job.ready.eq(idle)]
        m.d.sync += [came.eq(idle & self.job.valid), gone.eq(0), starting.eq(0), adding.eq(starting)]
        with m.If(gone):
            m.d.sync += [
                self._left.eq(self._rest),
                self._brought.eq(block.keys),
                block.first_query.eq(self._end),
            ]
        with m.If(idle):
            m.d.sync += [
                idle.eq(~self.job.valid),
                job.eq(self.job.payload),
                self._left.eq(self.job.payload.queries),
                block.first_query.eq(0),
                self._end.eq(0),
                self._sight.eq(self.job.payload.offset),
                self._part.eq(0),
                self._brought.eq(0),
            ]
        with m.If(starting):
            self._start(m)
        with m.If(adding):
            self._add(m)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(came):
                    m.next = "SIZE"
            with m.State("GONE"):
                m.next = "FINAL"
            with m.State("FINAL"):
                m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += starting.eq(1)
                m.next = "START"
            self._walk(m)
            with m.State("OFFER"):
                with m.If(self.block.ready):
                    m.d.sync += [self.block.valid.eq(0), gone.eq(~block.job_last)]
                    m.next = "GONE"
                    with m.If(block.job_last):
                        m.d.sync += idle.eq(1)
                        m.next = "IDLE"
        return m

    def _walk(self, m: Module) -> None:
        """What a block sees."""
        job, block = self._job, self.block.payload
        with m.State("START"):
            if self._params.segmented:
                m.next = "COUNT"
            else:
                m.next = "ADD"
        if not self._params.segmented:
            with m.State("ADD"):
                m.next = "KEYS"
                with m.If(job.causal & ~self._single):
                    m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += self._over.eq(self._part - job.group)
                m.next = "COUNT_POSITIONS"
            with m.State("COUNT_POSITIONS"):
                over = self._over
                m.d.sync += over.eq(over - job.group)
                with m.If(~over[-1]):
                    m.d.sync += [self._part.eq(over), self._sight.eq(self._sight + 1)]
                with m.Else():
                    m.next = "KEYS"
            with m.State("KEYS"):
                m.d.sync += self._beyond.eq(block.edge - self._params.config.cols)
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.sync += block.keys.eq(Mux(self._all_keys, job.keys, self._seen))
                m.next = "COUNT"
            self._rows(m)
        with m.State("COUNT"):
            self._count(m)

    def _start(self, m: Module) -> None:
        """Queries of the block; what slot 0 may not see."""
        job, block = self._job, self.block.payload
        queries = self._queries
        m.d.sync += [
            block.queries.eq(queries),
            block.job_last.eq(self._final),
            block.causal.eq(job.causal),
            block.edge.eq(job.edge - block.first_query),
            block.group.eq(job.group),
            block.scale_mantissa.eq(job.scale_mantissa),
            block.scale_exponent.eq(job.scale_exponent),
            block.slots.eq(0),
            self._slot_left.eq(queries),
        ]
        if self._params.segmented:
            m.d.sync += [block.keys.eq(job.keys), block.offset.eq(job.offset)]
        else:
            m.d.sync += [block.void_slots.eq(0), self._void_room.eq(1)]
        for name in (*batch_head(self._params), *listed(self._params)):
            m.d.sync += block[name].eq(job[name])

    def _add(self, m: Module) -> None:
        """Queries up to the end of the block."""
        m.d.sync += [self._end.eq(self._end + self._added), self._part.eq(self._part + self._added)]
        with m.If(self._single):
            m.d.sync += [self._sight.eq(self._sight + self._added), self._part.eq(0)]

    def _bound(self, m: Module) -> None:
        """Keys that the block's last query sees, in the state KEYS: no other sees more."""
        job, part = self._job, self._some_part
        # The bound is `sight + part`; half a key more than the sight is as good to compare.
        all_keys = ~job.causal | (Cat(part, self._sight).as_signed() > Cat(Const(0, 1), job.keys))
        bound = Mux(self._sight < 0, 0, self._sight + part)
        m.d.sync += [self._all_keys.eq(all_keys), self._seen.eq(bound)]

    def _count(self, m: Module) -> None:
        """Slots in use, and leading slots whose last query may not even see key 0; one each a cycle."""
        cols = self._params.config.cols
        block = self.block.payload
        more_slots = self._slot_left > cols
        more_void = Const(0, 1)
        with m.If(more_slots):
            m.d.sync += [block.slots.eq(block.slots + 1), self._slot_left.eq(self._slot_left - cols)]
        if not self._params.segmented:
            more_void = block.causal & ~self._beyond[-1] & self._void_room
            with m.If(more_void):
                m.d.sync += [
                    block.void_slots.eq(block.void_slots + 1),
                    self._void_room.eq(block.void_slots != self._params.config.slots - 1),
                    block.edge.eq(self._beyond),
                    self._beyond.eq(self._beyond - cols),
                ]
        with m.If(~more_slots & ~more_void):
            m.d.sync += [block.width.eq(self._slot_left), self.block.valid.eq(1)]
            m.next = "OFFER"

    def _rows(self, m: Module) -> None:
        """Key and value rows to bring: those of a head that fits the buffers come once."""
        block = self.block.payload
        m.d.sync += [
            block.rewind.eq(~self._resident),
            block.keep.eq(self._resident & ~block.job_last),
            block.fresh.eq(block.keys - Mux(self._resident, self._brought, 0)),
        ]
