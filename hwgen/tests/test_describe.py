"""The description of a machine must say what is in its Verilog."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pytest

from hwgen import __version__
from hwgen.describe import TOPS, describe, module_name
from hwgen.memory.axi_ports import master_ports, slave_ports
from hwgen.netlist import Memory, read_modules, walk
from hwgen.params import Params
from hwgen.scoremod import BiasTensor, Table, maximum, minimum, tanh, trace
from hwgen.scoremod.report import machine_facts
from hwgen.tests.fakes import TINY, emitted_once

TEXT = """/* made up */
module cell(clk, a, y);
  input clk;
  (* keep *)
  reg [17:0] operands [15:0];
  reg flags [7:0];
  reg [3:0] state = 4'h0;
  assign y = $signed(a) * $signed(b);
  assign z = a + b;
  assign w = a * 6'h20;
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


@cache
def emitted(top: str) -> tuple[str, dict[str, Any]]:
    """Verilog and description of the smallest preset."""
    part = TOPS[top](TINY)
    verilog = emitted_once(part, module_name(top))
    return verilog, describe(TINY, top, part, verilog, "tiny")


def facts(top: str) -> dict[str, Any]:
    return emitted(top)[1]


both = pytest.mark.parametrize("top", TOPS)


def test_modules_of_a_text() -> None:
    modules = read_modules(TEXT)
    assert list(modules) == ["cell", "\\row.queue", "top"]
    assert modules["cell"].memories == [Memory("operands", 18, 16), Memory("flags", 1, 8)]
    assert modules["cell"].multipliers == 1
    assert modules["\\row.queue"].instances == [("cell", "cell_0"), ("cell", "cell_1")]
    places = {path: sum(memory.bits for memory in module.memories) for path, module in walk(modules, "top")}
    cell = 18 * 16 + 8
    assert places == {(): 0, ("extra",): cell, ("rows",): 30, ("rows", "cell_0"): cell, ("rows", "cell_1"): cell}


@both
def test_ports_are_those_of_the_module(top: str) -> None:
    verilog, facts = emitted(top)
    body = verilog[verilog.index(f"module hwgen_{top}(") :]
    body = body[: body.index("\nendmodule")]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\S+);", body, re.MULTILINE)
    want = {(direction, name, int(top or 0) + 1) for direction, top, name in declared}
    assert {(port["direction"], port["name"], port["width"]) for port in facts["ports"]} == want
    assert len(facts["ports"]) == len(want) > 20
    assert facts["module"] == f"hwgen_{top}"


def test_ports_of_the_accelerator() -> None:
    """Those that tools know by their names."""
    names = [port["name"] for port in facts("accelerator")["ports"]]
    assert names[:3] == ["aclk", "aresetn", "interrupt"]
    for prefix, ports in (("s_axi_", slave_ports()), ("m_axi_", master_ports(TINY))):
        assert [name for name in names if name.startswith(prefix)] == list(ports)
    slave = {name.removeprefix("s_axi_") for name in names if name.startswith("s_axi_")}
    master = {name.removeprefix("m_axi_") for name in names if name.startswith("m_axi_")}
    handshakes = {f"{channel}{end}" for channel in ("aw", "w", "b", "ar", "r") for end in ("valid", "ready")}
    data = {"awaddr", "wdata", "wstrb", "bresp", "araddr", "rdata", "rresp"}
    bursts = {f"{channel}{field}" for channel in ("aw", "ar") for field in ("len", "size", "burst")}
    assert handshakes | data <= slave & master
    assert bursts | {"wlast", "rlast"} <= master - slave
    rest = {name for name in names if not name.startswith(("s_axi_", "m_axi_"))}
    assert rest == {"aclk", "aresetn", "interrupt", "active", "cause", "value_busy"}
    widths = {port["name"]: port["width"] for port in facts("accelerator")["ports"]}
    assert (widths["m_axi_rdata"], widths["m_axi_araddr"]) == (TINY.config.bus_bits, TINY.config.address_bits)
    assert widths["s_axi_wdata"] == 32
    # None of them carries a structure.
    assert not any("fields" in port for port in facts("accelerator")["ports"])


