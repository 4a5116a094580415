"""What yosys finds in single cells, how it is added up, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.xilinx.__main__ import main
from boards.xilinx.cells import RESOURCES
from boards.xilinx.devices import BOARDS, DEVICES, Device, board, device
from boards.xilinx.estimate import (
    array_multipliers,
    check_fits,
    check_quickly,
    of_modules,
    script,
    synthesise,
    use_of,
)
from hwgen.array.score_pe import ScorePE
from hwgen.emit import to_verilog
from hwgen.errors import ConfigError, HwgenError
from hwgen.params import Params
from hwgen.presets import preset


def boundary(device: Device) -> list[tuple[int, int]]:
    """Factors that take one DSP, and others that take two."""
    wide, narrow = device.factor_bits
    return [(wide, narrow), (wide + 1, narrow)]


def product(a: int, b: int) -> str:
    return f"""
module product_{a}_{b}(input signed [{a - 1}:0] a, input signed [{b - 1}:0] b, output signed [{a + b - 1}:0] p);
  assign p = a * b;
endmodule
"""


SUM_TIMES = """
module top(input clk, input signed [23:0] a, d, input signed [16:0] b, output reg signed [41:0] p);
  reg signed [23:0] a_in, d_in;
  reg signed [24:0] sum;
  reg signed [16:0] b_in;
  reg signed [41:0] product;
  always @(posedge clk) begin
    a_in <= a; d_in <= d; sum <= a_in + d_in; b_in <= b; product <= sum * b_in; p <= product;
  end
endmodule
"""
"""With a register behind each step, all of it fits a DSP with an adder in front."""


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_a_sum_that_is_multiplied_is_one_dsp(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path))
    modules = synthesise(SUM_TIMES, "top", DEVICES[name])
    use = use_of(modules["top"], modules)
    assert {kind: number for kind, number in use.items() if number} == {"dsp": 1}


@pytest.fixture(scope="module", params=sorted(DEVICES))
def cells(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, dict[str, int]]]:
    """A device, and the cells of a score PE and of products that one DSP just holds and just not."""
    verilog = to_verilog(ScorePE(Params(preset("demo"))), "score_pe")
    factors = boundary(DEVICES[request.param])
    verilog += "".join(product(*pair) for pair in factors)
    # Nothing keeps what nobody instantiates.
    inside = "".join(f"  (* keep *) product_{a}_{b} p_{a}_{b}();\n" for a, b in factors)
    verilog += f"module top;\n  (* keep *) score_pe pe();\n{inside}endmodule\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        return request.param, synthesise(verilog, "top", DEVICES[request.param])


def test_a_score_pe_is_one_dsp_and_a_memory(cells) -> None:
    """No adder in LUTs; flip-flops for what goes to the right (18 + 5), the load enable, and the operand."""
    name, modules = cells
    use = use_of(modules["score_pe"], modules)
    assert (use["dsp"], use["carry"], use["bram"]) == (1, 0, 0)
    assert use["lut"] == use["lutram"] == {"xc7z020": 12, "xck26": 16}[name]
    assert use["ff"] == 18 + 5 + 1 + 18


def test_multipliers_are_counted_as_yosys_does(cells) -> None:
    name, modules = cells
    found = {(a, b): use_of(modules[f"product_{a}_{b}"], modules)["dsp"] for a, b in boundary(DEVICES[name])}
    assert found == {pair: DEVICES[name].multipliers(*pair) for pair in found}
    assert list(found.values()) == [1, 2]


def test_parts_add_up() -> None:
    modules = {
        "top": {"core": 1, "reader": 3, "LUT6": 2, "$scopeinfo": 4},
        "core": {"score_pe": 4, "FDRE": 5, "MUXF7": 9},
        "score_pe": {"DSP48E1": 1, "RAM32M": 3},
        "reader": {"RAMB18E1": 1, "SRL16E": 2, "CARRY4": 1},
    }
    found = of_modules(modules, "top", DEVICES["xc7z020"])
    assert set(found.parts) == {"itself", "core.itself", "core.score_pe x4", "reader x3"}
    for name in RESOURCES:
        assert found.total[name] == sum(use[name] for use in found.parts.values())
    counted = {"lut": 56, "lutram": 54, "srl": 6, "ff": 5, "carry": 3, "dsp": 4, "bram": 1.5, "uram": 0}
    assert found.total == counted
    assert found.as_json()["share"]["bram"] == round(1.5 / 140, 4)
    assert found.samples == {"score_pe": use_of(modules["score_pe"], modules)}
    assert all(name in found.as_table() for name in (*found.parts, "xc7z020", "one score_pe"))


def test_a_cell_nobody_counted() -> None:
    with pytest.raises(HwgenError, match="'PHASER_IN'"):
        use_of({"PHASER_IN": 1}, {})


def test_what_is_too_large_is_refused() -> None:
    z020 = DEVICES["xc7z020"]
    fits = of_modules({"top": {"LUT6": 53_200, "DSP48E1": 220}}, "top", z020)
    check_fits(fits)
    assert fits.as_json()["fits"]
    with pytest.raises(ConfigError, match="needs 221 DSP, xc7z020 has 220: make cols, or weight_bits"):
        check_fits(of_modules({"top": {"LUT6": 53_201, "DSP48E1": 221}}, "top", z020))


def test_too_many_multipliers_are_refused_without_synthesis(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    params = Params(preset("demo"))
    assert array_multipliers(params, DEVICES["xc7z020"]) == 8 * (16 + 2 * 16)
    assert array_multipliers(params, DEVICES["xck26"]) == params.macs
    with pytest.raises(ConfigError, match="weight_bits=24 halves"):
        check_quickly(params, DEVICES["xc7z020"])
    smaller = Params(preset("demo").replace({"cols": 4}))
    check_quickly(smaller, DEVICES["xc7z020"])
    folder = tmp_path / "p"
    assert main(["project", "--board", "kv260", "--preset", "wide", "-o", str(folder)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "8,192 DSPs, xck26 has 1,248: cols=9 would fit" in message
    assert not folder.exists()


def test_every_board_has_room_for_its_multipliers() -> None:
    for entry in BOARDS.values():
        check_quickly(entry.params(), entry.device)


def test_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'xc7z020'"):
        device("xc7z02")
    with pytest.raises(ConfigError, match="did you mean 'pynq-z2'"):
        board("pynqz2")


def test_registers_go_into_dsps_of_both_families() -> None:
    """yosys does it by itself for the 7 series only."""
    assert not any("xilinx_dsp" in step for step in script(DEVICES["xc7z020"], "top"))
    assert "xilinx_dsp -family xc7" in script(DEVICES["xck26"], "top")
