"""What the machine can do, as questions: each is a statement that Verilator counts, put into the emitted Verilog."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from golden.bitexact.numerics import SHIFT_LIMIT
from hwgen.control.causes import Cause
from hwgen.control.faults import Fault
from rtl_tests.mutate.verilog import CONSTANT_LABEL, HEADER

TOP = "hwgen_accelerator"
RESPONSES = {"OKAY": 0, "SLVERR": 2, "DECERR": 3}
"""Without EXOKAY, which answers exclusive accesses only."""

AMOUNTS = {
    "amount_back": ("RD is shifted by", SHIFT_LIMIT),
    "amount_down": ("the weight for RD is shifted by", 31),
    "amount_value_back": ("RNV is shifted by", SHIFT_LIMIT),
    "amount_value_down": ("the weight for RNV is shifted by", 31),
}
TABLES = {"exp2": "chord of the exponential", "reciprocal": "entry of the reciprocal's table"}


@dataclass(frozen=True, order=True)
class Item:
    """Something that may happen: a group, and what it is."""

    group: str
    name: str


def host_items() -> set[Item]:
    """What the host sees rather than a signal says: idle cycles by cause, faults."""
    causes = {Item("causes of idling", f"{array} array, {c.name}") for array in ("score", "value") for c in Cause}
    return causes | {Item("faults", fault.name) for fault in Fault if fault}


def host_seen(counters: dict[str, int], faults: Iterable[int]) -> set[Item]:
    """Those of them that a run's counters and faults show."""
    found = {Item("faults", Fault(code).name) for code in faults}
    for array in ("score", "value"):
        for cause in Cause:
            if counters[f"{array}_idle_{cause.name.lower()}"]:
                found.add(Item("causes of idling", f"{array} array, {cause.name}"))
    return found


def with_questions(text: str) -> tuple[str, dict[int, Item]]:
    """The text with its questions, and the lines (from 1) on which they are asked."""
    lines: list[str] = []
    items: dict[int, Item] = {}
    start, name = 0, ""
    for line in text.splitlines():
        if found := HEADER.match(line):
            start, name = len(lines), found[1].strip()
        if line == "endmodule":
            for item, condition in questions(name, lines[start:]):
                clock = "aclk" if name == TOP else "clk"
                lines.append(f"  always @(posedge {clock}) if ({condition}) begin end")
                items[len(lines)] = item
        lines.append(line)
    return "\n".join(lines) + "\n", items


def questions(module: str, lines: list[str]) -> Iterator[tuple[Item, str]]:
    """What is asked in a module, with the condition under which it happens."""
    yield from _states(module, lines)
    stem = re.sub(r"_\d+$", "", module)
    if stem == "softmax_lane":
        for signal, (what, most) in AMOUNTS.items():
            for amount in range(most + 1):
                yield Item("shifts", f"{what} {amount}"), f"{signal} == {amount}"
    if stem in TABLES:
        for subject, labels in _switches(lines):
            if len(labels) > 8:
                for label in labels:
                    yield Item("tables", f"{TABLES[stem]}: {label}"), f"{subject} == {label}"
    if module == TOP:
        for channel, port in (("R", "m_axi_r"), ("B", "m_axi_b"), ("R", "s_axi_r"), ("B", "s_axi_b")):
            for name, code in RESPONSES.items():
                if port[0] == "m" or name != "DECERR":
                    bus = "memory" if port[0] == "m" else "registers"
                    condition = f"{port}valid && {port}ready && {port}resp == {code}"
                    yield Item("AXI responses", f"{bus}, {channel}: {name}"), condition


def _switches(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Every casez with its labels."""
    for i, line in enumerate(lines):
        if found := re.match(r"^( +)casez \((.*)\)$", line):
            end = lines.index(f"{found[1]}endcase", i)
            marks = (CONSTANT_LABEL.match(inner) for inner in lines[i:end])
            yield found[2].strip(), [mark[2] for mark in marks if mark and len(mark[1]) == len(found[1]) + 2]


def _states(module: str, lines: list[str]) -> Iterator[tuple[Item, str]]:
    """States of a module's machine and the steps between them that its description knows."""
    follows = [found[1] for line in lines if (found := re.match(r"^ +fsm_state <= (.*?) ?;$", line))]
    if not follows:
        return
    after = re.compile(rf"^ +{re.escape(follows[0])} += (\d+'h[0-9a-f]+);$")
    state, steps, inside = "", set(), False
    for line in lines:
        if re.match(r"^ +casez \(fsm_state ?\)$", line):
            inside = True
        elif line.strip() == "endcase":
            inside = False
        elif inside and (mark := CONSTANT_LABEL.match(line)):
            state = mark[2]
        elif inside and (found := after.match(line)) and found[1] != state:
            steps.add((state, found[1]))
    for name in sorted({name for step in steps for name in step}):
        yield Item("states", f"{module}: {name}"), f"fsm_state == {name}"
    for first, then in sorted(steps):
        condition = f"fsm_state == {first} && {follows[0]} == {then} && !rst"
        yield Item("states", f"{module}: {first} to {then}"), condition
