"""The cable to a board: frames that are repeated until they are answered; see docs/boards/link.md."""

from __future__ import annotations

import secrets
import struct
import time
from dataclasses import dataclass
from types import TracebackType

import serial  # type: ignore[import-untyped]

from boards.host.bus import LinkError
from boards.link.protocol import (
    ANSWER,
    BLOCK,
    FLAG,
    IDENTITY,
    LINK_MAGIC,
    LINK_VERSION,
    Command,
    Frame,
    Status,
    decode,
    encode,
)

BAUD = 3_000_000
TIMEOUT = 0.25
"""Seconds without a byte, beyond those that a frame takes on the line, after which it is sent again."""

ATTEMPTS = 10
PATIENCE_DOUBLES = 4
"""So often the time that an answer may take doubles from attempt to attempt."""

SEQUENCES = 256
BITS_PER_BYTE = 10
STUFFED = 2
"""Bytes on the line for one of a frame, at most."""


@dataclass
class Statistics:
    """Frames that were answered; how often one was sent again; what came back with a wrong CRC, and what was right but
    had been answered before."""

    frames: int = 0
    retries: int = 0
    garbled: int = 0
    stale: int = 0


class Link:
    """A `Bus` over a serial port: a device, a pseudo terminal, or a URL that pyserial knows, `socket://` for instance.

    One frame is on its way at a time. Use it with `with`, or close it. Raises LinkError if the port cannot be opened,
    if no board answers, or if it speaks another version.

    timeout, attempts: how long an answer may take at first, and how often a frame is sent
    block:             most bytes of data in a frame, a multiple of 4; fewer come through a bad line more easily
    """

    def __init__(
        self,
        port: str,
        *,
        baud: int = BAUD,
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        block: int = BLOCK,
    ) -> None:
        self.port, self._baud, self._timeout, self._attempts = port, baud, timeout, attempts
        self.statistics = Statistics()
        self._sequence, self._received = 0, bytearray()
        try:
            self._serial = serial.serial_for_url(port, baudrate=baud, timeout=timeout, exclusive=True)
        except (serial.SerialException, ValueError, OSError) as error:
            raise LinkError(f"port {port!r} cannot be opened: {error}") from None
        try:
            self._block = min(block, self._hello())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port; the board keeps its memory."""
        self._serial.close()

    @property
    def memory_base(self) -> int:
        return self._base

    @property
    def memory_size(self) -> int:
        return self._size

    def read_register(self, address: int) -> int:
        return self.read_registers(address, 1)[0]

    def read_registers(self, address: int, count: int) -> list[int]:
        """Consecutive words."""
        return list(struct.unpack(f"<{count}I", self._read(Command.READ_REGISTERS, address, 4 * count)))

    def write_register(self, address: int, value: int) -> None:
        self._ask(Command.WRITE_REGISTERS, address, 4, 0, struct.pack("<I", value))

    def read_memory(self, address: int, size: int) -> bytes:
        return self._read(Command.READ_MEMORY, address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), self._block):
            part = data[at : at + self._block]
            self._ask(Command.WRITE_MEMORY, address + at, len(part), 0, part)

    def _hello(self) -> int:
        """Begin a session; gives the largest block that the board takes."""
        nonce = secrets.randbits(32)
        answer = self._exchange(Command.HELLO, nonce, 0, b"", want=nonce)
        try:
            magic, version, block, self._base, self._size = IDENTITY.unpack(answer.data)
        except struct.error:
            magic = b""
        if magic != LINK_MAGIC:
            raise LinkError(f"what answers on port {self.port!r} is no board of ours")
        if version != LINK_VERSION:
            raise LinkError(f"the board on port {self.port!r} speaks version {version}, not {LINK_VERSION}")
        return int(block)

    def _read(self, command: Command, address: int, size: int) -> bytes:
        """So many bytes, a block at a time."""
        blocks = [(at, min(self._block, size - at)) for at in range(0, size, self._block)]
        return b"".join(self._ask(command, address + at, count, count) for at, count in blocks)

    def _ask(self, command: Command, address: int, length: int, wanted: int, data: bytes = b"") -> bytes:
        """The data of the answer, `wanted` bytes of them."""
        self._sequence = (self._sequence + 1) % SEQUENCES
        answer = self._exchange(command, address, length, data)
        if answer.address != Status.OKAY:
            raise LinkError(f"port {self.port!r}: {self._complaint(answer.address, command, address, length)}")
        if len(answer.data) != wanted:
            raise LinkError(f"port {self.port!r}: {wanted} bytes were asked for, {len(answer.data)} came")
        return answer.data

    def _complaint(self, status: int, command: Command, address: int, length: int) -> str:
        what = f"{command.name} of {length} bytes at {address:#x}"
        if status == Status.NO_SESSION:
            return "the board was reset meanwhile; open the link again"
        if status == Status.BUS:
            return f"{what} goes beyond what the board has"
        return f"the board refuses {what} (status {status})"

    def _exchange(self, command: Command, address: int, length: int, data: bytes, want: int | None = None) -> Frame:
        """Send a frame until it is answered, by `want` if that is given."""
        frame = encode(command, self._sequence, address, length, data)
        expected = len(frame) + STUFFED * (length if not data else 0) + len(frame)
        on_line = expected * BITS_PER_BYTE / self._baud
        for attempt in range(self._attempts):
            self.statistics.retries += attempt > 0
            patience = on_line + self._timeout * 2 ** min(attempt, PATIENCE_DOUBLES)
            try:
                self._serial.write(frame)
                answer = self._await(command, patience, want)
            except (serial.SerialException, OSError) as error:
                raise LinkError(f"port {self.port!r} is lost: {error}") from None
            if answer is not None:
                self.statistics.frames += 1
                return answer
        raise LinkError(
            f"no answer on port {self.port!r} to {command.name}, sent {self._attempts} times; {self._hint()}"
        )

    def _hint(self) -> str:
        garbled = self.statistics.garbled
        if garbled:
            return f"{garbled} frames came garbled: is the speed of {self._baud} baud the board's?"
        return "is the board on and configured, and is this its port?"

    def _await(self, command: Command, patience: float, want: int | None) -> Frame | None:
        """The answer to the frame in flight, None if nothing comes for so many seconds."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            self._serial.timeout = left
            came = self._serial.read(max(1, self._serial.in_waiting))
            for body in self._bodies(came):
                answer = decode(body)
                if answer is None:
                    self.statistics.garbled += 1
                elif self._fits(answer, command, want):
                    return answer
                else:
                    self.statistics.stale += 1
        return None

    def _fits(self, answer: Frame, command: Command, want: int | None) -> bool:
        return (
            (answer.command, answer.sequence) == (command | ANSWER, self._sequence)
            and len(answer.data) == answer.length
            and want in (None, answer.address)
        )

    def _bodies(self, came: bytes) -> list[bytes]:
        """What lies between flags, as far as it is complete."""
        self._received += came
        *bodies, rest = bytes(self._received).split(bytes((FLAG,)))
        self._received = bytearray(rest)
        return [body for body in bodies if body]
