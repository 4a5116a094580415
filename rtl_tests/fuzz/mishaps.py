"""The course of a case: what the host does while something goes wrong, and what the machine has to answer."""

from __future__ import annotations

from collections import Counter

import numpy as np

from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.control.faults import Fault
from hwgen.control.register_map import register_map, words
from hwgen.errors import SimulationError
from hwgen.sim.session import OKAY, Session
from hwgen.sim.system import FaultReport, cycle_limit
from rtl_tests.fuzz import facts
from rtl_tests.fuzz.host import ABORT, Host, Stuck
from rtl_tests.fuzz.scene import Entry, Scene, State

PLUS_ARGUMENTS = {
    "read beat": "read_fault_beat",
    "read burst": "read_fault_burst",
    "write burst": "write_fault_burst",
    "early last": "early_last",
    "late last": "late_last",
}
CODES = {
    "read beat": Fault.READ_RESPONSE,
    "read burst": Fault.READ_RESPONSE,
    "write burst": Fault.WRITE_RESPONSE,
    "early last": Fault.READ_LAST,
    "late last": Fault.READ_LAST,
}
WHILE_WORKING = {
    Fault.KEY_LENGTH,
    Fault.READ_RESPONSE,
    Fault.WRITE_RESPONSE,
    Fault.SCORE_RECORD,
    Fault.SEGMENT,
}
"""What may be wrong with a descriptor that is accepted."""

MUTANT_CYCLES = 30_000
"""A mutant that works longer is aborted: it may be a large problem, or a list that never ends."""

SLVERR = 2


