"""Counts in Verilog text what a device has to provide: memories, multipliers, module instances."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MODULE = re.compile(r"^module (\S+?) ?\(")
_INSTANCE = re.compile(r"^  (\S+) +(\S+) +\($")
_MEMORY = re.compile(r"^  reg (?:\[(\d+):0\] )?(\S+) +\[(\d+):0\];")
# Verilog's attributes are written (* name *): a product has a blank on both sides of its star, and no bracket.
_PRODUCT = re.compile(r"^  assign .* = .*[^(] \* [^)]")
_CONSTANT_FACTOR = re.compile(r" \* \d+'h([0-9a-f]+)")


@dataclass(frozen=True)
class Memory:
    """An array of registers: `depth` words of `width` bits."""

    name: str
    width: int
    depth: int

    @property
    def bits(self) -> int:
        return self.width * self.depth


@dataclass
class Module:
    """What one module holds itself; `instances` are (module, instance name)."""

    instances: list[tuple[str, str]] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    multipliers: int = 0


def read_modules(verilog: str) -> dict[str, Module]:
    """The modules of a text as `hwgen.emit.to_verilog` writes it, by name, in its order."""
    modules: dict[str, Module] = {}
    current = Module()
    for line in verilog.splitlines():
        if found := _MODULE.match(line):
            current = modules[found[1]] = Module()
        elif found := _INSTANCE.match(line):
            current.instances.append((found[1], found[2]))
        elif found := _MEMORY.match(line):
            current.memories.append(Memory(found[2], int(found[1] or 0) + 1, int(found[3]) + 1))
        elif _PRODUCT.match(line) and not _is_shift(line):
            current.multipliers += 1
    return modules


def _is_shift(line: str) -> bool:
    """Whether a product is one with a constant power of two."""
    found = _CONSTANT_FACTOR.search(line)
    return found is not None and int(found[1], 16).bit_count() == 1


def walk(modules: dict[str, Module], top: str) -> Iterator[tuple[tuple[str, ...], Module]]:
    """Every module instance below `top`, itself included, with the instance names that lead to it."""
    pending: list[tuple[tuple[str, ...], str]] = [((), top)]
    while pending:
        path, name = pending.pop()
        module = modules[name]
        yield path, module
        pending += [((*path, instance), child) for child, instance in module.instances]
