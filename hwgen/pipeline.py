"""Registers in a row."""

from typing import Any

from amaranth.hdl import Module, Signal


def delayed(m: Module, value: Any, cycles: int, name: str) -> Any:
    """`value` so many cycles later, through registers without reset."""
    for i in range(cycles):
        later = Signal.like(value, name=f"{name}_{i + 1}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value
