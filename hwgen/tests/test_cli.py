"""What a shell sees of every verb: files, text, exit status, and one line a mistake."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.formats import BF16
from hwgen import bench, checked, cli, commands, doctor
from hwgen.compare import golden_results
from hwgen.core import Core
from hwgen.params import Params
from hwgen.presets import PRESETS
from hwgen.sim.build import Build
from hwgen.sim.run import HeadJob, RunResult, Traffic
from hwgen.tests.fakes import agreeing, with_flipped_bit

ROOT = Path(cli.__file__).parent.parent
VERBS = ("generate", "sim", "demo", "bench", "presets", "doctor")
SIM = ("sim", "--preset", "tiny")


@pytest.fixture(autouse=True)
def all_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here builds a simulator, so it does not matter what is installed."""
    monkeypatch.setattr(doctor, "require", lambda *names: None)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> FakeSimulator:
    """In place of Verilator: the golden model, with the bits flipped that a test asks for."""
    fake = FakeSimulator()
    monkeypatch.setattr(checked, "build", fake.build)
    monkeypatch.setattr(checked, "simulate", fake.simulate)
    return fake


class FakeSimulator:
    """Remembers how it was called."""

    def __init__(self) -> None:
        self.flips: list[tuple[int, str, tuple[int, ...], int]] = []
        self.built: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.jobs: Sequence[HeadJob] = ()

    def build(self, params: Params, **options: Any) -> Build:
        self.built = options
        return Build(Path("nowhere"), params)

    def simulate(self, build: Build, jobs: Sequence[HeadJob], **options: Any) -> RunResult:
        self.options, self.jobs = options, jobs
        if options["waves"] is not None:
            options["waves"].write_text("$end\n")
        result = agreeing(golden_results(jobs, build.params))
        for flip in self.flips:
            result = with_flipped_bit(result, *flip)
        return result


@pytest.fixture
def no_emission(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Amaranth's output: an empty module."""

    def to_verilog(core: Core, name: str) -> str:
        core._MustUse__used = True  # else Amaranth warns that nobody elaborated it
        return f"module {name}(clk);\nendmodule\n"

    for module in (commands, bench):
        monkeypatch.setattr(module, "to_verilog", to_verilog)


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 2) -> str:
    """Run a command that must fail; gives the one line it says, without the leading `hwgen: `."""
    assert cli.main([str(word) for word in words]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("hwgen: ")
    return lines[0].removeprefix("hwgen: ")


def arrays(**changes: Any) -> dict[str, Any]:
    """q, k and v that suit `tiny`, with changes; None leaves an array out."""
    good = {name: np.ones((1, 1, rows, 8), np.float32) for name, rows in (("q", 3), ("k", 5), ("v", 5))}
    return {name: array for name, array in (good | changes).items() if array is not None}


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text
    assert f"  hwgen {verb}" in text


def test_help_names_all_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n    {verb} " in text for verb in VERBS)
    assert "example:\n  hwgen demo\n" in text


def test_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    assert cli.main(["generate", "--preset", "tiny", "-o", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.v"]
    facts = json.loads((folder / "tiny.json").read_text())
    assert facts["preset"] == "tiny"
    assert facts["configuration"]["rows_e"] == PRESETS["tiny"].config.rows_e
    assert facts["verilog"]["bytes"] == (folder / "tiny.v").stat().st_size
    assert "\nmodule hwgen_core(" in (folder / "tiny.v").read_text()
    assert str(folder / "tiny.v") in printed and facts["configuration_hash"] in printed
    # Once more in another process, folder and hash seed: the same bytes.
    command = [sys.executable, "-m", "hwgen.cli", "generate", "--preset", "tiny", "-o", "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    for name in ("tiny.v", "tiny.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_changed_parameters_keep_the_name(no_emission: None, tmp_path: Path) -> None:
    words = ["generate", "--preset", "tiny", "--set", "cols=4", "slots=2", "--set", "lanes=none", "-o", str(tmp_path)]
    assert cli.main(words) == 0
    facts = json.loads((tmp_path / "tiny.json").read_text())
    assert (facts["configuration"]["cols"], facts["configuration"]["slots"]) == (4, 2)
    assert facts["configuration_hash"] != PRESETS["tiny"].config.hash()


@pytest.mark.parametrize("verb", [("generate", "-o", "x"), ("sim",)])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "tiny", "--set", "rows_e=0"), "rows_e must lie in 1 .. 256, not 0"),
        (("--preset", "tiny", "--set", "rowse=4"), "unknown parameter 'rowse'; did you mean 'rows_e'? allowed: "),
        (("--preset", "dmeo"), "unknown preset 'dmeo'; did you mean 'demo'? allowed: "),
        (("--preset", "tiny", "--set", "head_e=10"), "head_e=10 must be a multiple of rows_e=4; the nearest is 8"),
        (("--preset", "tiny", "--set", "cols"), "expected key=value, not 'cols'"),
        (("--preset", "tiny", "--set", "cols=two"), "cols must be a whole number, not 'two'"),
        ((), "the following arguments are required: --preset"),
        (("--preset", "tiny", "--colour"), "unrecognized arguments: --colour"),
    ],
)
def test_wrong_configuration(
    capsys: pytest.CaptureFixture[str], verb: Sequence[str], words: Sequence[str], message: str
) -> None:
    assert fails(capsys, *verb, *words).startswith(message)
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": np.ones((3, 8), np.float32)}, "q must have 4 dimensions"),
        ({"q": np.ones((1, 1, 3, 8), np.int64)}, "q must be float16, float32 or bfloat16, not int64"),
        ({"v": None}, "no array called v; there is k, q"),
        ({"k": np.array([{}], dtype=object)}, "not a readable npz file: Object arrays cannot be loaded"),
        ({"v": np.ones((1, 1, 5, 4), np.float32)}, "v must have head dimension 8"),
    ],
)
def test_wrong_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, **arrays(**changes))
    assert message in fails(capsys, *SIM, "--input", path)


