"""Does what frames ask for, once."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from boards.board import memory_base
from boards.link.frame_receiver import COUNT_BITS
from boards.link.protocol import ANSWER, BLOCK, HEADER, IDENTITY, LINK_MAGIC, LINK_VERSION, Command, Status
from hwgen.control.register_map import ADDRESS_BITS, WORD_BYTES
from hwgen.memory.axi import Response
from hwgen.memory.axi_ports import slave_ports
from hwgen.part import Part

HEADER_BITS = 8 * HEADER.size
FETCH_CYCLES = 3
"""From an address of the command's buffer to its byte."""


class Executor(Part):
    """A frame that follows the last one is done and answered, a repeated one only answered; any other is dropped.

    A hello is always done: it begins a session with its sequence number. Everything is done byte by byte, a byte in 12
    cycles and what memory or registers take, in any case sooner than it came or will go over the line.

    Members
    -------
    full, header, count, release:     a frame, see `FrameReceiver`
    data_address, data:               the buffer of its data; a byte comes 3 cycles behind its address
    store, answer_address, answer:    the buffer of the answer's data, to be written
    send, answer_header, answer_count, sending: the answer, see `FrameSender`
    memory_start, memory_write, memory_address, memory_data: access to a byte of memory
    memory_done, memory_byte, memory_error: its end, a cycle
    s_axi_*:                          towards an AXI4-Lite slave
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        lite = {name: member.flip() for name, member in slave_ports().items()}
        super().__init__(
            {"full": In(1), "header": In(HEADER_BITS), "count": In(COUNT_BITS), "release": Out(1)}
            | {"data_address": Out(COUNT_BITS), "data": In(8)}
            | {"store": Out(1), "answer_address": Out(COUNT_BITS), "answer": Out(8)}
            | {"send": Out(1), "answer_header": Out(HEADER_BITS), "answer_count": Out(COUNT_BITS), "sending": In(1)}
            | {"memory_start": Out(1), "memory_write": Out(1), "memory_address": Out(32), "memory_data": Out(8)}
            | {"memory_done": In(1), "memory_byte": In(8), "memory_error": In(1)}
            | lite
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._command, self._sequence = self.header[:8], self.header[8:16]
        self._field, self._length = self.header[16:48], self.header[48:64]
        self._session, self._failed, self._wait = Signal(), Signal(), Signal(range(FETCH_CYCLES + 1))
        # A frame sets these before it looks at them, a session's hello the sequence number that was last.
        sizes = {"last": 8, "reply": 32, "word": 32, "address": 32, "index": COUNT_BITS, "left": COUNT_BITS}
        registers = (Signal(bits, reset_less=True, name=name) for name, bits in sizes.items())
        self._last, self._reply, self._word, self._address, self._index, self._left = registers
        self._judge(m)
        m.d.sync += self._failed.eq(0)
        with m.If(self._failed):
            m.d.sync += self._reply.eq(Status.BUS)
        m.d.comb += [
            self.data_address.eq(self._index),
            self.answer_header.eq(
                Cat(self._command | ANSWER, self._sequence, self._reply, self.answer_count, C(0, 16 - COUNT_BITS))
            ),
            self.memory_address.eq(self._address),
            self.memory_data.eq(self._word[-8:]),
            self.memory_write.eq(self._writes),
        ]
        none = Signal()
        m.d.sync += [self.store.eq(0), self.answer_address.eq(self._index), none.eq(self._left == 0)]
        outside, offers = self._offer(m)
        told = self._tell(m)
        with m.FSM():
            self._begin(m)
            self._loop(m, none)
            self._bytes_of_identity(m, told)
            self._access(m, "READ", outside, [offers["ar"]], "r", "STORE")
            self._access(m, "WRITE", outside, [offers["aw"], offers["w"]], "b", "ADVANCE")
            self._finish(m)
        return m

    def _judge(self, m: Module) -> None:
        """Facts of the frame and of its place in the session, two cycles behind it."""
        self._hello, self._reads, self._writes, self._on_registers = Signal(), Signal(), Signal(), Signal()
        self._same, self._follows, self._formed = Signal(), Signal(), Signal()
        complete, empty, short, aligned = Signal(), Signal(), Signal(), Signal()
        command = self._command
        m.d.sync += [
            self._hello.eq(command == Command.HELLO),
            self._reads.eq((command == Command.READ_REGISTERS) | (command == Command.READ_MEMORY)),
            self._writes.eq((command == Command.WRITE_REGISTERS) | (command == Command.WRITE_MEMORY)),
            self._on_registers.eq((command == Command.READ_REGISTERS) | (command == Command.WRITE_REGISTERS)),
            self._same.eq(self._sequence == self._last),
            self._follows.eq(self._sequence == (self._last + 1)[:8]),
            complete.eq(self._length == self.count),
            empty.eq(self.count == 0),
            short.eq(self._length <= BLOCK),
            aligned.eq((self._length[:2] == 0) & (self._field[:2] == 0)),
            self._formed.eq(
                short & ((self._reads & empty) | (self._writes & complete)) & (aligned | ~self._on_registers)
            ),
        ]

    def _begin(self, m: Module) -> None:
        with m.State("IDLE"):
            m.d.sync += self._wait.eq(FETCH_CYCLES)
            with m.If(self.full):
                m.next = "JUDGE"
        with m.State("JUDGE"):
            m.d.sync += self._wait.eq(self._wait - 1)
            with m.If(self._wait == 0):
                m.next = "SORT"
        with m.State("SORT"):
            m.d.sync += [self._index.eq(0), self._address.eq(self._field), self._left.eq(self._length)]
            m.next = "RELEASE"
            with m.If(self._hello):
                m.d.sync += [self._session.eq(1), self._last.eq(self._sequence), self._reply.eq(self._field)]
                m.d.sync += self.answer_count.eq(IDENTITY.size)
                m.next = "IDENTITY"
            with m.Elif(~self._session):
                self._refuse(m, Status.NO_SESSION)
            with m.Elif(self._same):
                m.next = "SEND"
            with m.Elif(self._follows):
                m.d.sync += self._last.eq(self._sequence)
                with m.If(self._formed):
                    m.d.sync += [self._reply.eq(Status.OKAY), self.answer_count.eq(Mux(self._reads, self._length, 0))]
                    m.next = "SETTLE"
                with m.Else():
                    self._refuse(m, Status.REFUSED)

    def _refuse(self, m: Module, status: Status) -> None:
        m.d.sync += [self._reply.eq(status), self.answer_count.eq(0)]
        m.next = "SEND"

    def _loop(self, m: Module, none: Signal) -> None:
        """Byte by byte; a word of the registers is read in front of its first byte and written behind its last."""
        place = self._index[: ceil_log2(WORD_BYTES)]
        with m.State("SETTLE"):
            m.next = "NEXT"
        with m.State("NEXT"):
            m.d.sync += self._wait.eq(FETCH_CYCLES)
            with m.If(none):
                m.next = "SEND"
            with m.Elif(self._writes):
                m.next = "FETCH"
            with m.Elif(~self._on_registers):
                m.next = "MEMORY"
            with m.Elif(place == 0):
                m.next = "READ"
            with m.Else():
                m.next = "STORE"
        with m.State("FETCH"):
            m.d.sync += self._wait.eq(self._wait - 1)
            with m.If(self._wait == 0):
                m.d.sync += self._word.eq(Cat(self._word[8:], self.data))
                m.next = "ADVANCE"
                with m.If(~self._on_registers):
                    m.next = "MEMORY"
                with m.Elif(place == WORD_BYTES - 1):
                    m.next = "WRITE"
        with m.State("MEMORY"):
            m.d.comb += self.memory_start.eq(1)
            m.next = "ACCESS"
        with m.State("ACCESS"):
            with m.If(self.memory_done):
                m.d.sync += self._word[:8].eq(self.memory_byte)
                self._note(m, self.memory_error)
                m.next = "ADVANCE"
                with m.If(self._reads):
                    m.next = "STORE"
        with m.State("STORE"):
            m.d.sync += [self.store.eq(1), self.answer.eq(self._word[:8]), self._word.eq(self._word >> 8)]
            m.next = "ADVANCE"
        with m.State("ADVANCE"):
            m.d.sync += [self._index.eq(self._index + 1), self._left.eq(self._left - 1)]
            m.d.sync += self._address.eq(self._address + 1)
            m.next = "SETTLE"

    def _note(self, m: Module, error: Any) -> None:
        """The answer says so from the next cycle but one on, which is before it is sent."""
        m.d.sync += self._failed.eq(error)

    def _tell(self, m: Module) -> Signal:
        """The byte of the identity that the index names, a cycle later."""
        memory = memory_base(self._memory_bytes), self._memory_bytes
        told, byte = IDENTITY.pack(LINK_MAGIC, LINK_VERSION, BLOCK, *memory), Signal(8, reset_less=True)
        with m.Switch(self._index[: ceil_log2(len(told))]):
            for number, value in enumerate(told):
                with m.Case(number):
                    m.d.sync += byte.eq(value)
        return byte

    def _bytes_of_identity(self, m: Module, byte: Signal) -> None:
        with m.State("IDENTITY"):
            m.next = "TELL"
        with m.State("TELL"):
            m.d.sync += [self.store.eq(1), self.answer.eq(byte), self._index.eq(self._index + 1)]
            m.next = "IDENTITY"
            with m.If(self._index == IDENTITY.size - 1):
                m.next = "SEND"

    def _offer(self, m: Module) -> tuple[Signal, dict[str, Signal]]:
        """Whether the address is beyond the registers; what is offered on the channels that ask, until it is taken."""
        outside, offers = Signal(), {channel: Signal(name=f"offer_{channel}") for channel in ("ar", "aw", "w")}
        address = Cat(C(0, 2), self._address[2:ADDRESS_BITS])
        m.d.sync += outside.eq(self._address[ADDRESS_BITS:] != 0)
        m.d.comb += [self.s_axi_araddr.eq(address), self.s_axi_awaddr.eq(address)]
        m.d.comb += [self.s_axi_wdata.eq(self._word), self.s_axi_wstrb.eq(-1)]
        for channel, offer in offers.items():
            m.d.comb += getattr(self, f"s_axi_{channel}valid").eq(offer)
            with m.If(getattr(self, f"s_axi_{channel}ready")):
                m.d.sync += offer.eq(0)
        return outside, offers

    def _access(self, m: Module, name: str, outside: Signal, offers: list[Signal], answer: str, then: str) -> None:
        """Offer address (and data) and wait for the answer."""
        ready, valid = getattr(self, f"s_axi_{answer}ready"), getattr(self, f"s_axi_{answer}valid")
        with m.State(name):
            m.d.sync += [offer.eq(~outside) for offer in offers]
            m.next = f"{name}_WAIT"
            with m.If(outside):
                m.d.sync += self._word.eq(0)
                self._note(m, 1)
                m.next = then
        with m.State(f"{name}_WAIT"):
            m.d.comb += ready.eq(1)
            with m.If(valid):
                self._note(m, getattr(self, f"s_axi_{answer}resp") != Response.OKAY)
                if answer == "r":
                    m.d.sync += self._word.eq(self.s_axi_rdata)
                m.next = then

    def _finish(self, m: Module) -> None:
        with m.State("SEND"):
            # The answer's last byte is being written to the buffer; the flag and the header go first.
            m.d.comb += self.send.eq(1)
            m.next = "SENT"
        with m.State("SENT"):
            with m.If(~self.sending):
                m.next = "RELEASE"
        with m.State("RELEASE"):
            m.d.comb += self.release.eq(1)
            m.next = "IDLE"
