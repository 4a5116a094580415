"""Emitted Verilog that tells where in Python each of its conditional assignments was written.

Amaranth knows the line of every assignment but does not write it down. Here each is accompanied by `cover_N = 1`, which
Verilator's line coverage counts with the branch it stands in; N leads to the line.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

import hwgen
from hwgen.emit import to_verilog
from hwgen.part import Part

ROOT = Path(hwgen.__file__).parent.parent
SOURCE = re.compile(r'src = "([^"]+):(\d+)"')
MARKER = re.compile(r"^ +\\?cover_(\d+)(?:\$\d+)? +=.*1'h1;$")

NAMELESS = re.compile(r"(?m)^  (?:wire|reg) (?:\[\d+:0\] )?(?:cover_\d+|\\[^ ]*[.$\[][^ ]*) ?(?: = [^;\n]*)?;$")
"""Declarations of markers, of fields of structures, and of what has but a number."""

Place = tuple[str, int]
"""A file, counted from the project's root, and a line in it."""


@dataclass
class Marked:
    """Of line numbers (from 1) of Verilog those of markers and the places they stand for; the places of everything that
    is computed unconditionally."""

    markers: dict[int, Place] = field(default_factory=dict)
    others: set[Place] = field(default_factory=set)


def marked(part: Part, name: str) -> str:
    """The Verilog of a part with markers, whose names tell the place: `cover_N` is number N of the list it begins
    with."""
    places: list[Place | None] = []
    with _markers(places):
        text = to_verilog(part, name, sources=True)
    return "".join(f"// {p[0]}:{p[1]}\n" if p else "// nowhere\n" for p in places) + text


def with_few_bits(text: str) -> str:
    """The text with toggle coverage of ports, registers and wires that have a name of their own: fields of structures
    are bits of those, numbered wires nobody asks for. Lines stay where they are."""
    return NAMELESS.sub(r"/*verilator coverage_off*/\g<0>/*verilator coverage_on*/", text)


def scan(text: str) -> Marked:
    """Where the markers of such a text are, and what it computes unconditionally."""
    lines = text.splitlines()
    found = Marked()
    for number, line in enumerate(lines, 1):
        # Amaranth's own assignment to a register in reset names the line that declares it.
        if lines[number - 3].strip() == "if (rst) begin":
            continue
        if marker := MARKER.match(line):
            path, _, at = lines[int(marker[1])].removeprefix("// ").partition(":")
            if at:
                found.markers[number] = path, int(at)
        elif line.startswith("  assign"):
            found.others |= {place for path, at in SOURCE.findall(line) if (place := ours(path, int(at)))}
    found.others -= set(found.markers.values())
    return found


def ours(path: str, line: int) -> Place | None:
    """A place in hwgen; None for what lies in libraries."""
    with contextlib.suppress(ValueError):
        name = str(Path(path).relative_to(ROOT))
        if name.startswith("hwgen/"):
            return name, line
    return None


@contextlib.contextmanager
def _markers(places: list[Place | None]) -> Iterator[None]:
    """While Amaranth writes RTLIL: markers, whose numbers are the places' in the list."""
    emitter, case, process = rtlil.ModuleEmitter, rtlil.Case, rtlil.Process
    before = emitter.emit_assignment_list, case.assign, process.assign
    state: dict[str, Any] = {}

    def emit(self: Any, index: int, cell: Any) -> None:
        module = self.builder
        state.update(module=module, left=iter(cell.assignments), process=None, wires={})
        before[0](self, index, cell)
        # A wire has to be declared before the process that sets it.
        module.contents = state["wires"] | module.contents
        state.clear()

    def in_case(self: Any, lhs: Any, rhs: Any) -> None:
        before[1](self, lhs, rhs)
        if state:
            path, line = next(state["left"]).src_loc
            wire = state["module"].wire(1, name=f"cover_{len(places)}")
            state["wires"][wire.name] = wire
            places.append(ours(path, line))
            state["process"].contents.insert(0, rtlil.Assignment(wire.name, "1'0"))
            self.contents.append(rtlil.Assignment(wire.name, "1'1"))

    def in_process(self: Any, lhs: Any, rhs: Any) -> None:
        before[2](self, lhs, rhs)
        if state and state["process"] is None:
            state["process"] = self  # the default, which is no assignment of the list
        elif state:
            next(state["left"])

    emitter.emit_assignment_list, case.assign, process.assign = emit, in_case, in_process
    try:
        yield
    finally:
        emitter.emit_assignment_list, case.assign, process.assign = before
