"""Runs in the simulator: a queue of layers with a bus master and a memory that others wrote, which pause at random."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from hwgen.sim.system_entry import ACCESS_CYCLES, PERIOD_NS, Host, HostError


class Memory:
    """The image, byte by byte; addresses outside of it are answered with an error and noted."""

    def __init__(self, base: int, content: bytes) -> None:
        self.base, self.content, self.strays = base, bytearray(content), []

    def _span(self, address: int, length: int) -> slice:
        begin = address - self.base
        if begin < 0 or begin + length > len(self.content):
            self.strays.append(address)
            raise ValueError(f"no memory at {address:#x}")
        return slice(begin, begin + length)

    async def read(self, address: int, length: int) -> bytes:
        return bytes(self.content[self._span(address, length)])

    async def write(self, address: int, data: bytes) -> None:
        self.content[self._span(address, len(data))] = data


class Pauses:
    """For each cycle whether a channel pauses: with probability `rate`, each decision for 1 to `longest` cycles."""

    def __init__(self, seed: str, rate: float, longest: int) -> None:
        self._random, self._rate, self._longest = random.Random(seed), rate, longest
        self.cycles = self.paused = 0

    def __iter__(self) -> Iterator[bool]:
        while True:
            pause, cycles = self._random.random() < self._rate, self._random.randint(1, self._longest)
            for _ in range(cycles):
                self.cycles += 1
                self.paused += pause
                yield pause


def pause(bus: str, port: Any, plan: dict[str, Any]) -> dict[str, Pauses]:
    """Start the pauses of a bus master's or memory's five channels, each in its own rhythm."""
    write, read = port.write_if, port.read_if
    channels = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
    pauses = {}
    for name, channel in zip(("aw", "w", "b", "ar", "r"), channels, strict=True):
        label = f"{bus}_{name}"
        pauses[label] = Pauses(f"{plan['seed']} {label}", plan["pauses"][bus][name], plan["longest"])
        channel.set_pause_generator(pauses[label])
    return pauses


class BusHost(Host):
    """The host on the bus master."""

    def __init__(self, dut: Any, plan: dict[str, Any], master: AxiLiteMaster) -> None:
        super().__init__(dut, plan)
        self.master = master

    async def reset(self, cycles: int | None = None) -> None:
        dut = self.dut
        dut.aresetn.value = 0
        await ClockCycles(dut.aclk, cycles or self.plan["reset_cycles"])
        dut.aresetn.value = 1
        await ClockCycles(dut.aclk, 3)

    async def access(self, write: bool, address: int, data: int = 0, strobe: int = 15) -> tuple[int, int]:
        """A whole word, whatever `strobe` says."""
        master, word = self.master, data.to_bytes(4, "little")
        transfer = master.write(address, word) if write else master.read(address, 4)
        try:
            answer = await with_timeout(transfer, ACCESS_CYCLES * PERIOD_NS, "ns")
        except SimTimeoutError as error:
            raise HostError(f"no answer from register address {address:#05x}") from error
        finally:
            self.look()
        return 0 if write else int.from_bytes(answer.data, "little"), int(answer.resp)

    async def rest(self) -> None:
        """Behind the last layer nothing is open and nobody is interrupted."""
        await ClockCycles(self.dut.aclk, 5)
        self.look()
        for name in ("interrupt", "open_reads", "open_writes"):
            if int(getattr(self.dut, name).value):
                raise HostError(f"{name} is {int(getattr(self.dut, name).value)} at the end")

    async def breach(self) -> list[list[int]]:
        """Break a rule on the memory port, then one on the register port: what the checkers say of each."""
        dut, said = self.dut, []
        await self._spoil("m_axi_bvalid")
        said.append([int(dut.violated.value), int(dut.memory_rule.value)])
        dut.aresetn.value = 0
        await ClockCycles(dut.aclk, 8)
        await self._spoil("s_axi_arvalid")
        said.append([int(dut.violated.value), int(dut.lite_rule.value)])
        return said

    async def _spoil(self, name: str) -> None:
        """An input high for a cycle although it must not be."""
        signal = getattr(self.dut, name)
        await FallingEdge(self.dut.aclk)
        signal.value = 1
        await FallingEdge(self.dut.aclk)
        signal.value = 0


@cocotb.test()
async def run(dut: Any) -> None:
    """All descriptors with one ring of the doorbell; leaves a report and the memory's bytes."""
    folder = Path(os.environ["HWGEN_FOLDER"])
    plan = json.loads((folder / "plan.json").read_text())
    memory = Memory(plan["base"], (folder / "before.bin").read_bytes())
    Clock(dut.aclk, PERIOD_NS, unit="ns", impl="gpi").start()
    reset = {"reset": dut.aresetn, "reset_active_level": False}
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, **reset)
    slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.aclk, target=memory, **reset)
    host = BusHost(dut, plan, master)
    await host.reset()
    pauses = pause("m_axi", slave, plan) | pause("s_axi", master, plan)
    await host.identify()
    await host.prepare()
    report = await host.run_to(plan["ring_size"])
    await host.rest()
    report["strays"] = memory.strays
    report["pauses"] = {name: one.paused / one.cycles for name, one in pauses.items()}
    report["breaches"] = await host.breach()
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "after.bin").write_bytes(memory.content)
