"""The cocotb side of a run of the accelerator: a host that programs registers and waits for the interrupt."""

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer

PERIOD_NS = 2
ACCESS_CYCLES = 10_000
"""An access to a register must have ended by then."""

OKAY = 0


class HostError(Exception):
    """The accelerator did not behave; the text says how."""


class Host:
    """Reads and writes registers by name. `plan` is what `hwgen.sim.system` wrote; `registers` in it has the address of
    every register and how many words it has."""

    def __init__(self, dut: Any, plan: dict[str, Any]) -> None:
        self.dut, self.plan = dut, plan
        self.registers: dict[str, tuple[int, int]] = {name: (a, n) for name, (a, n) in plan["registers"].items()}
        self._go = 0

    async def reset(self, cycles: int | None = None) -> None:
        """Hold reset for as long as the machine needs, or as said."""
        dut = self.dut
        dut.rst.value = 1
        await ClockCycles(dut.clk, cycles or self.plan["reset_cycles"])
        dut.rst.value = 0
        await ClockCycles(dut.clk, 3)

    async def access(self, write: bool, address: int, data: int = 0, strobe: int = 15) -> tuple[int, int]:
        """One transfer on the AXI4-Lite port: what came back, and the response."""
        dut = self.dut
        self._go ^= 1
        dut.host_write.value, dut.host_address.value = int(write), address
        dut.host_data.value, dut.host_strobe.value = data, strobe
        dut.host_go.value = self._go
        answered = dut.host_done.value_change
        await First(answered, RisingEdge(dut.trouble), Timer(ACCESS_CYCLES * PERIOD_NS, unit="ns"))
        self.look()
        if int(dut.host_done.value) != self._go:
            raise HostError(f"no answer to a {'write to' if write else 'read of'} register address {address:#05x}")
        return int(dut.host_answer.value), int(dut.host_response.value)

    async def read(self, name: str) -> int:
        """A register, the lower word first."""
        address, words = self.registers[name]
        value = 0
        for word in range(words):
            part, response = await self.access(False, address + 4 * word)
            if response != OKAY:
                raise HostError(f"register {name} answered a read with response {response}")
            value |= part << (32 * word)
        return value

    async def write(self, name: str, value: int) -> None:
        address, words = self.registers[name]
        for word in range(words):
            _, response = await self.access(True, address + 4 * word, value >> (32 * word) & 0xFFFFFFFF)
            if response != OKAY:
                raise HostError(f"register {name} answered a write with response {response}")

    async def identify(self) -> None:
        """The machine must be the one that was asked for."""
        for name, want in self.plan["identity"].items():
            got = await self.read(name)
            if got != want:
                raise HostError(f"register {name} reads {got:#x}, not {want:#x}")

    async def prepare(self) -> None:
        """The ring of descriptors, and interrupts for everything."""
        await self.write("QUEUE_BASE", self.plan["ring_base"])
        await self.write("QUEUE_SIZE", self.plan["ring_size"])
        await self.write("INTERRUPT_ENABLE", 3)
        await self.write("GLOBAL_INTERRUPT_ENABLE", 1)

    def look(self) -> None:
        """Raises HostError if a rule of the protocol was broken."""
        dut = self.dut
        names = {int(number): name for number, name in self.plan["rules"].items()}
        violated = int(dut.violated.value)
        for bit, port in enumerate(("memory", "lite")):
            if violated >> bit & 1:
                rule = names[int(getattr(dut, f"{port}_rule").value)]
                since = int(getattr(dut, f"{port}_since").value)
                where = "memory port" if port == "memory" else "register port"
                raise HostError(f"AXI rule {rule} was broken on the {where} in cycle {since}")

    async def wait(self) -> None:
        """Until the interrupt is high."""
        dut, limit = self.dut, self.plan["limit"]
        if not dut.interrupt.value:
            await First(RisingEdge(dut.interrupt), RisingEdge(dut.trouble), Timer(limit * PERIOD_NS, unit="ns"))
        self.look()
        if not dut.interrupt.value:
            stuck = "nothing moves any more" if dut.trouble.value else f"not done after {limit} cycles"
            traffic = ", ".join(f"{name} {int(getattr(dut, name).value)}" for name in self.plan["traffic"])
            raise HostError(f"{stuck}: {traffic}")

    async def run_to(self, tail: int) -> dict[str, Any]:
        """Submit descriptors up to number `tail` and wait until the queue is empty or has halted; gives what the
        machine reports then."""
        dut = self.dut
        await self.write("QUEUE_TAIL", tail & 0xFFFF)
        begin = int(dut.cycle.value)
        faults = []
        while True:
            await self.wait()
            end = int(dut.cycle.value)
            events = await self.read("INTERRUPT_STATUS")
            if events & 2:
                names = ("ERROR_CODE", "ERROR_INDEX", "ERROR_ADDRESS")
                faults.append([await self.read(name) for name in names])
            await self.write("INTERRUPT_STATUS", events)
            if events & 1:
                head = await self.read("QUEUE_HEAD")
                # An earlier doorbell may have been answered just now.
                if head == tail & 0xFFFF or faults:
                    break
        report = {"head": head, "cycles": end - begin, "faults": faults, "errors": await self.read("ERROR_COUNT")}
        report["status"] = await self.settled_status()
        report["counters"] = {name: await self.read(f"COUNTER_{name.upper()}") for name in self.plan["counters"]}
        return report

    async def settled_status(self) -> int:
        """STATUS when the counters are there to be read and nothing is being worked on."""
        for _ in range(1000):
            status = await self.read("STATUS")
            if not status & 0x11:
                return status
        raise HostError(f"still working behind the interrupt: STATUS reads {status:#x}")

    async def finish(self) -> None:
        """Write what the memory holds to its file."""
        dut = self.dut
        self.look()
        dut.dump.value = 1
        await ClockCycles(dut.clk, 5)
        open_bursts = int(dut.open_reads.value), int(dut.open_writes.value)
        if any(open_bursts):
            raise HostError(f"at the end {open_bursts[0]} reads and {open_bursts[1]} writes are still in flight")


def load_plan() -> dict[str, Any]:
    return json.loads(Path(os.environ["HWGEN_PLAN"]).read_text())


def start_clock(dut: Any) -> None:
    """The clock toggles below Python, which wakes again when something has happened."""
    Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start()


@cocotb.test()
async def run(dut: Any) -> None:
    """Submits the descriptors in the portions that the plan names and reports what the machine said after each."""
    plan = load_plan()
    host = Host(dut, plan)
    # Processor time: what else the machine does is not the simulator's fault.
    begin = time.process_time()
    start_clock(dut)
    report: dict[str, Any] = {"runs": [], "failure": None}
    try:
        await host.reset()
        await host.identify()
        await host.prepare()
        for tail in plan["tails"]:
            report["runs"].append(await host.run_to(tail))
        report["seconds"] = time.process_time() - begin
        await host.finish()
    except HostError as error:
        report["failure"] = str(error)
    report["traffic"] = {name: int(getattr(dut, name).value) for name in plan["traffic"]}
    Path(plan["report"]).write_text(json.dumps(report))
