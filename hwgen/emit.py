"""Amaranth to Verilog, each distinct part once."""

from __future__ import annotations

import contextlib
import gc
import os
import re
from collections.abc import Iterator
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib import wiring

from hwgen.part import Part, current_library

YOUNG_OBJECTS = 500_000
"""So many may wait for the garbage collector: some hundred megabytes."""


class PartLibrary:
    """Collects the modules of a design, children before parents, in the order in which they are met."""

    def __init__(self, sources: bool = False) -> None:
        self._sources = sources
        self._names: dict[tuple[Any, ...], str] = {}
        self._ports: dict[str, frozenset[str]] = {}
        self.modules: list[str] = []

    def instance(self, part: Part, domain: str) -> Instance:
        """An instance of the part's module, which is written when it is met for the first time, in a clock domain."""
        # The part stands for its ports only: Amaranth must not warn that it was never elaborated.
        part._MustUse__used = True
        name = self._names.get(part.identity)
        if name is None:
            name = self._names[part.identity] = self._new_name(part)
            self.add(part, name)
        ports = {}
        if "clk" in self._ports[name]:
            ports["i_clk"] = ClockSignal(domain)
        if "rst" in self._ports[name]:
            ports["i_rst"] = ResetSignal(domain)
        for path, member, value in part.signature.flatten(part):
            direction = "o" if member.flow == wiring.Out else "i"
            port = Value.cast(value)
            if len(port):
                ports[f"{direction}_{'__'.join(map(str, path))}"] = port
        return Instance(name, **ports)

    def add(self, part: Part, name: str) -> None:
        """Elaborate a part into the list of modules."""
        text = without_empty_wires(rtlil.convert(part, name=name, emit_src=self._sources))
        top = text[text.index(f"module \\{name}\n") :]
        top = top[: top.index("\nend\n")]
        self._ports[name] = frozenset(re.findall(r"wire .*(?:input|output) \d+ +\\(\S+)", top))
        self.modules.append(text)
        # What Amaranth built of the parts so far is young, and mostly garbage; what is not is looked at only once.
        if gc.get_count()[0] > YOUNG_OBJECTS:
            gc.collect(0)

    def _new_name(self, part: Part) -> str:
        taken = set(self._names.values())
        name = part.module_name
        number = 2
        while name in taken:
            name = f"{part.module_name}_{number}"
            number += 1
        return name


def without_empty_wires(text: str) -> str:
    """RTLIL without the named wires and ports of no bits that empty fields leave: in Verilog they would become
    `[-1:0]`."""
    text = re.sub(r"(?m)^connect \\\S+ \{ *\}\n", "", text)
    # A choice between nothing and nothing may have any of them for its result.
    text = re.sub(r"(?m)^  cell \$mux \S+\n    parameter \\WIDTH 0\n(?:    .*\n)*  end\n", "", text)
    wire = r"  wire width 0 (?:(?:input|output) \d+ +)?"
    for name in set(re.findall(rf"(?m)^{wire}(\\\S+)$", text)):
        # Only where no cell is connected to it.
        if len(re.findall(rf"(?m){re.escape(name)}(?= |$)", text)) == 1:
            text = re.sub(rf"(?m)^(?: *attribute .*\n)*{wire}{re.escape(name)}\n", "", text)
    return text


@contextlib.contextmanager
def collector_resting() -> Iterator[None]:
    """Without Python's garbage collector running whenever it likes, which takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def to_verilog(part: Part, name: str, sources: bool = False) -> str:
    """Verilog text of `part` as module `name`, followed by nothing that depends on the machine, the run or the
    folder; with `sources` each statement has an attribute that says where in Python it was written."""
    library = PartLibrary(sources)
    token = current_library.set(library)
    try:
        with collector_resting():
            library.add(part, name)
    finally:
        current_library.reset(token)
    # The yosys that Amaranth brings, whatever else is on PATH: the text must not depend on the machine.
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    # One run of yosys for all modules: starting it costs more than most modules do.
    text = verilog._convert_rtlil_text("\n".join(library.modules), strip_internal_attrs=not sources)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
