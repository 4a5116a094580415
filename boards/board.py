"""What a board is: the device on it, what feeds its clock, the machine that is built for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.utils import ceil_log2

from hwgen.params import Params
from hwgen.presets import preset


def memory_base(memory_bytes: int) -> int:
    """Address of the first byte of a board's memory, as the accelerator and the host see it: the lowest one that is not
    0 and that leaves the upper bits of all its addresses alike."""
    return 1 << ceil_log2(memory_bytes)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and the machine that is built for it by default.

    name, title:   on the command line; in documents
    family:        whose tools build it: "ecp5" or "gowin"
    device:        what place and route calls the device, as options and their values
    platform:      gives the class of amaranth_boards that knows the pins, which is imported then
    oscillator_hz: frequency of the board's clock `oscillator`, a resource of the platform
    clock_hz:      of the machine: made from it by a PLL, unless it is the same
    preset:        the machine
    memory_bytes:  block RAM that serves as its memory, a multiple of 4096
    memory_latency: cycles from an address to its first word
    baud:          of the UART that the host is connected to
    capacity:      what the device has, by the names of `boards.report`
    tight:         the machine nearly fills it: wide queues and counters are block RAM, long delays LUT RAM, and
                   area goes before speed
    """

    name: str
    title: str
    family: str
    device: Mapping[str, str]
    platform: Callable[[], Any]
    oscillator: str
    oscillator_hz: int
    clock_hz: int
    preset: str
    memory_bytes: int
    memory_latency: int = 14
    baud: int
    capacity: Mapping[str, int]
    tight: bool = False

    @property
    def params(self) -> Params:
        """The default machine."""
        return Params(preset(self.preset))
