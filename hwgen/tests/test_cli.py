"""What a shell sees of every verb: files, text, exit status, and one line a mistake."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen import cli, commands, doctor
from hwgen.params import Params
from hwgen.presets import PRESETS
from hwgen.scoremod import report
from hwgen.tests.fakes import arrays, emitted_once, empty_verilog

ROOT = Path(cli.__file__).parent.parent
VERBS = ("generate", "sim", "report", "model", "score", "demo", "demo-minilm", "bench", "results", "passes", "sweep")
VERBS += ("presets", "doctor", "synth")
FILES = [f"tiny{ending}" for ending in (".h", ".json", ".v", "_registers.md", "_registers.py", "_registers.rdl")]
SIM = ("sim", "--preset", "tiny")
MINE = """
from hwgen import scoremod

slopes = scoremod.Table([0.5, 0.25], name="slopes")
span = scoremod.Parameter("span", 100, 0, 1000)


def tilted(score, b, h, q_idx, kv_idx):
    return score - slopes[h] * scoremod.minimum(scoremod.maximum(q_idx - kv_idx, 0), 1023)


def near(b, h, q_idx, kv_idx):
    return q_idx - kv_idx < span


both = scoremod.trace(tilted, near)
"""


@pytest.fixture(autouse=True)
def all_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here builds a simulator, so it does not matter what is installed."""
    monkeypatch.setattr(doctor, "require", lambda *names: None)