def test_pickle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.npz"
    path.write_bytes(pickle.dumps(arrays()))
    assert "not a readable npz file" in fails(capsys, *SIM, "--input", path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("simulate",), "argument COMMAND: invalid choice: 'simulate'"),
        ((*SIM, "--shape", "1,2,3"), "argument --shape: expected four sizes B,H,L,S from 1 on, not '1,2,3'"),
        ((*SIM, "--shape", "1,2,0,4"), "argument --shape: expected four sizes"),
        ((*SIM, "--stall", "256"), "argument --stall: expected a whole number 0 .. 255, not '256'"),
        ((*SIM, "--key-length", "-1"), "the key length must lie in 0 .. 16"),
        ((*SIM, "--scale", "inf"), "scale must be finite"),
        ((*SIM, "--input", "a.npz", "--shape", "1,1,1,1"), "--shape is for random data"),
        ((*SIM, "--input", "no-such.npz"), "no-such.npz: no such file"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str) -> None:
    assert fails(capsys, *words).startswith(message)


def test_unwritable_folder(no_emission: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert fails(capsys, "generate", "--preset", "tiny", "-o", tmp_path / "file").endswith("file: File exists")


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
    no_emission: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "out" / "bench.json"
    targets = (3.8, 3.9)
    cases = [replace(case, target=target) for case, target in zip(bench.QUICK[1:], targets, strict=True)]
    monkeypatch.setattr(bench, "QUICK", cases)
    assert bench.run(file, True, bare=lambda build, jobs: (1000, 0.25)) == 0
    facts = {case["name"]: case for case in json.loads(file.read_text())["cases"]}
    assert list(facts) == ["causal_48", "heads_4x16", "speed_cocotb", "speed_bare", "emit_tiny", "emit_demo"]
    assert facts["causal_48"]["utilisation"] == 3800 * 16 / (1000 * 16)
    assert [facts[name]["met"] for name in ("causal_48", "heads_4x16")] == [True, False]
    assert facts["causal_48"]["idle"]["score"]["drain"] == 100
    assert (facts["speed_cocotb"]["cycles_per_second"], facts["speed_bare"]["cycles_per_second"]) == (2000, 4000)
    assert facts["emit_tiny"]["modules"] == 1
    printed = capsys.readouterr().out
    assert ">= 3.9   no" in printed and "4.00 k" in printed and str(file) in printed


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(PRESETS)
    for line, entry in zip(lines[2:], PRESETS.values(), strict=True):
        assert line.endswith(entry.purpose)
    assert cli.main(["presets", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [fact["macs_per_cycle"] for fact in facts if fact["preset"] == "sim"] == [512]


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(doctor.CHECKS)
    assert status == int(any(" missing " in line for line in lines))


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("doctor",), 1, "numpy       missing   make setup"),
        (("presets",), 2, "hwgen: numpy       missing   make setup"),
        (("generate", "--preset", "tiny", "-o", "x"), 2, "hwgen: amaranth    missing   make setup"),
        (("demo",), 2, "hwgen: cocotb      missing   make setup"),
    ],
)
def test_missing_packages(tmp_path: Path, words: Sequence[str], status: int, text: str) -> None:
    # -S hides site-packages, and with it everything hwgen depends on.
    command = [sys.executable, "-S", "-m", "hwgen.cli", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "presets", interrupted)
    assert fails(capsys, "presets", status=130) == "interrupted"


def test_reader_that_leaves() -> None:
    command = f"{sys.executable} -m hwgen.cli presets --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
