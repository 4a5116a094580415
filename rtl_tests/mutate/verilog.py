"""The statements of emitted Verilog. Amaranth's yosys writes one a line, in few forms, and this reads only those."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

TOKEN = re.compile(r"\\\S+ |\d+'s?[bdh][0-9a-fA-FxzXZ_?]+|\d+|[A-Za-z_][\w$]*|\$\w+|<<<?|>>>?|[<>=!]=|&&|\|\||\S")
NAME = re.compile(r"\\\S+ |[A-Za-z_][\w$]*")
DECLARATION = re.compile(rf"^  (?:wire|reg|input|output)(?: signed)? (?:\[(\d+):0\] )?({NAME.pattern})(.*)$")
ASSIGN = re.compile(r"^( +assign )(.+?)( = )(.+);$")
CLOCKED = re.compile(r"^( +)(.+?)( <= )(.+);$")
BLOCKING = re.compile(r"^( +)(.+?)( = )(.+);$")
IF = re.compile(r"^( +if \()(.+)\)( begin|)$")
PORT = re.compile(r"^    \.(\S+?) ?\((.+)\)(,?)$")
INSTANCE = re.compile(r"^  (?!always|initial)(\w\S*|\\\S+ ) ?(?:\\\S+ |\w\S*) ?\($")
CONSTANT_LABEL = re.compile(r"^( +)(\d+'h[0-9a-f]+):$")
HEADER = re.compile(r"^module (\w+|\\\S+ ) ?\(")


def tokens(text: str) -> list[str]:
    """The words of an expression, escaped names with the blank that ends them."""
    return TOKEN.findall(text)


def names(text: str) -> set[str]:
    """The signals an expression reads."""
    return {token.strip() for token in tokens(text) if NAME.fullmatch(token)}


@dataclass(frozen=True)
class Site:
    """An expression that may be changed: `before expression after` is line number `line` of the text, counted from 0.

    kind:    assign, clocked, comb, if, port
    width:   bits of what the value goes to, 1 for a condition; None if unknown
    target:  the signal; empty for a condition, `{` if there are several, of a port of an instance `.name`
    child:   of a port the module that stands there
    in_reset: it is the condition of a register's reset, or decided by it
    """

    module: str
    line: int
    kind: str
    before: str
    expression: str
    after: str
    width: int | None
    target: str
    child: str = ""
    in_reset: bool = False


@dataclass
class Module:
    """A module's lines `first .. last`, the width of its signals and its statements."""

    name: str
    first: int
    last: int = 0
    widths: dict[str, int] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    memories: set[str] = field(default_factory=set)
    sites: list[Site] = field(default_factory=list)
    top_bits: dict[str, int] = field(default_factory=dict)
    """Of each signal the highest bit that is read."""
    switched: set[str] = field(default_factory=set)
    """Signals that a case statement reads."""
    reads: dict[str, set[str]] = field(default_factory=dict)
    """Of each signal those that decide about it."""
    children: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Of each instance the module, and what is connected to its ports."""


@lru_cache(maxsize=8)
def parse(text: str) -> list[Module]:
    """All modules, parents before the modules placed in them."""
    lines = text.splitlines()
    modules: list[Module] = []
    for number, line in enumerate(lines):
        if found := HEADER.match(line):
            modules.append(Module(found[1].strip(), number))
        elif line == "endmodule":
            modules[-1].last = number
    known = {module.name: module for module in modules}
    readers = [_Reader(module, lines, known) for module in modules]
    for reader in readers:
        reader.declare()
    for reader in readers:
        reader.read()
    order: list[Module] = []
    for module in modules:
        _place(module, known, order)
    return order[::-1]


def _place(module: Module, known: dict[str, Module], order: list[Module]) -> None:
    """Put the module behind all modules that stand in it."""
    if module not in order:
        for child, _ in module.children:
            _place(known[child], known, order)
        order.append(module)


class _Reader:
    """Fills a module from its lines."""

    def __init__(self, module: Module, lines: list[str], known: dict[str, Module]) -> None:
        self.module, self.lines, self.known = module, lines, known
        self.conditions: list[set[str]] = []

    def declare(self) -> None:
        for line in self.lines[self.module.first + 1 : self.module.last]:
            if found := DECLARATION.match(line):
                self._declare(line, found)

    def read(self) -> None:
        """The statements, when all modules are declared."""
        m = self.module
        skipping = False
        for number in range(m.first + 1, m.last):
            line = self.lines[number]
            if line.startswith("  initial"):
                skipping = True
            if skipping:
                # What memories hold in the beginning.
                skipping = line != "  end"
            elif found := INSTANCE.match(line):
                m.children.append((found[1].strip(), {}))
            elif not line.startswith("  (*") and not DECLARATION.match(line):
                self._statement(number, line)

    def _declare(self, line: str, found: re.Match[str]) -> None:
        m, name = self.module, found[2].strip()
        m.widths[name] = int(found[1] or 0) + 1
        if line.startswith("  input"):
            m.inputs.add(name)
        elif line.startswith("  output"):
            m.outputs.add(name)
        elif found[3].strip().startswith("["):
            m.memories.add(name)

    def _statement(self, number: int, line: str) -> None:
        if found := PORT.match(line):
            self._port(number, found)
        elif found := ASSIGN.match(line):
            self._assignment(number, "assign", found)
        elif found := CLOCKED.match(line):
            self._assignment(number, "clocked", found)
        elif (found := IF.match(line)) and "dump_module" not in line:
            self._nest(line)
            self.conditions[-1] |= names(found[2])
            self._note(found[2])
            self._site(number, "if", found[1], found[2], f"){found[3]}", 1, "")
        elif found := BLOCKING.match(line):
            self._assignment(number, "comb", found)
        elif "casez (" in line:
            self._nest(line)
            self.conditions[-1] |= names(line[line.index("(") :])
            self.module.switched |= names(line[line.index("(") :])
            self._note(line[line.index("(") :])
        elif line.startswith("  always"):
            self.conditions = []

    def _nest(self, line: str) -> None:
        """What is deeper than this line is decided by it, too; two blanks are a level."""
        depth = (len(line) - len(line.lstrip())) // 2
        self.conditions = self.conditions[:depth]
        while len(self.conditions) <= depth:
            self.conditions.append(set())

    def _assignment(self, number: int, kind: str, found: re.Match[str]) -> None:
        m, target = self.module, found[2]
        self._note(found[4])
        if "[" in target:
            self._note(target[target.index("[") :])
        written = tokens(target)
        name = written[0].strip()
        places = [name] if name != "{" else sorted(names(target))
        depth = (len(found[1]) - len(found[1].lstrip())) // 2
        conditions = set().union(*self.conditions[:depth]) if kind != "assign" and self.conditions else set()
        for place in places:
            read = m.reads.setdefault(place, set())
            read |= names(found[4]) | conditions | (names(target) - {place})
        width = None if name in m.memories else target_width(written, m.widths)
        self._site(number, kind, f"{found[1]}{target}{found[3]}", found[4], ";", width, name)

    def _port(self, number: int, found: re.Match[str]) -> None:
        m = self.module
        child, ports = m.children[-1]
        name = found[1]
        ports[name] = found[2]
        self._note(found[2])
        other = self.known[child]
        if name in other.inputs and found[2] not in ("clk", "aclk"):
            before = f"    .{name}{' ' if name.startswith(chr(92)) else ''}("
            self._site(number, "port", before, found[2], f"){found[3]}", other.widths[name], f".{name}", child)

    def _note(self, text: str) -> None:
        """Which bits of its signals an expression reads."""
        widths, highest = self.module.widths, self.module.top_bits
        for name, bit in bits_read(text, widths):
            highest[name] = max(bit, highest.get(name, -1))

    def _site(self, number: int, kind: str, *words: Any) -> None:
        depth = (len(self.lines[number]) - len(self.lines[number].lstrip())) // 2
        in_reset = kind in ("comb", "if") and any("rst" in read for read in self.conditions[: depth + (kind == "if")])
        self.module.sites.append(Site(self.module.name, number, kind, *words, in_reset=in_reset))


def bits_read(text: str, widths: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The signals that stand in a text, and of each the highest bit that is meant."""
    for found, high in re.findall(rf"({NAME.pattern})(?:\[(\d+)(?::\d+)?\])?", text):
        name = found.strip()
        if name in widths:
            yield name, int(high) if high else widths[name] - 1


