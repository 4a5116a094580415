"""What happened at the accelerator's ports and in its core, cycle by cycle, as system.sv wrote it down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Lines = NDArray[np.int64]
"""Events of one kind (N, numbers), the cycle first; of a stretch the first cycle and the number of cycles."""

CHANNELS = {"r": "ar", "w": "aw"}
"""Data channels, and the channel of their addresses."""

OTHER = "other"
"""What belongs to none of the tensors: descriptors, key lengths, records."""


def read_events(lines: Iterable[str]) -> dict[str, Lines]:
    """The lines of a file by the names they begin with, in order."""
    found: dict[str, list[list[int]]] = defaultdict(list)
    for line in lines:
        name, *numbers = line.split()
        found[name].append([int(number) for number in numbers])
    return {name: np.array(numbers, dtype=np.int64) for name, numbers in found.items()}


@dataclass(frozen=True)
class Events:
    """The events of one descriptor.

    log:    by their names, cycles counted from reset
    start:  the cycle in which the machine began to work, from which `RunResult.activity` counts
    places: of the tensors by name the first byte and the one behind the last, counted from the memory's first
    """

    log: Mapping[str, Lines]
    start: int
    places: Mapping[str, tuple[int, int]]

    def moments(self, name: str) -> Lines:
        """Cycles (N,) in which an event occurred."""
        return self.lines(name, 1)[:, 0]

    def lines(self, name: str, numbers: int) -> Lines:
        """Events (N, numbers) of a kind, perhaps none."""
        return self.log.get(name, np.zeros((0, numbers), dtype=np.int64))

    def bursts(self, channel: str) -> tuple[Lines, list[str]]:
        """Bursts of the data channel `r` or `w`, in the order of their addresses: lines (N, 3) of cycle, first byte and
        beats; and the tensor of each."""
        lines = self.lines(CHANNELS[channel], 3)
        return lines, [self.tensor(address) for address in lines[:, 1].tolist()]

    def tensor(self, at: int) -> str:
        """What lies in the bus word that begins at a byte. It may begin before a tensor; between two tensors there is
        room for more than one word."""
        return next((name for name, (begin, end) in self.places.items() if begin - WORD < at < end), OTHER)

    def stretches(self, channel: str) -> tuple[Lines, list[str]]:
        """Stretches of cycles, each of one burst, in which a word moved on the data channel `r` or `w`: lines (N, 2),
        and the tensor of each. Data come in the order of addresses, so their numbers tell whose they are."""
        lines = self.lines(channel, 2)
        bursts, tensors = self.bursts(channel)
        ends = np.cumsum(bursts[:, 2])
        owners = np.searchsorted(ends, np.cumsum(lines[:, 1]))
        return lines, [tensors[owner] for owner in owners.tolist()]

    def in_flight(self, channel: str) -> list[tuple[int, int]]:
        """(cycle, open bursts) at every change: from a burst's address to its last word, of writes to its answer."""
        opened = self.bursts(channel)[0][:, 0]
        closed = self.moments("b") if channel == "w" else self._last_words(channel)
        return running(opened, closed)

    def _last_words(self, channel: str) -> Lines:
        """The cycle of the last word of every burst."""
        lines = self.lines(channel, 2)
        ends = np.cumsum(self.bursts(channel)[0][:, 2])
        last = np.searchsorted(np.cumsum(lines[:, 1]), ends)
        return lines[last].sum(axis=1) - 1


WORD = 64
"""Bytes of the widest bus, and what tensors are aligned to."""


def running(opened: Sequence[int] | Lines, closed: Sequence[int] | Lines) -> list[tuple[int, int]]:
    """(cycle, how many are open) at every change; what opens or closes in a cycle counts from the next one on."""
    steps: dict[int, int] = defaultdict(int)
    for cycles, step in ((opened, 1), (closed, -1)):
        for cycle in np.asarray(cycles).tolist():
            steps[cycle + 1] += step
    total, found = 0, []
    for cycle in sorted(steps):
        if steps[cycle]:
            total += steps[cycle]
            found.append((cycle, total))
    return found
