"""The value array: rows_f x cols output-stationary cells with the feeders at their left edge."""

from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.array.feeder import Relay, relayed, value_address
from hwgen.array.value_pe import ValuePE
from hwgen.array.value_row import ValueRow, weight_layout
from hwgen.control.tags import lane_tag_layout, value_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed

JOINED = 4
"""Groups of rows that are told together what to drain, and values that are joined in a cycle on its way."""


def drain_latency(params: Params) -> int:
    """Cycles from `drain_columns` of a value array to its `drain`."""
    groups, cycles = params.config.rows_f // params.config.out_beat, 2 + ValueRow.DRAIN_LATENCY
    while groups > 1:
        # What is joined of rows that lie together is far from the others.
        far = int(groups > JOINED)
        groups, cycles = -(-groups // JOINED), cycles + 1 + far
    return cycles


class Drained(NamedTuple):
    """Whether a group of rows is drained, and where."""

    chosen: Any
    columns: Any
    address: Any


class FoldWalker(Part):
    """Turns a visit's tag from the lane of column 0 into one value tag and address a fold, 0 to `last_fold`.

    The first fold leaves LATENCY cycles behind the visit's arrival, which is in registers first: the lane is far.
    `free` marks the last fold of a value row's last visit.
    """

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "last_fold": In(params.fold_f_bits),
                "visit": In(lane_tag_layout(params)),
                "tag": Out(value_tag_layout(params)),
                "address": Out(value_address(params)),
                "free": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        started, now = Signal(), Signal(lane_tag_layout(p))
        fold, current = Signal(range(p.folds_f + 1)), Signal(p.fold_f_bits)
        start = self.visit.valid & (self.visit.column == 0)
        active = Signal()
        m.d.sync += started.eq(start)
        with m.If(start):
            m.d.sync += now.eq(self.visit)
        m.d.comb += [current.eq(Mux(started, 0, fold)), active.eq(started | (fold != 0))]
        with m.If(active):
            m.d.sync += fold.eq(Mux(current == self.last_fold, 0, current + 1))
        m.d.sync += [
            self.tag.valid.eq(active),
            self.tag.first.eq(now.visit.first),
            self.tag.last.eq(now.visit.last),
            self.tag.slot.eq(now.visit.slot),
            self.tag.fold.eq(current),
            self.address.eq(Cat(current, now.visit.row)),
            self.free.eq(active & now.visit.key_last & (current == self.last_fold)),
        ]
        return m


class ValueArray(Part):
    """`RNV[f, p]` of every slot and fold; see ValuePE for the equation.

    Column c's weight and shift are taken in the cycle `c` after the visit passes `visit`, plus FoldWalker.LATENCY and
    FeederRow.LATENCY, and must be held for all folds. Nothing ever stalls.

    Members: last_fold (folds of F, minus one); visit (tag from the lane of column 0); weights; write_* (value buffer,
    `write_rows` selects groups of `beat` rows; may be read two cycles later); freed (a value row has been read for the
    last time); busy (a fold is issued); done, done_slot (all results of a slot are in the result memories);
    drain_columns, drain_rows (one-hot, groups of `out_beat` rows), drain_address; drain (one value a row of the group,
    `drain_latency` cycles later).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        super().__init__(
            {
                "last_fold": In(params.fold_f_bits),
                "visit": In(lane_tag_layout(params)),
                "weights": In(data.ArrayLayout(weight_layout(params), c.cols)),
                "write_rows": In(c.rows_f // c.beat),
                "write_address": In(value_address(params)),
                "write_data": In(data.ArrayLayout(signed(c.operand_bits), c.beat)),
                "freed": Out(1),
                "busy": Out(1),
                "done": Out(1),
                "done_slot": Out(params.slot_bits),
                "drain_columns": In(c.cols),
                "drain_rows": In(c.rows_f // c.out_beat),
                "drain_address": In((params.acc_depth - 1).bit_length()),
                "drain": Out(signed(c.accumulator_bits)).array(c.out_beat),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self._params
        walker = FoldWalker(p)
        place(m, "walker", walker)
        m.d.comb += [
            walker.last_fold.eq(self.last_fold),
            walker.visit.eq(self.visit),
            self.busy.eq(walker.tag.valid),
        ]
        drains = self._drains(m)
        rows = [ValueRow(p) for _ in range(p.config.rows_f)]
        write_fields = {"rows": self.write_rows, "address": self.write_address, "data": self.write_data}
        writes = relayed(m, "write", write_fields, p.config.rows_f // p.config.beat, p.config.beat)
        for r, row in enumerate(rows):
            place(m, f"row_{r}", row)
            group, lane = divmod(r, p.config.beat)
            write, drain = writes[group], drains[r // p.config.out_beat]
            m.d.comb += [
                row.write_enable.eq(write.rows[group]),
                row.write_address.eq(write.address),
                row.write_data.eq(write.data[lane]),
                row.drain_columns.eq(Mux(drain.chosen, drain.columns, 0)),
                row.drain_address.eq(drain.address),
                row.address_in.eq(walker.address if r == 0 else rows[r - 1].address_out),
                row.tag_in.eq(walker.tag if r == 0 else rows[r - 1].tag_out),
                row.free_in.eq(walker.free if r == 0 else rows[r - 1].free_out),
                row.weights_in.eq(self.weights.as_value() if r == 0 else rows[r - 1].weights_out),
            ]
        m.d.comb += self.freed.eq(rows[-1].free_out)
        for i in range(p.config.out_beat):
            m.d.comb += self.drain[i].eq(self._join(m, [row.drain for row in rows[i :: p.config.out_beat]], i))
        self._done(m, rows[-1])
        return m

    def _drains(self, m: Module) -> list[Drained]:
        """What each group of rows is told two cycles later, some of them together."""
        columns, groups, address = (
            delayed(m, signal, 1, f"drain_{name}")
            for name, signal in (
                ("columns", self.drain_columns),
                ("groups", self.drain_rows),
                ("address", self.drain_address),
            )
        )
        found = []
        for first in range(0, len(groups), JOINED):
            chosen = groups[first : first + JOINED]
            relay = Relay(len(chosen) + len(columns) + len(address))
            place(m, f"drain_relay_{first // JOINED}", relay)
            m.d.comb += relay.before.eq(Cat(chosen, columns, address))
            told = relay.after[len(chosen) :]
            found += [Drained(relay.after[i], told[: len(columns)], told[len(columns) :]) for i in range(len(chosen))]
        return found

    def _join(self, m: Module, values: list, i: int):
        """The one of the values that is not zero, a few of them joined in each cycle."""
        while len(values) > 1:
            joined = []
            for first in range(0, len(values), JOINED):
                value = Signal.like(values[0], name=f"drain_{i}_{len(values)}_{first}", reset_less=True)
                m.d.sync += value.eq(reduce(or_, values[first : first + JOINED]))
                far = int(len(values) > JOINED)
                joined.append(delayed(m, value, far, f"far_{i}_{len(values)}_{first}"))
            values = joined
        return values[0]

    def _done(self, m: Module, corner: ValueRow) -> None:
        """The corner cell is the last one; its results are the last to be written."""
        tag = corner.last_tag
        for _ in range(ValuePE.RESULT_LATENCY - 1):
            following = Signal(value_tag_layout(self._params))
            m.d.sync += following.eq(tag)
            tag = following
        m.d.sync += [
            self.done.eq(tag.valid & tag.last & (tag.fold == self.last_fold)),
            self.done_slot.eq(tag.slot),
        ]
