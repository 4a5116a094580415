"""The description of a core must say what is in its Verilog."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from typing import Any

import pytest

from hwgen import __version__
from hwgen.core import Core
from hwgen.describe import TOP, describe
from hwgen.emit import to_verilog
from hwgen.netlist import Memory, read_modules, walk
from hwgen.tests.fakes import TINY

TEXT = """/* made up */
module cell(clk, a, y);
  input clk;
  (* keep *)
  reg [17:0] operands [15:0];
  reg flags [7:0];
  reg [3:0] state = 4'h0;
  assign y = $signed(a) * $signed(b);
  assign z = a + b;
endmodule
module \\row.queue (clk);
  reg [9:0] storage [2:0];
  cell cell_0 (
    .clk(clk)
  );
  cell cell_1 (
    .clk(clk)
  );
endmodule
module top(clk);
  \\row.queue  rows (
    .clk(clk)
  );
  cell extra (
    .clk(clk)
  );
endmodule
"""


@pytest.fixture(scope="module")
def emitted() -> tuple[str, dict[str, Any]]:
    """Verilog and description of the smallest preset."""
    core = Core(TINY)
    verilog = to_verilog(core, TOP)
    return verilog, describe(TINY, core, verilog, "tiny")


def test_modules_of_a_text() -> None:
    modules = read_modules(TEXT)
    assert list(modules) == ["cell", "\\row.queue", "top"]
    assert modules["cell"].memories == [Memory("operands", 18, 16), Memory("flags", 1, 8)]
    assert modules["cell"].multipliers == 1
    assert modules["\\row.queue"].instances == [("cell", "cell_0"), ("cell", "cell_1")]
    places = {path: sum(memory.bits for memory in module.memories) for path, module in walk(modules, "top")}
    cell = 18 * 16 + 8
    assert places == {(): 0, ("extra",): cell, ("rows",): 30, ("rows", "cell_0"): cell, ("rows", "cell_1"): cell}


def test_ports_are_those_of_the_module(emitted: tuple[str, dict[str, Any]]) -> None:
    verilog, facts = emitted
    body = verilog[verilog.index(f"module {TOP}(") :]
    body = body[: body.index("\nendmodule")]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\S+);", body, re.MULTILINE)
    want = {(direction, name, int(top or 0) + 1) for direction, top, name in declared}
    assert {(port["direction"], port["name"], port["width"]) for port in facts["ports"]} == want
    assert len(facts["ports"]) == len(want) > 20


def test_fields_fill_their_port(emitted: tuple[str, dict[str, Any]]) -> None:
    structured = [port for port in emitted[1]["ports"] if "fields" in port]
    assert {port["name"] for port in structured} == {
        *(f"{stream}__payload" for stream in ("job", "fetch", "q", "k", "v", "o", "lse")),
        "counters",
    }
    for port in structured:
        end = 0
        for field in port["fields"]:
            assert field["offset"] == end, (port["name"], field["name"])
            end += field["width"]
            assert field.get("length", 1) * field.get("element_width", field["width"]) == field["width"]
        assert end == port["width"]


def test_fields_have_their_signs(emitted: tuple[str, dict[str, Any]]) -> None:
    ports = {port["name"]: {f["name"]: f for f in port.get("fields", ())} for port in emitted[1]["ports"]}
    assert ports["job__payload"]["offset"]["signed"]
    assert not ports["job__payload"]["queries"]["signed"]
    assert ports["lse__payload"]["rm"] == {"name": "rm", "offset": 0, "width": 14, "signed": True}
    assert ports["q__payload"]["elements"] == {
        "name": "elements", "offset": 0, "width": 32, "signed": False, "length": 2, "element_width": 16,
    }  # fmt: skip


def test_memories_follow_from_the_parameters(emitted: tuple[str, dict[str, Any]]) -> None:
    """The bits counted in the text against those the architecture needs."""
    c, bits = TINY.config, emitted[1]["on_chip_bits"]
    assert bits["query_operands"] == c.rows_e * c.cols * TINY.q_depth * c.operand_bits
    assert bits["accumulators_and_results"] == 2 * c.rows_f * c.cols * TINY.acc_depth * c.accumulator_bits
    # A buffer holds whole rows of its head dimension: at least those asked for, at most a power of two of them.
    for name, head in (("key_buffer", c.head_e), ("value_buffer", c.head_f)):
        rows, rest = divmod(bits[name], head * c.operand_bits)
        assert rest == 0
        assert rows > c.buffer_rows and rows & (rows - 1) == 0
    assert bits["other"] > 0
    assert bits["total"] == sum(value for name, value in bits.items() if name != "total")


def test_multipliers(emitted: tuple[str, dict[str, Any]]) -> None:
    c, multipliers = TINY.config, emitted[1]["multipliers"]
    assert multipliers["score_array"] == c.rows_e * c.cols
    assert multipliers["value_array"] == c.rows_f * c.cols
    assert emitted[1]["macs_per_cycle"] == multipliers["score_array"] + multipliers["value_array"]
    assert multipliers["total"] == sum(value for name, value in multipliers.items() if name != "total")


def test_identity(emitted: tuple[str, dict[str, Any]]) -> None:
    verilog, facts = emitted
    assert facts["configuration"] == asdict(TINY.config)
    assert facts["configuration_hash"] == TINY.config.hash()
    assert facts["generator"] == {"name": "hwgen", "version": __version__}
    assert facts["verilog"] == {
        "modules": len(re.findall("^module ", verilog, re.MULTILINE)),
        "bytes": len(verilog),
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }


def test_distances(emitted: tuple[str, dict[str, Any]]) -> None:
    latencies = emitted[1]["latencies"]
    assert min(latencies.values()) > 0
    assert latencies["key_to_value"] > latencies["key_to_score"] + latencies["softmax_lane"]
    assert latencies["visit"] == 2
    assert emitted[1]["widths"]["qk"] == 2 * 17 + 3 + 1
