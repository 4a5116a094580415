"""What is counted around the core."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.record import has_record
from hwgen.control.register_map import ACCELERATOR_COUNTERS
from hwgen.params import GROUP_BITS, Params
from hwgen.part import Part
from hwgen.pipeline import delayed

PLAIN_READERS = ("other", "lengths", "q", "k", "v")
"""Clients of the read engine in every machine, in order; the first fetches descriptors."""

WRITERS = ("o", "lse")
"""Clients of the write engine, in order."""


def readers(params: Params) -> tuple[str, ...]:
    """Clients of the read engine, in order; the last ones only where they have something to read."""
    wanted = {"score": has_record(params), "bias": params.has_bias, "segments": params.config.block_list}
    return (*PLAIN_READERS, *(name for name, here in wanted.items() if here))


def traffic_layout(params: Params) -> data.StructLayout:
    """What a cycle adds to the counters of `register_map.ACCELERATOR_COUNTERS`, in units."""
    return data.StructLayout({name: unsigned(GROUP_BITS if name == "heads" else 1) for name in ACCELERATOR_COUNTERS})


def unit(params: Params, name: str) -> int:
    """What a counter adds for one: bytes come in bus words."""
    return params.bus_bytes if "_bytes_" in name else 1


class TrafficEvents(Part):
    """What a cycle adds to the counters around the core, as late as in `CoreEvents`: bus words by tensor, lost cycles,
    descriptors, heads and poisoned rows.

    Members: read, written (a pulse a word, for each client; at most one client reads); read_wait, write_wait,
    descriptor, poisoned_row (pulses); job (a pulse, for `group` heads); events.
    """

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._readers = readers(params)
        pulses = ("read_wait", "write_wait", "descriptor", "poisoned_row", "job")
        super().__init__(
            {
                "read": In(len(self._readers)),
                "written": In(len(WRITERS)),
                "group": In(GROUP_BITS),
                "events": Out(traffic_layout(params)),
            }
            | {name: In(1) for name in pulses}
        )

    def elaborate(self, platform):
        m = Module()
        read = {name: self.read[i] for i, name in enumerate(self._readers)}
        events = {f"read_bytes_{name}": read[name] for name in ("q", "k", "v")}
        events |= {f"written_bytes_{name}": self.written[i] for i, name in enumerate(WRITERS)}
        events |= {
            "read_bytes_other": reduce(or_, (bit for name, bit in read.items() if name not in ("q", "k", "v"))),
            "read_wait": self.read_wait,
            "write_wait": self.write_wait,
            "descriptors": self.descriptor,
            "heads": Mux(self.job, self.group, 0),
            "poisoned_rows": self.poisoned_row,
        }
        for name, event in events.items():
            m.d.sync += self.events[name].eq(delayed(m, event, self.LATENCY - 1, name))
        return m
