"""The registers as emitted, with the counters behind them, used by an AXI4-Lite master that others wrote."""

from hashlib import sha256
from pathlib import Path

import pytest
from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.control.counter_snapshot import CounterSnapshot
from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_file import RegisterFile
from hwgen.control.register_map import counter_names
from hwgen.memory.axi_ports import connect_slave, slave_ports
from hwgen.params import Params
from hwgen.part import Part, place
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit

PULSES = ("start", "abort", "soft_reset", "clear_counters")
# A simulator that was built from another text of this file is not used again.
SOURCE = sha256(Path(__file__).read_bytes()).hexdigest()


def all_counters_layout() -> data.StructLayout:
    return data.StructLayout({name: unsigned(COUNTER_BITS) for name in counter_names()})


class FlatRegisters(Part):
    """Register file and counter snapshot with the bus's usual signal names, and counters shown in turn; `source` only
    tells builds apart."""

    def __init__(self, params: Params, source: str) -> None:
        self._params = params
        members = {name: Out(1) for name in (*PULSES, "pending", "interrupt", "copying")}
        members |= {"ready": In(1), "done": In(1), "capture": In(1), "counters": In(all_counters_layout())}
        super().__init__(slave_ports() | members)

    def elaborate(self, platform):
        m = Module()
        registers, snapshot = RegisterFile(self._params), CounterSnapshot(self._params)
        place(m, "registers", registers)
        place(m, "snapshot", snapshot)
        connect_slave(m, self, registers)
        number = Signal.like(snapshot.number)
        m.d.sync += number.eq(Mux(number == len(counter_names()) - 1, 0, number + 1))
        m.d.comb += [getattr(self, name).eq(getattr(registers, name)) for name in (*PULSES, "pending", "interrupt")]
        m.d.comb += [
            registers.ready.eq(self.ready),
            registers.done.eq(self.done),
            registers.copying.eq(snapshot.copying),
            self.copying.eq(snapshot.copying),
            snapshot.number.eq(number),
            snapshot.value.eq(Array([self.counters[name] for name in counter_names()])[number]),
            snapshot.capture.eq(self.capture),
            snapshot.address.eq(registers.counter_address),
            registers.counter_data.eq(snapshot.data),
        ]
        return m


# Pauses before what the host sends, and before it takes an answer.
TRAFFIC = [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.5, 0.5)]


@pytest.mark.parametrize("seed,traffic", list(enumerate(TRAFFIC)), ids=str)
def test_register_file(seed: int, traffic: tuple[float, float], tmp_path: Path) -> None:
    idle, stall = traffic
    settings = {"CORE": "base", "SEED": seed, "IDLE": idle, "STALL": stall}
    run_unit(FlatRegisters, (params("base"), SOURCE), "rtl_tests.unit.cocotb_register_file", tmp_path, settings)
