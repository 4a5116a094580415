"""The foot of a score column: adds the folds of a head dimension."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part


class FoldSum(Part):
    """`QK = sum over folds of sum`, which begins with the first fold; `qk` is complete in the cycle after the last one.

    Latency LATENCY cycles behind the last fold, throughput 1 fold a cycle.
    """

    LATENCY = 1

    def __init__(self, params: Params) -> None:
        super().__init__({"sum": In(signed(params.sum_bits)), "first_fold": In(1), "qk": Out(signed(params.qk_bits))})

    def elaborate(self, platform):
        m = Module()
        total = Signal.like(self.qk, reset_less=True)
        m.d.comb += self.qk.eq(total)
        m.d.sync += total.eq(self.sum + Mux(self.first_fold, 0, total))
        return m
