"""What is counted to know energy and area: how often a component of a machine acts, and what the component is.

Energy is a sum of counts times the energy of one action, area a sum of numbers of parts times the area of one. Neither
count knows of a technology; a table of costs (`hwgen.model.costs`) knows of nothing else. Between them stands what a
component is: arithmetic on so many bits, flip-flops, or a memory of so many bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Actions = dict[tuple[str, str], float]
"""(component, action) -> how often. `read` and `write` of a memory count BITS, `clock` of flip-flops bits times cycles;
every other action counts operations."""

KINDS = ("mac", "multiply", "add", "max", "shift", "exp", "divide")
"""Arithmetic that a table of costs is asked for."""

NUMBERS = ("int", "fp", "bf")
"""Integers, IEEE floating point, bfloat16."""

STORES = ("memory", "sram", "dram")
"""memory: registers or a small memory beside a processing element;  sram: a buffer;  dram: off the chip."""

TENSORS = ("q", "k", "v", "o", "lse", "other")
"""Our machine's traffic off the chip is counted for each as the component `dram_<tensor>`."""


@dataclass(frozen=True)
class Operation:
    """One operation of a kind on operands of `bits`.

    kind:   one of KINDS, or `register` for a bit of flip-flops in a cycle
    number: one of NUMBERS
    bits:   one width for add, max and register; two for multiply, divide and exp; of a shift the value's and the
            amount's; of a mac the two factors', and the sum's if that is not the product's (int) or a factor's (fp)
    """

    kind: str
    number: str
    bits: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """One memory of `bits` in all (0 if it is off the chip), read and written by words of `word` bits."""

    kind: str
    bits: int
    word: int


Part = Mapping[str, Operation] | Store
"""A component: the operation behind each of its actions, or a memory with the actions `read` and `write`."""

Parts = Mapping[str, Part]

REGISTER = Operation("register", "int", (1,))


def published_parts(buffer_bytes: int, register_bits: int = 64 * 32) -> dict[str, Part]:
    """What the components of the published machines are: 16-bit floating point; a global buffer of rows of 4,096 bits.

    Components and actions: array_2d, array_1d with mac, multiply, add, max, exp (in a unit of its own, not by macs) and
    divide;  rf_2d, rf_1d (the register files of all processing elements), buffer, dram with read and write, in bits.
    `register_bits` is the size of one register file: in FuseMax's evaluation every one costs as much as 64 words of 32.
    """
    array = {kind: Operation(kind, "fp", (16, 16)) for kind in ("mac", "multiply", "exp", "divide")}
    array |= {kind: Operation(kind, "fp", (16,)) for kind in ("add", "max")}
    file = Store("memory", register_bits, 16)
    return {
        "array_2d": array,
        "array_1d": array,
        "rf_2d": file,
        "rf_1d": file,
        "buffer": Store("sram", buffer_bytes * 8, 4096),
        "dram": Store("dram", 0, 64),
    }


def published_actions(
    operations: Mapping[tuple[str, str], float], accesses: Mapping[tuple[str, str], float], word_bits: int = 16
) -> Actions:
    """From what a schedule costs: operations by (unit `2d` or `1d`, kind) and accesses in words by (level, read or
    write), levels `rf_2d`, `rf_1d`, `buffer`, `dram`."""
    actions = {(f"array_{unit}", kind): float(count) for (unit, kind), count in operations.items()}
    return actions | {key: float(count) * word_bits for key, count in accesses.items()}


def one_register_file(actions: Actions, instances: Mapping[str, int]) -> Actions:
    """The same with the accesses of one instance only of the components named, as the evaluation published with FuseMax
    counts its register files ({"rf_2d": 65536, "rf_1d": 256}); all instances act alike."""
    return {key: count / instances.get(key[0], 1) for key, count in actions.items()}


def added(several: Iterable[Actions]) -> Actions:
    """Counts of runs one after the other."""
    total: Actions = {}
    for actions in several:
        for key, count in actions.items():
            total[key] = total.get(key, 0) + count
    return total
