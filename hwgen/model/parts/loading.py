"""Where converted rows go: query banks and row buffers."""

from __future__ import annotations

from collections import deque

from hwgen.model.parts.queue import Fifo
from hwgen.model.parts.unpacking import Unpacker


class RowBuffer:
    """`RowBuffer`: a ring of rows, whose source knows how many places there are.

    Members: source; freed (times at which a row's place is given back); complete, claimed; ended (a row came to its end
    in the cycle before). The issuer says advance, and with a block's last row block_last and keep.
    """

    __slots__ = ("advance", "block_last", "claimed", "complete", "ended", "freed", "keep", "source")

    def __init__(self, source: Unpacker) -> None:
        self.source = source
        self.freed: deque[int] = deque()
        self.complete = self.claimed = 0
        self.advance = self.block_last = self.keep = self.ended = False

    def tick(self, now: int) -> None:
        source = self.source
        finished = source.offered and source.last
        if self.freed and self.freed[0] == now:
            self.freed.popleft()
            source.freed = True
        if self.advance:
            self._claim()
        self.complete += self.ended
        self.ended = finished

    def _claim(self) -> None:
        self.advance = False
        if self.block_last and self.keep:
            self.complete += self.claimed
        else:
            self.complete -= 1
        self.claimed = 0 if self.block_last else self.claimed + 1


class Loader:
    """`QueryLoader`: two banks of a block's queries.

    Members: block (queue), source; beats (two at most, in front of all: whether each is its row's last); active, bank,
    left; loaded, occupied (a flag a bank); released (times and banks);
    finished (a block, in this cycle: it is taken in the next one), taken (in this cycle). The issuer says issued,
    issued_bank and empty.
    """

    __slots__ = (
        "active",
        "bank",
        "beats",
        "block",
        "empty",
        "finished",
        "issued",
        "issued_bank",
        "left",
        "loaded",
        "occupied",
        "released",
        "source",
        "taken",
    )

    def __init__(self, block: Fifo, source: Unpacker) -> None:
        self.block, self.source = block, source
        self.loaded, self.occupied = [False, False], [False, False]
        self.released: deque[tuple[int, int]] = deque()
        self.beats: deque[bool] = deque()
        self.active = self.finished = self.taken = self.issued = self.empty = False
        self.bank = self.issued_bank = self.left = 0

    def tick(self, now: int) -> None:
        finished = False
        source, beats = self.source, self.beats
        enters = source.offered and len(beats) < 2
        if self.active:
            if beats and beats.popleft():
                self.left -= 1
                finished = self.left == 0
        elif self.block.ready and not self.finished:
            self.left = self.block.head.queries
            self.active = not self.occupied[self.bank]
        if enters:
            source.taken = True
            beats.append(source.last)
        self.taken, self.finished = self.finished, finished
        if finished:
            self.active = False
        if self.taken:
            self.block.take()
            self.loaded[self.bank] = self.occupied[self.bank] = True
            self.bank ^= 1
        if self.issued:
            self.issued = False
            self.loaded[self.issued_bank] = False
            if self.empty:
                self.occupied[self.issued_bank] = False
            self.empty = False
        if self.released and self.released[0][0] == now:
            self.occupied[self.released.popleft()[1]] = False
