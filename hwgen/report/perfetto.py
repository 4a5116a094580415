"""A run as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing, one microsecond a cycle.

The form is the Trace Event Format's JSON: `X` slices, `i` instants, `C` counters, `M` names. Times are cycles since
reset, as in a wave dump. The sum of all slices of one name on one track is what the machine's counters say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwgen import __version__
from hwgen.checked import Checked
from hwgen.control.register_map import register_map
from hwgen.report.activity import ARRAYS, cycles_between, stretches
from hwgen.sim.events import Events, Lines

Event = dict[str, Any]

ACCELERATOR, MEMORY = 1, 2
PROCESSES = {ACCELERATOR: "accelerator", MEMORY: "memory bus"}
TRACKS = {
    "host": (ACCELERATOR, 1),
    "machine": (ACCELERATOR, 2),
    "jobs": (ACCELERATOR, 3),
    "query loading": (ACCELERATOR, 4),
    "block in the score array": (ACCELERATOR, 5),
    "score array": (ACCELERATOR, 6),
    "value array": (ACCELERATOR, 7),
    "drain": (ACCELERATOR, 8),
    "read addresses": (MEMORY, 1),
    "read channel": (MEMORY, 2),
    "read channel waits": (MEMORY, 3),
    "write addresses": (MEMORY, 4),
    "write channel": (MEMORY, 5),
    "write channel waits": (MEMORY, 6),
    "write answers": (MEMORY, 7),
}
MORE_JOBS = 100
"""Jobs are taken before those ahead of them are done: from here on there are more tracks for them."""

DOORBELL = "QUEUE_TAIL"
WINDOW = 64
"""Cycles over which the bytes on the bus are added up."""


def trace_text(checked: Checked) -> str:
    """The file's text, one event a line. Raises ValueError if the run was not traced."""
    facts = {
        "generator": f"hwgen {__version__}",
        "preset": checked.preset,
        "configuration_hash": checked.params.config.hash(),
        "input": checked.problem.source,
        "shape": checked.problem.shape._asdict(),
        "time": "1 us is 1 cycle, from reset on",
    }
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in trace_events(checked))
    return f'{{"displayTimeUnit":"ns","otherData":{json.dumps(facts)},"traceEvents":[\n{lines}\n]}}\n'


def trace_events(checked: Checked) -> list[Event]:
    """All events, those of a track in the order of time. Raises ValueError if the run was not traced."""
    events = checked.result.events
    if events is None:
        raise ValueError("the run was not traced")
    return [
        *_names(),
        *_host(checked, events),
        _slice("machine", "descriptor", events.start, checked.cycles),
        *_jobs(checked, events),
        *_blocks(checked, events),
        *_arrays(checked, events),
        *_channels(checked, events),
        *_counters(checked, events),
    ]


def _names() -> Iterator[Event]:
    for pid, name in PROCESSES.items():
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
    for name, (pid, tid) in TRACKS.items():
        if name != "jobs":
            yield from _thread(pid, tid, name, tid)


