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
