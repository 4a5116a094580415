"""Counters as they stood when a descriptor ended, for the host to read at its leisure."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.control.counter_bank import EVENTS, NUMBER_BITS, CounterBank
from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_file import counter_address_bits
from hwgen.control.register_map import WORD_BITS, counter_names
from hwgen.params import Params
from hwgen.part import Part


class CounterSnapshot(Part):
    """Keeps a turn of the counter bank when told to `capture`; `copying` from the next cycle until the last counter is
    readable, as many cycles as there are counters and `CounterBank.LATENCY + EVENTS - 1` more.

    Nothing may happen that counts from the cycle behind `capture` until `copying` falls; `capture` while copying starts
    again. A counter's 48 bits change at once, so each half that is read is of the snapshot before or of this one. All
    of a snapshot, and both halves of a counter, belong together if no copy was made meanwhile: QUEUE_HEAD did not
    change and STATUS.copying was 0 before and after.

    Members: number, value (the bank's); capture; copying; address (counter's number, and in bit 0 which half); data (a
    cycle later).
    """

    def __init__(self, params: Params) -> None:
        super().__init__(
            {
                "number": In(NUMBER_BITS),
                "value": In(COUNTER_BITS),
                "capture": In(1),
                "copying": Out(1),
                "address": In(counter_address_bits()),
                "data": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = len(counter_names())
        m.submodules.memory = memory = Memory(shape=unsigned(COUNTER_BITS), depth=count, init=[])
        write, read = memory.write_port(), memory.read_port()
        # Cycles of copying, behind the first one: what was counted last is on its way to the bank, then through it.
        most = CounterBank.LATENCY + EVENTS - 2 + count
        left, half, captured = Signal(range(most + 1)), Signal(), Signal()
        m.d.sync += [half.eq(self.address[0]), captured.eq(self.capture)]
        with m.If(captured):
            m.d.sync += left.eq(most)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.comb += [
            self.copying.eq(captured | (left != 0)),
            write.en.eq((left != 0) & (left <= count)),
            write.addr.eq(self.number),
            write.data.eq(self.value),
            read.addr.eq(self.address[1:]),
            self.data.eq(Mux(half, read.data[WORD_BITS:], read.data[:WORD_BITS])),
        ]
        return m
