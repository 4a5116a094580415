"""Plays the host of a register file in Amaranth's simulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.sim import Simulator

from hwgen.control.register_file import RegisterFile
from hwgen.control.register_map import Access, Register, register_map, words
from hwgen.memory.axi import Response
from hwgen.tests.bench import Testbench, receiver, run, sender, tiny

NARROW = tiny(address_bits=40)
REGISTERS = {register.name: register for register in register_map(NARROW)}
DEFINED = {number: (register, word) for number, register, word in words(tuple(REGISTERS.values()))}


def at(name: str, word: int = 0) -> int:
    return REGISTERS[name].address + 4 * word


def bit(name: str, field: str) -> int:
    """A field's bits in its register."""
    return next(f.mask for f in REGISTERS[name].fields if f.name == field)


def half(value: int, word: int) -> int:
    return value >> 32 * word & 0xFFFFFFFF


def reset_word(number: int) -> int:
    register, word = DEFINED[number]
    return half(register.reset, word)


def writable(register: Register) -> int:
    return sum(field.mask for field in register.fields if field.access is Access.READ_WRITE)


class Host:
    """One access after the other, each as fast as the register file lets it."""

    def __init__(self, ctx: Any, dut: RegisterFile) -> None:
        self.ctx, self.dut = ctx, dut

    async def _send(self, port: Any, payload: dict[str, int]) -> None:
        self.ctx.set(port.payload, payload)
        self.ctx.set(port.valid, 1)
        await self.ctx.tick().until(port.ready)
        self.ctx.set(port.valid, 0)

    async def _answer(self, port: Any) -> Any:
        self.ctx.set(port.ready, 1)
        (payload,) = await self.ctx.tick().sample(port.payload).until(port.valid)
        self.ctx.set(port.ready, 0)
        return payload

    async def write(self, address: int, value: int, strobe: int = 15) -> int:
        await self._send(self.dut.aw, {"address": address})
        await self._send(self.dut.w, {"data": value, "strobe": strobe})
        return (await self._answer(self.dut.b)).response

    async def read(self, address: int) -> int:
        """Asserts that the address is a register's."""
        await self._send(self.dut.ar, {"address": address})
        answer = await self._answer(self.dut.r)
        assert answer.response == Response.OKAY, hex(address)
        return answer.data

    async def read64(self, name: str) -> int:
        return await self.read(at(name)) | await self.read(at(name, 1)) << 32

    async def pulse(self, name: str) -> None:
        self.ctx.set(getattr(self.dut, name), 1)
        await self.ctx.tick()
        self.ctx.set(getattr(self.dut, name), 0)

    async def fault(self, code: int, index: int, address: int) -> None:
        self.ctx.set(self.dut.fault_index, index)
        self.ctx.set(self.dut.fault, {"valid": 1, "code": code, "address": address})
        await self.ctx.tick()
        # Nothing is taken from these once the pulse is over.
        self.ctx.set(self.dut.fault_index, ~index & 0xFFFF)
        self.ctx.set(self.dut.fault, {"valid": 0, "code": ~code & 0xFF, "address": ~address & (1 << 40) - 1})

    async def record(self) -> tuple[int, int, int]:
        return await self.read(at("ERROR_CODE")), await self.read(at("ERROR_INDEX")), await self.read64("ERROR_ADDRESS")


def hosted(play: Callable[[Host], Awaitable[None]], *others: Testbench, dut: RegisterFile | None = None) -> None:
    """Run a host's accesses."""
    dut = dut or RegisterFile(NARROW)

    async def bench(ctx: Any) -> None:
        await play(Host(ctx, dut))

    run(dut, bench, *others)


class Watch:
    """Writes down what some outputs are in each of the first `length` cycles."""

    def __init__(self, dut: RegisterFile, *names: str, length: int = 60) -> None:
        self.dut, self.names, self.length = dut, names, length
        self.seen: list[tuple[int, ...]] = []

    async def bench(self, ctx: Any) -> None:
        for _ in range(self.length):
            _, _, *values = await ctx.tick().sample(*(getattr(self.dut, name) for name in self.names))
            self.seen.append(tuple(int(value) for value in values))

    def cycles(self, name: str) -> list[int]:
        place = self.names.index(name)
        return [cycle for cycle, values in enumerate(self.seen) if values[place]]


def exchange(
    dut: RegisterFile, writes: list[tuple[int, int, int]], reads: list[int], idle: int | None, pressure: int | None
) -> tuple[list[int], list[tuple[int, int]]]:
    """Answers to writes, then to reads, as (data, response), with gaps in every channel."""
    responses: list[int] = []
    answers: list[int] = []
    # Addresses and data are late independently of each other.
    aw = sender(dut.aw, [{"address": address} for address, _, _ in writes], idle)
    w = sender(dut.w, [{"data": value, "strobe": strobe} for _, value, strobe in writes], idle and idle + 7)
    b = receiver(dut.b, len(writes), responses, pressure)
    take = receiver(dut.r, len(reads), answers, pressure)
    ask = sender(dut.ar, [{"address": address} for address in reads], idle)

    async def read(ctx: Any) -> None:
        if writes:
            await b(ctx)
        await ask(ctx)

    run(dut, aw, w, read, take)
    return responses, [(answer & 0xFFFFFFFF, answer >> 32) for answer in answers]


def simulate_with(dut: RegisterFile, play: Callable[[Host], Awaitable[None]], background: Testbench) -> None:
    """As `hosted`, beside something that never ends."""

    async def bench(ctx: Any) -> None:
        await play(Host(ctx, dut))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(background, background=True)
    simulator.run()