@pytest.fixture
def no_emission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "to_verilog", empty_verilog)


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 2) -> str:
    """Run a command that must fail; gives the one line it says, without the leading `hwgen: `."""
    assert cli.main([str(word) for word in words]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("hwgen: ")
    return lines[0].removeprefix("hwgen: ")


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
    # A verb longer than the others has its text in the next line.
    assert [word for word in re.findall(r"^    (\S+)\s", text, re.MULTILINE)] == list(VERBS)
    assert "example:\n  hwgen demo\n" in text


def test_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "to_verilog", emitted_once)
    folder = tmp_path / "new" / "folder"
    assert cli.main(["generate", "--preset", "tiny", "-o", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert all(str(folder / name) in printed for name in FILES)
    facts = json.loads((folder / "tiny.json").read_text())
    assert (facts["preset"], facts["module"]) == ("tiny", "hwgen_accelerator")
    assert facts["configuration"]["rows_e"] == PRESETS["tiny"].config.rows_e
    assert facts["verilog"]["bytes"] == (folder / "tiny.v").stat().st_size
    assert "\nmodule hwgen_accelerator(" in (folder / "tiny.v").read_text()
    # What drivers are made of names the configuration.
    assert facts["configuration_hash"] in printed
    for name in ("tiny.h", "tiny_registers.py", "tiny_registers.rdl"):
        assert facts["configuration_hash"] in (folder / name).read_text().replace("_", ""), name
    # Once more in another process, folder and hash seed: the same bytes.
    command = [sys.executable, "-m", "hwgen.cli", "generate", "--preset", "tiny", "-o", "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_generate_the_core(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "to_verilog", emitted_once)
    assert cli.main(["generate", "--preset", "tiny", "--top", "core", "-o", str(tmp_path)]) == 0
    # It has no registers.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.json", "tiny.v"]
    assert json.loads((tmp_path / "tiny.json").read_text())["module"] == "hwgen_core"
    verilog = (tmp_path / "tiny.v").read_text()
    assert "\nmodule hwgen_core(" in verilog and "s_axi" not in verilog
    assert "tiny.h" not in capsys.readouterr().out


def test_generate_with_a_score_function(no_emission: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that a driver has to know of its arguments."""
    (tmp_path / "mine.py").write_text(MINE)
    name, folder = f"{tmp_path / 'mine.py'}:both", tmp_path / "build"
    words = ["generate", "--preset", "tiny", "--score", name, "-o", str(folder)]
    assert cli.main(words) == 0
    assert re.search(r"(?m)^score +.*mine.py:both, 3 argument words, \d+ cycles added$", capsys.readouterr().out)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    facts = json.loads((folder / "tiny.json").read_text())
    params = Params(PRESETS["tiny"].config)
    traced = report.traced(name, params)
    machine = report.machine(params, traced.program)
    assert facts["configuration_hash"] == machine.config.hash()
    score = facts["score"]
    assert (score["name"], score["text"], score["inputs"]) == (name, MINE, list(traced.program.inputs))
    assert (score["record_bytes"], score["bias"], score["segmented"]) == (64 + 3 * 4, False, True)
    for argument in score["arguments"]:
        numbers = traced.contents[argument["of"]].reshape(-1)
        unit = argument["factor"] * 2 ** argument["frac"]
        assert argument["contents"] == np.rint(numbers * unit).tolist()
        assert all(argument["low"] <= code <= argument["high"] for code in argument["contents"])
        first = argument["first_word"]
        assert argument["contents"] == traced.words()[first : first + argument["size"]].tolist()
    latencies = {part: score["parts"][part]["latency"] for part in ("query", "key", "lane")}
    assert latencies == {part: found.latency for part, found in report.schedules(machine).items()}
    header = (folder / "tiny.h").read_text()
    (span,) = (a["offset"] for a in score["arguments"] if a["name"] == "span")
    assert f"#define HWGEN_ARGUMENT_SPAN_OFFSET {span}u\n" in header and "HWGEN_ARGUMENT_SLOPES_FRAC" in header
    # The core has no header, but the same program.
    core = tmp_path / "core"
    assert cli.main([*words[:-1], str(core), "--top", "core"]) == 0
    assert json.loads((core / "tiny.json").read_text())["score"] == score


def test_generate_with_lists(no_emission: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generate", "--preset", "tiny", "--block-list", "-o", str(tmp_path)]) == 0
    assert re.search(r"(?m)^keys +may be listed$", capsys.readouterr().out)
    facts = json.loads((tmp_path / "tiny.json").read_text())
    assert facts["configuration"]["block_list"] is True and "score" not in facts
    # There is a score record for the list, but no argument in it.
    header = (tmp_path / "tiny.h").read_text()
    assert "struct hwgen_score_record" in header and "HWGEN_ARGUMENT" not in header


def test_changed_parameters_keep_the_name(no_emission: None, tmp_path: Path) -> None:
    words = ["generate", "--preset", "tiny", "--set", "cols=4", "slots=2", "--set", "lanes=none", "-o", str(tmp_path)]
    assert cli.main(words) == 0
    facts = json.loads((tmp_path / "tiny.json").read_text())
    assert (facts["configuration"]["cols"], facts["configuration"]["slots"]) == (4, 2)
    assert facts["configuration_hash"] != PRESETS["tiny"].config.hash()


@pytest.mark.parametrize("verb", [("generate", "-o", "x"), ("sim",), ("report", "-o", "x.html")])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "tiny", "--set", "rows_e=0"), "rows_e must lie in 1 .. 256, not 0"),
        (("--preset", "tiny", "--set", "rowse=4"), "unknown parameter 'rowse'; did you mean 'rows_e'? allowed: "),
        (("--preset", "dmeo"), "unknown preset 'dmeo'; did you mean 'demo'? allowed: "),
        (("--preset", "tiny", "--set", "head_e=10"), "head_e=10 must be a multiple of rows_e=4; the nearest is 8"),
        (("--preset", "tiny", "--set", "cols"), "expected key=value, not 'cols'"),
        (("--preset", "tiny", "--set", "score=alibi"), "score is no word; `hwgen generate` takes it as --score"),
        (("--preset", "tiny", "--set", "block_list=1"), "block_list is no word; `hwgen generate` takes it as --block"),
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
        ({"v": np.ones((1, 1, 5, 9), np.float32)}, "v must have a head dimension of at most 8"),
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
        ((*SIM, "--bandwidth", "0"), "argument --bandwidth: expected a whole number 1 .. 256, not '0'"),
        ((*SIM, "--latency", "1"), "argument --latency: expected a whole number 2 .. 65536, not '1'"),
        ((*SIM, "--latency", "1e3"), "argument --latency: expected a whole number 2 .. 65536, not '1e3'"),
        ((*SIM, "--seed", "-1"), "argument --seed: expected a whole number 0 .. 2147483647, not '-1'"),
        (("generate", "--preset", "tiny", "-o", "x", "--top", "array"), "argument --top: invalid choice: 'array'"),
        (("generate", "--preset", "tiny", "-o", "x", "--score", "alibbi"), "unknown score function 'alibbi'; did you"),
        (("report", "--preset", "tiny", "-o", "x.pdf"), "argument -o: expected a file .html, not 'x.pdf'"),
        ((*SIM, "--key-length", "-1"), "the key length must lie in 0 .. 16"),
        ((*SIM, "--scale", "inf"), "scale must be finite"),
        ((*SIM, "--offset", "-3"), "the causal offset -3 has no effect without a causal mask"),
        ((*SIM, "--input", "a.npz", "--shape", "1,1,1,1"), "--shape is for random data"),
        ((*SIM, "--input", "no-such.npz"), "no-such.npz: no such file"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str) -> None:
    assert fails(capsys, *words).startswith(message)


def test_unwritable_folder(no_emission: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert fails(capsys, "generate", "--preset", "tiny", "-o", tmp_path / "file").endswith("file: File exists")


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(PRESETS)
    bus = slice(lines[0].index("bus bits"), lines[0].index("formats"))
    for line, entry in zip(lines[2:], PRESETS.values(), strict=True):
        assert line.endswith(entry.purpose)
        assert line[bus].strip() == str(entry.config.bus_bits)
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
        (("doctor",), 1, "numpy         missing   make setup"),
        (("presets",), 2, "hwgen: numpy         missing   make setup"),
        (("generate", "--preset", "tiny", "-o", "x"), 2, "hwgen: amaranth      missing   make setup"),
        (("demo",), 2, "hwgen: cocotb        missing   make setup"),
        (("demo-minilm",), 2, "hwgen: cocotb        missing   make setup"),
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
