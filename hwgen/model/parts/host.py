"""The descriptor's way into the machine."""

from __future__ import annotations

from hwgen.control.descriptor import DESCRIPTOR_BYTES
from hwgen.control.descriptor_store import DescriptorStore
from hwgen.model.parts.reading import Client
from hwgen.model.parts.records import Request
from hwgen.model.work import Work

ASK, FETCH, CHECK, RUN, SETTLE = range(5)

FULL, JUDGE, SETTLED_VERDICT, TOLD = DescriptorStore.LATENCY, 4, 4, 2
"""Cycles of `DescriptorStore`, `DescriptorUnit` and `CommandQueue`: from the last word to `full`; from there to the
checks' start; from their end to `done`: findings are told, collected, and judged; from there until the queue knows and
says so."""


def checking_cycles(work: Work) -> int:
    """Cycles in which a check of `DescriptorUnit` is busy: of `TensorCheck`, which goes from tensor to tensor and
    multiplies for every dimension larger than 1, and of `HeadGroup`, which divides."""
    s = work.shape
    queries, keys = (s.B, s.Hq, s.L), (s.B, s.Hkv, s.S)
    # The last finding is told behind the tensors: Q, O and maybe LSE; K and V.
    tensors = 1 + (2 + work.lse) * _tensor_cycles(queries) + 2 * _tensor_cycles(keys)
    return max(tensors, 3 * work.group.bit_length() + 2)


def _tensor_cycles(sizes: tuple[int, ...]) -> int:
    used = [n for n in sizes if n > 1]
    digits = sum(-(-(n - 1).bit_length() // 2) for n in used)
    return 2 + len(used) * (len(used) + 3) // 2 + digits if used else 4


class Host:
    """`CommandQueue` and `DescriptorUnit` for one descriptor at `address` (within a chunk).

    Members: state; words (of the descriptor that have come), wait; run (the jobs start in this cycle).
    """

    def __init__(self, client: Client, address: int, word_bytes: int, work: Work) -> None:
        self.client = client
        self.words = DESCRIPTOR_BYTES // word_bytes
        self.checking = FULL + JUDGE + 1 + checking_cycles(work) + SETTLED_VERDICT + TOLD
        self.state, self.wait, self.run = ASK, 0, False
        client.splitter.request = Request(address, DESCRIPTOR_BYTES)

    def tick(self) -> None:
        """One cycle, before that of the read engine."""
        self.run = False
        if self.state == ASK:
            # The splitter is free, so it takes the request in this cycle.
            self.state = FETCH
        elif self.state == FETCH:
            self.client.splitter.request = None
            if self.client.present:
                self.client.taken = True
                self.words -= 1
                if self.words == 0:
                    self.state, self.wait = CHECK, self.checking
        elif self.state == CHECK:
            self.wait -= 1
            if self.wait == 0:
                self.run, self.state = True, RUN
        elif self.state == RUN:
            self.state = SETTLE
