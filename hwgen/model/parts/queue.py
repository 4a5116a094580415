"""A buffered queue."""

from __future__ import annotations

from collections import deque
from typing import Any


class Bell:
    """Rung when something happens that parts which sleep have to see."""

    __slots__ = ("rung",)

    def __init__(self) -> None:
        self.rung = True


class Fifo:
    """`Queue` of `depth` places: what is written can be read two cycles later.

    Members: rests (behind a word that is taken the next one comes a cycle later); ready (`head` may be taken), head,
    taken (in this cycle), items (behind the head); bell (rung by `take`).
    """

    __slots__ = ("bell", "depth", "head", "items", "ready", "rests", "taken")

    def __init__(self, depth: int, bell: Bell | None = None, rests: bool = False) -> None:
        self.depth, self.bell, self.rests = depth - 1, bell or Bell(), rests
        self.items: deque[Any] = deque()
        self.ready = self.taken = False
        self.head: Any = None

    def room(self) -> bool:
        """Something may be written in this cycle."""
        return len(self.items) != self.depth

    def take(self) -> None:
        """Take the head, before the queue's own cycle."""
        self.taken = self.bell.rung = True

    def tick(self, item: Any = None) -> bool:
        """One cycle, in which `item` is written unless it is None; whether anything changed."""
        changed = self.taken or item is not None
        if self.items and (not self.ready or (self.taken and not self.rests)):
            self.head, self.ready = self.items.popleft(), True
            changed = True
        elif self.taken:
            self.head, self.ready = None, False
        self.taken = False
        if item is not None:
            self.items.append(item)
        return changed

    def empty(self) -> bool:
        return not self.ready and not self.items


class Pair:
    """`Slice` behind a queue: what it takes in a cycle can be read in the next one.

    Members: source; held (what it has, the oldest first); ready (`head` may be taken), head, taken (in this cycle).
    """

    __slots__ = ("held", "source", "taken")

    def __init__(self, source: Fifo) -> None:
        self.source = source
        self.held: deque[Any] = deque()
        self.taken = False

    @property
    def ready(self) -> bool:
        return bool(self.held)

    @property
    def head(self) -> Any:
        return self.held[0]

    def tick(self) -> None:
        """One cycle, behind that of who takes from it, before the source's."""
        source, held = self.source, self.held
        room = len(held) < 2
        if self.taken:
            held.popleft()
            self.taken = False
        if room and source.ready:
            held.append(source.head)
            source.taken = True

    def quiet(self) -> bool:
        """Nothing moves unless something new comes."""
        return not self.held and not self.source.ready
