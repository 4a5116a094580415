"""Parts that never wait: every input planned cycle by cycle, every output seen in every cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amaranth.lib import data
from cocotb.triggers import ReadOnly, RisingEdge

Inputs = dict[str, int]


def signed(value: int, bits: int) -> int:
    """The signed number whose two's complement is `value`."""
    return value - (value >> (bits - 1) << bits)


def pack(values: Iterable[int], bits: int) -> int:
    """Numbers of either sign side by side, the first one lowest."""
    return sum((int(value) & ((1 << bits) - 1)) << (i * bits) for i, value in enumerate(values))


def bits_of(layout: data.StructLayout, fields: Mapping[str, Any]) -> int:
    """A structure as a port carries it; fields that are not named are 0."""
    word = 0
    for name, value in fields.items():
        field = layout[name]
        bits = bits_of(field.shape, value) if isinstance(value, Mapping) else int(value)
        if not -(1 << field.width) <= 2 * bits < 2 << field.width:
            raise ValueError(f"{name}={bits} does not fit {field.width} bits")
        word |= (bits & ((1 << field.width) - 1)) << field.offset
    return word


async def clocked(dut: Any, cycles: Iterable[Inputs], outputs: Sequence[str], rest: int = 0) -> list[tuple[int, ...]]:
    """Set the named inputs in each cycle (they stay until set again); gives the outputs of each cycle, unsigned.

    The last inputs stay for `rest` more cycles.
    """
    handles = [getattr(dut, name) for name in outputs]
    seen = []
    for inputs in [*cycles, *[{}] * rest]:
        for name, value in inputs.items():
            getattr(dut, name).value = value
        await ReadOnly()
        seen.append(tuple(int(handle.value) for handle in handles))
        await RisingEdge(dut.clk)
    return seen
