"""The trace file: its form, and that it tells what the run's events say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen import checked, cli, doctor
from hwgen.report.perfetto import WINDOW, free_lanes, trace_events, trace_text, windows
from hwgen.tests.fakes import CYCLES, READ_WORDS, WRITTEN_WORDS, FakeSimulator, checked_run
from hwgen.tests.trace_format import check_trace, counter, cycles, slices

DOCUMENT = json.loads(trace_text(checked_run()))


def test_the_form() -> None:
    check_trace(DOCUMENT)
    assert DOCUMENT["otherData"]["preset"] == "tiny" and DOCUMENT["otherData"]["shape"]["L"] == 6
    assert trace_text(checked_run()) == trace_text(checked_run())


def test_a_file_of_another_form_is_noticed() -> None:
    for change in ({"dur": 0}, {"dur": None}, {"ts": 1.5}, {"color": "red"}):
        wrong = json.loads(json.dumps(DOCUMENT))
        next(event for event in wrong["traceEvents"] if event["ph"] == "X").update(change)
        with pytest.raises((AssertionError, TypeError)):
            check_trace(wrong)


def test_work_of_the_machine() -> None:
    assert [(e["ts"], e["dur"]) for e in slices(DOCUMENT, "machine")] == [(7, CYCLES)]
    assert [(e["name"], e["ts"], e["dur"]) for e in slices(DOCUMENT, "jobs")] == [("batch 0, key head 0", 12, 889)]
    (block,) = slices(DOCUMENT, "block in the score array")
    assert (block["ts"], block["dur"]) == (32, 669)
    assert cycles(DOCUMENT, "query loading") == {"block 0": 6} and cycles(DOCUMENT, "drain") == {"O": 20}
    host = [(e["name"], e["ts"]) for e in DOCUMENT["traceEvents"] if e["ph"] == "i"]
    assert host == [("doorbell", 5), ("interrupt", 1010), ("interrupt cleared", 1020)]


def test_arrays_by_cause() -> None:
    assert cycles(DOCUMENT, "score array") == {"fill": 100, "busy": 760, "wait k": 40, "drain": 100}
    found = cycles(DOCUMENT, "value array")
    assert found["busy"] == 800 and sum(found.values()) == CYCLES


@pytest.mark.parametrize(("kind", "words"), [("read", READ_WORDS), ("write", WRITTEN_WORDS)])
def test_channels(kind: str, words: dict[str, int]) -> None:
    assert cycles(DOCUMENT, f"{kind} channel") == words
    assert sum(e["args"]["words"] for e in slices(DOCUMENT, f"{kind} addresses")) == sum(words.values())
    done = "read" if kind == "read" else "written"
    rates = counter(DOCUMENT, f"bytes {done} in {WINDOW} cycles")
    assert sum(value for _, value in rates) == 16 * sum(words.values()) and rates[-1][1] == 0
    levels = counter(DOCUMENT, f"{kind} bursts in flight")
    assert levels[-1][1] == 0 and max(level for _, level in levels) >= 1


def test_a_wait_is_counted_in_the_next_cycle() -> None:
    assert [(e["ts"], e["dur"]) for e in slices(DOCUMENT, "read channel waits")] == [(15, 4)]


def test_spans_that_overlap_lie_on_different_lanes() -> None:
    rng = np.random.default_rng(8)
    starts = np.sort(rng.integers(0, 200, 40)).tolist()
    spans = [(start, start + int(rng.integers(0, 20))) for start in starts]
    lanes = free_lanes(spans)
    for i, (first, last) in enumerate(spans):
        others = {lanes[j] for j in range(i) if spans[j][1] >= first}
        assert lanes[i] not in others and last >= first
        # The lowest that is free.
        assert set(range(lanes[i])) <= others
    assert max(lanes) > 1


def test_windows_count_every_cycle_once() -> None:
    rng = np.random.default_rng(4)
    first = np.cumsum(rng.integers(5, 40, 50))
    lines = np.stack([first, rng.integers(1, 6, 50)], axis=1)
    log = np.zeros(int(lines[-1].sum()) + 300, dtype=int)
    for start, size in lines.tolist():
        log[start : start + size] = 1
    found = windows(lines, 64)
    assert found == [int(log[i * 64 : (i + 1) * 64].sum()) for i in range(len(found))]
    assert sum(found) == lines[:, 1].sum() and found[-1] == 0
    assert windows(np.zeros((0, 2), dtype=np.int64), 64) == [0]


def test_an_untraced_run_is_refused() -> None:
    run = checked_run()
    with pytest.raises(ValueError, match="not traced"):
        trace_events(replace(run, result=replace(run.result, events=None)))


def test_sim_writes_a_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeSimulator()
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(checked, "build_system", fake.build_system)
    monkeypatch.setattr(checked, "run_layer", fake.run_layer)
    path = tmp_path / "new" / "trace.json"
    assert cli.main(["sim", "--preset", "tiny", "--trace", str(path)]) == 0
    assert fake.options["trace"] is True
    assert f"trace                  {path}\n" in capsys.readouterr().out
    check_trace(json.loads(path.read_text()))
