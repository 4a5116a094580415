"""What the core measures about itself."""

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.causes import BUSY, CAUSE_BITS, Cause
from hwgen.params import Params
from hwgen.part import Part
from hwgen.timing import issue_latency, value_latency

COUNTER_BITS = 48

ARRAYS = ("score", "value")

CORE_COUNTERS = (
    *("cycles", "score_busy", "value_busy", "pairs", "jobs"),
    *(f"{array}_idle_{cause.name.lower()}" for array in ARRAYS for cause in Cause),
)
"""Of the cycles in which the machine works.

cycles: all;  score_busy, value_busy: a fold was issued to the array;  pairs: allowed (query, key) pairs visited;
jobs: finished;  score_idle_*, value_idle_*: every other cycle by its cause. For each array busy and idle add up to
      cycles.
"""


def counters_layout() -> data.StructLayout:
    """The core's counters."""
    return data.StructLayout({name: unsigned(COUNTER_BITS) for name in CORE_COUNTERS})


def events_layout(params: Params) -> data.StructLayout:
    """What a cycle adds to each of the core's counters."""
    return data.StructLayout({name: unsigned(params.count_bits if name == "pairs" else 1) for name in CORE_COUNTERS})


class CoreEvents(Part):
    """What a cycle in which the core is `busy` adds to its counters, LATENCY cycles later. The value array's causes are
    the issuer's, as late as its data.

    Members: last_fold_e (of the geometry: more folds are more latency; the same for a cycle before); busy; cause,
    value_busy, pairs, job_done; events.
    """

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "last_fold_e": In(params.fold_e_bits),
                "busy": In(1),
                "cause": In(CAUSE_BITS),
                "value_busy": In(1),
                "pairs": In(params.count_bits),
                "job_done": In(1),
                "events": Out(events_layout(params)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        later = [self.cause]
        for i in range(issue_latency() + value_latency(self._params)):
            cause = Signal(CAUSE_BITS, name=f"cause_{i}")
            m.d.sync += cause.eq(later[-1])
            later.append(cause)
        # Registers come before whatever tells one cause from another: the issuer's causes are late in their cycle.
        # Others come behind: the counters are far.
        busy, issued, value_busy = Signal(), Signal(CAUSE_BITS), Signal()
        pairs, job_done, last_fold_e = Signal.like(self.pairs), Signal(), Signal.like(self.last_fold_e)
        value_cause, events = Signal(CAUSE_BITS), self.events
        m.d.sync += [
            last_fold_e.eq(self.last_fold_e),
            busy.eq(self.busy),
            issued.eq(Array(later[-self._params.folds_e :])[last_fold_e]),
            value_busy.eq(self.value_busy),
            pairs.eq(self.pairs),
            job_done.eq(self.job_done),
            events.cycles.eq(busy),
            events.pairs.eq(Mux(busy, pairs, 0)),
            events.jobs.eq(busy & job_done),
        ]
        m.d.comb += value_cause.eq(Mux(value_busy, BUSY, Mux(issued == BUSY, Cause.PAD, issued)))
        for array, cause in zip(ARRAYS, (later[1], value_cause), strict=True):
            m.d.sync += events[f"{array}_busy"].eq(busy & (cause == BUSY))
            m.d.sync += [events[f"{array}_idle_{code.name.lower()}"].eq(busy & (cause == code)) for code in Cause]
        return m
