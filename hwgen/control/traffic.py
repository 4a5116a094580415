"""What is counted around the core."""

from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_map import ACCELERATOR_COUNTERS
from hwgen.params import GROUP_BITS, Params
from hwgen.part import Part

READERS = ("other", "lengths", "q", "k", "v")
"""Clients of the read engine, in order; the first fetches descriptors."""

WRITERS = ("o", "lse")
"""Clients of the write engine, in order."""


def traffic_layout() -> data.StructLayout:
    """The counters of `register_map.ACCELERATOR_COUNTERS`."""
    return data.StructLayout({name: unsigned(COUNTER_BITS) for name in ACCELERATOR_COUNTERS})


class TrafficCounters(Part):
    """Counts bus words by tensor (in bytes), lost cycles, descriptors, heads and poisoned rows until `clear`.

    Members: read, written (a pulse a word, for each client); read_wait, write_wait, descriptor, poisoned_row (pulses);
    job (a pulse, for `group` heads); clear; counters.
    """

    def __init__(self, params: Params) -> None:
        self._bytes = params.bus_bytes
        pulses = ("read_wait", "write_wait", "descriptor", "poisoned_row", "job", "clear")
        super().__init__(
            {
                "read": In(len(READERS)),
                "written": In(len(WRITERS)),
                "group": In(GROUP_BITS),
                "counters": Out(traffic_layout()),
            }
            | {name: In(1) for name in pulses}
        )

    def elaborate(self, platform):
        m = Module()
        words = {f"read_bytes_{name}": self.read[READERS.index(name)] for name in ("q", "k", "v")}
        words |= {f"written_bytes_{name}": self.written[i] for i, name in enumerate(WRITERS)}
        steps = {name: Mux(word, self._bytes, 0) for name, word in words.items()}
        others = self.read[READERS.index("other")] | self.read[READERS.index("lengths")]
        steps |= {
            "read_bytes_other": Mux(others, self._bytes, 0),
            "read_wait": self.read_wait,
            "write_wait": self.write_wait,
            "descriptors": self.descriptor,
            "heads": Mux(self.job, self.group, 0),
            "poisoned_rows": self.poisoned_row,
        }
        for name, step in steps.items():
            m.d.sync += self.counters[name].eq(self.counters[name] + step)
        with m.If(self.clear):
            m.d.sync += self.counters.eq(0)
        return m
