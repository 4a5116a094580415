"""Runs in the simulator: short queues one after the other, each behind a reset, from where the memory counts.

Little is imported: the simulator starts often.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb

from hwgen.sim.system_entry import Host, HostError, load_plan, start_clock


@cocotb.test()
async def run(dut: Any) -> None:
    """HWGEN_EPISODE descriptors of the ring at a time."""
    plan, size = load_plan(), int(os.environ["HWGEN_EPISODE"])
    # Time is better spent on another episode.
    plan["counters"] = []
    host = Host(dut, plan)
    report: dict[str, Any] = {"runs": [], "failure": None}
    begin = time.process_time()
    start_clock(dut)
    try:
        for first in range(0, plan["ring_size"], size):
            await host.reset()
            await host.prepare()
            await host.write("QUEUE_BASE", plan["ring_base"] + 256 * first)
            await host.write("QUEUE_SIZE", size)
            report["runs"].append(await host.run_to(size))
            if int(dut.open_reads.value) or int(dut.open_writes.value):
                raise HostError("bursts are in flight although nothing is being worked on")
        await host.finish()
    except HostError as error:
        report["failure"] = f"episode {len(report['runs'])}: {error}"
    report["seconds"] = time.process_time() - begin
    report["traffic"] = {name: int(getattr(dut, name).value) for name in plan["traffic"]}
    Path(plan["report"]).write_text(json.dumps(report))