def _thread(pid: int, tid: int, name: str, place: int) -> Iterator[Event]:
    """A track's name, and its place among the tracks of its process."""
    yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}
    yield {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": place}}


def _slice(track: str, name: str, first: int, cycles: int, **facts: Any) -> Event:
    pid, tid = TRACKS[track]
    event = {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": first, "dur": cycles}
    return event | ({"args": facts} if facts else {})


def _instant(track: str, name: str, cycle: int, **facts: Any) -> Event:
    pid, tid = TRACKS[track]
    return {"ph": "i", "s": "t", "name": name, "pid": pid, "tid": tid, "ts": cycle, "args": facts}


def _host(checked: Checked, events: Events) -> list[Event]:
    """What the host wrote, under the names of the registers, and the interrupt."""
    names = {
        register.address + 4 * word: register.name
        for register in register_map(checked.params)
        for word in range(register.words)
    }
    found = []
    for cycle, address, data in events.lines("host", 3).tolist():
        name = names[address]
        found.append(_instant("host", "doorbell" if name == DOORBELL else name, cycle, data=data))
    for cycle, level in events.lines("interrupt", 2).tolist():
        found.append(_instant("host", "interrupt" if level else "interrupt cleared", cycle))
    return sorted(found, key=lambda event: int(event["ts"]))


def _jobs(checked: Checked, events: Events) -> Iterator[Event]:
    """Every job from when the core takes it to its last result, on as many tracks as there are at a time."""
    spans = list(zip(events.moments("job").tolist(), events.moments("job_end").tolist(), strict=True))
    pid, first_track = TRACKS["jobs"]
    lanes = free_lanes(spans)
    tracks = [first_track if lane == 0 else MORE_JOBS + lane for lane in lanes]
    for track in sorted(set(tracks)):
        yield from _thread(pid, track, "jobs", first_track)
    for job, ((first, last), track) in enumerate(zip(spans, tracks, strict=True)):
        batch, head = divmod(job, checked.problem.shape.Hkv)
        name = f"batch {batch}, key head {head}"
        facts = {"job": job}
        yield {"ph": "X", "name": name, "pid": pid, "tid": track, "ts": first, "dur": last + 1 - first, "args": facts}


def free_lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """For spans (first, last) in the order of their beginnings the lowest lane each that no earlier one still takes."""
    ends: list[int] = []
    lanes = []
    for first, last in spans:
        lane = next((i for i, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes


def _blocks(checked: Checked, events: Events) -> Iterator[Event]:
    """Every block of queries: when it is loaded, when its visits are issued, when results come out."""
    s = checked.problem.shape
    per_job = -(-s.L * (s.Hq // s.Hkv) // checked.params.block)
    loaded, issued = events.moments("loaded"), events.moments("issued")

    def facts(block: int) -> dict[str, int]:
        return {"job": block // per_job, "block": block % per_job}

    for first, cycles in events.lines("q", 2).tolist():
        block = int(np.searchsorted(loaded, first))
        yield _slice("query loading", f"block {block}", first, cycles, **facts(block))
    free = 0
    for block, (ready, last) in enumerate(zip(loaded.tolist(), issued.tolist(), strict=True)):
        first = max(ready + 1, free)
        yield _slice("block in the score array", f"block {block}", first, last + 1 - first, **facts(block))
        free = last + 1
    for first, cycles in events.lines("o", 2).tolist():
        yield _slice("drain", "O", first, cycles)


def _arrays(checked: Checked, events: Events) -> Iterator[Event]:
    """Both arrays, busy or idle for a cause, from the first cycle of work to the last."""
    found = stretches(checked)
    for array in ARRAYS:
        for stretch in found[array]:
            yield _slice(f"{array} array", stretch.name, events.start + stretch.first, stretch.cycles)


def _channels(checked: Checked, events: Events) -> Iterator[Event]:
    """Every burst's address, every stretch of words, and the cycles in which none came although one might have."""
    for kind, channel in (("read", "r"), ("write", "w")):
        lines, tensors = events.bursts(channel)
        for (cycle, at, beats), tensor in zip(lines.tolist(), tensors, strict=True):
            yield _slice(f"{kind} addresses", tensor, cycle, 1, byte=at, words=beats)
        lines, tensors = events.stretches(channel)
        for (first, cycles), tensor in zip(lines.tolist(), tensors, strict=True):
            yield _slice(f"{kind} channel", tensor, first, cycles, bytes=cycles * checked.params.bus_bytes)
        # The machine counts a read's cycle of waiting in the next one.
        late = 1 if kind == "read" else 0
        for first, cycles in events.lines(f"{kind}_wait", 2).tolist():
            yield _slice(f"{kind} channel waits", "wait", first - late, cycles)
    for cycle in events.moments("b").tolist():
        yield _slice("write answers", "answer", cycle, 1)


def _counters(checked: Checked, events: Events) -> Iterator[Event]:
    for kind, channel in (("read", "r"), ("write", "w")):
        yield from _counter(f"{kind} bursts in flight", [(0, 0), *events.in_flight(channel)], "bursts")
        words = windows(events.lines(channel, 2), WINDOW)
        rates = [(i * WINDOW, n * checked.params.bus_bytes) for i, n in enumerate(words)]
        yield from _counter(f"bytes {'read' if kind == 'read' else 'written'} in {WINDOW} cycles", rates, "bytes")


def _counter(name: str, values: Sequence[tuple[int, int]], unit: str) -> Iterator[Event]:
    for cycle, value in values:
        yield {"ph": "C", "name": name, "pid": MEMORY, "ts": cycle, "args": {unit: value}}


def windows(lines: Lines, size: int) -> list[int]:
    """Cycles of the stretches (N, 2) in each window of `size` cycles from 0 on, and a last 0 behind them."""
    end = int(lines[-1].sum()) if len(lines) else 0
    counts: list[int] = cycles_between(lines, np.arange(0, end + size, size)).tolist()
    return [*counts, 0]
