"""Between a serial line and the board's memory and registers. Wiring only."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Member, Out, connect, flipped

from boards.link.executor import Executor
from boards.link.frame_receiver import BUFFER_BYTES, COUNT_BITS, FrameReceiver
from boards.link.frame_sender import FrameSender
from boards.link.uart import UartReceiver, UartTransmitter
from hwgen.memory.axi_ports import slave_ports
from hwgen.part import Part, place

MEMORY_PORT = {
    "memory_start": Out(1),
    "memory_write": Out(1),
    "memory_address": Out(32),
    "memory_data": Out(8),
    "memory_done": In(1),
    "memory_byte": In(8),
    "memory_error": In(1),
}
"""Bytes of memory, one at a time."""

WORLD: dict[str, Member] = MEMORY_PORT | {name: member.flip() for name, member in slave_ports().items()}
"""What the bridge reaches."""


class Buffer(Part):
    """Bytes of a frame. Latency 3 cycles from an address to its byte: two registers behind the memory, the first of
    which lies beside it."""

    def __init__(self) -> None:
        super().__init__(
            {"store": In(1), "address": In(COUNT_BITS), "byte": In(8), "read_address": In(COUNT_BITS), "read": Out(8)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # A byte is read long after it was written.
        memory = Memory(shape=unsigned(8), depth=BUFFER_BYTES, init=[], attrs={"no_rw_check": 1})
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        beside, behind = Signal(8, reset_less=True), Signal(8, reset_less=True)
        m.d.comb += [write.en.eq(self.store), write.addr.eq(self.address), write.data.eq(self.byte)]
        m.d.comb += [read.en.eq(1), read.addr.eq(self.read_address), self.read.eq(behind)]
        m.d.sync += [beside.eq(read.data), behind.eq(beside)]
        return m


class Exchange(Part):
    """Frames that come as bytes are done and answered; see docs/boards/link.md.

    Members
    -------
    valid, data, broken: bytes of the line, see `FrameReceiver`
    output:   bytes for it
    garbled:  for a cycle: a frame was dropped
    memory_*: towards memory, see `Executor`
    s_axi_*:  towards an AXI4-Lite slave
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        line = {"valid": In(1), "data": In(8), "broken": In(1), "output": Out(stream.Signature(unsigned(8)))}
        super().__init__(line | {"garbled": Out(1)} | WORLD)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        receiver, sender, executor = FrameReceiver(), FrameSender(), Executor(self._memory_bytes)
        commands, answers = Buffer(), Buffer()
        parts = {"receiver": receiver, "sender": sender, "executor": executor}
        for name, part in (parts | {"commands": commands, "answers": answers}).items():
            place(m, name, part)
        connect(m, sender.output, flipped(self.output))
        m.d.comb += [
            receiver.valid.eq(self.valid),
            receiver.data.eq(self.data),
            receiver.broken.eq(self.broken),
            receiver.release.eq(executor.release),
            self.garbled.eq(receiver.garbled),
            commands.store.eq(receiver.store),
            commands.address.eq(receiver.address),
            commands.byte.eq(receiver.byte),
            commands.read_address.eq(executor.data_address),
            executor.data.eq(commands.read),
            executor.full.eq(receiver.full),
            executor.header.eq(receiver.header),
            executor.count.eq(receiver.count),
            answers.store.eq(executor.store),
            answers.address.eq(executor.answer_address),
            answers.byte.eq(executor.answer),
            answers.read_address.eq(sender.address),
            sender.byte.eq(answers.read),
            sender.start.eq(executor.send),
            sender.header.eq(executor.answer_header),
            sender.count.eq(executor.answer_count),
            executor.sending.eq(sender.busy),
        ]
        pass_on(m, self, executor, WORLD)
        return m


class Bridge(Part):
    """An exchange of frames behind a serial line.

    Members
    -------
    rx, tx:   the line
    received: for a cycle: a byte came
    garbled:  for a cycle: a byte or a frame was dropped
    memory_*, s_axi_*: see `Exchange`
    """

    def __init__(self, memory_bytes: int, clocks_per_bit: int) -> None:
        self._memory_bytes, self._clocks = memory_bytes, clocks_per_bit
        super().__init__({"rx": In(1), "tx": Out(1, init=1), "received": Out(1), "garbled": Out(1)} | WORLD)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        listener, speaker = UartReceiver(self._clocks), UartTransmitter(self._clocks)
        exchange = Exchange(self._memory_bytes)
        for name, part in {"uart_receiver": listener, "uart_transmitter": speaker, "exchange": exchange}.items():
            place(m, name, part)
        connect(m, exchange.output, speaker.input)
        m.d.comb += [
            listener.rx.eq(self.rx),
            self.tx.eq(speaker.tx),
            exchange.valid.eq(listener.valid),
            exchange.data.eq(listener.data),
            exchange.broken.eq(listener.broken),
            self.received.eq(listener.valid),
            self.garbled.eq(exchange.garbled | listener.broken),
        ]
        pass_on(m, self, exchange, WORLD)
        return m


def pass_on(m: Module, outer: Any, inner: Any, members: Mapping[str, Member]) -> None:
    """Ports of a part that are those of a part inside of it."""
    for name, member in members.items():
        ours, its = getattr(outer, name), getattr(inner, name)
        m.d.comb += ours.eq(its) if member.flow == Out else its.eq(ours)
