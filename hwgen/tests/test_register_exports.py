"""What other languages are told of the registers equals the map, read by their own tools."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from systemrdl import RDLCompiler
from systemrdl.node import FieldNode
from systemrdl.rdltypes import AccessType, OnReadType, OnWriteType

from golden.bitexact.numerics import Numerics
from hwgen.control.descriptor import DESCRIPTOR_BYTES, c_struct
from hwgen.control.faults import Fault
from hwgen.control.record import RecordHeader, pack_record
from hwgen.control.register_exports import c_header, markdown, python_module, system_rdl
from hwgen.control.register_map import COUNTERS_BASE, Access, counter_meanings, register_map
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.scoremod import Parameter, Table, trace
from hwgen.tests.bench import tiny

SIM = Params(preset("sim"))
NARROW = tiny(address_bits=40)
CORES = pytest.mark.parametrize("params", [SIM, NARROW], ids=["sim", "narrow"])
PAGE = Path(__file__).parents[2] / "docs" / "registers.md"


def numbers(params: Params) -> dict[str, int]:
    """All a program wants to know, by the names it should find it under."""
    found = {}
    for register in register_map(params):
        found[f"{register.name}_OFFSET"] = register.address
        found[f"{register.name}_RESET"] = sum(field.reset << field.lsb for field in register.fields)
        for field in register.fields:
            found[f"{register.name}_{field.name.upper()}_SHIFT"] = field.lsb
            found[f"{register.name}_{field.name.upper()}_MASK"] = ((1 << field.width) - 1) << field.lsb
    return found


def run_c(folder: Path, header: str, body: str) -> list[str]:
    """Lines a C program prints that includes the header, twice."""
    (folder / "registers.h").write_text(header)
    text = '#include <stdio.h>\n#include "registers.h"\n#include "registers.h"\n'
    (folder / "main.c").write_text(f"{text}int main(void) {{\n{body}\n    return 0;\n}}\n")
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c11", "-o", "main", "main.c"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return subprocess.run([folder / "main"], check=True, capture_output=True, text=True).stdout.splitlines()


@CORES
def test_c_header(params: Params, tmp_path: Path) -> None:
    expected = numbers(params)
    lines = [f'    printf("{name} %llu\\n", (unsigned long long)HWGEN_{name});' for name in expected]
    lines += [f'    printf("{fault.name} %d\\n", (int)HWGEN_FAULT_{fault.name});' for fault in Fault]
    printed = [line.split() for line in run_c(tmp_path, c_header(params), "\n".join(lines))]
    assert printed == [[name, str(value)] for name, value in [*expected.items(), *((f.name, f.value) for f in Fault)]]


def test_c_header_with_the_descriptor(tmp_path: Path) -> None:
    body = '    printf("%zu\\n", sizeof(struct hwgen_descriptor));\n    printf("%u\\n", HWGEN_CONTROL_START_MASK);'
    assert run_c(tmp_path, c_header(SIM, c_struct()), body) == [str(DESCRIPTOR_BYTES), "1"]


@CORES
def test_python_module(params: Params) -> None:
    module: dict[str, Any] = {}
    exec(compile(python_module(params), "registers.py", "exec"), module)
    expected = numbers(params)
    told = {name: value for name, value in module.items() if name.endswith(("_OFFSET", "_RESET", "_SHIFT", "_MASK"))}
    assert told == expected
    assert list(module["COUNTERS"].items()) == [
        (name, COUNTERS_BASE + 8 * i) for i, name in enumerate(counter_meanings())
    ]
    assert {fault.name: fault.value for fault in module["Fault"]} == {fault.name: fault.value for fault in Fault}


def test_arguments_of_a_score_program(tmp_path: Path) -> None:
    """A number encoded and put where the macros say is the word that the machine gets."""
    slopes, other = Table([0.5, -0.25, 3.0], "slopes"), Table([4, -9], "Slopes")
    span = Parameter("span", 100, -5, 1000)
    traced = trace(lambda score, b, h, q, kv: score + slopes[h] * q + other[b] * span, numerics=Numerics())
    params = tiny(score=traced.program)
    record = pack_record(RecordHeader(), traced.words())
    module: dict[str, Any] = {}
    exec(compile(python_module(params), "registers.py", "exec"), module)
    assert module["SCORE_RECORD_BYTES"] == len(record)
    # Capitals alone would not tell the tables apart.
    for name, source in {"ARGUMENT_slopes": slopes, "ARGUMENT_Slopes": other, "ARGUMENT_SPAN": span}.items():
        offset, size, frac, factor, low, high = (
            module[f"{name}_{what}"] for what in ("OFFSET", "SIZE", "FRAC", "FACTOR", "LOW", "HIGH")
        )
        codes = np.rint(source.values.reshape(-1) * factor * 2.0**frac)
        assert codes.astype("<i4").tobytes() == record[offset : offset + 4 * size]
        assert (low <= codes).all() and (codes <= high).all() and len(codes) == size
    names = [name for name in module if name.startswith(("ARGUMENT_", "SCORE_RECORD_BYTES"))]
    assert len(names) == 1 + 3 * 6
    body = "\n".join(f'    printf("%.17g\\n", (double)HWGEN_{name});' for name in names)
    printed = run_c(tmp_path, c_header(params, c_struct()), body)
    assert [float(line) for line in printed] == [module[name] for name in names]
    assert not any("ARGUMENT" in text for text in (c_header(SIM), python_module(SIM)))


def rdl_access(field: FieldNode) -> Access:
    """The kind of access that a field's properties amount to; constants are told apart by the map only."""
    software = field.get_property("sw")
    if field.get_property("singlepulse"):
        assert software is AccessType.w
        return Access.PULSE
    kind = {
        (AccessType.rw, None, None): Access.READ_WRITE,
        (AccessType.rw, OnWriteType.woset, None): Access.WRITE_SET,
        (AccessType.rw, OnWriteType.woclr, None): Access.WRITE_CLEAR,
        (AccessType.r, None, OnReadType.rclr): Access.READ_CLEAR,
        (AccessType.r, None, None): Access.READ_ONLY,
    }[software, field.get_property("onwrite"), field.get_property("onread")]
    if kind is Access.READ_ONLY and field.get_property("hw") is AccessType.na:
        return Access.CONSTANT
    return kind


