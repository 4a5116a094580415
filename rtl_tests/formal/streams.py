"""What every stream has to do, and a word that is followed through a component."""

from typing import Any

from amaranth.hdl import Mux, Signal, Value

from rtl_tests.formal.bench import Bench


def held(bench: Bench, stream: Any, unless: Any = 0) -> Any:
    """What is offered and not taken is offered in the next cycle too, unless `unless` was high."""
    offered = bench.past(stream.valid & ~stream.ready & ~Value.cast(unless).any())
    payload = Value.cast(stream.payload)
    return ~bench.begun | ~offered | (stream.valid & (payload == bench.past(payload)))


def obeyed(bench: Bench, *streams: Any, unless: Any = 0) -> None:
    """Assume that those who feed the component keep what they offer."""
    for stream in streams:
        bench.assume(held(bench, stream, unless))


def obeys(bench: Bench, *streams: Any, unless: Any = 0) -> None:
    """The component keeps what it offers."""
    for stream in streams:
        bench.check(held(bench, stream, unless))


class Followed:
    """One word, whichever, from the moment it enters: `ahead` words have to leave before it.

    No word is lost, doubled, invented or overtaken if it leaves in its turn as what it was: `here` is where it is next,
    `value` what it is (not looked at without `seen`). `level` counts the words inside; `clear` forgets them.
    """

    def __init__(
        self,
        bench: Bench,
        enters: Any,
        word: Any,
        leaves: Any,
        seen: Any,
        capacity: int,
        clear: Any = 0,
        name: str = "",
    ) -> None:
        m = bench.m
        word = Value.cast(word)
        mark = bench.free(1, f"{name}mark")
        self.level = Signal(range(capacity + 1), name=f"{name}level")
        self.ahead = Signal(range(capacity + 1), name=f"{name}ahead")
        self.inside = Signal(name=f"{name}inside")
        self.value = Signal(word.shape(), name=f"{name}value")
        gone = self.inside & leaves & (self.ahead == 0)
        m.d.sync += self.level.eq(self.level + enters - leaves)
        with m.If(~self.inside & enters & mark):
            m.d.sync += [self.inside.eq(1), self.ahead.eq(self.level - leaves), self.value.eq(word)]
        with m.Elif(self.inside & leaves):
            m.d.sync += [self.inside.eq(self.ahead != 0), self.ahead.eq(self.ahead - 1)]
        with m.If(clear):
            m.d.sync += [self.inside.eq(0), self.level.eq(0)]
        # Nothing leaves that did not enter, and what is followed leaves as it entered.
        bench.check(~leaves | (self.level != 0) | enters)
        if seen is not None:
            bench.check(~gone | (Value.cast(seen) == self.value))
        bench.check(~self.inside | (self.ahead < self.level))
        bench.check(self.level <= capacity)

    def leaves_by(self, bench: Bench, offered: Any, cycles: int) -> None:
        """Nothing stays inside for longer than its way through takes, without being offered."""
        waiting = Signal(range(cycles + 1), name=f"waiting_{self.level.name}")
        bench.m.d.sync += waiting.eq(Mux(offered | (self.level == 0), 0, waiting + 1))
        bench.check(waiting < cycles)

    def at(self, place: Any) -> Any:
        """The word is inside, so many places behind the one that leaves next."""
        return self.inside & (self.ahead == place)


def wrapped(value: Any, depth: int) -> Any:
    """A place in a ring, of a number that is less than twice the depth."""
    return Mux(value >= depth, value - depth, value)
