"""What the verbs do with a simulation: table, JSON, pictures, exit status. The simulator is the golden model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.formats import BF16
from hwgen import bench, checked, cli, doctor
from hwgen.sim.run import Traffic
from hwgen.tests.fakes import FakeSimulator, arrays, empty_verilog

SIM = ("sim", "--preset", "tiny")


@pytest.fixture(autouse=True)
def simulator(monkeypatch: pytest.MonkeyPatch) -> FakeSimulator:
    """In place of Verilator: the golden model, with the bits flipped that a test asks for."""
    fake = FakeSimulator()
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(checked, "build", fake.build)
    monkeypatch.setattr(checked, "simulate", fake.simulate)
    monkeypatch.setattr(bench, "simulate", fake.simulate)
    return fake


def test_sim_prints_a_table(simulator: FakeSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SIM, "--shape", "1,2,4,6", "--seed", "3", "--idle", "20", "--stall", "30"]) == 0
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    texts = {name: text.strip() for name, text in rows.items()}
    assert texts["input"] == "random N(0, 1), seed 3, bf16"
    assert texts["shape"] == "batch 1, heads 2, queries 4, keys 6, E 8, F 8"
    assert texts["cycles"] == "1,000"
    assert texts["score array idle"] == "fill 100, wait_k 40, drain 100"
    assert texts["bits compared"] == "1,522 (O 1,024, RM 112, RD 368, flags 18)"
    assert texts["bits equal"] == "1,522 (all)"
    assert texts["simulated cycles/s"] == "2.00 k"
    assert "poisoned rows" not in texts
    assert simulator.options["traffic"] == Traffic(3, 20, 30)
    assert (simulator.options["trace"], simulator.built["waves"]) == (False, False)


def test_sim_without_data_takes_two_blocks(simulator: FakeSimulator) -> None:
    assert cli.main([*SIM, "--set", "in_format=fp32"]) == 0
    (job,) = simulator.jobs
    assert job.q.shape == job.k.shape == job.v.shape == (16, 8)
    assert job.q.dtype == np.uint32


def test_sim_of_a_file(simulator: FakeSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    q = np.ones((1, 4, 3, 8), np.float32)
    q[0, 3, 1, 2] = np.nan
    path = tmp_path / "in.npz"
    np.savez(path, **arrays(q=q, k=np.ones((1, 2, 5, 8), np.float32), v=np.ones((1, 2, 5, 8), np.float32)))
    words = ["--input", str(path), "--causal", "--offset", "-1", "--key-length", "4", "--json"]
    assert cli.main([*SIM, *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input"] == "in.npz: fp32 rounded to bf16"
    assert report["shape"] == {"B": 1, "Hq": 4, "Hkv": 2, "L": 3, "S": 5, "E": 8, "F": 8}
    assert (report["causal"], report["offset"], report["keys"]) == (True, -1, 4)
    assert (report["poisoned_rows"], report["first_poisoned_rows"]) == (1, [[0, 3, 1]])
    assert report["bits_compared"] == report["bits_equal"]
    assert report["idle"]["score"]["wait_k"] == 40
    assert cli.main([*SIM, "--input", str(path)]) == 0
    assert "poisoned rows          1 of 12 saw NaN or Inf; (b, h, p): (0, 3, 1)\n" in capsys.readouterr().out


def test_saturated_scores_are_reported(simulator: FakeSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SIM, "--scale", "2000"]) == 0
    assert "saturated              scores were clamped to +-2^11 (base 2)" in capsys.readouterr().out
    assert cli.main([*SIM, "--scale", "2000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["saturated"] is True


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_wrong_bit_fails(simulator: FakeSimulator, capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> None:
    simulator.flips = [(2, "out", (1, 6), 15)]
    assert cli.main([*SIM, "--shape", "2,2,3,4", *words]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("hwgen: first difference from the golden model: O at b=1 h=0 p=1 f=6: got 0x")
    got, want = (float(text) for text in line[line.index("(") + 1 : -1].split(", want "))
    assert got == -want
    if words:
        report = json.loads(captured.out)
        assert report["bits_compared"] - report["bits_equal"] == 1
        assert line.endswith(report["first_difference"])
    else:
        assert "bits equal             2,281\n" in captured.out


def test_sim_writes_picture_and_waves(simulator: FakeSimulator, tmp_path: Path) -> None:
    picture, waves = tmp_path / "a" / "run.png", tmp_path / "b" / "run.vcd"
    assert cli.main([*SIM, "--picture", str(picture), "--waves", str(waves)]) == 0
    assert picture.read_bytes()[1:4] == b"PNG"
    assert waves.exists()
    assert (simulator.options["trace"], simulator.built["waves"]) == (True, True)


def test_demo(simulator: FakeSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert cli.main(["demo", "-o", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((folder / "demo.json").read_text())
    assert (folder / "demo.png").read_bytes()[1:4] == b"PNG"
    assert len(simulator.jobs) == 72
    assert report["shape"] == {"B": 6, "Hq": 12, "Hkv": 12, "L": 48, "S": 48, "E": 32, "F": 32}
    assert report["bits_equal"] == report["bits_compared"] > 72 * 48 * 32 * BF16.bits
    assert report["error"]["ratio"] < 1.02


def test_bench(
    simulator: FakeSimulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "out" / "bench.json"
    targets = (3.8, 3.9)
    cases = [replace(case, target=target) for case, target in zip(bench.QUICK[1:], targets, strict=True)]
    monkeypatch.setattr(bench, "QUICK", cases)
    monkeypatch.setattr(bench, "to_verilog", empty_verilog)
    assert bench.run(file, True, bare=lambda build, jobs: (1000, 0.25)) == 0
    facts = {case["name"]: case for case in json.loads(file.read_text())["cases"]}
    assert list(facts) == ["causal_48", "heads_4x16", "speed_cocotb", "speed_bare", "emit_tiny", "emit_demo"]
    assert facts["causal_48"]["utilisation"] == 3800 * 16 / (1000 * 16)
    assert [facts[name]["met"] for name in ("causal_48", "heads_4x16")] == [True, False]
    assert facts["causal_48"]["idle"]["score"]["drain"] == 100
    assert (facts["speed_cocotb"]["cycles_per_second"], facts["speed_bare"]["cycles_per_second"]) == (2000, 4000)
    assert (facts["speed_cocotb"]["part_of_bare"], facts["speed_cocotb"]["met"]) == (0.5, False)
    assert facts["emit_tiny"]["modules"] == 1
    printed = capsys.readouterr().out
    assert ">= 3.9   no" in printed and "4.00 k" in printed and str(file) in printed