@CORES
def test_system_rdl(params: Params, tmp_path: Path) -> None:
    (tmp_path / "registers.rdl").write_text(system_rdl(params))
    compiler = RDLCompiler()
    compiler.compile_file(str(tmp_path / "registers.rdl"))
    found = [
        (register.inst_name, register.absolute_address, register.size, register.get_property("accesswidth"))
        + tuple((f.inst_name, f.low, f.width, rdl_access(f), f.get_property("reset")) for f in register.fields())
        for register in compiler.elaborate().top.registers()
    ]
    merged = {Access.CONFIGURED: Access.CONSTANT}
    assert found == [
        (register.name, register.address, 4 * register.words, 32)
        + tuple((f.name, f.lsb, f.width, merged.get(f.access, f.access), f.reset) for f in register.fields)
        for register in register_map(params)
    ]


@CORES
def test_markdown_tells_every_field_counter_and_fault(params: Params) -> None:
    page = markdown(params)
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for register in register_map(params):
        if register.address < COUNTERS_BASE:
            assert f"| {register.address:#05x} | [{register.name}](#{register.name.lower()}) |" in page
            section = sections[register.name]
            assert section.startswith(f"\n{register.address:#05x}")
            rows = [line for line in section.splitlines() if line.startswith("| ") and "`" in line]
            assert len(rows) == len(register.fields)
            for field, row in zip(register.fields, rows, strict=True):
                assert f"| `{field.name}` | {field.access.value} |" in row and field.doc in row
    for i, (name, text) in enumerate(counter_meanings().items()):
        assert f"| {COUNTERS_BASE + 8 * i:#05x} | `{name}` | {text} |" in sections["Counters"]
    assert all(f"| {fault.value} | {fault.name} | " in sections["Faults"] for fault in Fault)


def test_no_cell_breaks_a_table() -> None:
    tables = [line for line in markdown(SIM).splitlines() if line.startswith("|")]
    assert tables and all(line.count("|") in (4, 6) for line in tables)


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text() == markdown(SIM), "python -m hwgen.control.register_exports > docs/registers.md"
