"""AXI ports: every signal of the streams under its name, and what the bus needs besides."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Flow
from amaranth.sim import Simulator

from hwgen.control.axi_lite import address_layout, read_answer_layout, write_answer_layout, write_data_layout
from hwgen.memory.axi import burst_layout, read_layout, write_layout
from hwgen.memory.axi_ports import connect_master, connect_slave, master_ports, slave_ports
from hwgen.params import Params
from hwgen.part import Part
from hwgen.tests.bench import tiny

# Of each channel the signals that carry a stream's payload.
MASTER = {
    "ar": {"addr": "address", "len": "length"},
    "aw": {"addr": "address", "len": "length"},
    "w": {"data": "data", "strb": "strobe", "last": "last"},
    "b": {"resp": "response"},
    "r": {"data": "data", "resp": "response", "last": "last"},
}
SLAVE = {
    "ar": {"addr": "address"},
    "aw": {"addr": "address"},
    "w": {"data": "data", "strb": "strobe"},
    "b": {"resp": "response"},
    "r": {"data": "data", "resp": "response"},
}


def streams(layouts: dict[str, Any]) -> dict[str, Any]:
    return {name: stream.Signature(layout).create(path=(name,)) for name, layout in layouts.items()}


class Master(Part):
    """The ports, and streams in place of the engines'."""

    def __init__(self, params: Params) -> None:
        self.params = params
        layouts = {"ar": burst_layout(params), "aw": burst_layout(params), "w": write_layout(params)}
        layouts |= {"b": data.StructLayout({"response": 2}), "r": read_layout(params)}
        super().__init__(master_ports(params))
        self.streams = streams(layouts)

    def elaborate(self, platform):
        m = Module()
        engines = SimpleNamespace(**self.streams)
        connect_master(m, self, self.params, engines, engines)
        return m


class Slave(Part):
    """The ports, and streams in place of the register file's."""

    def __init__(self) -> None:
        super().__init__(slave_ports())
        layouts = {"ar": address_layout, "aw": address_layout, "w": write_data_layout}
        self.streams = streams(layouts | {"b": write_answer_layout, "r": read_answer_layout})

    def elaborate(self, platform):
        m = Module()
        connect_slave(m, self, SimpleNamespace(**self.streams))
        return m


def watch(dut: Any, look: Any) -> None:
    """Run something that sets and reads signals without a clock."""

    async def bench(ctx: Any) -> None:
        look(ctx)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


def pairs(dut: Any, prefix: str, fields: dict[str, dict[str, str]]) -> list[tuple[Any, Any, bool]]:
    """Of every signal that is passed on: port, stream's signal, whether the stream says what it is."""
    found = []
    for channel, names in fields.items():
        side = dut.streams[channel]
        outward = dut.signature.members[f"{prefix}_{channel}valid"].flow is Flow.Out
        signals = {"valid": (side.valid, outward), "ready": (side.ready, not outward)}
        signals |= {port: (getattr(side.payload, name), outward) for port, name in names.items()}
        found += [(getattr(dut, f"{prefix}_{channel}{port}"), *signal) for port, signal in signals.items()]
    return found


@pytest.mark.parametrize(
    ("dut", "prefix", "fields"),
    [
        pytest.param(lambda: Master(tiny()), "m_axi", MASTER, id="master"),
        pytest.param(lambda: Master(tiny(bus_bits=512, address_bits=33)), "m_axi", MASTER, id="broad-master"),
        pytest.param(Slave, "s_axi", SLAVE, id="slave"),
    ],
)
def test_every_signal_is_passed_on(dut: Any, prefix: str, fields: dict[str, dict[str, str]]) -> None:
    made, rng = dut(), np.random.default_rng(1)
    joined = pairs(made, prefix, fields)

    def look(ctx: Any) -> None:
        for _ in range(20):
            sent = []
            for port, signal, outward in joined:
                source, sink = (signal, port) if outward else (port, signal)
                assert len(Value.cast(source)) == len(Value.cast(sink)), port.name
                value = int.from_bytes(rng.bytes(64), "little") & (1 << len(Value.cast(source))) - 1
                ctx.set(source, value)
                sent.append((sink, value))
            assert [ctx.get(Value.cast(sink)) for sink, _ in sent] == [value for _, value in sent]

    watch(made, look)
    assert len(joined) == 10 + sum(map(len, fields.values()))


@pytest.mark.parametrize(("bus_bits", "size"), [(32, 2), (128, 4), (512, 6)])
def test_what_is_always_the_same(bus_bits: int, size: int) -> None:
    """Bursts of whole words at rising addresses; one ID; normal memory."""
    made = Master(tiny(bus_bits=bus_bits))
    fixed = {"id": 0, "size": size, "burst": 1, "lock": 0, "cache": 3, "prot": 0, "qos": 0}

    def look(ctx: Any) -> None:
        for channel in ("ar", "aw"):
            assert {name: ctx.get(getattr(made, f"m_axi_{channel}{name}")) for name in fixed} == fixed

    watch(made, look)


def test_widths() -> None:
    """Those of the AMBA AXI specification, for a bus of 64 bits and addresses of 40."""
    address = {"id": 1, "addr": 40, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3, "qos": 4}
    expected = {f"{channel}{name}": width for channel in ("aw", "ar") for name, width in address.items()}
    expected |= {"wdata": 64, "wstrb": 8, "wlast": 1, "bid": 1, "bresp": 2}
    expected |= {"rid": 1, "rdata": 64, "rresp": 2, "rlast": 1}
    expected |= {f"{channel}{name}": 1 for channel in ("aw", "w", "b", "ar", "r") for name in ("valid", "ready")}
    ports = master_ports(tiny(bus_bits=64, address_bits=40))
    assert {name: member.shape for name, member in ports.items()} == {f"m_axi_{n}": w for n, w in expected.items()}
    inputs = {name for name, member in ports.items() if member.flow.name == "In"}
    assert inputs == {
        f"m_axi_{name}"
        for name in [
            "awready",
            "wready",
            "bid",
            "bresp",
            "bvalid",
            "arready",
            "rid",
            "rdata",
            "rresp",
            "rlast",
            "rvalid",
        ]
    }
    lite = {"awaddr": 12, "awprot": 3, "araddr": 12, "arprot": 3, "wdata": 32, "wstrb": 4, "bresp": 2}
    lite |= {"rdata": 32, "rresp": 2}
    lite |= {f"{channel}{name}": 1 for channel in ("aw", "w", "b", "ar", "r") for name in ("valid", "ready")}
    assert {name: member.shape for name, member in slave_ports().items()} == {f"s_axi_{n}": w for n, w in lite.items()}
