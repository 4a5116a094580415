"""The trace of a run of the emitted Verilog: what its tracks add up to is what the machine has counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hwgen.checked import Checked, run_checked
from hwgen.control.causes import Cause
from hwgen.inputs import make_problem, random_tensors
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.report.perfetto import trace_text
from hwgen.sim.system import MemoryTraits
from hwgen.tests.trace_format import check_trace, counter, cycles, slices

PARAMS = Params(preset("tiny"))
BUSY = MemoryTraits(latency=30, bandwidth=100, stall=40, seed=3)

# Shape B, H, L, S; key/value heads; E and F; masks; memory.
RUNS: dict[str, tuple[tuple[int, int, int, int], int, tuple[int, int], dict[str, Any], MemoryTraits]] = {
    "plain": ((1, 2, 20, 24), 2, (8, 8), {}, MemoryTraits()),
    "causal": ((2, 1, 19, 23), 1, (8, 5), {"causal": True, "offset": 4}, BUSY),
    "grouped": ((1, 4, 5, 40), 2, (3, 8), {"key_length": 37}, MemoryTraits(latency=5)),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest) -> tuple[Checked, dict[str, Any]]:
    shape, kv_heads, head, masks, memory = RUNS[request.param]
    tensors = random_tensors(shape, 5, PARAMS, kv_heads=kv_heads, head=head)
    problem = make_problem(tensors, "random", PARAMS, **masks)
    checked = run_checked("tiny", PARAMS, problem, memory=memory, trace=True)
    checked.require_equal()
    return checked, json.loads(trace_text(checked))


def test_the_form(run: tuple[Checked, dict[str, Any]]) -> None:
    check_trace(run[1])


@pytest.mark.parametrize("array", ["score", "value"])
def test_arrays(run: tuple[Checked, dict[str, Any]], array: str) -> None:
    """Busy cycles, and idle ones by cause, without a gap."""
    checked, trace = run
    counters = checked.result.counters
    want = {cause.name.lower().replace("_", " "): counters[f"{array}_idle_{cause.name.lower()}"] for cause in Cause}
    want["busy"] = counters[f"{array}_busy"]
    assert cycles(trace, f"{array} array") == {name: count for name, count in want.items() if count}
    found = slices(trace, f"{array} array")
    assert all(a["ts"] + a["dur"] == b["ts"] for a, b in zip(found, found[1:], strict=False))
    (whole,) = slices(trace, "machine")
    assert (found[0]["ts"], sum(e["dur"] for e in found)) == (whole["ts"], whole["dur"])
    assert whole["dur"] == checked.cycles


@pytest.mark.parametrize(("kind", "done"), [("read", "read"), ("write", "written")])
def test_bus(run: tuple[Checked, dict[str, Any]], kind: str, done: str) -> None:
    """Words by tensor, words announced with addresses, cycles of waiting."""
    checked, trace = run
    counters, size = checked.result.counters, PARAMS.bus_bytes
    names = [name.rpartition("_")[2] for name in counters if name.startswith(f"{done}_bytes_")]
    want = {name: counters[f"{done}_bytes_{name}"] for name in names}
    assert len(want) == (4 if kind == "read" else 2) and all(want.values())
    words = {name: size * count for name, count in cycles(trace, f"{kind} channel").items()}
    announced = dict.fromkeys(want, 0)
    for event in slices(trace, f"{kind} addresses"):
        announced[event["name"]] += size * event["args"]["words"]
    assert words == announced == want
    assert cycles(trace, f"{kind} channel waits").get("wait", 0) == counters[f"{kind}_wait"]
    assert sum(value for _, value in counter(trace, f"bytes {done} in 64 cycles")) == sum(want.values())
    levels = [level for _, level in counter(trace, f"{kind} bursts in flight")]
    assert min(levels) >= 0 and max(levels) <= PARAMS.config.outstanding and levels[-1] == 0
    if kind == "write":
        assert len(slices(trace, "write answers")) == len(slices(trace, "write addresses"))


def test_jobs_and_blocks(run: tuple[Checked, dict[str, Any]]) -> None:
    """Each block is loaded, then shown keys, one after the other; every row of Q goes in, every row of O comes out."""
    checked, trace = run
    s, c = checked.problem.shape, PARAMS.config
    jobs = slices(trace, "jobs")
    assert len(jobs) == checked.result.counters["jobs"] == s.B * s.Hkv
    assert [job["name"] for job in jobs] == [f"batch {b}, key head {h}" for b in range(s.B) for h in range(s.Hkv)]
    per_job = -(-s.L * (s.Hq // s.Hkv) // PARAMS.block)
    blocks = slices(trace, "block in the score array")
    assert [event["args"]["block"] for event in blocks] == list(range(per_job)) * len(jobs)
    loads = slices(trace, "query loading")
    for event in blocks:
        mine = [load for load in loads if load["name"] == event["name"]]
        assert mine and all(load["ts"] + load["dur"] <= event["ts"] and load["args"] == event["args"] for load in mine)
        (job,) = (job for job in jobs if job["args"]["job"] == event["args"]["job"])
        assert job["ts"] < mine[0]["ts"] and event["ts"] + event["dur"] < job["ts"] + job["dur"]
    queries = s.B * s.Hq * s.L
    assert sum(load["dur"] for load in loads) == queries * -(-s.E // c.rows_e) * c.rows_e // c.beat
    assert cycles(trace, "drain") == {"O": queries * -(-s.F // c.out_beat)}
    # Work is issued only for a block that is there.
    busy = [event for event in slices(trace, "score array") if event["name"] == "busy"]
    covered = [(event["ts"], event["ts"] + event["dur"]) for event in blocks]
    assert all(any(a <= e["ts"] and e["ts"] < b for a, b in covered) for e in busy)


def test_host(run: tuple[Checked, dict[str, Any]]) -> None:
    """The doorbell is rung before the machine works, the interrupt comes behind it."""
    trace = run[1]
    (whole,) = slices(trace, "machine")
    moments = {e["name"]: e["ts"] for e in trace["traceEvents"] if e["ph"] == "i"}
    assert moments["QUEUE_BASE"] < moments["doorbell"] < whole["ts"]
    assert whole["ts"] + whole["dur"] <= moments["interrupt"] < moments["interrupt cleared"]
