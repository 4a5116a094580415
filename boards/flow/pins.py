"""Which pins of the device a board's ports are, as amaranth-boards knows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.build import Attrs, Pins, Subsignal

from boards.board import Board
from boards.flow.shell import LEDS, OSCILLATOR
from hwgen.errors import ConfigError, MissingTool


@dataclass(frozen=True)
class Port:
    """A port of the shell: its pins, the lowest bit first, whether they are active low, what the pin is told to be."""

    name: str
    pins: tuple[str, ...]
    inverted: bool
    attributes: dict[str, str]

    @property
    def bits(self) -> list[tuple[str, str]]:
        """The name of each bit, and its pin."""
        if self.name != LEDS:
            return [(self.name, self.pins[0])]
        return [(f"{self.name}[{i}]", pin) for i, pin in enumerate(self.pins)]


def ports(board: Board, leds: int) -> list[Port]:
    """The ports of the board's shell. Raises MissingTool without amaranth-boards, ConfigError if one is not there."""
    resources = _resources(board)
    uart = {part.name: part for part in resources["uart", 0].ios}
    found = [
        _port(OSCILLATOR, [(resources[board.oscillator, 0], None)]),
        *(_port(f"uart_{name}", [(resources["uart", 0], uart[name])]) for name in ("rx", "tx")),
        _port(LEDS, [(resources["led", i], None) for i in range(leds)]),
    ]
    return found


def _resources(board: Board) -> dict[tuple[str, int], Any]:
    try:
        platform = board.platform()
    except ModuleNotFoundError as error:
        raise MissingTool(f"package {error.name} is missing: pip install amaranth-boards") from None
    resources = {(resource.name, resource.number): resource for resource in platform.resources}
    wanted = [(board.oscillator, 0), ("uart", 0), ("led", 0)]
    if missing := [name for name in wanted if name not in resources]:
        raise ConfigError(f"{platform.__name__} has no resource {missing[0][0]}")
    return resources


def _port(name: str, sources: list[tuple[Any, Subsignal | None]]) -> Port:
    """A port made of resources, or of a part of one."""
    pins: list[Pins] = [(part or resource).ios[0] for resource, part in sources]
    attributes = Attrs()
    for resource, part in sources:
        attributes.update(resource.attrs)
        attributes.update(part.attrs if part is not None else {})
    names = tuple(pin for io in pins for pin in io.names)
    return Port(name, names, pins[0].invert, {key: str(value) for key, value in attributes.items()})
