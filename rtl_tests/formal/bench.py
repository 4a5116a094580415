"""A component with free inputs, and what is assumed and asserted about it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Const, Elaboratable, Fragment, Module, Signal, Value, unsigned
from amaranth.hdl._ast import AnyConst, Assign
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import wiring
from amaranth.utils import ceil_log2


class Opened(Elaboratable):
    """An elaborated component whose local variables and memories can be named: invariants need them.

    They are called by the path of submodules that leads to them: `queue.used` is `used` of a method of the submodule
    `queue`. Raises KeyError with what there is.
    """

    def __init__(self, part: Any) -> None:
        self._locals: dict[int, dict[str, Any]] = {}
        sys.setprofile(self._notice)
        try:
            self.fragment = Fragment.get(part, None)
        finally:
            sys.setprofile(None)
        self.addresses: list[Assign] = []

    def _notice(self, frame: FrameType, event: str, _: Any) -> None:
        """Keep the local variables of methods that return."""
        owner = frame.f_locals.get("self") if event == "return" else None
        if isinstance(owner, Elaboratable):
            self._locals.setdefault(id(owner), {}).update(frame.f_locals)

    def elaborate(self, platform: Any) -> Any:
        return self.fragment

    def inner(self, path: str) -> Any:
        """The variable or member that `path` names."""
        *parents, name = path.split(".")
        owner = self._at(parents).origins[0]
        found = {**vars(owner), **self._locals[id(owner)]}
        if name not in found:
            raise KeyError(f"no variable {path!r}; there are {', '.join(sorted(found))}")
        return found[name]

    def each(self, kind: type) -> list[dict[str, Any]]:
        """The variables of every part of a kind in here; of others, from elsewhere, only the end is noticed."""
        parts = (found for found in self._locals.values() if isinstance(found.get("self"), kind))
        return [found for found in parts if "platform" in found]

    def state(self, name: str, path: str = "") -> Any:
        """The state machine at `path` is in the state `name`."""
        machine = self._at(path.split(".") if path else []).generated["fsm"]
        return machine._data["signal"] == machine.encoding[name]

    def stored(self, path: str, address: Any) -> Signal:
        """What the memory that `path` names holds at an address: a port of its own, which changes nothing."""
        memory = self._at(path.split("."))
        while not isinstance(memory, MemoryInstance):
            ((memory, _, _),) = memory.subfragments
        bits, depth = unsigned(Value.cast(memory._read_ports[0]._data).shape().width), memory._data.depth
        data, where = Signal(bits, name="stored"), Signal(ceil_log2(depth), name="where")
        memory.read_port(domain="comb", addr=where, data=data, en=Const(1), transparent_for=())
        self.addresses.append(where.eq(address))
        return data

    def _at(self, parents: list[str]) -> Any:
        fragment = self.fragment
        for name in parents:
            found = {called: inner for inner, called, _ in fragment.subfragments}
            if name not in found:
                raise KeyError(f"no part {name!r}; there are {', '.join(map(str, found))}")
            fragment = found[name]
        return fragment


class Bench:
    """A module in which components stand whose inputs are free unless something drives them.

    Members: m, to which statements are added; `begun`, 0 in the first cycle.
    """

    def __init__(self) -> None:
        self.m = Module()
        self._domain = ClockDomain("sync", reset_less=True)
        self.m.domains += self._domain
        self._ports: dict[int, Any] = {id(self._domain.clk): self._domain.clk}
        self._opened: list[Opened] = []
        self._numbers = 0
        self.begun = Signal()
        self.m.d.sync += self.begun.eq(1)

    def place(self, part: Any, name: str = "part") -> Opened:
        """Stand a component here; its inputs become free."""
        opened = Opened(part)
        self.m.submodules[name] = opened
        self._opened.append(opened)
        if isinstance(part, wiring.Component):
            for _, member, value in part.signature.flatten(part):
                if member.flow == wiring.In:
                    self.own(value)
        return opened

    def free(self, shape: Any, name: str) -> Any:
        """Something that may be anything in each cycle."""
        signal = Signal(shape, name=name)
        value = Value.cast(signal)
        self._ports[id(value)] = value
        return signal

    def own(self, signal: Any) -> None:
        """Let a signal that nothing drives be anything in each cycle."""
        for each in Value.cast(signal)._rhs_signals():
            self._ports[id(each)] = each

    def constant(self, shape: Any, name: str) -> Any:
        """Something that may be anything, but the same in all cycles."""
        signal = Signal(shape, name=name)
        self.m.d.comb += Value.cast(signal).eq(AnyConst(Value.cast(signal).shape()))
        return signal

    def past(self, value: Any, name: str | None = None) -> Signal:
        """A value as it was in the cycle before."""
        self._numbers += 1
        was = Signal(Value.cast(value).shape(), name=name or f"past_{self._numbers}")
        self.m.d.sync += was.eq(value)
        return was

    def assume(self, condition: Any) -> None:
        self.m.d.comb += Assume(condition)

    def check(self, condition: Any) -> None:
        """Assert it, under the name of the line that asks for it."""
        caller = sys._getframe(1)
        self.m.d.comb += Assert(condition, f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}")

    def follows(self, before: Any, now: Any) -> None:
        """If `before` was true in the cycle before, `now` is."""
        self.check(~self.past(Value.cast(before).bool() & 1) | ~self.begun | now)

    def steady(self, *values: Any) -> None:
        """Assume that these inputs never change."""
        for value in values:
            value = Value.cast(value)
            self.assume(~self.begun | (value == self.past(value)))

    def rtlil(self) -> str:
        """Text for yosys, module `top`."""
        for opened in self._opened:
            self.m.d.comb += opened.addresses
        return rtlil.convert(self.m, name="top", ports=list(self._ports.values()), emit_src=False)


Build = Callable[[], Bench]
