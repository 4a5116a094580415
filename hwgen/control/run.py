"""Whether the machine works, and what it noticed."""

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from hwgen.params import Params
from hwgen.part import Part

JOB_COUNT_BITS = 16


class RunState(Part):
    """`busy` from a job's acceptance until its last O beat and its LSE are taken; sticky bits until `clear`.

    Members: accepted, finished (a job); lse_waiting; visit (one is issued), running (one was, since `busy` rose);
    clear; saturated_now, poisoned_now, saturated, poisoned.
    """

    def __init__(self, params: Params) -> None:
        inputs = ("accepted", "finished", "lse_waiting", "visit", "clear", "saturated_now", "poisoned_now")
        outputs = ("busy", "running", "saturated", "poisoned")
        super().__init__({name: In(1) for name in inputs} | {name: Out(1) for name in outputs})

    def elaborate(self, platform):
        m = Module()
        jobs = Signal(JOB_COUNT_BITS)
        m.d.sync += [
            jobs.eq(jobs + self.accepted - self.finished),
            self.running.eq(self.busy & (self.running | self.visit)),
            self.saturated.eq((self.saturated & ~self.clear) | self.saturated_now),
            self.poisoned.eq((self.poisoned & ~self.clear) | self.poisoned_now),
        ]
        m.d.comb += self.busy.eq((jobs != 0) | self.lse_waiting)
        return m
