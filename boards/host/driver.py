"""The accelerator as a host sees it, over any bus: registers by name, descriptors, faults, counters."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from boards.host.bus import BoardError, Bus, WordBlocks
from hwgen.config import Config
from hwgen.control.descriptor import pack
from hwgen.control.faults import Fault
from hwgen.control.register_map import COUNTERS_BASE, WORD_BITS, WORD_BYTES, Register, counter_names, register_map
from hwgen.errors import InputError
from hwgen.params import Params
from hwgen.sim.layout import Image, Outputs, Placed

SHORTEST_WAIT, LONGEST_WAIT = 0.0005, 0.02
"""Seconds between two looks at the queue: first and later."""

RESET_SECONDS = 5.0
"""A soft reset must have taken effect by then."""

RUN_SECONDS = 600.0


@dataclass(frozen=True)
class Run:
    """What one descriptor gave: results, counters, what happened to numbers, seconds from doorbell to finish."""

    outputs: Outputs
    counters: dict[str, int]
    saturated: bool
    poisoned: bool
    seconds: float


class Accelerator:
    """The machine `params` behind a bus. Raises BoardError if another one is there."""

    def __init__(self, bus: Bus, params: Params) -> None:
        self._bus, self.params = bus, params
        self._registers = {register.name: register for register in register_map(params)}
        found = identify(bus, params)
        if found != int(params.config.hash(), 16):
            raise BoardError(
                f"the board has another machine: its CONFIG_HASH is {found:016x}, that of the one that is wanted is "
                f"{params.config.hash()}"
            )

    def read(self, name: str) -> int:
        """A register by its name."""
        return read_register(self._bus, self._registers[name])

    def write(self, name: str, value: int) -> None:
        register = self._registers[name]
        for word in range(register.words):
            part = value >> (WORD_BITS * word) & ((1 << WORD_BITS) - 1)
            self._bus.write_register(register.address + WORD_BYTES * word, part)

    def field(self, register: str, name: str) -> int:
        """A field of a register, read now."""
        return self._part(register, name, self.read(register))

    def flag(self, register: str, name: str) -> int:
        """The value of a register with all bits of a field set and no other."""
        return next(field.mask for field in self._registers[register].fields if field.name == name)

    def _part(self, register: str, name: str, value: int) -> int:
        field = next(field for field in self._registers[register].fields if field.name == name)
        return (value & field.mask) >> field.lsb

    def require_room(self, image: Image) -> None:
        """Raises InputError if the board's memory cannot hold it."""
        if image.size > self._bus.memory_size:
            raise InputError(
                f"the problem takes {image.size} bytes of the board's memory, which has {self._bus.memory_size}"
            )

    def run(self, image: Image, placed: Placed, *, timeout: float = RUN_SECONDS) -> Run:
        """One descriptor, from a soft reset on: what an earlier host has left does not matter.

        Raises InputError if it does not fit the memory, before anything is sent; BoardError for a fault, or if
        it is not done in `timeout` seconds.
        """
        self.require_room(image)
        self.reset()
        for address, data in image.inputs():
            self._bus.write_memory(address, data)
        seconds = self.submit(*image.ring([pack(placed.descriptor)]), timeout=timeout)
        return self.finish(placed, seconds)

    def finish(self, placed: Placed, seconds: float) -> Run:
        """What a descriptor gave that took so long."""
        status = self.read("STATUS")
        saturated, poisoned = (bool(self._part("STATUS", name, status)) for name in ("saturated", "poisoned"))
        return Run(self._outputs(placed), self.counters(), saturated, poisoned, seconds)

    def submit(self, ring: int, descriptors: bytes, *, timeout: float = RUN_SECONDS) -> float:
        """Write a ring of descriptors, ring the doorbell behind a reset and wait until all are done; gives the seconds.

        Raises what `run` raises.
        """
        number = len(descriptors) // self.field("DESCRIPTOR_LAYOUT", "bytes")
        self._bus.write_memory(ring, descriptors)
        self.write("QUEUE_BASE", ring)
        self.write("QUEUE_SIZE", number)
        start = time.monotonic()
        self.write("QUEUE_TAIL", number)
        self._wait(number, start + timeout)
        return time.monotonic() - start

    def reset(self) -> None:
        """Registers and counters as after power-up, the queue empty, nothing in work. Raises BoardError."""
        self.write("CONTROL", self.flag("CONTROL", "soft_reset"))
        self.write("CONTROL", self.flag("CONTROL", "clear_counters"))
        deadline = time.monotonic() + RESET_SECONDS
        while self.field("STATUS", "busy") or not self.field("CONTROL", "idle"):
            if time.monotonic() > deadline:
                raise BoardError(f"the accelerator is still busy {RESET_SECONDS:g} s behind a soft reset")

    def counters(self) -> dict[str, int]:
        """What was counted, by name."""
        names = counter_names()
        if isinstance(self._bus, WordBlocks):
            words = self._bus.read_registers(COUNTERS_BASE, 2 * len(names))
            return {name: words[2 * i] | words[2 * i + 1] << WORD_BITS for i, name in enumerate(names)}
        return {name: self.read(f"COUNTER_{name.upper()}") for name in names}

    def _wait(self, number: int, deadline: float) -> None:
        pause = SHORTEST_WAIT
        while True:
            status, head = self.read("STATUS"), self.read("QUEUE_HEAD")
            self._require_faultless(status)
            settled = not self._part("STATUS", "busy", status) and not self._part("STATUS", "copying", status)
            if head == number and settled:
                return
            if time.monotonic() > deadline:
                self.write("CONTROL", self.flag("CONTROL", "abort"))
                raise BoardError(f"the accelerator is not done: {head} of {number} descriptors; aborted")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_WAIT)

    def _require_faultless(self, status: int) -> None:
        if self._part("STATUS", "error", status):
            code, index, address = (self.read(f"ERROR_{name}") for name in ("CODE", "INDEX", "ADDRESS"))
            name = Fault(code).name if code in list(Fault) else f"number {code}"
            raise BoardError(f"the accelerator reported fault {name} (descriptor {index}, address {address:#x})")

    def _outputs(self, placed: Placed) -> Outputs:
        end = max(end for _, end in placed.places.values())
        memory = np.zeros(end, dtype=np.uint8)
        for name in ("o", "lse"):
            if name in placed.places:
                first, last = placed.places[name]
                read = self._bus.read_memory(placed.base + first, last - first)
                memory[first:last] = np.frombuffer(read, dtype=np.uint8)
        return placed.outputs(memory)


def read_register(bus: Bus, register: Register) -> int:
    """All words of a register, the lower one first."""
    words = [bus.read_register(register.address + WORD_BYTES * word) for word in range(register.words)]
    return sum(value << (WORD_BITS * i) for i, value in enumerate(words))


def identify(bus: Bus, params: Params | None = None) -> int:
    """The hash of the machine behind a bus. Raises BoardError if there is none with the registers that we know."""
    registers = {register.name: register for register in register_map(params or Params(Config()))}
    for name, what in (("MAGIC", "no accelerator of ours"), ("VERSION", "an accelerator with other registers")):
        found = read_register(bus, registers[name])
        if found != registers[name].reset:
            raise BoardError(f"the board has {what}: register {name} reads {found:#x}, not {registers[name].reset:#x}")
    return read_register(bus, registers["CONFIG_HASH"])
