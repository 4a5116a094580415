"""What goes over the cable, for both its ends: see docs/boards/link.md."""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
"""A flag stands between frames and in none; inside, a flag or escape is sent as ESCAPE and the byte XOR FLIP."""

HEADER = struct.Struct("<BBIH")
"""Command, sequence number, address, length in bytes: of the data that follow or, in a command, that are wanted."""

CRC = struct.Struct("<I")
ANSWER = 0x80
"""Added to the command in its answer."""

BLOCK = 1024
"""Most bytes of data in a frame."""

LINK_MAGIC = b"HWLK"
LINK_VERSION = 1
IDENTITY = struct.Struct("<4sHHII")
"""What a hello is answered with: LINK_MAGIC, LINK_VERSION, BLOCK, memory's base and size."""


class Command(IntEnum):
    """What a frame asks for.

    HELLO:           begin a session; the address is a number of the host's choice, which comes back
    READ_REGISTERS:  consecutive words, address and length multiples of 4
    WRITE_REGISTERS: the same
    READ_MEMORY:     bytes of any alignment
    WRITE_MEMORY:    the same
    """

    HELLO = 1
    READ_REGISTERS = 2
    WRITE_REGISTERS = 3
    READ_MEMORY = 4
    WRITE_MEMORY = 5


class Status(IntEnum):
    """What an answer to anything but a hello has in place of the address.

    OKAY:       done
    REFUSED:    unknown command, or a length or alignment that it does not take; nothing was done
    NO_SESSION: no hello since the board's reset; nothing was done
    BUS:        a register or a byte of memory is not there; what is there was read or written
    """

    OKAY = 0
    REFUSED = 1
    NO_SESSION = 2
    BUS = 3


class Frame(NamedTuple):
    """A frame whose CRC was right."""

    command: int
    sequence: int
    address: int
    length: int
    data: bytes


def encode(command: int, sequence: int, address: int, length: int, data: bytes = b"") -> bytes:
    """A frame as it is sent, a flag at both ends."""
    body = HEADER.pack(command, sequence, address, length) + data
    body += CRC.pack(zlib.crc32(body))
    escaped = bytearray()
    for byte in body:
        escaped += bytes((ESCAPE, byte ^ FLIP)) if byte in (FLAG, ESCAPE) else bytes((byte,))
    return bytes((FLAG, *escaped, FLAG))


def decode(body: bytes) -> Frame | None:
    """The frame between two flags; None if its CRC or its form is wrong."""
    plain = bytearray()
    at = 0
    while at < len(body):
        if body[at] == ESCAPE:
            at += 1
            if at == len(body) or body[at] == ESCAPE:
                return None
            plain.append(body[at] ^ FLIP)
        else:
            plain.append(body[at])
        at += 1
    if len(plain) < HEADER.size + CRC.size or zlib.crc32(plain[: -CRC.size]) != CRC.unpack(plain[-CRC.size :])[0]:
        return None
    command, sequence, address, length = HEADER.unpack_from(plain)
    return Frame(command, sequence, address, length, bytes(plain[HEADER.size : -CRC.size]))
