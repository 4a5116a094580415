"""The simulated accelerator behind its memory, driven step by step: a host without a simulator interface around it.

`hwgen.sim.system` runs whole queues through cocotb, with waves and traces; a session starts in milliseconds, and who
holds it decides at every step what comes next.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwgen.control.register_map import register_map
from hwgen.errors import SimulationError
from hwgen.sim.bare import link_loop
from hwgen.sim.build import HERE
from hwgen.sim.events import read_events
from hwgen.sim.files import read_lines
from hwgen.sim.system import RULES, MemoryTraits, SystemBuild, read_memory, write_memory
from hwgen.timing import reset_cycles

NO_ANSWER = 4
"""What stands for the response of an access that was not answered."""

OKAY = 0


class Look(NamedTuple):
    """What the checkers and the memory have seen since the last reset."""

    violated: int
    memory_rule: int
    memory_since: int
    lite_rule: int
    lite_since: int
    open_reads: int
    open_writes: int
    read_bursts: int
    read_beats: int
    write_bursts: int
    write_beats: int


class Session:
    """A running simulator of `build`, its memory holding `content` from address `base` on; a context that ends it.

    Every step raises SimulationError if a rule of a protocol is broken, if a register does not answer, or if the
    simulator has gone. Time passes only in steps.
    """

    def __init__(
        self,
        build: SystemBuild,
        content: NDArray[np.uint8],
        base: int,
        traits: MemoryTraits,
        *,
        trace: bool = False,
    ) -> None:
        self._build, self._size = build, len(content)
        self.cycle, self.interrupt = 0, False
        program = link_loop(build.folder, HERE / "session.cpp")
        self._registers = {register.name: register for register in register_map(build.params)}
        self._folder = Path(tempfile.mkdtemp(prefix="session-", dir=build.folder))
        write_memory(self._folder / "memory.hex", content, build)
        words = -(-len(content) // build.params.bus_bytes)
        arguments = [f"+dir={self._folder}", f"+base={base:x}", f"+used={words}", "+writes", *traits.plusargs()]
        arguments += ["+trace"] if trace else []
        self._process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def access(self, write: bool, address: int, data: int = 0, strobe: int = 15) -> tuple[int, int]:
        """One transfer on the AXI4-Lite port: what came back, and the response."""
        answer, response = self._step(f"w {address:x} {data:x} {strobe:x}" if write else f"r {address:x}")
        if response == NO_ANSWER:
            what = "write to" if write else "read of"
            raise SimulationError(f"no answer to a {what} register address {address:#05x}")
        return answer, response

    def read(self, name: str) -> int:
        """A register, the lower word first."""
        value = 0
        for word in range(self._registers[name].words):
            part, response = self.access(False, self._registers[name].address + 4 * word)
            if response != OKAY:
                raise SimulationError(f"register {name} answered a read with response {response}")
            value |= part << (32 * word)
        return value

    def write(self, name: str, value: int) -> None:
        for word in range(self._registers[name].words):
            data = value >> (32 * word) & 0xFFFFFFFF
            _, response = self.access(True, self._registers[name].address + 4 * word, data)
            if response != OKAY:
                raise SimulationError(f"register {name} answered a write with response {response}")

    def reset(self, cycles: int | None = None) -> None:
        """Hold reset for as long as the machine needs, or as said."""
        self._step(f"x {reset_cycles(self._build.params) if cycles is None else cycles:x}")

    def sleep(self, cycles: int) -> None:
        self._step(f"s {cycles:x}")

    def wait(self, limit: int) -> bool:
        """Until the interrupt is high, at most so many cycles; whether it is."""
        self._step(f"i {limit:x}")
        return self.interrupt

    def look(self) -> Look:
        return Look(*self._ask("l"))

    def memory(self) -> NDArray[np.uint8]:
        """The bytes of `content` as they are now; the last step but `writes`."""
        self._step("d")
        return read_memory(self._folder / "after.hex", self._size, self._build)

    def writes(self) -> NDArray[np.uint64]:
        """Addresses of all bytes written since the start, in order; behind `memory`."""
        text = (self._folder / "writes.txt").read_text().split()
        beats = np.array([int(word, 16) for word in text], dtype=np.uint64).reshape(-1, 2)
        lanes = np.arange(self._build.params.bus_bytes, dtype=np.uint64)
        first = beats[:, :1] // np.uint64(len(lanes)) * np.uint64(len(lanes))
        return (first + lanes)[(beats[:, 1:] >> lanes & np.uint64(1)).astype(bool)]

    def bursts(self, channel: str) -> NDArray[np.int64]:
        """Of all bursts on channel `ar` or `aw` since the start, in order: bytes from `base` to its first one, beats.
        Behind `memory`, of a session with `trace`."""
        found = read_events(read_lines(self._folder / "events.txt")).get(channel, np.zeros((0, 3), dtype=np.int64))
        return found[:, 1:]

    def _ask(self, line: str) -> list[int]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SimulationError(f"the simulator has gone at {line!r}")
        return [int(word, 16) for word in answer.split()]

    def _step(self, line: str) -> tuple[int, int]:
        data, response, broken, interrupt, self.cycle = self._ask(line)
        self.interrupt = bool(interrupt)
        if broken:
            look = self.look()
            port, rule, since = ("memory", look.memory_rule, look.memory_since)
            if not look.violated & 1:
                port, rule, since = ("register", look.lite_rule, look.lite_since)
            raise SimulationError(f"AXI rule {RULES[rule]} was broken on the {port} port in cycle {since}")
        return data, response