def test_ports_of_the_core() -> None:
    names = [port["name"] for port in facts("core")["ports"]]
    assert names[:2] == ["clk", "rst"]
    streams = ("job", "fetch", "q", "k", "v", "o", "lse")
    assert {f"{stream}__{part}" for stream in streams for part in ("payload", "valid", "ready")} < set(names)


def test_fields_fill_their_port() -> None:
    structured = [port for port in facts("core")["ports"] if "fields" in port]
    assert {port["name"] for port in structured} == {
        *(f"{stream}__payload" for stream in ("job", "fetch", "q", "k", "v", "o", "lse")),
        "events",
        "geometry",
    }
    for port in structured:
        end = 0
        for field in port["fields"]:
            assert field["offset"] == end, (port["name"], field["name"])
            end += field["width"]
            assert field.get("length", 1) * field.get("element_width", field["width"]) == field["width"]
        assert end == port["width"]


def test_fields_have_their_signs() -> None:
    ports = {port["name"]: {f["name"]: f for f in port.get("fields", ())} for port in facts("core")["ports"]}
    assert ports["job__payload"]["offset"]["signed"]
    assert not ports["job__payload"]["queries"]["signed"]
    assert ports["lse__payload"]["rm"] == {"name": "rm", "offset": 0, "width": 14, "signed": True}
    assert ports["q__payload"]["elements"] == {
        "name": "elements", "offset": 0, "width": 32, "signed": False, "length": 2, "element_width": 16,
    }  # fmt: skip
    assert ports["q__payload"]["last"] == {"name": "last", "offset": 32, "width": 1, "signed": False}
    assert ports["job__payload"]["edge"]["signed"]
    assert not ports["geometry"]["head_f"]["signed"]


@both
def test_memories_follow_from_the_parameters(top: str) -> None:
    """The bits counted in the text against those the architecture needs."""
    c, bits = TINY.config, facts(top)["on_chip_bits"]
    assert bits["query_operands"] == c.rows_e * c.cols * TINY.q_depth * c.operand_bits
    assert bits["accumulators_and_results"] == 2 * c.rows_f * c.cols * TINY.acc_depth * c.accumulator_bits
    # A buffer holds whole rows of its head dimension: at least those asked for, at most a power of two of them.
    for name, head in (("key_buffer", c.head_e), ("value_buffer", c.head_f)):
        rows, rest = divmod(bits[name], head * c.operand_bits)
        assert rest == 0
        assert rows > c.buffer_rows and rows & (rows - 1) == 0
    assert bits["other"] > 0
    assert bits["total"] == sum(value for name, value in bits.items() if name != "total")


def test_the_core_within_the_accelerator() -> None:
    """What surrounds it has queues of its own, but nothing of what the arrays have."""
    core, accelerator = facts("core"), facts("accelerator")
    for kind, rest in (("on_chip_bits", {"other", "total"}), ("multipliers", {"total"})):
        names = set(core[kind]) - rest
        assert len(names) == 4
        assert {name: accelerator[kind][name] for name in names} == {name: core[kind][name] for name in names}
    c = TINY.config
    # The read engine's queues for Q, K and V, and two bursts for each other client of the bus.
    queues = (3 * c.queue_beats + 4 * 2 * c.burst_beats) * c.bus_bits
    assert accelerator["on_chip_bits"]["other"] >= core["on_chip_bits"]["other"] + queues
    for name in ("latencies", "widths", "macs_per_cycle", "queries_per_block", "softmax_lanes", "configuration"):
        assert accelerator[name] == core[name], name


