"""Finds the keys that the slots of a block may see."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.control.segments import ROW_BITS, placed_layout, segment_layout
from hwgen.control.tags import block_layout
from hwgen.params import EDGE_BITS, GROUP_BITS, LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part, place
from hwgen.scoremod.layout import argument_layout, inputs_layout
from hwgen.scoremod.lower import Datapath

LIMIT_BITS = LENGTH_BITS + 1
"""Width of the number of a last key, -1 if there is none."""


class SegmentWalker(Part):
    """One block in, its segments out, in order.

    The bounds program gives low and high of every slot, low at the slot's first query and high at its last one: with
    queries both rise or stay. A causal job and the number of keys bound high, too. So keys are cut where a slot enters
    or leaves; what nobody sees is left out. A slot with low > high is void. If there is a sink it comes first, for all
    slots. A block whose segments are listed passes them on instead.

    Latency at most 11 slots + 8 cycles and those of the program a block, and ceil(cols x slots / group) + 1 more for
    grouped heads, if segments are taken at once; of it 2 slots + 4 and the two others before a sink's segment. Listed:
    4 cycles a segment and one a block. Hidden behind the loading of the block before.

    Members: block; segment; argument (a write of an argument word, where bounds are derived); listed (segments from
    memory, where that is a choice).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        members = {
            "block": In(stream.Signature(block_layout(params))),
            "segment": Out(stream.Signature(placed_layout(params))),
        }
        if params.bounds is not None:
            members["argument"] = In(argument_layout())
        if params.config.block_list:
            members["listed"] = In(stream.Signature(segment_layout(params)))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        p = self._params
        slots = p.config.slots
        block = self.block.payload
        self._slot = Signal(p.slot_bits)
        # The query that is asked about has `position` heads of others before it, times the group and `part` more.
        self._position, self._part = Signal(QUERY_BITS), Signal(GROUP_BITS + 8)
        # The first and last key of the segment, and who sees it, who for the last time, who sees later ones only; of a
        # list, who has seen its last one.
        self._first, self._end = Signal(LENGTH_BITS), Signal(LENGTH_BITS)
        self._live, self._last, self._waiting = Signal(slots), Signal(slots), Signal(slots)
        # The first slots that have not entered and not left.
        self._entering, self._leaving = Signal(range(slots + 1)), Signal(range(slots + 1))
        self._sink, self._closing = Signal(), Signal()
        self._asking, self._asking_high = Signal(), Signal()
        self._collected = Signal()
        self._bounds(m)
        with m.FSM():
            with m.State("BLOCK"):
                self._begin(m)
            with m.State("FIRST"):
                with m.If(self._settled(m)):
                    m.d.comb += self._asking.eq(1)
                    self._forward(m, self._columns() - 1)
                    m.next = "LAST"
            with m.State("LAST"):
                with m.If(self._settled(m)):
                    m.d.comb += [self._asking.eq(1), self._asking_high.eq(1)]
                    self._forward(m, 1)
                    m.d.sync += self._slot.eq(self._slot + 1)
                    m.next = "FIRST"
                    with m.If(self._slot == block.slots):
                        m.next = "COLLECT"
            with m.State("COLLECT"):
                with m.If(self._collected):
                    self._open(m)
            with m.State("CUT"):
                self._cut(m)
            with m.State("LEAVE"):
                self._leave(m)
            with m.State("OFFER"):
                self._offer(m)
            if p.config.block_list:
                self._list(m)
        self._describe(m)
        return m

    def _begin(self, m: Module) -> None:
        """Queries of a job follow each other, so do their positions."""
        block = self.block.payload
        m.d.sync += [self._slot.eq(0), self._waiting.eq(0)]
        with m.If(self.block.valid):
            with m.If(block.group == 1):
                m.d.sync += [self._position.eq(block.first_query), self._part.eq(0)]
            with m.Elif(block.first_query == 0):
                m.d.sync += [self._position.eq(0), self._part.eq(0)]
            m.next = "FIRST"
            if self._params.config.block_list:
                with m.If(block.listed):
                    m.next = "LIST"

    def _columns(self):
        """Queries in the current slot."""
        block = self.block.payload
        return Mux(self._slot == block.slots, block.width, self._params.config.cols)

    def _forward(self, m: Module, queries) -> None:
        with m.If(self.block.payload.group == 1):
            m.d.sync += self._position.eq(self._position + queries)
        with m.Else():
            m.d.sync += self._part.eq(self._part + queries)

    def _settled(self, m: Module):
        """Divide by the group, a position a cycle."""
        group = self.block.payload.group
        settled = Signal()
        m.d.comb += settled.eq((group == 1) | (self._part < group))
        with m.If(~settled):
            m.d.sync += [self._part.eq(self._part - group), self._position.eq(self._position + 1)]
        return settled

    def _bounds(self, m: Module) -> None:
        """Ask for the low and the high of every slot, write down what comes back, in the same order."""
        p = self._params
        block = self.block.payload
        asked = self._asking
        # The last key that a slot may see, be it for the job's sake alone.
        reach, top = Signal(signed(LIMIT_BITS)), Signal(signed(LIMIT_BITS))
        own = Signal(signed(QUERY_BITS + 2))
        m.d.comb += [
            top.eq(block.keys - 1),
            own.eq(self._position + block.offset),
            reach.eq(Mux(~block.causal | (own > top), top, Mux(own < -1, -1, own))),
        ]
        result, result_high, slot = asked, Signal(), Signal(p.slot_bits)
        low, high = 0, reach
        if p.bounds is not None:
            low, high, result = self._evaluate(m, asked, reach, slot)
        # Clipped, then compared.
        clipped, clipped_high, clipped_slot = Signal(), Signal(), Signal(p.slot_bits)
        first, last = Signal(LENGTH_BITS), Signal(signed(LIMIT_BITS))
        m.d.sync += [clipped.eq(result), clipped_high.eq(result_high), clipped_slot.eq(slot)]
        with m.If(result):
            m.d.sync += result_high.eq(~result_high)
            with m.If(result_high):
                m.d.sync += [last.eq(high), slot.eq(Mux(slot == block.slots, 0, slot + 1))]
            with m.Else():
                m.d.sync += first.eq(low)
        self._lows, low_write = bounds_memory(m, "lows", p)
        self._highs, high_write = bounds_memory(m, "highs", p)
        m.d.comb += [
            low_write.addr.eq(clipped_slot),
            low_write.data.eq(first),
            low_write.en.eq(clipped),
            high_write.addr.eq(clipped_slot),
            high_write.data.eq(last),
            high_write.en.eq(clipped),
            self._lows.addr.eq(self._entering),
            self._highs.addr.eq(self._leaving),
        ]
        # Time for the last one's visibility in `waiting`.
        written = Signal()
        m.d.sync += [written.eq(clipped & clipped_high & (clipped_slot == block.slots)), self._collected.eq(written)]
        with m.If(clipped & clipped_high & (last >= first)):
            m.d.sync += self._waiting.eq(self._waiting | bit(clipped_slot, p.config.slots))

    def _evaluate(self, m: Module, asked: Signal, reach: Signal, slot: Signal) -> tuple:
        """The program's bounds, clipped to what the job allows, and when they are there."""
        p = self._params
        block = self.block.payload
        assert p.bounds is not None
        program = p.bounds.program
        path = Datapath(program, (), p.partition.places(program))
        place(m, "bounds", path)
        inputs = {"q": self._position, "b": block.batch}
        m.d.comb += [path.inputs[name].eq(inputs[name]) for name in inputs_layout(program).members]
        m.d.comb += path.argument.eq(self.argument)
        on_the_way = Signal(path.latency)
        m.d.sync += on_the_way.eq(Cat(asked, on_the_way))
        m.submodules.reaches = reaches = Memory(shape=signed(LIMIT_BITS), depth=p.config.slots, init=[])
        write, read = reaches.write_port(), reaches.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self._slot),
            write.data.eq(reach),
            write.en.eq(asked & self._asking_high),
            read.addr.eq(slot),
        ]
        low, high = 0, read.data
        if "low" in program.output:
            found = path.outputs.low
            low = Mux(found < 0, 0, Mux(found > block.keys, block.keys, found))
        if "high" in program.output:
            found = path.outputs.high
            high = Mux(found < -1, -1, Mux(found > read.data, read.data, found))
        return low, high, on_the_way[-1]

    def _open(self, m: Module) -> None:
        """What comes before all keys, or instead of them."""
        none = self._waiting == 0
        in_use = self._in_use()
        m.d.sync += [
            self._first.eq(0),
            self._entering.eq(0),
            self._leaving.eq(0),
            self._live.eq(0),
            self._last.eq(0),
            self._closing.eq(none),
        ]
        if self._params.has_sink:
            m.d.sync += [
                self._end.eq(0),
                self._live.eq(in_use),
                self._last.eq(in_use & ~self._waiting),
                self._sink.eq(1),
            ]
            m.next = "OFFER"
        else:
            m.d.sync += self._end.eq(-1)
            m.next = "CUT"
            with m.If(none):
                m.next = "OFFER"

    def _cut(self, m: Module) -> None:
        """Who sees the segment's first key; then, which is its last one."""
        slots = self._params.config.slots
        entering, leaving = bit(self._entering, slots), bit(self._leaving, slots)
        low, high = self._lows.data, self._highs.data
        more = self._waiting != 0
        with m.If(more & ((self._waiting & entering) == 0)):
            m.d.sync += self._entering.eq(self._entering + 1)
        with m.Elif(more & (low <= self._first)):
            m.d.sync += [
                self._live.eq(self._live | entering),
                self._waiting.eq(self._waiting & ~entering),
                self._entering.eq(self._entering + 1),
            ]
        with m.Elif(self._live == 0):
            m.d.sync += self._first.eq(low)
        with m.Elif((self._live & leaving) == 0):
            m.d.sync += self._leaving.eq(self._leaving + 1)
        with m.Else():
            m.d.sync += self._end.eq(Mux(more & (low <= high), low - 1, high))
            m.next = "LEAVE"

    def _leave(self, m: Module) -> None:
        """Who sees the segment's last key and none behind it."""
        leaving = bit(self._leaving, self._params.config.slots)
        shown = (self._live & leaving) != 0
        # Not just what ends here: were bounds to fall, contrary to what is promised, no segment would be without end.
        with m.If((self._leaving != self._entering) & (~shown | (self._highs.data <= self._end))):
            m.d.sync += self._leaving.eq(self._leaving + 1)
            with m.If(shown):
                m.d.sync += self._last.eq(self._last | leaving)
        with m.Else():
            m.d.sync += self._closing.eq((self._live == self._last) & (self._waiting == 0))
            m.next = "OFFER"

    def _offer(self, m: Module) -> None:
        m.d.comb += self.segment.valid.eq(1)
        with m.If(self.segment.ready):
            m.d.sync += [
                self._first.eq(Mux(self._sink, 0, self._end + 1)),
                self._live.eq(Mux(self._sink, 0, self._live & ~self._last)),
                self._last.eq(0),
                self._sink.eq(0),
            ]
            m.next = "CUT"
            if self._params.config.block_list:
                with m.If(self.block.payload.listed):
                    m.next = "LIST"
            with m.If(self._closing):
                m.d.comb += self.block.ready.eq(1)
                m.next = "BLOCK"

    def _in_use(self):
        """Slots with queries."""
        return Cat(self.block.payload.slots >= i for i in range(self._params.config.slots))

    def _list(self, m: Module) -> None:
        """Pass a segment on, when its edge is found.

        A slot is `last` at most once a block, and only if it has queries: the drain would take what is finished besides
        for a result of some later block.
        """
        segment = self.listed.payload
        self._row = Signal(ROW_BITS)
        with m.State("LIST"):
            m.d.comb += self.listed.ready.eq(1)
            m.d.sync += [
                self._first.eq(segment.first),
                self._end.eq(segment.first + segment.keys - 1),
                self._row.eq(segment.row),
                self._live.eq(segment.live),
                self._last.eq(segment.last & self._in_use() & ~self._waiting),
                self._sink.eq(segment.sink),
                self._closing.eq(segment.block_last),
            ]
            with m.If(self.listed.valid):
                m.d.sync += self._waiting.eq(self._waiting | segment.last)
                m.next = "MULTIPLY"
        with m.State("MULTIPLY"):
            m.next = "ADD"
        with m.State("ADD"):
            m.next = "OFFER"

    def _describe(self, m: Module) -> None:
        """The segment; two cycles before it is offered its first key is known, and so its edge."""
        block, segment = self.block.payload, self.segment.payload
        product, edge = Signal(LENGTH_BITS + GROUP_BITS), Signal(signed(EDGE_BITS))
        m.d.sync += [product.eq(self._first * block.group), edge.eq(product + block.edge)]
        row = self._first
        if self._params.config.block_list:
            row = Mux(block.listed, self._row, self._first)
        m.d.comb += [
            segment.first.eq(self._first),
            segment.keys.eq(self._end - self._first + 1),
            segment.row.eq(row),
            segment.live.eq(self._live),
            segment.last.eq(self._last),
            segment.sink.eq(self._sink),
            segment.block_last.eq(self._closing),
            segment.edge.eq(edge),
        ]


def bit(number, width: int):
    """The mask with this bit; none if it is beyond."""
    return Cat(number == i for i in range(width))


def bounds_memory(m: Module, name: str, params: Params) -> tuple:
    """A key's number for every slot: a read port without latency and a write port."""
    memory = Memory(shape=LENGTH_BITS, depth=params.config.slots, init=[])
    m.submodules[name] = memory
    return memory.read_port(domain="comb"), memory.write_port()