class Course:
    """One case on one session. `seen` counts what happened; `when` is the number of the beat or burst that goes wrong,
    if that is the mishap, and none does if it is 0; `certain` if it is known that there is such a one."""

    def __init__(self, scene: Scene, when: int, certain: bool = False) -> None:
        self.scene, self.case, self.mishap, self.certain = scene, scene.case, scene.case.mishap, certain
        faults = {}
        if self.mishap.kind in PLUS_ARGUMENTS:
            faults = {PLUS_ARGUMENTS[self.mishap.kind]: when, "response": self.mishap.response}
        self.traits = self.case.memory.traits(faults)
        self.rng = np.random.default_rng([self.mishap.seed, 5])
        self.seen: Counter[str] = Counter()
        self.limit = 100_000 + sum(
            cycle_limit(scene.params, entry.descriptor, self.traits) for entry in scene.entries if entry.job >= 0
        )

    def begin(self, session: Session) -> None:
        """Reset, and a ring of all descriptors."""
        self.session = session
        self.host = Host(session, self.scene.ring, self.scene.params, self.traits)
        session.reset()
        self.host.prepare(0, len(self.scene.entries))

    def go(self, session: Session) -> None:
        """The mishap, then good jobs, which must be right whatever happened."""
        self.begin(session)
        kind = self.mishap.kind
        {
            "none": self.plain,
            "abort": self.stop,
            "soft reset": self.stop,
            "hard reset": self.stop,
            "descriptors": self.descriptors,
            "registers": self.registers,
        }.get(kind, self.bus_fault)()
        known = len(self.host.faults)
        for entry in self.scene.goods:
            self.host.ring_bell(1)
            self.host.finish(self.limit)
            entry.state = State.DONE
        if len(self.host.faults) == known:
            return
        # The one fault of the bus came as late as this.
        if kind not in PLUS_ARGUMENTS or known or len(self.host.faults) != 1:
            raise SimulationError(f"good descriptors were reported: {self.host.faults[known:]}")
        self.bus_report(self.host.faults[0])

    def plain(self) -> None:
        """All jobs; nothing is reported but what the values bring about."""
        self.submit()
        if self.host.faults:
            raise SimulationError(f"reported without a reason: {self.host.faults}")
        wants = [entry.want for entry in self.scene.entries[: self.scene.submitted] if entry.want is not None]
        flags = [any(bool(getattr(want, name).any()) for want in wants) for name in ("saturated", "poisoned")]
        status = self.session.read("STATUS")
        if [bool(status & 2), bool(status & 4)] != flags:
            raise SimulationError(f"STATUS reads {status:#x}, but saturated and poisoned are {flags}")
        done = self.session.read("COUNTER_DESCRIPTORS")
        if done != self.scene.submitted:
            raise SimulationError(f"{self.scene.submitted} descriptors are done, but {done} were counted")

    def submit(self) -> None:
        """All jobs to their end, in portions."""
        left = self.scene.submitted
        while left:
            portion = min(left, self.case.portion)
            self.host.ring_bell(portion)
            self.host.finish(self.limit)
            left -= portion
        for entry in self.scene.entries[: self.scene.submitted]:
            entry.state = State.DONE

    def bus_fault(self) -> None:
        """One beat or burst goes wrong: its descriptor is reported and ends, all others are as ever."""
        self.submit()
        if len(self.host.faults) > 1:
            raise SimulationError(f"one thing went wrong, several were reported: {self.host.faults}")
        if self.certain and not self.host.faults:
            raise SimulationError(f"{self.mishap.kind} at {self.mishap.target} went wrong, and nothing was reported")
        if self.host.faults:
            self.bus_report(self.host.faults[0])

    def bus_report(self, fault: FaultReport) -> None:
        """The right code, and a place that belongs to the descriptor."""
        want = CODES[self.mishap.kind]
        entry = self.scene.entries[fault.index]
        place = facts.where(self.scene, fault.index, fault.address)
        if fault.code != want or place is None:
            raise SimulationError(f"{self.mishap.kind}: expected {want.name} in descriptor {fault.index}, not {fault}")
        entry.state = State.BEGUN
        self.seen[f"hit: {self.mishap.kind}"] += 1
        self.seen[f"error on: {place}"] += 1

    def stop(self) -> None:
        """All jobs at once; at some time the host changes its mind."""
        scene, host, kind = self.scene, self.host, self.mishap.kind
        entries = scene.entries[: scene.submitted]
        host.ring_bell(scene.submitted)
        self.session.sleep(self.mishap.when)
        if self.session.read("STATUS") & 1:
            self.seen[f"at work: {kind}"] += 1
        if kind == "abort":
            return self.abort(entries)
        head = host.head
        for i, entry in enumerate(entries):
            entry.state = State.DONE if i < head else State.BEGUN
        if kind == "soft reset":
            host.soft_reset(wait=self.rng.random() < 0.5)
        else:
            self.session.reset(int(self.rng.integers(1, 6)))
        host.prepare(scene.submitted, len(scene.goods))

    def abort(self, entries: list[Entry]) -> None:
        """What is behind the descriptor that was aborted goes on with the next start."""
        fault = self.host.abort()
        self.host.start()
        self.host.finish(self.limit)
        for entry in entries:
            entry.state = State.DONE
        if fault is None:
            return
        if fault.code != Fault.ABORTED or len(self.host.faults) != 1:
            raise SimulationError(f"an abort reported {self.host.faults}")
        address = self.scene.ring + DESCRIPTOR_BYTES * fault.index
        if fault.address != address:
            raise SimulationError(f"descriptor {fault.index} was aborted, whose address is {address:#x}: {fault}")
        entries[fault.index].state = State.BEGUN

    def descriptors(self) -> None:
        """Mutants, a good job behind each: together, so that the queue goes on by itself, or one at a time."""
        entries = self.scene.entries
        for i in range(0, self.scene.submitted, 2):
            mutant, good = entries[i : i + 2]
            known, together = len(self.host.faults), self.rng.random() < 0.5
            self.host.ring_bell(1 + together)
            # What is known to be fine has the time it may take, as a good one has.
            fine = [mutant] * (mutant.want is not None) + [good] * together
            last = self.mutant_ends(sum(cycle_limit(self.scene.params, e.descriptor, self.traits) for e in fine))
            if not together:
                self.host.ring_bell(1)
                self.host.finish(self.limit)
            good.state = State.BEGUN if last == i + 1 else State.DONE
            self.mutant_report(i, mutant, self.host.faults[known:], last is not None)

    def mutant_ends(self, more: int) -> int | None:
        """Wait until the queue is empty; which descriptor was aborted to get there."""
        try:
            self.host.finish(MUTANT_CYCLES + more)
        except Stuck:
            fault = self.host.abort()
            self.host.start()
            self.host.finish(self.limit)
            return None if fault is None else fault.index
        return None

    def mutant_report(self, index: int, mutant: Entry, faults: list[FaultReport], aborted: bool) -> None:
        """What is refused is refused for the documented reason; what is known to be fine is done."""
        self.seen[f"descriptor: {mutant.kind}"] += 1
        fate = "aborted" if aborted else "accepted" if mutant.finding is None else "refused"
        self.seen[f"mutant: {fate}"] += 1
        if len(faults) > 1:
            raise SimulationError(f"descriptor {index} ({mutant.kind}) was reported more than once: {faults}")
        if mutant.finding is not None:
            code, offset = mutant.finding
            want = [FaultReport(code, index, self.scene.ring + DESCRIPTOR_BYTES * index + offset)]
            if faults != want:
                raise SimulationError(f"descriptor {index} ({mutant.kind}): reported {faults}, not {want}")
            self.seen[f"refused: {code.name}"] += 1
            return
        mutant.state = State.ANY
        codes = {fault.code for fault in faults}
        if not codes <= WHILE_WORKING | ({Fault.ABORTED} if aborted else set()):
            raise SimulationError(f"descriptor {index} ({mutant.kind}) is acceptable, but was reported: {faults}")
        self.seen.update(f"reported: {code.name}" for code in codes)
        if mutant.want is not None:
            if faults:
                raise SimulationError(f"descriptor {index} ({mutant.kind}) is fine, but was reported: {faults}")
            mutant.state = State.DONE
            self.seen["mutant: result known"] += 1

    def registers(self) -> None:
        """Random accesses while jobs are worked on; then the machine is idle by itself, or after an abort, and as good
        as new behind a soft reset."""
        scene, host = self.scene, self.host
        host.ring_bell(scene.submitted)
        for entry in scene.entries[: scene.submitted]:
            entry.state = State.BEGUN
        known = {4 * number for number, *_ in words(register_map(scene.params))}
        for _ in range(self.mishap.count):
            self.access(sorted(known))
            if self.rng.random() < 0.3:
                self.session.sleep(int(self.rng.integers(1, 300)))
        if host.idle(2000) and host.rests() and host.idle(0):
            self.seen["idle by itself"] += 1
        else:
            self.session.write("CONTROL", ABORT)
            self.seen["idle behind an abort"] += 1
            host.still()
        host.soft_reset(wait=True)
        host.prepare(scene.submitted, len(scene.goods))

    def access(self, known: list[int]) -> None:
        """One access to some address, which is answered as documented."""
        rng = self.rng
        address = known[int(rng.integers(len(known)))] if rng.random() < 0.3 else int(rng.integers(1 << 12))
        if rng.random() < 0.5:
            # Those that do something.
            address = int(rng.integers(0, 0x40))
        write = bool(rng.random() < 0.7)
        numbers = (int(rng.integers(1 << 32)), int(rng.integers(64)), 1 << int(rng.integers(32)), 0xFFFFFFFF)
        # Strobes only of the bytes from the address on, as AXI has it.
        data, strobe = numbers[int(rng.integers(4))], int(rng.choice([15, 15, rng.integers(16)])) << address % 4 & 15
        _, response = self.session.access(write, address, data, strobe)
        want = OKAY if address & ~3 in known else SLVERR
        if response != want:
            what = "write to" if write else "read of"
            raise SimulationError(f"{what} register address {address:#05x} answered {response}, not {want}")
        self.seen["register writes" if write else "register reads"] += 1
