"""Registers in a row."""

from typing import Any

from amaranth.hdl import Module, Signal


def delayed(m: Module, value: Any, cycles: int, name: str, *, reset_less: bool = True) -> Any:
    """`value` so many cycles later, through registers without reset unless they are to have one."""
    for i in range(cycles):
        later = Signal.like(value, name=f"{name}_{i + 1}", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value
