"""Components that are written to Verilog once, however often they stand in the machine."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, Protocol

from amaranth.hdl import DomainRenamer, Module
from amaranth.lib import wiring


class Part(wiring.Component):
    """A component whose constructor arguments say all about it, so that equal arguments mean equal hardware."""

    identity: tuple[Any, ...]

    def __new__(cls, *args: Any, **kwargs: Any) -> Part:
        self = super().__new__(cls)
        self.identity = (cls, args, tuple(sorted(kwargs.items())))
        return self

    @property
    def module_name(self) -> str:
        """The class name in Verilog's manner: `ScorePE` is `score_pe`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()


class Library(Protocol):
    """Where parts go when Verilog is written: gives the instance to put in place of the part."""

    def instance(self, part: Part, domain: str) -> Any: ...


current_library: ContextVar[Library | None] = ContextVar("current_library", default=None)


def place(m: Module, name: str, part: Part, domain: str = "sync") -> None:
    """Make `part`, clocked and reset by `domain`, the submodule `name` of `m`: an instance of its module while Verilog
    is written, else the part itself."""
    library = current_library.get()
    if library is not None:
        setattr(m.submodules, name, library.instance(part, domain))
    else:
        setattr(m.submodules, name, part if domain == "sync" else DomainRenamer(domain)(part))
