"""A host in front of a session: it submits descriptors, waits, stops the machine, and demands what is documented."""

from __future__ import annotations

from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.control.faults import Fault
from hwgen.errors import SimulationError
from hwgen.params import Params
from hwgen.sim.session import Session
from hwgen.sim.system import FaultReport, MemoryTraits

START, ABORT, SOFT_RESET = 1 << 0, 1 << 4, 1 << 5
WORKING = 0x11
"""STATUS: a descriptor is being worked on, or counters are being copied."""

DONE, ERROR = 1, 2
REST = 50
"""Cycles in which nothing may move while the machine is idle."""


class Stuck(SimulationError):
    """The machine has not come to the end of its queue."""


class Host:
    """Has `ring` worked off in portions. `faults` has all that were reported since the last `prepare`, `tail` how many
    descriptors were submitted."""

    def __init__(self, session: Session, ring: int, params: Params, traits: MemoryTraits) -> None:
        self.session, self.ring = session, ring
        self.tail = 0
        self.faults: list[FaultReport] = []
        c = params.config
        beats = 2 * c.outstanding * c.burst_beats
        self.patience = int(4 * (1000 + traits.latency + beats) * traits.slowness)
        """Cycles in which a machine that was told to stop must be idle: all bursts in flight, one after the other."""

    def prepare(self, first: int, size: int) -> None:
        """A ring of `size` descriptors from number `first` on, behind a reset."""
        session = self.session
        session.write("QUEUE_BASE", self.ring + DESCRIPTOR_BYTES * first)
        session.write("QUEUE_SIZE", size)
        session.write("INTERRUPT_ENABLE", DONE | ERROR)
        session.write("GLOBAL_INTERRUPT_ENABLE", 1)
        self.tail, self.faults = 0, []

    def ring_bell(self, count: int) -> None:
        self.tail += count
        self.session.write("QUEUE_TAIL", self.tail)

    @property
    def head(self) -> int:
        return self.session.read("QUEUE_HEAD")

    def finish(self, limit: int) -> None:
        """Until all that was submitted is done. Raises Stuck if that takes more than `limit` cycles without news."""
        while True:
            if not self.session.wait(limit):
                raise Stuck(f"not done after {limit} cycles, at descriptor {self.head} of {self.tail}")
            if self.take_events() & DONE and self.head == self.tail:
                return self.still()

    def take_events(self) -> int:
        """What has happened since the last time; a fault is kept."""
        session = self.session
        events = session.read("INTERRUPT_STATUS")
        if events & ERROR:
            code, index, address = (session.read(f"ERROR_{name}") for name in ("CODE", "INDEX", "ADDRESS"))
            self.faults.append(FaultReport(Fault(code), index, address))
        session.write("INTERRUPT_STATUS", events)
        return events

    def idle(self, limit: int) -> bool:
        """Whether nothing is being done any more within so many cycles."""
        begin = self.session.cycle
        while self.session.read("STATUS") & WORKING:
            if self.session.cycle - begin > limit:
                return False
            self.session.sleep(20)
        return True

    def still(self) -> None:
        """Idle, and nothing moves."""
        if not self.idle(self.patience):
            status = self.session.read("STATUS")
            raise SimulationError(f"still at work after {self.patience} cycles: STATUS reads {status:#x}")
        if not self.rests():
            raise SimulationError(f"idle, but bursts are in flight or move: {self.session.look()}")

    def rests(self) -> bool:
        """Whether nothing happens for a while."""
        before = self.session.look()
        self.session.sleep(REST)
        after = self.session.look()
        return not (before.open_reads or before.open_writes) and before[7:] == after[7:]

    def abort(self) -> FaultReport | None:
        """End the descriptor at hand; what was reported of it, None if there was none."""
        known = len(self.faults)
        self.session.write("CONTROL", ABORT)
        self.still()
        self.take_events()
        found = self.faults[known:]
        if found and found[0].code == Fault.ABORTED and found[0].index + 1 != self.head:
            raise SimulationError(f"descriptor {found[0].index} was aborted, but QUEUE_HEAD is {self.head}")
        return found[0] if found else None

    def start(self) -> None:
        """Go on where an abort has left the queue."""
        self.session.write("CONTROL", START)

    def soft_reset(self, wait: bool) -> None:
        """Back to the beginning; what comes next may come at once."""
        self.session.write("CONTROL", SOFT_RESET)
        if not wait:
            return
        self.still()
        for name in ("QUEUE_HEAD", "QUEUE_TAIL", "STATUS", "INTERRUPT_STATUS", "ERROR_CODE", "ERROR_COUNT"):
            value = self.session.read(name)
            if value:
                raise SimulationError(f"{name} is {value:#x} behind a soft reset, not 0")
