"""`hwgen score`: tables, JSON and drawings of what a score function becomes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwgen import cli
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.scoremod import report
from hwgen.scoremod.area import Area, lane_verilog, markdown, synthesise
from hwgen.scoremod.graph import arrange
from hwgen.scoremod.library import LIBRARY
from hwgen.scoremod.schedule import schedule
from hwgen.softmax.pair import arrivals, pair_latency
from hwgen.softmax.scale import ScoreScale

ROOT = Path(cli.__file__).parent.parent
MINE = """
from hwgen import scoremod

slopes = scoremod.Table([0.5, 0.25], name="slopes")
span = scoremod.Parameter("span", 100, 0, 1000)


def tilted(score, b, h, q_idx, kv_idx):
    back = scoremod.minimum(scoremod.maximum(q_idx - kv_idx, 0), 1023)
    return scoremod.tanh(score * 0.125) * 8.0 - slopes[h] * back


def slanted(score, b, h, q_idx, kv_idx):
    return score + slopes[h] * scoremod.maximum(kv_idx - q_idx, -1023)


def near(b, h, q_idx, kv_idx):
    return q_idx - kv_idx < span


both = scoremod.trace(tilted, near)
number = 3


def broken(score, b, h, q_idx, kv_idx):
    return score if score > 0 else -score
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return str(path)


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["score", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a wrong call prints."""
    assert cli.main(["score", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0].removeprefix("hwgen: ")


def test_json_is_what_the_schedules_say(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, f"{mine}:both")
    params = Params(preset("sim"))
    machine = report.machine(params, report.traced(f"{mine}:both", params).program)
    lane = schedule(machine.partition.lane, arrivals(machine))
    assert found["score"] == f"{mine}:both"
    assert found["lanes"] == params.lanes
    assert found["added_latency"] == pair_latency(machine) - ScoreScale.LATENCY == lane.latency - ScoreScale.LATENCY
    assert set(found["outputs"]) == {"score", "seen"}
    assert found["outputs"]["seen"] == "bool"
    part = found["parts"]["lane"]
    assert (part["latency"], part["registers"], part["balancing"]) == (
        lane.latency,
        lane.register_bits,
        lane.balancing_bits,
    )
    assert [node["operation"] for node in part["nodes"]] == [node.op for node in lane.graph.program.nodes]
    assert [node["valid"] for node in part["nodes"] if node["operation"] == "tanh"] == [
        lane.valid[i] for i, node in enumerate(lane.graph.program.nodes) if node.op == "tanh"
    ]
    # The slopes are looked up once a query; that the hyperbolic tangent reads a ROM shows where it stands.
    assert found["parts"]["query"]["table_bits"] > 0 == found["parts"]["lane"]["table_bits"]
    assert found["parts"]["lane"]["rom_bits"] > 0 == found["parts"]["key"]["rom_bits"]
    places = {a["name"]: (a["size"], a["first_word"]) for a in found["arguments"]}
    assert sorted(size for size, _ in places.values()) == [1, 2]
    assert sorted(first for _, first in places.values())[0] == 0


def test_tables(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, f"{mine}:both")
    assert cli.main(["score", f"{mine}:both"]) == 0
    text = capsys.readouterr().out
    for part in ("query", "lane"):
        facts = found["parts"][part]
        row = next(line.split() for line in text.splitlines() if line.startswith(f"{part} "))
        assert row[2:5] == [str(facts["latency"]), f"{facts['registers']:,}", f"{facts['balancing']:,}"]
        assert row[5] == str(facts["multipliers"])
        block = text.split(f"{part}: ", 1)[1]
        assert all(f"\n{node['node']} " in block for node in facts["nodes"])
    assert re.search(r"(?m)^\d+ +tanh +\d+ +s24\.22 +-1 \.\. 1 +\d+", text)


def test_roles_come_from_the_parameters(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(as_json(capsys, f"{mine}:tilted")["outputs"]) == {"score"}
    assert set(as_json(capsys, f"{mine}:near")["outputs"]) == {"seen"}


def test_preset_gives_the_formats(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    wide = as_json(capsys, f"{mine}:tilted", "--set", "score_frac=10")
    assert wide["outputs"]["score"].endswith(".10")
    assert as_json(capsys, f"{mine}:tilted", "--preset", "tiny")["lanes"] == Params(preset("tiny")).lanes


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_every_library_function(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, name)
    assert found["outputs"] and found["added_latency"] >= 0
    for part in found["parts"].values():
        for node in part["nodes"]:
            assert node["valid"] is None or node["start"] <= node["valid"] <= part["latency"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alibbi", "unknown score function 'alibbi'; did you mean 'alibi'?"),
        ("nowhere.py:f", "nowhere.py: no such file"),
        ("{mine}:absent", "{mine} has no 'absent'"),
        ("{mine}:number", "{mine}:number is no score_mod(score, b, h, q_idx, kv_idx), "),
        ("{mine}:broken", "{mine}:26: "),
    ],
)
def test_mistakes(name: str, message: str, mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, name.format(mine=mine)).startswith(message.format(mine=mine))


def test_mistakes_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("1 / 0\n")
    assert fails(capsys, f"{path}:f") == f"{path}: ZeroDivisionError: division by zero"
    assert "expected a file .svg or .png, not 'x.pdf'" in fails(capsys, "alibi", "-o", "x.pdf")


def test_drawings_are_the_same_every_time(mine: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hwgen.cli", "score", f"{mine}:both"]
    for name in ("a.svg", "a.png"):
        assert cli.main([*command[3:], "-o", str(tmp_path / "new" / name)]) == 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    subprocess.run([*command, "-o", "b.svg"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "new" / "a.svg").read_bytes()
    text = (tmp_path / "b.svg").read_text()
    for word in ("tanh", "slopes", "seen", "once a query"):
        assert word in text
    assert (tmp_path / "new" / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_no_two_values_share_a_line(mine: str) -> None:
    """At no time; and nothing is drawn before its operands are there."""
    params = Params(preset("sim"))
    machine = report.machine(params, report.traced(f"{mine}:both", params).program)
    for found in report.schedules(machine).values():
        layout = arrange(found)
        for i, place in layout.places.items():
            for j, other in layout.places.items():
                if i < j and place.row == other.row:
                    assert place.end < other.left or other.end < place.left
            for a in found.graph.program.nodes[i].args:
                assert a not in layout.places or layout.places[a].right <= place.left + 1e-9


def test_area_of_a_known_circuit() -> None:
    verilog = """
module two(input clk, input [17:0] a, input [17:0] b, output reg [35:0] y, output z);
  always @(posedge clk) y <= a * b;
  assign z = a[0] & b[1];
endmodule
"""
    assert synthesise(verilog, "two") == Area(luts=1, registers=36, multipliers=1, memories=0)


def test_area_of_a_lane(mine: str) -> None:
    """As many multipliers as the report counts, and no more flip-flops."""
    params = Params(preset("sim"))
    machine = report.machine(params, report.traced(f"{mine}:slanted", params).program)
    area = synthesise(lane_verilog(machine), "lane")
    facts = report.facts("", "sim", machine)["parts"]["lane"]
    assert area.multipliers == facts["multipliers"]
    assert 0 < area.registers <= facts["registers"]
    assert area.luts > 0


def test_area_table() -> None:
    lines = markdown([("causal", "1", "2", "3", "4", "5")]).splitlines()
    assert lines[0].startswith("| score function | LUT4 |")
    assert lines[2] == "| causal | 1 | 2 | 3 | 4 | 5 |"
