"""Random jobs and random resets on simulated accelerators for as long as one likes: every bit, no drift, no leak.

    python -m rtl_tests.soak --minutes 60

A session is its number and nothing else: a simulator in which descriptors are broken off at random times by aborts,
soft and hard resets, and behind each of them another is worked off and compared with the integer model. Every few
sessions the first is done again: it must leave the same memory in the same cycles.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from hwgen import table
from hwgen.errors import SimulationError
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.layout import Image
from hwgen.sim.system import MemoryTraits, SystemResult, build_system, run_system
from rtl_tests.harness.layers import assert_layer, layer

CORE = Params(preset("tiny"))
MEMORY_BITS = 20
VICTIMS, ROUNDS, KINDS = 3, 40, 4
AGAIN = 10
"""After so many sessions the first is repeated."""

MOST_GROWTH = 32
"""MiB by which this process may be larger at the end than behind its first sessions."""


def session(number: int) -> SystemResult:
    """Raises AssertionError for a wrong bit, SimulationError for anything else that is wrong."""
    rng = np.random.default_rng(number)
    image = Image(CORE, seed=number)
    victims = [layer(rng, CORE, 12) for _ in range(VICTIMS)]
    kinds = [layer(rng, CORE, 12) for _ in range(KINDS)]
    goods = [kinds[i % KINDS] for i in range(ROUNDS)]
    placed = [one.place(image) for one in victims + goods]
    stall = {name: int(rng.integers(0, 150)) for name in ("aw", "w", "b", "ar", "r")}
    memory = MemoryTraits(latency=int(rng.integers(2, 200)), stall=stall, lite_stall=int(rng.integers(0, 100)))
    result = run_system(
        build_system(CORE, memory_bits=MEMORY_BITS),
        image,
        [one.descriptor for one in placed],
        memory=memory,
        module="rtl_tests.system.cocotb_abort",
        settings={"HWGEN_VICTIMS": VICTIMS, "HWGEN_SEED": number},
    )
    golden = [one.golden(CORE) for one in kinds]
    for i, place in enumerate(placed[VICTIMS:]):
        assert_layer(place, result.memory, golden[i % KINDS], f"round {i} ({goods[i]})")
    image.require_untouched(result.memory)
    return result


def fingerprint(result: SystemResult) -> str:
    """Of all bytes of the memory and all cycles that were counted."""
    facts = repr([(run.cycles, run.head, run.errors) for run in result.runs] + sorted(result.traffic.items()))
    return hashlib.sha256(result.memory.tobytes() + facts.encode()).hexdigest()


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def largest_simulator() -> float:
    """MiB of the largest process that has ended, compilers among them."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10


def soak(minutes: float) -> int:
    """The exit status: 1 if anything was wrong, drifted or grew."""
    first = fingerprint(session(0))
    begin, memory = time.monotonic(), [resident()]
    simulators = [largest_simulator()]
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    number = 0
    while number == 0 or time.monotonic() - begin < 60 * minutes:
        number += 1
        again = number % AGAIN == 0
        try:
            result = session(0 if again else number)
            counts.update({"jobs": len(result.runs), "repeated": int(again)} | result.traffic)
            if again and fingerprint(result) != first:
                wrong.append("session 0 differs from itself")
        except (AssertionError, SimulationError) as error:
            wrong.append(f"session {0 if again else number}: {str(error).splitlines()[0]}")
        memory.append(resident())
        left = minutes - (time.monotonic() - begin) / 60
        print(
            f"\r{number} sessions, {len(wrong)} wrong, {max(left, 0):.0f} min left ",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    simulators.append(largest_simulator())
    # What is loaded at first use is there behind a few sessions.
    settled = max(memory[: AGAIN + 1])
    if memory[-1] > settled + MOST_GROWTH:
        wrong.append(f"this process grew from {settled:.0f} to {memory[-1]:.0f} MiB")
    rows = [("minutes", f"{(time.monotonic() - begin) / 60:.1f}"), ("sessions", table.count(number))]
    rows += [(name, table.count(counts[name])) for name in sorted(counts)]
    rows += [("resident, start", f"{memory[0]:.0f} MiB"), ("resident, end", f"{memory[-1]:.0f} MiB")]
    rows += [("largest child", f"{simulators[0]:.0f} MiB at first, {simulators[1]:.0f} MiB in the end")]
    rows += [("mismatches", table.count(len(wrong)))]
    print(table.pairs(rows))
    for text in wrong:
        print(f"wrong: {text}")
    return int(bool(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="default 60")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this session alone")
    arguments = parser.parse_args()
    if arguments.only is None:
        return soak(arguments.minutes)
    print(f"session {arguments.only}: equal in every bit, {fingerprint(session(arguments.only))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
