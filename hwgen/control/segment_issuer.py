"""The sequencer of machines that are told which keys a block is shown."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.issuer import VisitIssuer
from hwgen.control.segments import issue_layout, void_layout
from hwgen.params import EDGE_BITS


class SegmentIssuer(VisitIssuer):
    """For each block, for each of its segments, for each key, for each live slot, the lowest first: one visit.

    Rows never stay for the next block. A sink's visits need no rows and free none. The segments of a block come in
    the order of blocks, be it before the block. One that shows nothing and does not end its block is passed over.

    Members: those of VisitIssuer; segment; void.
    """

    def _members(self) -> dict:
        params = self._params
        return super()._members() | {
            "segment": In(stream.Signature(issue_layout(params))),
            "void": Out(void_layout(params)),
        }

    def _prepare(self, m: Module) -> None:
        p = self._params
        slots = p.config.slots
        layout = issue_layout(p)
        self._segment, self._following = Signal(layout), Signal(layout)
        self._there, self._waiting = Signal(), Signal()
        # The slot as a mask; live slots behind it; slots that were shown something of the block.
        self._at, self._rest, self._visited = Signal(slots), Signal(slots), Signal(slots)
        self._left = Signal.like(self._segment.keys)
        self._last_key = Signal()
        # Columns from slot 0 on that may not see the key: counted, and as many as there are; those before the slot.
        reach = ceil_log2(p.block + 1)
        self._edge = Signal(signed(EDGE_BITS))
        self._hidden, self._before = Signal(reach), Signal(reach)
        segment, following = self._segment, self._following
        self._ends, self._take = Signal(), Signal()
        passed = self._there & ((segment.keys == 0) | (segment.live == 0)) & ~segment.block_last
        m.d.comb += [
            self._last_slot.eq(self._rest == 0),
            self._last_key.eq(self._left == 1),
            self._ends.eq((self._end & self._last_key & self._last_slot) | self._void | passed),
            self._take.eq(self._ends | ~self._there),
            self.segment.ready.eq(self._take | ~self._waiting),
        ]
        with m.If(self._take):
            m.d.sync += [self._segment.eq(following), self._there.eq(self._waiting)]
        with m.If(self.segment.ready):
            m.d.sync += [following.eq(self.segment.payload), self._waiting.eq(self.segment.valid)]
        with m.If(self._take | self._end):
            self._step_on(m)
        m.d.comb += [
            self.void.valid.eq(self._block_end),
            self.void.mask.eq(self._in_use() & ~self._seen()),
        ]

    def _describe(self, m: Module, skip: Signal, width: Signal) -> dict:
        """A slot's place among the columns says how many of its own are hidden."""
        p, block, segment = self._params, self._block, self._segment
        beyond = Signal(signed(len(self._hidden) + 1))
        m.d.comb += [
            beyond.eq(self._hidden - self._before),
            width.eq(Mux(self._slot == block.slots, block.width, p.config.cols)),
            skip.eq(Mux(block.causal & ~segment.sink & (beyond > 0), Mux(beyond > width, width, beyond), 0)),
        ]
        fields = {
            "first": ~(self._visited & self._at).any(),
            "last": self._last_key & (segment.last & self._at).any(),
            "block_last": self._last_key & self._last_slot & segment.block_last,
            "key_last": self._row_end(),
        }
        return fields | ({"sink": segment.sink} if p.has_sink else {})

    def _counts(self):
        return ~self._needless()

    def _needless(self):
        return self._head.sink if self._params.has_sink else Const(0)

    def _shows(self):
        return self._there & ~self._nothing()

    def _shows_nothing(self):
        return self._there & self._nothing() & self._segment.block_last

    def _nothing(self):
        return (self._segment.keys == 0) | (self._segment.live == 0)

    def _row_end(self):
        return self._last_slot & ~self._segment.sink

    def _begin_block(self, m: Module, payload) -> None:
        m.d.sync += self._visited.eq(0)

    def _next_visit(self, m: Module) -> None:
        m.d.sync += self._visited.eq(self._seen())

    def _seen(self):
        return self._visited | Mux(self._end, self._at, 0)

    def _in_use(self):
        return Cat(self._block.slots >= i for i in range(self._params.config.slots))

    def _step_on(self, m: Module) -> None:
        """The next slot of this key, or the first one of the next key, or of the next segment."""
        p = self._params
        segment, following = self._segment, self._following
        slots = p.config.slots
        choice, at = Signal(slots), Signal(slots)
        m.d.comb += [
            choice.eq(Mux(self._take, following.live, Mux(self._last_slot, segment.live, self._rest))),
            at.eq(choice & -choice),
        ]
        m.d.sync += [
            self._at.eq(at),
            self._rest.eq(choice & ~at),
            self._slot.eq(chosen(at, range(slots))),
            self._before.eq(chosen(at, [i * p.config.cols for i in range(slots)])),
        ]
        edge = Signal(signed(EDGE_BITS))
        m.d.comb += edge.eq(Mux(self._take, following.edge, self._edge + self._block.group))
        with m.If(self._take | self._last_slot):
            m.d.sync += [
                self._key.eq(Mux(self._take, following.first, self._key + 1)),
                self._left.eq(Mux(self._take, following.keys, self._left - 1)),
                self._edge.eq(edge),
                self._hidden.eq(Mux(edge < 0, 0, Mux(edge > p.block, p.block, edge))),
            ]


def chosen(mask, numbers):
    """The number of the one bit of a mask that is set; 0 if none is."""
    width = max(max(numbers).bit_length(), 1)
    total = Const(0, width)
    for bit, number in zip(mask, numbers, strict=True):
        total = total | Mux(bit, Const(number, width), 0)
    return total
