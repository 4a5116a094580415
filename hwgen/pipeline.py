"""Registers in a row."""

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib.wiring import In, Out

from hwgen.part import Part, place


def delayed(m: Module, value: Any, cycles: int, name: str, *, reset_less: bool = True) -> Any:
    """`value` so many cycles later, through registers without reset unless they are to have one."""
    for i in range(cycles):
        later = Signal.like(value, name=f"{name}_{i + 1}", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value


def unreset(m: Module, port: Any) -> Signal:
    """The register behind an output that means nothing before something has come: one without reset."""
    register = Signal.like(port, name=f"{port.name}_out", reset_less=True)
    m.d.comb += port.eq(register)
    return register


class ResetRelay(Part):
    """Hands a reset on: `after` is `before`, LATENCY cycles later, and set in the very first ones. The way from afar is
    between its registers; the last one can be amid those that it resets."""

    LATENCY = 3

    def __init__(self) -> None:
        super().__init__({"before": In(1), "after": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        after = self.before
        for i in range(self.LATENCY):
            before, after = after, Signal(init=1, reset_less=True, name=f"after_{i + 1}")
            m.d.sync += after.eq(before)
        m.d.comb += self.after.eq(after)
        return m


def place_apart(m: Module, name: str, part: Part, domain: str = "sync") -> None:
    """As `place`, but the part's reset is that of `domain` a few cycles later, from registers of its own: one for all
    parts would be far from most of them. It is a part too, as no tool joins registers of different modules."""
    relay = ResetRelay()
    place(m, f"reset_of_{name}", relay)
    m.domains += ClockDomain(name)
    m.d.comb += [
        relay.before.eq(ResetSignal(domain)),
        ClockSignal(name).eq(ClockSignal(domain)),
        ResetSignal(name).eq(relay.after),
    ]
    place(m, name, part, name)
