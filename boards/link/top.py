"""A board: the accelerator, its memory, and the bridge to the host. Wiring only."""

from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib.wiring import In, Out

from boards.board import memory_base
from boards.link.board_memory import BoardMemory
from boards.link.bridge import MEMORY_PORT, Bridge
from boards.link.lamps import Alive, Stretch
from hwgen.accelerator import Accelerator
from hwgen.errors import ConfigError
from hwgen.memory.axi_ports import MASTER, connect_channel, slave_ports
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import place_apart

LEDS = ("busy", "error", "link", "alive")
HOST_ADDRESS_BITS = 32
BUS_BITS = (32, 64, 128)


def require_bus(params: Params, memory_bytes: int) -> None:
    """Raises ConfigError if the machine's bus is not one that a board with so much memory has."""
    c = params.config
    fewest = memory_base(memory_bytes).bit_length()
    if not fewest <= c.address_bits <= HOST_ADDRESS_BITS or c.bus_bits not in BUS_BITS:
        widths = ", ".join(map(str, BUS_BITS))
        wanted = f"address_bits in {fewest} .. {HOST_ADDRESS_BITS} and bus_bits one of {widths}"
        raise ConfigError(f"a board needs {wanted}, not {c.address_bits} and {c.bus_bits}")


class BoardTop(Part):
    """Everything but clock generation and pins. Raises ConfigError if the bus is not one that a board has.

    Members
    -------
    clk, rst:         the only clock; reset, active high, of that clock
    uart_rx, uart_tx: the host
    leds:             busy: the accelerator used its bus a moment ago; error: a byte or frame was dropped a moment ago
                      or the interrupt is high; link: a byte came a moment ago; alive: blinks
    """

    def __init__(self, params: Params, *, memory_bytes: int, clocks_per_bit: int) -> None:
        require_bus(params, memory_bytes)
        self._params, self._bytes, self._clocks = params, memory_bytes, clocks_per_bit
        super().__init__({"clk": In(1), "rst": In(1), "uart_rx": In(1), "uart_tx": Out(1, init=1), "leds": Out(4)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains += ClockDomain("sync")
        accelerator, memory = Accelerator(self._params), BoardMemory(self._params, self._bytes)
        bridge = Bridge(self._bytes, self._clocks)
        place(m, "accelerator", accelerator)
        place_apart(m, "memory", memory)
        place_apart(m, "bridge", bridge)
        # A register, as the net goes everywhere.
        started = Signal()
        m.d.sync += started.eq(1)
        m.d.comb += [
            ClockSignal("sync").eq(self.clk),
            ResetSignal("sync").eq(self.rst),
            accelerator.aclk.eq(self.clk),
            accelerator.aresetn.eq(started),
            bridge.rx.eq(self.uart_rx),
            self.uart_tx.eq(bridge.tx),
        ]
        self._connect_bus(m, accelerator, memory)
        self._connect_bridge(m, accelerator, memory, bridge)
        self._connect_leds(m, accelerator, bridge)
        return m

    def _connect_bus(self, m: Module, accelerator: Accelerator, memory: BoardMemory) -> None:
        for channel in ("ar", "aw"):
            side = getattr(memory, channel)
            burst = {"addr": side.payload.address, "len": side.payload.length}
            connect_channel(m, accelerator, MASTER, channel, side, burst, outward=False)
        word = {"data": memory.w.payload.data, "strb": memory.w.payload.strobe, "last": memory.w.payload.last}
        connect_channel(m, accelerator, MASTER, "w", memory.w, word, outward=False)
        connect_channel(m, accelerator, MASTER, "b", memory.b, {"resp": memory.b.payload.response}, outward=True)
        answer = memory.r.payload
        word = {"data": answer.data, "resp": answer.response, "last": answer.last}
        connect_channel(m, accelerator, MASTER, "r", memory.r, word, outward=True)

    def _connect_bridge(self, m: Module, accelerator: Accelerator, memory: BoardMemory, bridge: Bridge) -> None:
        for name, member in slave_ports().items():
            inner, outer = getattr(accelerator, name), getattr(bridge, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        for name, member in MEMORY_PORT.items():
            ours, theirs = getattr(bridge, name), getattr(memory, name.removeprefix("memory_"))
            m.d.comb += theirs.eq(ours) if member.flow == Out else ours.eq(theirs)

    def _connect_leds(self, m: Module, accelerator: Accelerator, bridge: Bridge) -> None:
        busy, error, link, alive = Stretch(), Stretch(), Stretch(), Alive()
        for name, part in zip(LEDS, (busy, error, link, alive), strict=True):
            place(m, f"led_{name}", part)
        # What is told comes from far.
        for lamp, told in (
            (busy, accelerator.m_axi_arvalid | accelerator.m_axi_awvalid),
            (error, bridge.garbled | accelerator.interrupt),
            (link, bridge.received),
        ):
            register = Signal(reset_less=True)
            m.d.sync += register.eq(told)
            m.d.comb += lamp.input.eq(register)
        m.d.comb += [
            self.leds.eq(Cat(busy.output, error.output, link.output, alive.output)),
        ]
