"""The columns that share one softmax lane."""

from amaranth.hdl import Array, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwgen.array.score_array import next_column
from hwgen.control.tags import lane_tag_layout, score_tag_layout, visit_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed, unreset
from hwgen.softmax.fold_sum import FoldSum
from hwgen.softmax.lane import (
    SHIFT_BITS,
    SoftmaxLane,
    query_layout,
    result_layout,
    score_members,
    state_address_bits,
)


class LaneGroup(Part):
    """Fold sums of `group` neighbouring columns, their common lane, and a weight register for each.

    Neighbouring columns finish a score one cycle apart and a column finishes one a visit, so that a lane is asked at
    most once a cycle; of a column's tag only what its fold sum needs is looked at, but for the first one's. The weight
    register holds a column's weight for all folds of the value row.

    Latency FoldSum.LATENCY + `lane_latency` from a column's last fold to its weight at the lane's end, one more to
    `weight`.

    Members: sum, tag (one a column); ends (the first one's is a visit's last fold); weight, shift (one a column); visit
    (tag of the weight that is at the lane's end SoftmaxLane.TAG_LEAD cycles later); released, released_bank (the last
    column's weight of its block's last visit is there, so that nobody needs the block's queries any more); the lane's
    mantissa, scale_exponent, load_*, result_address, result, argument, pair, bias, saturated (a cycle later); entering
    (where there is a bias, the tag at the lane's input).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        n = params.numerics
        address = state_address_bits(params)
        super().__init__(
            {
                "sum": In(signed(params.sum_bits)).array(params.group),
                "tag": In(score_tag_layout(params)).array(params.group),
                "ends": In(1),
                "weight": Out(unsigned(n.weight_bits)).array(params.group),
                "shift": Out(SHIFT_BITS).array(params.group),
                "visit": Out(lane_tag_layout(params)),
                "released": Out(1),
                "released_bank": Out(1),
                "mantissa": In(signed(n.scale_bits + 1)).array(2),
                "scale_exponent": In(signed(8)).array(2),
                "load_enable": In(1),
                "load_address": In(address + 1),
                "load_query": In(query_layout(params)),
                "result_address": In(address),
                "result": Out(result_layout(params)),
                "saturated": Out(1),
            }
            | score_members(params)
            | ({"entering": Out(lane_tag_layout(params))} if params.has_bias else {})
        )

    def elaborate(self, platform):
        m = Module()
        lane = SoftmaxLane(self._params)
        place(m, "lane", lane)
        self._collect(m, lane)
        for name in ("load_enable", "load_address", "load_query", "result_address"):
            m.d.comb += getattr(lane, name).eq(getattr(self, name))
        for bank in range(2):
            m.d.comb += [
                lane.mantissa[bank].eq(self.mantissa[bank]),
                lane.scale_exponent[bank].eq(self.scale_exponent[bank]),
            ]
        m.d.comb += [
            self.visit.eq(lane.tag_out),
            self.result.eq(lane.result),
        ]
        # Who collects it from all lanes is far.
        m.d.sync += self.saturated.eq(lane.saturated)
        if self._params.score is not None:
            m.d.comb += [lane.argument.eq(self.argument), self.pair.eq(lane.pair)]
        if self._params.has_bias:
            m.d.comb += [lane.bias.eq(self.bias), self.entering.eq(lane.tag)]
        tag, last = lane.tag_out, self._params.group - 1
        done = tag.valid & tag.visit.block_last & (tag.column == last)
        late = SoftmaxLane.TAG_LEAD
        m.d.comb += [
            self.released.eq(delayed(m, done, late, "done", reset_less=False)),
            self.released_bank.eq(delayed(m, tag.visit.bank, late, "done_bank")),
        ]
        for c in range(self._params.group):
            # A register of its own for each column, as it enables all of a weight.
            enable = delayed(m, tag.valid & (tag.column == c), late, f"enable_{c}", reset_less=False)
            weight, shift = unreset(m, self.weight[c]), unreset(m, self.shift[c])
            with m.If(enable):
                m.d.sync += [weight.eq(lane.weight), shift.eq(lane.shift)]
        return m

    def _collect(self, m: Module, lane: SoftmaxLane) -> None:
        """One column after the other has a complete score, from the first one on, whose tag serves them all."""
        sums = []
        for c in range(self._params.group):
            fold_sum = FoldSum(self._params)
            place(m, f"fold_sum_{c}", fold_sum)
            m.d.comb += [fold_sum.sum.eq(self.sum[c]), fold_sum.first_fold.eq(self.tag[c].first_fold)]
            sums.append(fold_sum)
        more = Signal()
        valid, column = Signal(), Signal(range(self._params.group))
        visit, following = Signal(visit_layout(self._params), reset_less=True), Signal(visit_layout(self._params))
        m.d.comb += [
            more.eq(valid & (column != self._params.group - 1)),
            lane.tag.visit.eq(visit),
            lane.tag.valid.eq(valid),
            lane.tag.column.eq(column),
            lane.qk.eq(Array(fold_sum.qk for fold_sum in sums)[column]),
            following.eq(visit),
            next_column(following, visit),
        ]
        # The tag is in registers beside the sums.
        m.d.sync += [visit.eq(Mux(self.ends, self.tag[0].visit, following)), valid.eq(self.ends | more)]
        if self._params.group > 1:
            m.d.sync += column.eq(Mux(more, column + 1, 0))
