"""The bus over PYNQ, against a PYNQ that is a processor's cache in front of the accelerator's memory."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from boards.xilinx.pynq_bus import PynqBus
from hwgen.errors import InputError, MissingTool

BASE, REGISTERS = 0x1680_0000, 0x43C0_0000


class Buffer(np.ndarray):
    """What the processor sees. `memory` is what the accelerator sees: the two meet on flush and invalidate only, in
    all lines of the cache that the slice has a byte in."""

    memory: np.ndarray
    whole: Buffer
    freed = False

    def __array_finalize__(self, source) -> None:
        if hasattr(source, "whole"):
            self.whole, self.memory = source.whole, source.memory

    def lines(self) -> slice:
        first = self.__array_interface__["data"][0] - self.whole.__array_interface__["data"][0]
        return slice(first // 64 * 64, -(-(first + self.nbytes) // 64) * 64)

    def flush(self) -> None:
        self.memory[self.lines()] = self.whole[self.lines()]

    def invalidate(self) -> None:
        self.whole[self.lines()] = self.memory[self.lines()]

    def freebuffer(self) -> None:
        self.freed = True


class Mmio:
    def __init__(self, base: int, size: int) -> None:
        assert (base, size) == (REGISTERS, 4096)
        self.words: dict[int, int] = {}

    def read(self, address: int) -> int:
        return self.words.get(address, 0)

    def write(self, address: int, value: int) -> None:
        self.words[address] = value


def allocate(shape, dtype) -> Buffer:
    buffer = np.full(shape, 0xA5, dtype).view(Buffer)
    buffer.whole, buffer.memory, buffer.device_address = buffer, np.zeros(shape, dtype), BASE
    return buffer


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> PynqBus:
    blocks = {"accelerator": {"phys_addr": REGISTERS, "addr_range": 4096}, "ps": {}}
    fake = SimpleNamespace(Overlay=lambda name: SimpleNamespace(ip_dict=blocks), MMIO=Mmio, allocate=allocate)
    monkeypatch.setitem(sys.modules, "pynq", fake)
    return PynqBus(Path("out/x.bit"), memory_bytes=8192)


def test_memory_is_what_the_accelerator_sees(bus: PynqBus) -> None:
    """Random writes from both sides against plain bytes."""
    seed = 1
    rng, want = random.Random(seed), bytearray(8192)
    memory = bus._buffer.memory
    for turn in range(300):
        size = rng.randrange(200)
        offset = rng.randrange(8192 - size + 1)
        data = rng.randbytes(size)
        if rng.randrange(2):
            bus.write_memory(bus.memory_base + offset, data)
        else:
            memory[offset : offset + size] = np.frombuffer(data, np.uint8)
        want[offset : offset + size] = data
        assert bytes(memory) == want, f"seed {seed}, turn {turn}"
        size = rng.randrange(300)
        offset = rng.randrange(8192 - size + 1)
        got = bus.read_memory(bus.memory_base + offset, size)
        assert got == want[offset : offset + size], f"seed {seed}, turn {turn}"


def test_registers(bus: PynqBus) -> None:
    bus.write_register(0x010, 0xFFFF_FFFF)
    bus.write_register(0xFFC, 7)
    assert [bus.read_register(address) for address in (0x010, 0xFFC, 0x020)] == [0xFFFF_FFFF, 7, 0]


@pytest.mark.parametrize("address", [2, 4096, -4])
def test_registers_elsewhere(bus: PynqBus, address: int) -> None:
    for use in (lambda: bus.read_register(address), lambda: bus.write_register(address, 0)):
        with pytest.raises(InputError, match="multiples of 4 below 0x1000"):
            use()


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (8192, 1), (8000, 193), (0, 8193)])
def test_memory_elsewhere(bus: PynqBus, offset: int, size: int) -> None:
    with pytest.raises(InputError, match="0x16800000 .. 0x16801fff"):
        bus.read_memory(BASE + offset, size)
    with pytest.raises(InputError, match="are not in the memory"):
        bus.write_memory(BASE + offset, bytes(size))


def test_nothing_at_the_end_is_nothing(bus: PynqBus) -> None:
    bus.write_memory(BASE + 8192, b"")
    assert bus.read_memory(BASE + 8192, 0) == b""


def test_values_that_are_none(bus: PynqBus) -> None:
    for value in (-1, 1 << 32):
        with pytest.raises(InputError, match="a register holds"):
            bus.write_register(0, value)


def test_a_bitstream_without_the_accelerator(bus: PynqBus) -> None:
    with pytest.raises(InputError, match="no block 'acelerator'; did you mean 'accelerator'"):
        PynqBus("x.bit", instance="acelerator")
    with pytest.raises(InputError, match="multiple of 4096"):
        PynqBus("x.bit", memory_bytes=100)


def test_memory_is_given_back(bus: PynqBus) -> None:
    with bus as same:
        assert same is bus and not bus._buffer.freed
    assert bus._buffer.freed


def test_without_pynq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(MissingTool, match="run this on the board"):
        PynqBus("x.bit")
