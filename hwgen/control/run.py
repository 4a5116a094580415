"""Whether the machine works, and what it noticed."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part

JOB_COUNT_BITS = 16
BLOCK_COUNT_BITS = 4
"""Blocks between walker and issuer: those in the fork's queue, one at the issuer, and those whose visits wait there."""


class RunState(Part):
    """`busy` from a job's acceptance until its last O beat was taken two cycles ago and its LSE one cycle ago and, as
    results that need no key may be out before, all its queries are in, a cycle ago; sticky bits until a cycle behind
    `clear`.

    Members: accepted, finished (a job); begun, issued (a block of queries); lse_waiting; visit (one is issued), running
    (one was, since `busy` rose); clear; saturated_now, poisoned_now; saturated, poisoned (two cycles later); done
    (`finished`, a cycle ago).
    """

    def __init__(self, params: Params) -> None:
        events = ("accepted", "finished", "begun", "issued", "lse_waiting", "visit", "clear")
        inputs = (*events, "saturated_now", "poisoned_now")
        outputs = ("busy", "running", "saturated", "poisoned", "done")
        super().__init__({name: In(1) for name in inputs} | {name: Out(1) for name in outputs})

    def elaborate(self, platform):
        m = Module()
        jobs, blocks = Signal(JOB_COUNT_BITS), Signal(BLOCK_COUNT_BITS)
        # A job that was accepted is counted a cycle late, and while it is there so may its blocks be. Whether there are
        # any is known beside their number.
        accepted, begun, issued, any_jobs, any_blocks = (Signal() for _ in range(5))
        # That results leave is known at their queues, and whoever takes them may be far; who clears is, too.
        lse_waiting, over, clear = Signal(), Signal(), Signal()
        # What is noticed comes from all lanes.
        saturated, poisoned = Signal(), Signal()
        with m.If(accepted != over):
            m.d.sync += [jobs.eq(Mux(accepted, jobs + 1, jobs - 1)), any_jobs.eq(accepted | (jobs != 1))]
        with m.If(begun != issued):
            m.d.sync += [blocks.eq(Mux(begun, blocks + 1, blocks - 1)), any_blocks.eq(begun | (blocks != 1))]
        m.d.sync += [
            accepted.eq(self.accepted),
            self.done.eq(self.finished),
            over.eq(self.done),
            clear.eq(self.clear),
            lse_waiting.eq(self.lse_waiting),
            begun.eq(self.begun),
            issued.eq(self.issued),
            self.running.eq(self.busy & (self.running | self.visit)),
            saturated.eq(self.saturated_now),
            poisoned.eq(self.poisoned_now),
            self.saturated.eq((self.saturated & ~clear) | saturated),
            self.poisoned.eq((self.poisoned & ~clear) | poisoned),
        ]
        m.d.comb += self.busy.eq(accepted | any_jobs | any_blocks | lse_waiting)
        return m
