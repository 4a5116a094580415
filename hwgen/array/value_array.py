"""The value array: rows_f x cols output-stationary cells with the feeders at their left edge."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.array.feeder import FeederRow
from hwgen.array.value_pe import SHIFT_BITS, ValuePE
from hwgen.control.tags import lane_tag_layout, value_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.timing import value_rows


def value_address(params: Params):
    """Shape of an address in the value buffer's banks: row above fold."""
    return unsigned(ceil_log2(value_rows(params)) + params.fold_f_bits)


class FoldWalker(Part):
    """Turns a visit's tag from the lane of column 0 into one value tag and address a fold.

    The first fold leaves in the cycle in which the visit arrives. `free` marks the last fold of a value row's last visit.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "visit": In(lane_tag_layout(params)),
                "tag": Out(value_tag_layout(params)),
                "address": Out(value_address(params)),
                "free": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        held = Signal(lane_tag_layout(p))
        fold = Signal(range(p.folds_f + 1))
        now = Signal(lane_tag_layout(p))
        start = Signal()
        m.d.comb += [start.eq(self.visit.valid & (self.visit.column == 0)), now.eq(held)]
        current = Signal(p.fold_f_bits)
        m.d.comb += current.eq(fold)
        active = Signal()
        m.d.comb += active.eq(start | (fold != 0))
        with m.If(start):
            m.d.comb += [now.eq(self.visit), current.eq(0)]
            m.d.sync += held.eq(self.visit)
        with m.If(active):
            m.d.sync += fold.eq(0 if p.folds_f == 1 else current + 1)
            with m.If(current == p.folds_f - 1):
                m.d.sync += fold.eq(0)
        m.d.comb += [
            self.tag.valid.eq(active),
            self.tag.first.eq(now.visit.first),
            self.tag.last.eq(now.visit.last),
            self.tag.slot.eq(now.visit.slot),
            self.tag.fold.eq(current),
            self.address.eq(Cat(current, now.visit.row)),
            self.free.eq(active & now.visit.key_last & (current == p.folds_f - 1)),
        ]
        return m


class ValueArray(Part):
    """`RNV[f, p]` of every slot and fold; see ValuePE for the equation.

    Column c's weight and shift are taken in the cycle `c` after the visit's first fold passes `visit`, plus
    FeederRow.LATENCY, and must be held for all folds. Nothing ever stalls.

    Members: visit (tag from the lane of column 0); weight, shift (one a column); write_* (value buffer, `write_rows`
    selects groups of `beat` rows); freed (a value row has been read for the last time); busy (a fold is issued);
    done, done_slot (all results of a slot are in the result memories);
    drain_columns (one-hot), drain_address; drain (one value a row, DRAIN_LATENCY cycles later).
    """

    DRAIN_LATENCY = ValuePE.DRAIN_LATENCY + 1

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        super().__init__(
            {
                "visit": In(lane_tag_layout(params)),
                "weight": In(unsigned(c.weight_bits)).array(c.cols),
                "shift": In(SHIFT_BITS).array(c.cols),
                "write_rows": In(c.rows_f // c.beat),
                "write_address": In(value_address(params)),
                "write_data": In(data.ArrayLayout(signed(c.operand_bits), c.beat)),
                "freed": Out(1),
                "busy": Out(1),
                "done": Out(1),
                "done_slot": Out(params.slot_bits),
                "drain_columns": In(c.cols),
                "drain_address": In((params.acc_depth - 1).bit_length()),
                "drain": Out(signed(c.accumulator_bits)).array(c.rows_f),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The cells register their selects, so the address waits a cycle too.
        self._drain_address = Signal.like(self.drain_address)
        m.d.sync += self._drain_address.eq(self.drain_address)
        walker = FoldWalker(self._params)
        place(m, "walker", walker)
        m.d.comb += [walker.visit.eq(self.visit), self.busy.eq(walker.tag.valid)]
        feeders = self._place_feeders(m, walker)
        cells = [[ValuePE(self._params) for _ in range(self._params.config.cols)] for _ in feeders]
        for r, row in enumerate(cells):
            for c, cell in enumerate(row):
                place(m, f"pe_{r}_{c}", cell)
                self._connect_cell(m, cells, feeders[r], r, c)
            column_values = [cell.drain for cell in row]
            m.d.sync += self.drain[r].eq(reduce(or_, column_values))
        self._done(m, cells[-1][-1])
        return m

    def _place_feeders(self, m: Module, walker: FoldWalker) -> list[FeederRow]:
        c = self._params.config
        depth = 1 << value_address(self._params).width
        side = value_tag_layout(self._params).size + 1
        feeders = [FeederRow(c.operand_bits, depth, side) for _ in range(c.rows_f)]
        for r, feeder in enumerate(feeders):
            place(m, f"feeder_{r}", feeder)
            m.d.comb += [
                feeder.write_enable.eq(self.write_rows[r // c.beat]),
                feeder.write_address.eq(self.write_address),
                feeder.write_data.eq(self.write_data[r % c.beat]),
                feeder.address_in.eq(walker.address if r == 0 else feeders[r - 1].address_out),
                feeder.side_in.eq(Cat(walker.tag, walker.free) if r == 0 else feeders[r - 1].side_out),
            ]
        m.d.comb += self.freed.eq(feeders[-1].side_out[-1])
        return feeders

    def _connect_cell(self, m: Module, cells: list[list[ValuePE]], feeder: FeederRow, r: int, c: int) -> None:
        cell = cells[r][c]
        left = cells[r][c - 1]
        above = cells[r - 1][c]
        m.d.comb += [
            cell.v_in.eq(feeder.data if c == 0 else left.v_out),
            cell.tag_in.eq(feeder.side_out[:-1] if c == 0 else left.tag_out),
            cell.weight_in.eq(self.weight[c] if r == 0 else above.weight_out),
            cell.shift_in.eq(self.shift[c] if r == 0 else above.shift_out),
            cell.drain_select.eq(self.drain_columns[c]),
            cell.drain_address.eq(self._drain_address),
        ]

    def _done(self, m: Module, corner: ValuePE) -> None:
        """The corner cell is the last one; its results are the last to be written."""
        tag = corner.tag_out
        for _ in range(ValuePE.RESULT_LATENCY):
            following = Signal(value_tag_layout(self._params))
            m.d.sync += following.eq(tag)
            tag = following
        m.d.comb += [
            self.done.eq(tag.valid & tag.last & (tag.fold == self._params.folds_f - 1)),
            self.done_slot.eq(tag.slot),
        ]
