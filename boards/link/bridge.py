"""Between a serial line and the board's memory and registers. Wiring only."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

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


class Buffer(Part):
    """Bytes of a frame: written, and read with two registers behind the memory."""

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
        behind = Signal(8, reset_less=True)
        m.d.comb += [write.en.eq(self.store), write.addr.eq(self.address), write.data.eq(self.byte)]
        m.d.comb += [read.en.eq(1), read.addr.eq(self.read_address), self.read.eq(behind)]
        m.d.sync += behind.eq(read.data)
        return m


class Bridge(Part):
    """Frames that come over the line are done and answered; see docs/boards/link.md.

    Members
    -------
    rx, tx:   the line
    received: for a cycle: a byte came
    garbled:  for a cycle: a byte or a frame was dropped
    memory_*: towards memory, see `Executor`
    s_axi_*:  towards an AXI4-Lite slave
    """

    def __init__(self, memory_bytes: int, clocks_per_bit: int) -> None:
        self._memory_bytes, self._clocks = memory_bytes, clocks_per_bit
        lite = {name: member.flip() for name, member in slave_ports().items()}
        super().__init__(
            {"rx": In(1), "tx": Out(1, init=1), "received": Out(1), "garbled": Out(1)} | MEMORY_PORT | lite
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        listener, speaker = UartReceiver(self._clocks), UartTransmitter(self._clocks)
        receiver, sender, executor = FrameReceiver(), FrameSender(), Executor(self._memory_bytes)
        commands, answers = Buffer(), Buffer()
        parts = {"uart_receiver": listener, "uart_transmitter": speaker, "receiver": receiver, "sender": sender}
        parts |= {"executor": executor, "commands": commands, "answers": answers}
        for name, part in parts.items():
            place(m, name, part)
        connect(m, sender.output, speaker.input)
        m.d.comb += [
            listener.rx.eq(self.rx),
            self.tx.eq(speaker.tx),
            receiver.valid.eq(listener.valid),
            receiver.data.eq(listener.data),
            receiver.broken.eq(listener.broken),
            receiver.release.eq(executor.release),
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
            self.received.eq(listener.valid),
            self.garbled.eq(receiver.garbled | listener.broken),
        ]
        for name, member in (MEMORY_PORT | slave_ports()).items():
            outer, inner = getattr(self, name), getattr(executor, name)
            outward = name in MEMORY_PORT
            m.d.comb += outer.eq(inner) if (member.flow == Out) == outward else inner.eq(outer)
        return m