@both
def test_multipliers(top: str) -> None:
    c, multipliers = TINY.config, facts(top)["multipliers"]
    assert multipliers["score_array"] == c.rows_e * c.cols
    assert multipliers["value_array"] == c.rows_f * c.cols
    assert facts(top)["macs_per_cycle"] == multipliers["score_array"] + multipliers["value_array"]
    assert multipliers["total"] == sum(value for name, value in multipliers.items() if name != "total")


@cache
def with_program() -> tuple[Params, str, dict[str, Any]]:
    """A core whose lanes look scores up and multiply them, with a bias; its Verilog and description."""
    buckets, slopes = Table(np.arange(40) % 7, "buckets"), Table([0.5, 0.25, 0.125], "slopes")
    tensor = BiasTensor(np.zeros((1, 1, 1, 1)))

    def score_mod(score: Any, b: Any, h: Any, q: Any, kv: Any) -> Any:
        return tanh(score) * slopes[h] + buckets[minimum(maximum(q - kv, 0), 39)] + tensor[b, h, q, kv]

    params = Params(TINY.config.replace({"lanes": 2, "score": trace(score_mod, numerics=TINY.numerics).program}))
    part = TOPS["core"](params)
    verilog = emitted_once(part, "hwgen_core")
    return params, verilog, describe(params, "core", part, verilog, "tiny")


def test_a_score_program_is_described() -> None:
    params, verilog, found = with_program()
    assert found["score"] == machine_facts(params)
    assert "score" not in facts("core")
    assert "module pair_score" in verilog and "module pair_score" not in emitted("core")[0]
    # JSON holds all of it.
    assert json.loads(json.dumps(found, allow_nan=False))["score"]["bias"] is True
    added = found["latencies"]["softmax_lane"] - facts("core")["latencies"]["softmax_lane"]
    assert added == found["score"]["added_latency"] > 0
    assert found["configuration_hash"] == params.config.hash() != facts("core")["configuration_hash"]


def test_memories_of_a_score_program() -> None:
    """Tables at run time and constant ones, in every lane or once; and elements of the bias."""
    params, _, found = with_program()
    bits, plain = found["on_chip_bits"], facts("core")["on_chip_bits"]
    parts = found["score"]["parts"]
    tables = {part: parts[part]["table_bits"] + parts[part]["rom_bits"] for part in parts}
    assert parts["lane"]["table_bits"] > 0 < parts["lane"]["rom_bits"] and parts["query"]["table_bits"] > 0
    assert bits["score_tables"] == params.lanes * tables["lane"] + tables["query"] + tables["key"]
    assert bits["bias_buffers"] > 0
    assert bits["total"] == sum(value for name, value in bits.items() if name != "total")
    for name in ("query_operands", "accumulators_and_results", "key_buffer"):
        assert bits[name] == plain[name]
    assert not {"score_tables", "bias_buffers"} & set(plain)


def test_multipliers_of_a_score_program() -> None:
    params, _, found = with_program()
    multipliers, plain = found["multipliers"], facts("core")["multipliers"]
    for name in ("score_array", "value_array", "output_unit"):
        assert multipliers[name] == plain[name]
    # The bias is converted with one more.
    of_lane = found["score"]["parts"]["lane"]["multipliers"] + 1
    assert multipliers["softmax_lanes"] == params.lanes * (plain["softmax_lanes"] // TINY.lanes + of_lane)


@both
def test_identity(top: str) -> None:
    verilog, facts = emitted(top)
    assert facts["configuration"] == asdict(TINY.config)
    assert facts["configuration_hash"] == TINY.config.hash()
    assert facts["generator"] == {"name": "hwgen", "version": __version__}
    assert facts["verilog"] == {
        "modules": len(re.findall("^module ", verilog, re.MULTILINE)),
        "bytes": len(verilog),
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }


@both
def test_distances(top: str) -> None:
    latencies = facts(top)["latencies"]
    assert min(latencies.values()) > 0
    assert latencies["key_to_value"] > latencies["key_to_score"] + latencies["softmax_lane"]
    assert latencies["visit"] == 2
    assert facts(top)["widths"]["qk"] == 2 * 17 + 3 + 1
