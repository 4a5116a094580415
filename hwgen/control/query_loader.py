"""Brings queries into the score array behind the block that is being computed."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.tags import block_layout
from hwgen.memory.convert import converted_beat
from hwgen.params import GROUP_BITS, QUERY_BITS, Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.queue import Slice
from hwgen.scoremod.layout import argument_layout
from hwgen.scoremod.lower import Datapath
from hwgen.softmax.lane import query_layout, state_address_bits


class QueryLoader(Part):
    """Writes a block's query rows, slot by slot and column by column, into the free bank of query operands.

    Latency 2 cycles from a beat to the operand memories, the first of them in a register in front of all; to the lanes
    one and that of the score program's part for queries if it is longer. Throughput 1 beat a cycle within a block; a
    block is given back a cycle behind its last beat, as who keeps it is far, and loaded in the next one or later.

    Members: block, query; rows, columns, operand, elements (to the score array); lanes (one-hot), lane_address,
    lane_query (to the lanes, with a row's last beat); mantissa, scale_exponent (a bank each); loaded (the bank holds
    a block that is not wholly issued); issued, issued_bank (now it is); release, release_bank (nobody needs the
    bank's block any more); empty (set only with `issued`: the block had no keys and so needs no release); argument
    (writes of the score program's arguments, where there is one).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        super().__init__(
            {
                "block": In(stream.Signature(block_layout(params))),
                "query": In(stream.Signature(converted_beat(params))),
                "rows": Out(c.rows_e // c.beat),
                "columns": Out(c.cols),
                "operand": Out(ceil_log2(params.q_depth)),
                "elements": Out(data.ArrayLayout(signed(c.operand_bits), c.beat)),
                "lanes": Out(params.lanes),
                "lane_address": Out(state_address_bits(params) + 1),
                "lane_query": Out(query_layout(params)),
                "mantissa": Out(signed(params.numerics.scale_bits + 1)).array(2),
                "scale_exponent": Out(signed(8)).array(2),
                "loaded": Out(2),
                "release": In(1),
                "release_bank": In(1),
                "issued": In(1),
                "issued_bank": In(1),
                "empty": In(1),
            }
            | ({} if params.score is None else {"argument": In(argument_layout())})
        )

    def elaborate(self, platform):
        m = Module()
        # A block waits to be begun.
        self._bank, self._active, self._new = Signal(), Signal(), Signal()
        block = self.block.payload
        free, begun, taken, done = Signal(), Signal(), Signal(), Signal()
        # The converter is far, and with what it offers goes whether more of its rows may set out.
        entry = Slice(len(self.query.payload.as_value()))
        place(m, "entry", entry)
        self._beat = self.query.payload.shape()(entry.output.payload)
        # A bank's operands are read for a while after its block is issued: it is occupied longer than it is loaded.
        occupied = Signal(2)
        m.d.comb += [
            free.eq(~Mux(self._bank, occupied[1], occupied[0])),
            entry.input.payload.eq(self.query.payload),
            entry.input.valid.eq(self.query.valid),
            self.query.ready.eq(entry.input.ready),
            entry.output.ready.eq(self._active),
            taken.eq(self._active & entry.output.valid),
            self._new.eq(self.block.valid & ~self._active & ~done),
            begun.eq(self._new & free),
            self.block.ready.eq(done),
        ]
        # Cycles from a row's last beat to its lane.
        self._late = 1
        finished = self._walk(m, taken)
        m.d.sync += done.eq(finished)
        with m.If(begun):
            m.d.sync += self._active.eq(1)
        for i in range(2):
            # A cycle late: no lane wants to know before the block is loaded.
            mine = Signal(name=f"begun_{i}")
            m.d.sync += mine.eq(begun & (self._bank == i))
            with m.If(mine):
                m.d.sync += [
                    self.mantissa[i].eq(block.scale_mantissa),
                    self.scale_exponent[i].eq(block.scale_exponent),
                ]
        with m.If(finished):
            m.d.sync += self._active.eq(0)
        with m.If(done):
            m.d.sync += self._bank.eq(~self._bank)
        for i in range(2):
            issued = self.issued & (self.issued_bank == i)
            mine = done & (self._bank == i)
            with m.If(mine):
                m.d.sync += occupied[i].eq(1)
            # Behind its last beat by two cycles at least, as `mine` is by one.
            with m.If(delayed(m, mine, self._late - 2, f"arrived_{i}", reset_less=False)):
                m.d.sync += self.loaded[i].eq(1)
            with m.If(issued):
                m.d.sync += self.loaded[i].eq(0)
            with m.If((self.release & (self.release_bank == i)) | (self.empty & (self.issued_bank == i))):
                m.d.sync += occupied[i].eq(0)
        return m

    def _walk(self, m: Module, taken: Signal) -> Signal:
        """Where the current beat goes; gives the pulse at the block's last beat."""
        p = self._params
        c = p.config
        groups = c.rows_e // c.beat
        group, fold = Signal(range(max(groups, 2))), Signal(range(max(p.folds_e, 2)))
        slot = Signal(p.slot_bits)
        column = Signal(range(max(c.cols, 2)))
        left, final = Signal.like(self.block.payload.queries), Signal()
        payload = self._beat
        row_end, finished = Signal(), Signal()
        m.d.comb += [
            row_end.eq(taken & payload.last),
            finished.eq(row_end & final),
        ]
        with m.If(~self._active):
            queries = self.block.payload.queries
            m.d.sync += [left.eq(queries), final.eq(queries == 1), slot.eq(0), column.eq(0)]
        with m.If(taken):
            m.d.sync += group.eq(group + 1)
            with m.If(group == groups - 1):
                m.d.sync += [group.eq(0), fold.eq(fold + 1)]
        with m.If(row_end):
            m.d.sync += [fold.eq(0), left.eq(left - 1), final.eq(left == 2), column.eq(column + 1)]
            with m.If(column == c.cols - 1):
                m.d.sync += [column.eq(0), slot.eq(slot + 1)]
        where = Cat(fold[: p.fold_e_bits], slot, self._bank)
        m.d.sync += self.rows.eq(Mux(taken, 1 << group, 0))
        # What means nothing without a row is not reset.
        m.d.comb += [
            port.eq(delayed(m, value, 1, name))
            for name, port, value in (
                ("column_mask", self.columns, (1 << column)[: c.cols]),
                ("where", self.operand, where),
                ("taken_elements", self.elements, payload.elements),
            )
        ]
        facts = {"exponent": payload.exponent, "poisoned": payload.poisoned}
        if p.score is not None and p.partition.query.outputs:
            self._evaluate(m, row_end)
        for name, value in facts.items():
            m.d.sync += self.lane_query[name].eq(delayed(m, value, self._late - 1, name))
        self._lane(m, row_end, column, slot)
        return finished

    def _evaluate(self, m: Module, row_end: Signal) -> None:
        """The score program's part for queries, of position and head of the row that ends."""
        partition, block = self._params.partition, self.block.payload
        path = Datapath(partition.query, (), partition.places(partition.query))
        place(m, "query_program", path)
        position, member = Signal(QUERY_BITS), Signal(GROUP_BITS)
        begin = Signal()
        inputs = {"q": position, "h": block.head + member, "b": block.batch}
        m.d.comb += path.argument.eq(self.argument)
        m.d.comb += [getattr(path.inputs, name).eq(inputs[name]) for name in partition.query.inputs]
        # Blocks of a job follow each other, so that rows are counted from its first one.
        m.d.comb += begin.eq(self._new & (block.first_query == 0))
        with m.If(begin):
            m.d.sync += [position.eq(0), member.eq(0)]
        with m.Elif(row_end):
            m.d.sync += member.eq(member + 1)
            with m.If(member == block.group - 1):
                m.d.sync += [member.eq(0), position.eq(position + 1)]
        self._late = max(path.latency, 1)
        m.d.comb += self.lane_query.score.eq(path.outputs)

    def _lane(self, m: Module, row_end: Signal, column: Signal, slot: Signal) -> None:
        """A column's lane and its place there."""
        p = self._params
        wait = self._late - 1
        address = Signal.like(self.lane_address) if wait else self.lane_address
        for i in range(p.lanes):
            mine = Signal(name=f"in_lane_{i}")
            first = i * p.group
            m.d.comb += mine.eq((column >= first) & (column < first + p.group))
            m.d.sync += self.lanes[i].eq(delayed(m, row_end & mine, wait, f"lane_{i}"))
            with m.If(mine):
                target = m.d.comb if wait else m.d.sync
                target += address.eq(Cat((column - first)[: p.group_bits], slot, self._bank))
        if wait:
            m.d.sync += self.lane_address.eq(delayed(m, address, wait, "address"))
