"""`hwgen model`."""

from __future__ import annotations

import json

import pytest

from golden.exact import Shape
from hwgen.cli import main
from hwgen.model.machine import Memory, predict
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.presets import preset

ASKED = ["model", "--preset", "tiny", "--set", "slots=3", "--shape", "2,4,9,30", "--kv-heads", "2", "--head", "7,5"]
MASKS = ["--causal", "--offset", "-2", "--key-length", "21", "--no-lse", "--latency", "40", "--bandwidth", "200"]


def expected():
    work = Work(shape=Shape(2, 4, 2, 9, 30, 7, 5), causal=True, offset=-2, key_lengths=(21, 21))
    return predict(Params(preset("tiny").replace({"slots": 3})), work, Memory(latency=40, bandwidth=200))


def test_json_is_the_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, *MASKS, "--clock", "100", "--json"]) == 0
    found, want = json.loads(capsys.readouterr().out), expected()
    assert found["counters"] == want.counters and found["cycles"] == want.cycles
    assert found["shape"] == want.work.shape._asdict() and found["key_lengths"] == [21, 21]
    assert found["bytes"] == want.bytes and found["bytes"]["lse"] == 0
    assert found["idle"] == {array: want.idle(array) for array in ("score", "value")}
    assert found["seconds"] == pytest.approx(want.cycles / 100e6, rel=1e-15)
    assert found["configuration"]["slots"] == 3 and found["memory"] == {"latency": 40, "bandwidth": 200}


def test_the_table_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, *MASKS, "--clock", "100"]) == 0
    printed, want = capsys.readouterr().out, expected()
    lines = dict(line.split("  ", 1) for line in printed.splitlines())
    assert lines["cycles"].strip() == f"{want.cycles:,}"
    assert lines["utilisation"].strip() == f"{want.utilisation:.4f}"
    for name, number in want.idle("score").items():
        assert not number or f"{name} {number:,}" in lines["score array idle"]
    assert lines["seconds"].strip().endswith("at 100 MHz")


def test_log_sum_exps_are_written_unless_refused(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for option in ([], ["--lse"], ["--no-lse"]):
        assert main(["model", "--preset", "tiny", "--shape", "1,1,3,4", *option, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["bytes"]["lse"])
    assert found[0] == found[1] > found[2] == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--shape", "1,1,1"], "expected four sizes B,H,L,S"),
        (["--shape", "1,1,1,1", "--head", "3"], "expected two head dimensions E,F, not '3'"),
        (["--shape", "1,1,1,1", "--clock", "0"], "expected a frequency in MHz above 0, not '0'"),
        (["--shape", "1,3,1,1", "--kv-heads", "2"], "Hq=3 must be a multiple of Hkv=2"),
        (["--shape", "1,1,1,1", "--offset", "4"], "has no effect without a causal mask"),
        (["--shape", "1,1,1,4", "--key-length", "5"], "a key length must lie in 0 .. 4, not 5"),
        (["--shape", "1,1,1,1", "--head", "9,8"], "E must be at most 8 (the core's head_e), not 9"),
    ],
)
def test_mistakes_are_told(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "--preset", "tiny", *arguments]) == 2
    assert words in capsys.readouterr().err
