"""Visits that are described and wait for their turn."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.tags import planned_layout
from hwgen.params import Params
from hwgen.part import Part


def ahead(params: Params) -> int:
    """Places for visits: two are looked at, and if they may last a single cycle, another is needed for the next."""
    return 2 if params.group > 1 else 3


class VisitQueue(Part):
    """A queue of `ahead` visits of which the first two can be seen; nothing on its input depends on `pop`.

    Latency 1 cycle; throughput 1 visit a cycle while two are in it.

    Members: push (if there is `room`), visit; pop (the first one, if it is there); room_next (there will be room in the
    next cycle); head, head_there, second, second_there.
    """

    def __init__(self, params: Params) -> None:
        self._layout, self._depth = planned_layout(params), ahead(params)
        super().__init__(
            {
                "push": In(1),
                "visit": In(self._layout),
                "room": Out(1),
                "room_next": Out(1),
                "pop": In(1),
                "head": Out(self._layout),
                "head_there": Out(1),
                "second": Out(self._layout),
                "second_there": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self._depth
        entries = [Signal(self._layout, name=f"entry_{i}", reset_less=True) for i in range(depth)]
        there = [*(Signal(name=f"there_{i}") for i in range(depth)), Const(0, 1)]
        behind: list[data.View] = [*entries[1:], self.visit]
        for i, (entry, after) in enumerate(zip(entries, behind, strict=True)):
            before = there[i - 1] if i else Const(1, 1)
            filled = Signal(name=f"filled_{i}")
            m.d.comb += filled.eq(
                Mux(self.pop, there[i + 1] | (self.push & (there[i] if i else 1)), there[i] | (self.push & before))
            )
            m.d.sync += there[i].eq(filled)
            if i == depth - 1:
                m.d.comb += self.room_next.eq(~filled)
            with m.If(self.pop | ~there[i]):
                m.d.sync += entry.eq(Mux(there[i + 1], after.as_value(), self.visit.as_value()))
        m.d.comb += [
            self.room.eq(~there[depth - 1]),
            self.head.eq(entries[0]),
            self.head_there.eq(there[0]),
            self.second.eq(entries[1]),
            self.second_there.eq(there[1]),
        ]
        return m
