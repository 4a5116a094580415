"""What the core measures about itself."""

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.causes import BUSY, CAUSE_BITS, Cause
from hwgen.params import Params
from hwgen.part import Part
from hwgen.timing import value_latency

COUNTER_BITS = 48


def counters_layout() -> data.StructLayout:
    """Counters since the last `clear`, of the cycles in which the machine works.

    cycles: all;  score_busy, value_busy: a fold was issued to the array;  pairs: allowed (query, key) pairs visited;
    jobs: finished;  score_idle_*, value_idle_*: every other cycle by its cause. For each array busy and idle add up
          to cycles.
    """
    names = ["cycles", "score_busy", "value_busy", "pairs", "jobs"]
    names += [f"{array}_idle_{cause.name.lower()}" for array in ("score", "value") for cause in Cause]
    return data.StructLayout({name: unsigned(COUNTER_BITS) for name in names})


class Counters(Part):
    """Counts while `busy`; `clear` sets all to zero. The value array's causes are the issuer's, as late as its data.

    Members: last_fold_e (of the geometry: more folds are more latency); busy, clear; cause, value_busy, pairs,
    job_done; counters.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "last_fold_e": In(params.fold_e_bits),
                "busy": In(1),
                "clear": In(1),
                "cause": In(CAUSE_BITS),
                "value_busy": In(1),
                "pairs": In(params.count_bits),
                "job_done": In(1),
                "counters": Out(counters_layout()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        counters = self.counters
        later = [self.cause]
        for i in range(value_latency(self._params)):
            cause = Signal(CAUSE_BITS, name=f"cause_{i}")
            m.d.sync += cause.eq(later[-1])
            later.append(cause)
        value_cause, issued = Signal(CAUSE_BITS), Signal(CAUSE_BITS)
        m.d.comb += [
            issued.eq(Array(later[-self._params.folds_e :])[self.last_fold_e]),
            value_cause.eq(Mux(self.value_busy, BUSY, Mux(issued == BUSY, Cause.PAD, issued))),
        ]
        with m.If(self.busy):
            m.d.sync += [
                counters.cycles.eq(counters.cycles + 1),
                counters.pairs.eq(counters.pairs + self.pairs),
                counters.jobs.eq(counters.jobs + self.job_done),
            ]
            for array, cause in (("score", self.cause), ("value", value_cause)):
                self._count(m, counters[f"{array}_busy"], cause == BUSY)
                for code in Cause:
                    self._count(m, counters[f"{array}_idle_{code.name.lower()}"], cause == code)
        with m.If(self.clear):
            m.d.sync += counters.eq(0)
        return m

    def _count(self, m: Module, counter, event) -> None:
        with m.If(event):
            m.d.sync += counter.eq(counter + 1)
