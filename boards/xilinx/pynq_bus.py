"""The accelerator on a board that runs PYNQ: registers through MMIO, memory as one contiguous buffer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hwgen.config import did_you_mean
from hwgen.errors import InputError, MissingTool

INSTANCE = "accelerator"
"""Name of the accelerator in the block design, see tcl/block_design.tcl."""

REGISTER_BYTES = 4
LINE_BYTES = 64
"""The longest line of a processor's cache: 32 bytes on the Cortex-A9, 64 on the A53."""


class PynqBus:
    """A way to the accelerator's registers and memory, as host software wants it, over `pynq`.

    The memory is physically contiguous and cached by the processor: what is written is flushed at once, and what is
    read is invalidated before. A cache moves whole lines, so those are invalidated too before some of their bytes
    are written: else old neighbours would be flushed over what the accelerator wrote. Addresses are the
    accelerator's.

    bitstream:    .bit with its .hwh beside it; loaded onto the device
    memory_bytes: of memory to allocate, a multiple of 4096
    instance:     the accelerator's name in the block design

    Members: memory_base, memory_size; read_register, write_register; read_memory, write_memory; close.
    Raises MissingTool where there is no PYNQ, InputError for a bitstream without the accelerator, for an address that
    is none of its registers and for bytes outside the memory.
    """

    def __init__(self, bitstream: Path | str, *, memory_bytes: int = 1 << 24, instance: str = INSTANCE) -> None:
        if memory_bytes <= 0 or memory_bytes % 4096:
            raise InputError(f"memory_bytes must be a multiple of 4096 from 4096 on, not {memory_bytes!r}")
        pynq = _pynq()
        overlay = pynq.Overlay(str(bitstream))
        blocks: Mapping[str, Mapping[str, Any]] = overlay.ip_dict
        if instance not in blocks:
            raise InputError(f"{bitstream} has no block {instance!r}{did_you_mean(instance, blocks)}")
        self._registers_size = int(blocks[instance]["addr_range"])
        self._registers = pynq.MMIO(int(blocks[instance]["phys_addr"]), self._registers_size)
        # The overlay owns the device: it stays loaded as long as this object lives.
        self._overlay = overlay
        self._buffer = pynq.allocate(shape=(memory_bytes,), dtype=np.uint8)
        self.memory_base = int(self._buffer.device_address)
        self.memory_size = memory_bytes

    def read_register(self, address: int) -> int:
        self._check_register(address)
        return int(self._registers.read(address))

    def write_register(self, address: int, value: int) -> None:
        self._check_register(address)
        if not 0 <= value < 1 << (8 * REGISTER_BYTES):
            raise InputError(f"a register holds 0 .. 0xffffffff, not {value!r}")
        self._registers.write(address, value)

    def read_memory(self, address: int, size: int) -> bytes:
        offset, lines = self._lines(address, size)
        if size:
            lines.invalidate()
        return bytes(self._buffer[offset : offset + size])

    def write_memory(self, address: int, data: bytes) -> None:
        offset, lines = self._lines(address, len(data))
        if data:
            lines.invalidate()
            self._buffer[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
            lines.flush()

    def close(self) -> None:
        """Give the memory back; nothing works behind that."""
        self._buffer.freebuffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_register(self, address: int) -> None:
        if address % REGISTER_BYTES or not 0 <= address < self._registers_size:
            raise InputError(
                f"registers lie at multiples of {REGISTER_BYTES} below {self._registers_size:#x}, not at {address:#x}"
            )

    def _lines(self, address: int, size: int) -> tuple[int, Any]:
        """Where in the buffer bytes lie, and the lines around them; a slice knows its place by itself."""
        offset = address - self.memory_base
        if offset < 0 or size < 0 or offset + size > self.memory_size:
            end = self.memory_base + self.memory_size
            raise InputError(
                f"{size} bytes at {address:#x} are not in the memory, which is {self.memory_base:#x} .. {end - 1:#x}"
            )
        # The buffer begins and ends with a page.
        end = offset + size + (-(offset + size) % LINE_BYTES)
        return offset, self._buffer[offset - offset % LINE_BYTES : end]


def _pynq() -> Any:
    """The package, which only boards have."""
    try:
        return importlib.import_module("pynq")
    except ImportError:
        raise MissingTool("pynq is missing: run this on the board, on PYNQ's image (http://www.pynq.io)") from None
