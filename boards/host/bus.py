"""What a driver needs of a board: its registers and its memory, however they are reached."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hwgen.errors import HwgenError


class LinkError(HwgenError):
    """The board cannot be reached, or does not do what it is asked for."""

    exit_status = 1


class BoardError(HwgenError):
    """The board is not the machine that is wanted, or its accelerator reports that something went wrong."""

    exit_status = 1


class Bus(Protocol):
    """Words of registers at their addresses, and bytes of memory, which has `memory_size` of them from `memory_base`
    on. Whatever fails raises LinkError."""

    @property
    def memory_base(self) -> int: ...

    @property
    def memory_size(self) -> int: ...

    def read_register(self, address: int) -> int: ...

    def write_register(self, address: int, value: int) -> None: ...

    def read_memory(self, address: int, size: int) -> bytes: ...

    def write_memory(self, address: int, data: bytes) -> None: ...


@runtime_checkable
class WordBlocks(Protocol):
    """A bus that reads many registers at once."""

    def read_registers(self, address: int, count: int) -> list[int]: ...
