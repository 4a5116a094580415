"""What is counted around the core."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.counters import COUNTER_BITS
from hwgen.control.record import has_record
from hwgen.control.register_map import ACCELERATOR_COUNTERS
from hwgen.params import GROUP_BITS, Params
from hwgen.part import Part

PLAIN_READERS = ("other", "lengths", "q", "k", "v")
"""Clients of the read engine in every machine, in order; the first fetches descriptors."""

WRITERS = ("o", "lse")
"""Clients of the write engine, in order."""


def readers(params: Params) -> tuple[str, ...]:
    """Clients of the read engine, in order; the last ones only where they have something to read."""
    wanted = {"score": has_record(params), "bias": params.has_bias, "segments": params.config.block_list}
    return (*PLAIN_READERS, *(name for name, here in wanted.items() if here))


def traffic_layout() -> data.StructLayout:
    """The counters of `register_map.ACCELERATOR_COUNTERS`."""
    return data.StructLayout({name: unsigned(COUNTER_BITS) for name in ACCELERATOR_COUNTERS})


class TrafficCounters(Part):
    """Counts bus words by tensor (in bytes), lost cycles, descriptors, heads and poisoned rows until `clear`.

    Members: read, written (a pulse a word, for each client); read_wait, write_wait, descriptor, poisoned_row (pulses);
    job (a pulse, for `group` heads); clear; counters.
    """

    def __init__(self, params: Params) -> None:
        self._bytes, self._readers = params.bus_bytes, readers(params)
        pulses = ("read_wait", "write_wait", "descriptor", "poisoned_row", "job", "clear")
        super().__init__(
            {
                "read": In(len(self._readers)),
                "written": In(len(WRITERS)),
                "group": In(GROUP_BITS),
                "counters": Out(traffic_layout()),
            }
            | {name: In(1) for name in pulses}
        )

    def elaborate(self, platform):
        m = Module()
        read = {name: self.read[i] for i, name in enumerate(self._readers)}
        words = {f"read_bytes_{name}": read[name] for name in ("q", "k", "v")}
        words |= {f"written_bytes_{name}": self.written[i] for i, name in enumerate(WRITERS)}
        steps = {name: Mux(word, self._bytes, 0) for name, word in words.items()}
        others = reduce(or_, (bit for name, bit in read.items() if name not in ("q", "k", "v")))
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
