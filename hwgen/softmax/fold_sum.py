"""The foot of a score column: adds the folds of a head dimension."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hwgen.control.tags import score_tag_layout
from hwgen.params import Params
from hwgen.part import Part


class FoldSum(Part):
    """`QK = sum over folds of sum`; `tag_out.valid` marks the cycle after the last fold, when `qk` is complete.

    Latency 1 cycle behind the last fold, throughput 1 fold a cycle.
    """

    LATENCY = 1

    def __init__(self, params: Params) -> None:
        self._layout = score_tag_layout(params)
        super().__init__(
            {
                "sum": In(signed(params.sum_bits)),
                "tag_in": In(self._layout),
                "qk": Out(signed(params.qk_bits)),
                "tag_out": Out(self._layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        total = Signal.like(self.qk, reset_less=True)
        m.d.comb += self.qk.eq(total)
        m.d.sync += [
            total.eq(self.sum + Mux(self.tag_in.first_fold, 0, total)),
            self.tag_out.eq(self.tag_in),
            self.tag_out.valid.eq(self.tag_in.valid & self.tag_in.last_fold),
        ]
        return m
