"""Runs in the simulator: a host that changes its mind in the middle of a run, again and again."""

import json
import os
import time
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles

from hwgen.control.faults import Fault
from hwgen.sim.system_entry import Host, HostError, load_plan, start_clock

ABORT, SOFT_RESET, IDLE = 1 << 4, 1 << 5, 1 << 2
WATCHED = ("write_bursts", "write_beats", "read_bursts", "read_beats")


class Fickle:
    """Starts one of the first `victims` descriptors of the ring, stops it at some time, then runs one of the others to
    its end. The queue is always one descriptor long."""

    def __init__(self, host: Host, victims: int, seed: int) -> None:
        self.host, self.dut, self.plan = host, host.dut, host.plan
        self.victims, self.rng, self.tail = victims, Random(seed), 0
        self.cycles: list[int] = []
        self.phase = "start"
        self.counts = {"abort": 0, "soft reset": 0, "hard reset": 0, "at work": 0}

    async def begin(self) -> None:
        await self.host.reset()
        await self.prepare()
        for victim in range(self.victims):
            self.cycles.append((await self.run(victim))["cycles"])

    async def prepare(self) -> None:
        await self.host.prepare()
        await self.host.write("QUEUE_SIZE", 1)
        self.tail = 0

    async def point(self, number: int) -> int:
        """The ring's only place is descriptor `number`; gives its address."""
        address = self.plan["ring_base"] + 256 * number
        await self.host.write("QUEUE_BASE", address)
        self.tail += 1
        return address

    async def run(self, number: int) -> dict[str, Any]:
        """A descriptor to its end, which must be a good one."""
        await self.point(number)
        report = await self.host.run_to(self.tail)
        self.require(not report["faults"] and report["head"] == self.tail, f"descriptor {number}: {report}")
        return report

    def require(self, fine: bool, what: str) -> None:
        if not fine:
            raise HostError(what)

    async def round(self, good: int) -> dict[str, Any]:
        victim = self.rng.randrange(self.victims)
        address = await self.point(victim)
        await self.host.write("QUEUE_TAIL", self.tail)
        await ClockCycles(self.dut.clk, self.rng.randint(1, self.cycles[victim]))
        self.counts["at work"] += (await self.host.read("CONTROL")) & IDLE == 0
        kind = self.rng.choice(["abort", "soft reset", "hard reset"])
        self.counts[kind] += 1
        self.phase = f"{kind} of {victim}"
        await {"abort": self.abort, "soft reset": self.soft_reset, "hard reset": self.hard_reset}[kind](address)
        self.phase += ", then another"
        return await self.run(good)

    async def abort(self, address: int) -> None:
        """The descriptor is over, nothing moves any more, and if it was at work ABORTED tells so."""
        host = self.host
        await host.write("CONTROL", ABORT)
        while self.rng.random() < 0.2:
            # Once more makes no difference.
            await ClockCycles(self.dut.clk, self.rng.randint(1, 30))
            await host.write("CONTROL", ABORT)
        await host.wait()
        await self.still()
        self.require(await host.read("QUEUE_HEAD") == self.tail, "an aborted descriptor is not over")
        events = await host.read("INTERRUPT_STATUS")
        found = [await host.read(f"ERROR_{name}") for name in ("CODE", "INDEX", "ADDRESS")]
        expected = [Fault.ABORTED, self.tail - 1, address] if events & 2 else [0, 0, 0]
        self.require(found == expected, f"ERROR_CODE, _INDEX and _ADDRESS read {found}, not {expected}")
        await host.write("INTERRUPT_STATUS", events)
        await host.read("CONTROL")

    async def soft_reset(self, address: int) -> None:
        """All is as it was in the beginning, at once; the next descriptor may be submitted while it clears up."""
        host = self.host
        await host.write("CONTROL", SOFT_RESET)
        if self.rng.random() < 0.5:
            await self.still()
            self.require(await host.read("CONTROL") == IDLE, "not idle behind a soft reset")
            for name in ("QUEUE_HEAD", "QUEUE_TAIL", "STATUS", "INTERRUPT_STATUS", "ERROR_CODE", "ERROR_COUNT"):
                self.require(await host.read(name) == 0, f"{name} is not 0 behind a soft reset")
        await self.prepare()

    async def hard_reset(self, address: int) -> None:
        await self.host.reset(self.rng.randint(1, 5))
        await self.prepare()

    async def still(self) -> None:
        """Wait until nothing is being done; then nothing moves."""
        await self.host.settled_status()
        counts = {name: int(getattr(self.dut, name).value) for name in WATCHED}
        flying = int(self.dut.open_reads.value), int(self.dut.open_writes.value)
        await ClockCycles(self.dut.clk, 50)
        self.require(flying == (0, 0), f"idle with {flying} reads and writes in flight")
        after = {name: int(getattr(self.dut, name).value) for name in WATCHED}
        self.require(counts == after, f"idle, but {counts} became {after}")


@cocotb.test()
async def run(dut: Any) -> None:
    """HWGEN_VICTIMS descriptors are stopped, each of the others is run once; HWGEN_SEED decides when."""
    plan = load_plan()
    # Time is better spent on another round.
    plan["counters"] = []
    host = Host(dut, plan)
    fickle = Fickle(host, int(os.environ["HWGEN_VICTIMS"]), int(os.environ["HWGEN_SEED"]))
    report: dict[str, Any] = {"runs": [], "failure": None}
    begin = time.process_time()
    start_clock(dut)
    try:
        await fickle.begin()
        for good in range(fickle.victims, plan["ring_size"]):
            report["runs"].append(await fickle.round(good))
        await host.finish()
    except HostError as error:
        report["failure"] = f"round {len(report['runs'])}, {fickle.phase}: {error}"
    report["seconds"] = time.process_time() - begin
    report["traffic"] = fickle.counts
    Path(plan["report"]).write_text(json.dumps(report))
