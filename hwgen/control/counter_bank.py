"""The machine's counters."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from hwgen.control.choice import choose
from hwgen.control.counters import COUNTER_BITS, CoreEvents, events_layout
from hwgen.control.register_map import counter_names
from hwgen.control.traffic import TrafficEvents, traffic_layout, unit
from hwgen.memory.styles import APART
from hwgen.params import Params
from hwgen.part import Part
from hwgen.pipeline import delayed

NUMBER_BITS = ceil_log2(len(counter_names()))

EVENTS = CoreEvents.LATENCY
"""Cycles from what happens to its event."""


def all_events_layout(params: Params) -> data.StructLayout:
    """What a cycle adds to the core's counters, then to those around it, in the order of their registers."""
    return data.StructLayout({**events_layout(params).members, **traffic_layout(params).members})


class CounterBank(Part):
    """`counter[i] += unit[i] events[i]` in every cycle; shows one counter a cycle, all of them in turn.

    Only a counter's low bits count in every cycle. The whole one, in memory, takes them over once a turn, before they
    can have come to the same value again. `value` has what came with `events` LATENCY cycles before.

    Members: events, which tell what happened EVENTS cycles ago; clear (forget all that happened until now);
    number, value.
    """

    LATENCY = 6

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "events": In(all_events_layout(params)),
                "clear": In(1),
                "number": Out(NUMBER_BITS),
                "value": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = len(counter_names())
        number = Signal(NUMBER_BITS)
        # What happened comes from afar, so it is kept for a cycle before it is added.
        clear = delayed(m, self.clear, EVENTS + 1, "clear", reset_less=False)
        self._happened = Signal.like(self.events, reset_less=True)
        # What the memory holds of so many of the next counters is from before they were cleared.
        stale = Signal(range(count + 1), init=count)
        m.d.sync += [number.eq(Mux(number == count - 1, 0, number + 1)), self._happened.eq(self.events)]
        with m.If(stale != 0):
            m.d.sync += stale.eq(stale - 1)
        with m.If(clear):
            m.d.sync += stale.eq(count)
        self._turn(m, number, stale != 0, self._low_bits(m, clear))
        return m

    def _low_bits(self, m: Module, clear: Signal) -> list[Value]:
        """Of each counter as many as one turn may fill."""
        found = []
        for name, shape in self.events.shape().members.items():
            most = len(counter_names()) * ((1 << shape.width) - 1)
            low = Signal(bits_for(most), name=f"low_{name}")
            m.d.sync += low.eq(low + self._happened[name])
            with m.If(clear):
                m.d.sync += low.eq(0)
            found.append(low.shift_left(ceil_log2(unit(self._params, name))))
        return found

    def _turn(self, m: Module, number: Signal, stale: Value, lows: list[Value]) -> None:
        """From a counter's number to its value: read, take the difference of the low bits, add it, write."""
        m.submodules.memory = memory = Memory(shape=unsigned(COUNTER_BITS), depth=len(lows), init=[], attrs=APART)
        write, read = memory.write_port(), memory.read_port()
        width = max(map(len, lows))
        void, before, base = Signal(), Signal(COUNTER_BITS), Signal(COUNTER_BITS)
        low = [Signal(width, name=f"low_{i}") for i in range(2)]
        span = [Signal(width, name=f"span_{i}") for i in range(2)]
        numbers = [number, *(Signal.like(number, name=f"number_{i}") for i in range(3)), self.number]
        more = Signal(width)
        m.d.comb += [
            read.addr.eq(number),
            write.en.eq(1),
            write.addr.eq(self.number),
            write.data.eq(self.value),
        ]
        m.d.sync += [
            low[0].eq(choose(lows, number)),
            span[0].eq(choose([(1 << len(bits)) - 1 for bits in lows], number)),
            void.eq(stale),
            low[1].eq(low[0]),
            span[1].eq(span[0]),
            before.eq(read.data),
            more.eq((low[1] - before) & span[1]),
            base.eq(before),
            self.value.eq(base + more),
        ]
        with m.If(void):
            m.d.sync += before.eq(0)
        m.d.sync += [after.eq(now) for now, after in zip(numbers, numbers[1:], strict=False)]


assert CoreEvents.LATENCY == TrafficEvents.LATENCY
