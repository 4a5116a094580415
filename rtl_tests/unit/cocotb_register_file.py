"""Runs in the simulator: random accesses of all sizes, a start with its interrupt, and the counters."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hwgen.control.register_map import COUNTERS_BASE, Access, register_map, words
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import bits_of
from rtl_tests.harness.streams import start
from rtl_tests.unit.test_register_file import all_counters_layout

REGISTERS = {register.name: register for register in register_map(params(os.environ["CORE"]))}
ADDRESSES = {name: register.address for name, register in REGISTERS.items()}
# The whole address space, byte by byte: what is there after reset, and which bits the host can write.
RESET, WRITABLE = bytearray(1 << 12), bytearray(1 << 12)
for r in REGISTERS.values():
    span = slice(r.address, r.address + 4 * r.words)
    RESET[span] = r.reset.to_bytes(4 * r.words, "little")
    mask = sum(field.mask for field in r.fields if field.access is Access.READ_WRITE)
    WRITABLE[span] = mask.to_bytes(4 * r.words, "little")
DEFINED = {number for number, _, _ in words(tuple(REGISTERS.values()))}


def pauses(seed: int, probability: float) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < probability


def connect(dut, seed: int) -> AxiLiteMaster:
    """A master whose five channels pause, each in its own rhythm."""
    idle, stall = float(os.environ["IDLE"]), float(os.environ["STALL"])
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    write, read = master.write_if, master.read_if
    channels = [write.aw_channel, write.w_channel, read.ar_channel, write.b_channel, read.r_channel]
    for i, (channel, probability) in enumerate(zip(channels, [idle] * 3 + [stall] * 2, strict=True)):
        if probability:
            channel.set_pause_generator(pauses(10 * seed + i, probability))
    return master


def response(address: int) -> AxiResp:
    return AxiResp.OKAY if address // 4 in DEFINED else AxiResp.SLVERR


async def random_accesses(master: AxiLiteMaster, rng: random.Random, memory: bytearray) -> int:
    """Writes and reads of 1 to 4 bytes anywhere but in CONTROL; returns the number of writes to QUEUE_TAIL."""
    targets = [address for address in range(4, COUNTERS_BASE) if WRITABLE[address]]
    rings, kinds = 0, set()
    for _ in range(80):
        address = rng.choice(targets) if rng.random() < 0.7 else rng.randrange(4, 1 << 12)
        length = rng.randint(1, 4 - address % 4)
        span = range(address, address + length)
        if rng.random() < 0.5:
            data = rng.randbytes(length)
            answer = await master.write(address, data)
            for i, value in zip(span, data, strict=True):
                memory[i] = memory[i] & ~WRITABLE[i] | value & WRITABLE[i]
            rings += any(i - ADDRESSES["QUEUE_TAIL"] in (0, 1) for i in span)
        else:
            answer = await master.read(address, length)
            assert answer.data == bytes(memory[i] for i in span), hex(address)
        assert answer.resp == response(address), hex(address)
        kinds.add((type(answer), answer.resp))
    assert rings and len(kinds) == 4
    return rings


async def identification(master: AxiLiteMaster) -> None:
    """Reads beside the other accesses always find the same."""
    for _ in range(8):
        for name in ("MAGIC", "VERSION", "HEADS"):
            assert await master.read_dword(ADDRESSES[name]) == REGISTERS[name].reset
        assert await master.read_qword(ADDRESSES["CONFIG_HASH"]) == REGISTERS["CONFIG_HASH"].reset


class Pulses:
    """Counts the cycles in which `start` is high."""

    def __init__(self, dut) -> None:
        self.dut, self.count = dut, 0
        cocotb.start_soon(self.watch())

    async def watch(self) -> None:
        while True:
            await FallingEdge(self.dut.clk)
            self.count += int(self.dut.start.value)


async def pulse(dut, name: str) -> None:
    getattr(dut, name).value = 1
    await RisingEdge(dut.clk)
    getattr(dut, name).value = 0


@cocotb.test()
async def registers_read_and_write(dut) -> None:
    seed = int(os.environ["SEED"])
    rng, memory = random.Random(seed), bytearray(RESET)
    for name in ("ready", "done", "capture", "counters"):
        getattr(dut, name).value = 0
    master, seen = connect(dut, seed), Pulses(dut)
    await start(dut)
    for address in range(0, COUNTERS_BASE, 4):
        answer = await master.read(address, 4)
        assert (answer.data, answer.resp) == (bytes(memory[address : address + 4]), response(address)), hex(address)
    beside = cocotb.start_soon(identification(master))
    rings = await random_accesses(master, rng, memory)
    await beside
    assert seen.count == rings and await master.read_dword(0) == 1
    await interrupts(dut, master)
    assert seen.count == rings + 1
    await counters(dut, master, rng)


async def interrupts(dut, master: AxiLiteMaster) -> None:
    """Start, taken up, done, interrupt, cleared."""
    await master.write_dword(ADDRESSES["INTERRUPT_ENABLE"], 1)
    await master.write_dword(ADDRESSES["GLOBAL_INTERRUPT_ENABLE"], 1)
    await pulse(dut, "ready")
    assert await master.read_dword(0) == 0b1100
    await master.write_byte(0, 1)
    assert int(dut.pending.value) and not int(dut.interrupt.value)
    await pulse(dut, "ready")
    await pulse(dut, "done")
    await FallingEdge(dut.clk)
    assert int(dut.interrupt.value) and not int(dut.pending.value)
    assert [await master.read_dword(0) for _ in range(2)] == [0b1110, 0b0100]
    await master.write_dword(ADDRESSES["INTERRUPT_STATUS"], 1)
    assert not int(dut.interrupt.value)


async def counters(dut, master: AxiLiteMaster, rng: random.Random) -> None:
    """Two snapshots; what is counted after the first is not seen before the second."""
    layout = all_counters_layout()
    for _ in range(2):
        values = {name: rng.getrandbits(48) for name in layout.members}
        dut.counters.value = bits_of(layout, values)
        await pulse(dut, "capture")
        while await master.read_dword(ADDRESSES["STATUS"]):
            pass
        assert not int(dut.copying.value)
        dut.counters.value = 0
        read = {name: await master.read_qword(ADDRESSES[f"COUNTER_{name.upper()}"]) for name in values}
        assert read == values and read
