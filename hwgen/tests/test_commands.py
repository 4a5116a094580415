"""What the verbs do with a simulation: table, JSON, pictures, exit status. The simulator is the golden model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.formats import BF16
from hwgen import backends, bench, bench_scores, checked, cli, doctor
from hwgen.bench import RunCase
from hwgen.errors import SimulationError
from hwgen.sim import system
from hwgen.sim.system import MemoryTraits
from hwgen.tests.fakes import FakeSimulator, arrays, empty_verilog

SIM = ("sim", "--preset", "tiny")
_, CAUSAL, HEADS = bench.QUICK
DECODE = RunCase(name="decode", preset="tiny", shape=(1, 4, 1, 9), kv_heads=2, head=(5, 3), figure="read_busy")


@pytest.fixture(autouse=True)
def simulator(monkeypatch: pytest.MonkeyPatch) -> FakeSimulator:
    """In place of Verilator: the golden model, with the bits flipped that a test asks for."""
    fake = FakeSimulator()
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(checked, "build_system", fake.build_system)
    monkeypatch.setattr(checked, "run_layer", fake.run_layer)
    monkeypatch.setattr(bench, "build", fake.build)
    monkeypatch.setattr(bench, "simulate", fake.simulate)
    monkeypatch.setattr(bench, "to_verilog", empty_verilog)
    monkeypatch.setitem(backends.BACKENDS, "rtl", fake.run_task)
    return fake


def test_sim_prints_a_table(simulator: FakeSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    memory = ["--latency", "20", "--bandwidth", "128", "--stall", "30"]
    assert cli.main([*SIM, "--shape", "1,2,4,6", "--seed", "3", *memory]) == 0
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    texts = {name: text.strip() for name, text in rows.items()}
    assert texts["input"] == "random N(0, 1), seed 3, bf16"
    assert texts["shape"] == "batch 1, heads 2, queries 4, keys 6, E 8, F 8"
    assert texts["cycles"] == "1,000"
    assert texts["score array idle"] == "fill 100, wait_k 40, drain 100"
    assert texts["bytes read, written"] == "8,000, 2,400"
    # 500 words of 16 bytes.
    assert texts["read channel busy"] == "0.5000"
    assert texts["bits compared"] == "1,522 (O 1,024, RM 112, RD 368, flags 18)"
    assert texts["bits equal"] == "1,522 (all)"
    assert texts["simulated cycles/s"] == "2.00 k"
    assert "poisoned rows" not in texts
    assert simulator.options["memory"] == MemoryTraits(seed=3, latency=20, bandwidth=128, stall=30)
    assert (simulator.options["trace"], simulator.options["lse"]) == (False, True)
    assert simulator.built == {"memory_bits": 20, "waves": False}


def test_sim_without_data_takes_two_blocks(simulator: FakeSimulator) -> None:
    assert cli.main([*SIM, "--set", "in_format=fp32"]) == 0
    assert simulator.options["memory"] == MemoryTraits(seed=1, latency=100)
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
    assert (report["read_channel_busy"], report["counters"]["read_bytes_k"]) == (0.5, 3200)
    assert cli.main([*SIM, "--input", str(path)]) == 0
    assert "poisoned rows          1 of 12 saw NaN or Inf; (b, h, p): (0, 3, 1)\n" in capsys.readouterr().out


def test_sim_of_smaller_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, **{name: array[..., :size] for (name, array), size in zip(arrays().items(), (5, 5, 3), strict=True)})
    assert cli.main([*SIM, "--input", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["shape"]["E"], report["shape"]["F"]) == (5, 3)
    assert report["bits_compared"] == report["bits_equal"]
    # Work that is useful is that of the heads, not that of the arrays.
    assert report["macs"]["useful"] == report["pairs"] * (5 + 3)


def test_memory_is_as_large_as_the_tensors(
    simulator: FakeSimulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # 2^15 rows of 8 numbers of 2 bytes in each of K and V, and room around them.
    words = [*SIM, "--shape", "1,1,1,32768", "--key-length", "1"]
    assert cli.main(words) == 0
    assert simulator.built["memory_bits"] == 22
    monkeypatch.setattr(system, "MAX_MEMORY_BITS", 20)
    simulator.built = {}
    assert cli.main(words) == 2
    assert "bytes of a simulated memory, which holds 1048576" in capsys.readouterr().err
    assert simulator.built == {}


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
    cases = (
        replace(CAUSAL, target=3.8),
        replace(HEADS, target=3.9),
        replace(DECODE, target=0.51),
        replace(DECODE, name="again", target=0.5),
    )
    monkeypatch.setattr(bench, "QUICK", cases)
    window, sparse = bench_scores.QUICK
    monkeypatch.setattr(bench_scores, "QUICK", (replace(window, target=0.5), replace(sparse, target=0.51)))
    assert bench.run(file, True, bare=lambda build, jobs: (1000, 0.25)) == 0
    report = json.loads(file.read_text())
    facts = {case["name"]: case for case in report["cases"]}
    runs = [case.name for case in cases]
    speeds = ["speed_cocotb", "speed_bare", "speed_accelerator"]
    memory = [f"memory_{1 << n}" for n in (10, 12, 14, 16, 18, 20)]
    scores = [window.name, sparse.name]
    assert list(facts) == [*runs, *speeds, "emit_tiny", "emit_demo", *memory, *scores]
    assert facts["causal_48"]["utilisation"] == 3800 * 16 / (1000 * 16)
    assert [facts[name]["met"] for name in runs] == [True, False, False, True]
    assert facts["decode"]["shape"] == {"B": 1, "Hq": 4, "Hkv": 2, "L": 1, "S": 9, "E": 5, "F": 3}
    assert (facts["decode"]["read_busy"], facts["decode"]["bytes_read"]) == (0.5, 8000)
    assert facts["causal_48"]["idle"]["score"]["drain"] == 100
    assert [facts[name]["cycles_per_second"] for name in speeds] == [2000, 4000, 2000]
    assert (facts["speed_cocotb"]["part_of_bare"], facts["speed_cocotb"]["met"]) == (0.5, False)
    assert facts["emit_tiny"]["modules"] == 1
    assert {facts[name]["on_chip_bits"] for name in memory} == {18 * 16}
    assert facts["memory_4096"]["score_rows_bits"] == 2 * 4 * 4096 * 16
    assert [facts[name]["met"] for name in scores] == [True, False]
    assert facts[sparse.name]["bits_equal"] == facts[sparse.name]["bits_compared"] == 32 * 8 * BF16.bits
    assert facts[sparse.name]["idle"] == facts["causal_48"]["idle"]
    assert (facts[sparse.name]["cycles"], facts[sparse.name]["bytes_read"]) == (1000, 8000)
    assert report["memory_latency"] == 100
    assert simulator.options["memory"] == MemoryTraits(latency=100)
    printed = capsys.readouterr().out
    assert "utilisation >= 3.9   no" in printed and "bus read >= 0.5  yes" in printed
    assert re.search(r"sparse_32 .* >= 0\.51 +no +all 4,096  fill 100, wait_k 40, drain 100", printed)
    assert "4.00 k" in printed and "1,048,576" in printed and str(file) in printed


def test_bench_asks_for_no_lse(simulator: FakeSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "QUICK", (HEADS,))
    monkeypatch.setattr(bench_scores, "QUICK", ())
    file = tmp_path / "bench.json"

    def facts() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(file.read_text())["cases"][0]
        return found

    assert bench.run(file, True, bare=lambda build, jobs: (1000, 0.25)) == 0
    # O, and the two bits of the run.
    assert facts()["bits_compared"] == facts()["bits_equal"] == 4 * 16 * 8 * BF16.bits + 2
    simulator.flips = [(3, "out", (1, 6), 15)]
    with pytest.raises(SimulationError, match="first difference from the golden model: O at b=0 h=3 p=1 f=6"):
        bench.run(file, True, bare=lambda build, jobs: (1000, 0.25))
    assert facts()["bits_compared"] == facts()["bits_equal"] + 1


def test_bench_of_scores(simulator: FakeSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a machine of its own, one with a program, one with lists; a wrong bit is found."""
    facts = bench_scores.run_cases(bench_scores.QUICK)
    bench_scores.require_equal(facts)
    window, sparse = (task.params for task in simulator.tasks)
    assert window.score is not None and not window.config.block_list
    assert sparse.score is None and sparse.config.block_list
    assert all(params.config.head_e == 8 for params in (window, sparse))
    simulator.flips = [(0, "out", (9, 6), 15)]
    wrong = bench_scores.run_cases(bench_scores.QUICK[1:])
    assert wrong[0]["bits_compared"] == wrong[0]["bits_equal"] + 1
    assert "all but 1 " in bench_scores.score_table(wrong)
    with pytest.raises(SimulationError, match="sparse_32: first difference .*: O at b=0 h=0 p=9 f=6: got 0x"):
        bench_scores.require_equal([*facts, *wrong])


def test_score_cases_of_the_bench_say_what_they_ask_for() -> None:
    """Their arguments make sense, and what a mask leaves is what its name says."""
    cases = {case.name: case for case in bench_scores.FULL}
    seen = cases["sparse_4096"].options(4096)["block_mask"]
    assert seen.sparsity == 0.75
    assert cases["window_256_4096"].options(4096) == {"window": (255, 0)}
    assert all(case.target is not None and case.preset == "sim" for case in cases.values())
