"""Counters as they stood when a descriptor ended, for the host to read at its leisure."""

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_file import counter_address_bits
from hwgen.control.register_map import WORD_BITS, counter_names
from hwgen.params import Params
from hwgen.part import Part


def all_counters_layout() -> data.StructLayout:
    """The core's counters, then those around it, in the order of their registers."""
    return data.StructLayout({name: unsigned(COUNTER_BITS) for name in counter_names()})


class CounterSnapshot(Part):
    """Copies all counters to a memory, one a cycle, when told to `capture`; `copying` from the next cycle until the
    last one is readable, as many cycles as there are counters and one more.

    The counters have to stand still from `capture` until `copying` falls; `capture` while copying starts again. A
    counter's 48 bits change at once, so each half that is read is of the snapshot before or of this one. All of a
    snapshot, and both halves of a counter, belong together if no copy was made meanwhile: QUEUE_HEAD did not change
    and STATUS.copying was 0 before and after.

    Members: counters; capture; copying; address (counter's number, and in bit 0 which half); data (a cycle later).
    """

    def __init__(self, params: Params) -> None:
        super().__init__(
            {
                "counters": In(all_counters_layout()),
                "capture": In(1),
                "copying": Out(1),
                "address": In(counter_address_bits()),
                "data": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        names = counter_names()
        m.submodules.memory = memory = Memory(shape=unsigned(COUNTER_BITS), depth=len(names), init=[])
        write, read = memory.write_port(), memory.read_port()
        number, half, choosing = Signal(ceil_log2(len(names))), Signal(), Signal()
        # The register between the wide choice and the memory keeps it off the memory's path.
        m.d.sync += [
            write.data.eq(Array([self.counters[name] for name in names])[number]),
            write.addr.eq(number),
            write.en.eq(choosing),
            half.eq(self.address[0]),
        ]
        with m.If(choosing):
            m.d.sync += number.eq(number + 1)
            with m.If(number == len(names) - 1):
                m.d.sync += choosing.eq(0)
        with m.If(self.capture):
            m.d.sync += [number.eq(0), choosing.eq(1)]
        m.d.comb += [
            self.copying.eq(choosing | write.en),
            read.addr.eq(self.address[1:]),
            self.data.eq(Mux(half, read.data[WORD_BITS:], read.data[:WORD_BITS])),
        ]
        return m