def width_read(module: Module, port: str) -> int:
    """Bits of an input, from the lowest on, that a module looks at: 0 if it looks at none."""
    if port in module.switched:
        return module.widths[port]
    ports: dict[str, set[str]] = {}
    for child, connected in module.children:
        ports.setdefault(child, set()).update(connected)
    alive = _closure(module, module.outputs, ports)
    counted = {"", "{"} | alive
    texts = [s.before + s.expression for s in module.sites if s.kind == "port" or s.target in counted]
    return 1 + max((bit for text in texts for name, bit in bits_read(text, module.widths) if name == port), default=-1)


def target_width(target: list[str], widths: dict[str, int]) -> int | None:
    """Bits of what is assigned to: `name`, `name[i]`, `name[i:j]`; None for anything else."""
    whole = widths.get(target[0].strip())
    match target[1:]:
        case []:
            return whole
        case ["[", _, "]"]:
            return 1
        case ["[", high, ":", low, "]"]:
            return int(high) - int(low) + 1
    return None


def live(modules: list[Module], top: str) -> dict[str, set[str]]:
    """Of each module, given parents first, the signals that something outside of it depends on."""
    by_name = {module.name: module for module in modules}
    # What an instance does not look at is not wanted of its parent.
    heeded: dict[str, set[str]] = {}
    for module in reversed(modules):
        heeded[module.name] = _closure(module, module.outputs, heeded) & module.inputs
    wanted: dict[str, set[str]] = {module.name: set() for module in modules}
    wanted[top] = set(by_name[top].outputs)
    for module in modules:
        alive = wanted[module.name] = _closure(module, wanted[module.name], heeded)
        for child, ports in module.children:
            outputs = by_name[child].outputs
            wanted[child] |= {p for p, text in ports.items() if p in outputs and names(text) & alive}
    return {name: alive | {f".{port}" for port in heeded[name]} for name, alive in wanted.items()}


def _closure(module: Module, seeds: set[str], heeded: dict[str, set[str]]) -> set[str]:
    """All that the seeds and the inputs of instances depend on."""
    queue = set(seeds)
    for child, ports in module.children:
        queue |= set().union(*(names(text) for port, text in ports.items() if port in heeded[child]))
    found: set[str] = set()
    while queue:
        name = queue.pop()
        found.add(name)
        queue |= module.reads.get(name, set()) - found
    return found


def mutable(modules: list[Module], top: str) -> Iterator[Site]:
    """Sites that something depends on."""
    alive = live(modules, top)
    for module in modules:
        for site in module.sites:
            place = alive[site.child] if site.kind == "port" else alive[module.name]
            if site.target in ("", "{") or site.target in place:
                yield site
