"""All that lies in memory for a case, and what has to lie there afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.attention import Result
from hwgen.control.descriptor import DESCRIPTOR_BYTES, Descriptor, pack
from hwgen.control.descriptor_rules import Finding, check
from hwgen.control.record import HEADER, SEGMENT_BYTES, record_bytes
from hwgen.sim.layout import Arrangement, Image, Placed
from rtl_tests.fuzz import machines
from rtl_tests.fuzz.cases import Case
from rtl_tests.fuzz.mutants import PLAYGROUND, damaged, mutant
from rtl_tests.fuzz.problems import Problem, problem, write_results
from rtl_tests.fuzz.territory import foresee, may_write
from rtl_tests.harness.layers import assert_layer

MOST_BYTES = 600_000
"""Of memory, beyond which a case gets no more mutants."""

TRIES = 20
"""Mutants that are thrown away, as they would write over something else, before a harmless one is taken."""


class State(IntEnum):
    """What of a descriptor's O and LSE has to be in memory.

    UNTOUCHED: what was there before;  DONE: the result;  BEGUN: of every byte the one or the other;  ANY: anything
    """

    UNTOUCHED = 0
    DONE = 1
    BEGUN = 2
    ANY = 3


@dataclass
class Entry:
    """A descriptor in the ring: of a job (its number), or of none: then `kind` is how it was made, `finding` what the
    machine has to say about it. `want` comes of it, if that is known."""

    descriptor: Descriptor
    placed: Placed | None = None
    job: int = -1
    kind: str = "job"
    finding: Finding | None = None
    want: Result | None = None
    state: State = State.UNTOUCHED
    playground: int = 0


@dataclass
class Scene:
    """The memory of a case: entries up to `submitted` are worked on while the mishap happens, the others behind it."""

    case: Case
    problems: list[Problem] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    submitted: int = 0

    def __post_init__(self) -> None:
        case = self.case
        self.params = machines.params(case.machine)
        self.image = Image(self.params)
        self.problems = [problem(job, case.machine) for job in case.jobs]
        rng = np.random.default_rng([case.mishap.seed, 4])
        self.goods = [self._job(i) for i in (0, len(case.jobs) - 1)]
        self._enter(rng)
        self.submitted = len(self.entries)
        self.entries += self.goods
        self.ring = self.image.ring([])[0]
        self._address_space()
        for entry in self.entries[: self.submitted]:
            if entry.job < 0:
                self._settle(rng, entry)
        self.before, _ = self.image.with_ring([pack(entry.descriptor) for entry in self.entries])
        self._foresee()

    def _enter(self, rng: np.random.Generator) -> None:
        """What is submitted: every job, or mutants with some job behind each."""
        if self.case.mishap.kind != "descriptors":
            self.entries = [self._job(i) for i in range(len(self.case.jobs))]
            return
        for number in rng.integers(len(self.case.jobs), size=self.case.mishap.count):
            if not self.entries or self.image.size < MOST_BYTES:
                self.entries += [self._damage(rng, self._job(int(number))), self._job(int(number))]

    def _job(self, number: int) -> Entry:
        placed = self.problems[number].place(self.image)
        return Entry(placed.descriptor, placed, number, want=self.problems[number].golden)

    def _damage(self, rng: np.random.Generator, victim: Entry) -> Entry:
        """A mutant to be, whose places are its own; perhaps with its record or list damaged already."""
        d = victim.descriptor
        entry = Entry(d, kind="", playground=self.image._allot(PLAYGROUND, 0))
        if d.score_address and rng.random() < 0.5:
            memory = self.image.content()
            raw = bytearray(self._bytes(memory, d.score_address, record_bytes(self.params)))
            at, count = HEADER["segments_address"], int.from_bytes(raw[HEADER["segments"] :][:4], "little")
            if count and rng.random() < 0.7:
                place = int.from_bytes(raw[at : at + 8], "little")
                segments = damaged(rng, self._bytes(memory, place, SEGMENT_BYTES * count))
                raw[at : at + 8] = self.image._place_bytes(segments, Arrangement()).to_bytes(8, "little")
                entry.kind = "list"
            else:
                raw, entry.kind = bytearray(damaged(rng, bytes(raw))), "record"
            entry.descriptor = replace(d, score_address=self.image._place_bytes(bytes(raw), Arrangement()))
        return entry

    def _bytes(self, memory: NDArray[np.uint8], address: int, count: int) -> bytes:
        return memory[address - self.image.base :][:count].tobytes()

    def _address_space(self) -> None:
        """Addresses of all bytes, and which of them no mutant may touch."""
        size = self.ring - self.image.base + DESCRIPTOR_BYTES * len(self.entries)
        self.addresses = np.uint64(self.image.base) + np.arange(size, dtype=np.uint64)
        self.sacred = np.zeros(size, dtype=bool)
        for piece, _ in self.image._tensors:
            self.sacred[piece.address - self.image.base : piece.end - self.image.base] = True
        for address, raw in self.image._raw:
            self.sacred[address - self.image.base :][: len(raw)] = True
        self.sacred[self.ring - self.image.base :] = True
        for entry in self.entries:
            if entry.job >= 0:
                self._mark(self.sacred.view(np.uint8), entry, 1)

    def _settle(self, rng: np.random.Generator, entry: Entry) -> None:
        """Make a mutant that, if it is accepted, writes over nothing that belongs to others."""
        base = entry.descriptor
        for _ in range(TRIES if entry.kind == "" else 0):
            kind, found = mutant(rng, base, self.params, entry.playground)
            if check(found, self.params) or not (may_write(found, self.params, self.addresses) & self.sacred).any():
                entry.kind, entry.descriptor = kind, found
                break
        if entry.kind == "":
            entry.kind, entry.descriptor = "noise", replace(base, magic=0)
        entry.finding = check(entry.descriptor, self.params)
        if entry.finding is None:
            self.sacred |= may_write(entry.descriptor, self.params, self.addresses)

    def _mark(self, memory: NDArray[np.uint8], entry: Entry, value: int) -> None:
        """Set all bytes that an accepted descriptor may write."""
        if entry.placed is None:
            memory[may_write(entry.descriptor, self.params, self.addresses)] = value
            return
        for piece in filter(None, (entry.placed.o, entry.placed.lse)):
            piece.rows(memory, self.image.base)[...] = value

    def beside(self, index: int) -> dict[str, tuple[int, int]]:
        """First and last address of the list and the bias that a job's record names."""
        d = self.entries[index].descriptor
        if not d.score_address:
            return {}
        raw = self._bytes(self.before, d.score_address, record_bytes(self.params))

        def field(name: str, size: int) -> int:
            return int.from_bytes(raw[HEADER[name] :][:size], "little")

        found = {}
        if field("segments", 4):
            place = field("segments_address", 8)
            found["list"] = (place, place + SEGMENT_BYTES * field("segments", 4))
        places = [(piece.address, piece.end) for piece, _ in self.image._tensors]
        for first, end in places if self.params.has_bias else ():
            if first == field("bias_address", 8):
                found["bias"] = first, end
        return found

    def _foresee(self) -> None:
        """What comes of accepted mutants, as far as that is known: if all they read is in memory and stays there."""
        if self.case.machine in machines.SCORED:
            return
        moving = np.zeros(len(self.sacred), dtype=bool)
        for entry in self.entries:
            if entry.finding is None:
                self._mark(moving.view(np.uint8), entry, 1)
        for entry in self.entries:
            if entry.job < 0 and entry.finding is None:
                entry.placed, entry.want = foresee(entry.descriptor, self.image, self.before, moving)

    def difference(self, memory: NDArray[np.uint8], written: NDArray[np.uint64]) -> str | None:
        """The first byte that is not as it has to be, in memory or among all addresses that were written to."""
        for i, entry in enumerate(self.entries):
            if entry.state == State.DONE and entry.placed is not None and entry.want is not None:
                try:
                    assert_layer(entry.placed, memory, entry.want, f"descriptor {i} ({entry.kind})")
                except AssertionError as error:
                    return str(error)
        return self._stray(written) or self._changed(memory)

    def _stray(self, addresses: NDArray[np.uint64]) -> str | None:
        allowed = np.zeros(len(addresses), dtype=bool)
        for entry in self.entries:
            if entry.finding is None:
                allowed |= may_write(entry.descriptor, self.params, addresses)
        wrong = addresses[~allowed]
        return f"{len(wrong)} bytes were written that no descriptor owns, first {wrong[0]:#x}" if len(wrong) else None

    def _changed(self, memory: NDArray[np.uint8]) -> str | None:
        want, states = self.before.copy(), np.zeros(len(self.before), dtype=np.uint8)
        for entry in self.entries:
            if entry.placed is not None and entry.want is not None:
                write_results(entry.placed, entry.want, want)
            if entry.finding is None and entry.state != State.UNTOUCHED:
                self._mark(states, entry, entry.state)
        old, new = memory == self.before, memory == want
        wrong = np.flatnonzero(~np.choose(states, [old, new, old | new, np.ones_like(old)]))
        if len(wrong) == 0:
            return None
        first, owner = int(wrong[0]), "nobody"
        for i, entry in enumerate(self.entries):
            if entry.finding is None and may_write(entry.descriptor, self.params, self.addresses[wrong[:1]]).any():
                owner = f"descriptor {i} ({entry.kind}, {entry.state.name})"
        values = f"{self.before[first]:#04x} became {memory[first]:#04x}, not {want[first]:#04x}"
        return f"{len(wrong)} bytes are wrong, the first {self.addresses[first]:#x} of {owner}: {values}"
