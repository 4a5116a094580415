"""The score array: rows_e x cols query-stationary cells with the feeders at their left edge."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.array.feeder import FeederRow, key_address, relayed
from hwgen.array.score_pe import ScorePE
from hwgen.array.score_row import ScoreRow
from hwgen.control.tags import score_tag_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import unreset


def next_column(later, now) -> list:
    """What a visit's tag becomes from one column to the next: one column less to skip and to use."""
    return [getattr(later, name).eq(Mux(now[name] == 0, 0, now[name] - 1)) for name in ("skip", "width")]


class TagHop(Part):
    """Carries a score's tag from one column to the next in one cycle."""

    def __init__(self, params: Params) -> None:
        self._layout = score_tag_layout(params)
        super().__init__({"tag_in": In(self._layout), "tag_out": Out(self._layout)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.tag_out.eq(self.tag_in), next_column(self.tag_out.visit, self.tag_in.visit)]
        return m


class ScoreArray(Part):
    """`sum[c] = sum over r of q[r, c, operand] * k[r]`, one fold a cycle, with the tag of the fold beside it.

    A fold enters with its tag and its address in the key buffer; its partial scores leave at the foot of column c after
    `timing.score_latency + c` cycles. Throughput 1 fold a cycle; nothing ever stalls.

    Members: tag, address (the fold issued this cycle); sum, tag_out (one a column; tag_out.valid marks a fold);
    ends (one a lane, whose first column's tag is a visit's last fold: a register, as it chooses a whole visit);
    write_* (key buffer: `write_rows` selects groups of `beat` rows; may be read two cycles later);
    load_* (query operands: `load_rows` selects groups of `beat` rows, `load_columns` columns; may be read by the tag of
    the next cycle); freed (a key row has been read for the last time).
    """

    FOOT = 1
    """Cycles from the last cell of a column to `sum`."""

    def __init__(self, params: Params) -> None:
        self._params = params
        c = params.config
        layout = score_tag_layout(params)
        element = signed(c.operand_bits)
        super().__init__(
            {
                "tag": In(layout),
                "address": In(key_address(params)),
                "sum": Out(signed(params.sum_bits)).array(c.cols),
                "tag_out": Out(layout).array(c.cols),
                "ends": Out(1).array(params.lanes),
                "write_rows": In(c.rows_e // c.beat),
                "write_address": In(key_address(params)),
                "write_data": In(data.ArrayLayout(element, c.beat)),
                "load_rows": In(c.rows_e // c.beat),
                "load_columns": In(c.cols),
                "load_operand": In(ceil_log2(params.q_depth)),
                "load_data": In(data.ArrayLayout(element, c.beat)),
                "freed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._params.config
        rows = [ScoreRow(self._params) for _ in range(config.rows_e)]
        write_fields = {"rows": self.write_rows, "address": self.write_address, "data": self.write_data}
        load_fields = {"rows": self.load_rows, "columns": self.load_columns}
        load_fields |= {"operand": self.load_operand, "data": self.load_data}
        writes = relayed(m, "write", write_fields, config.rows_e // config.beat, config.beat)
        loads = relayed(m, "load", load_fields, config.rows_e // config.beat, config.beat)
        for r, row in enumerate(rows):
            place(m, f"row_{r}", row)
            group, lane = divmod(r, config.beat)
            write, load = writes[group], loads[group]
            m.d.comb += [
                row.write_enable.eq(write.rows[group]),
                row.write_address.eq(write.address),
                row.write_data.eq(write.data[lane]),
                row.load_columns.eq(Mux(load.rows[group], load.columns, 0)),
                row.load_operand.eq(load.operand),
                row.load_data.eq(load.data[lane]),
                row.address_in.eq(self.address if r == 0 else rows[r - 1].address_out),
                row.tag_in.eq(self.tag if r == 0 else rows[r - 1].tag_out),
                row.sum_in.eq(0 if r == 0 else rows[r - 1].sum_out),
            ]
        for c in range(config.cols):
            m.d.sync += unreset(m, self.sum[c]).eq(rows[-1].sum_out.word_select(c, self._params.sum_bits).as_signed())
        last = rows[-1].tag_out
        m.d.comb += self.freed.eq(last.valid & last.last_fold & last.visit.key_last)
        self._place_tags(m, last)
        return m

    def _place_tags(self, m: Module, tag) -> None:
        """Column 0 gets the tag when the last cell's sum is there, each further column a cycle later."""
        for _ in range(FeederRow.LATENCY - FeederRow.SKEW + ScorePE.LATENCY + self.FOOT):
            before, following = tag, Signal(score_tag_layout(self._params))
            m.d.sync += following.eq(tag)
            tag = following
        for c in range(self._params.config.cols):
            m.d.comb += self.tag_out[c].eq(tag)
            if c % self._params.group == 0:
                m.d.sync += self.ends[c // self._params.group].eq(before.valid & before.last_fold)
            if c + 1 < self._params.config.cols:
                hop = TagHop(self._params)
                place(m, f"tag_{c}", hop)
                m.d.comb += hop.tag_in.eq(tag)
                before, tag = tag, hop.tag_out
