"""What a file in the Trace Event Format has to be, as its documentation says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

ALWAYS = {"ph": str, "name": str, "pid": int}
FIELDS: Mapping[str, Mapping[str, type]] = {
    "X": {"tid": int, "ts": int, "dur": int},
    "i": {"tid": int, "ts": int, "s": str},
    "C": {"ts": int, "args": dict},
    "M": {"args": dict},
}
OPTIONAL = {"tid": int, "args": dict}
METADATA = {"process_name": "name", "process_sort_index": "sort_index", "thread_name": "name"}
METADATA |= {"thread_sort_index": "sort_index"}
Track = tuple[int, int]


def check_trace(document: Mapping[str, Any]) -> None:
    """The document is a JSON object with events of known kinds; slices of a track do not overlap, every track has a
    name."""
    assert set(document) <= {"traceEvents", "displayTimeUnit", "otherData"}
    assert document["displayTimeUnit"] in ("ms", "ns")
    for event in document["traceEvents"]:
        check_event(event)
    named = {track(event) for event in document["traceEvents"] if event["name"] == "thread_name"}
    slices = by_track(document)
    assert slices and set(slices) <= named
    for found in slices.values():
        for before, after in zip(found, found[1:], strict=False):
            assert before["ts"] + before["dur"] <= after["ts"], (before, after)


def check_event(event: Mapping[str, Any]) -> None:
    wanted = ALWAYS | FIELDS[event["ph"]]
    assert set(wanted) <= set(event) <= set(wanted) | set(OPTIONAL), event
    assert all(type(event[name]) is kind for name, kind in wanted.items()), event
    assert event.get("ts", 0) >= 0 and event.get("dur", 1) > 0, event
    if event["ph"] == "C":
        assert event["args"] and all(type(value) is int for value in event["args"].values()), event
    if event["ph"] == "i":
        assert event["s"] in ("g", "p", "t"), event
    if event["ph"] == "M":
        assert list(event["args"]) == [METADATA[event["name"]]], event


def track(event: Mapping[str, Any]) -> Track:
    return event["pid"], event["tid"]


def by_track(document: Mapping[str, Any]) -> dict[Track, list[Mapping[str, Any]]]:
    """The slices of each track, in the order of the file."""
    found = defaultdict(list)
    for event in document["traceEvents"]:
        if event["ph"] == "X":
            found[track(event)].append(event)
    return found


def slices(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Of all tracks of a name, in the order of the file."""
    tracks = {track(e) for e in document["traceEvents"] if e["name"] == "thread_name" and e["args"]["name"] == name}
    assert tracks, name
    return [event for event in document["traceEvents"] if event["ph"] == "X" and track(event) in tracks]


def cycles(document: Mapping[str, Any], name: str) -> dict[str, int]:
    """Of the tracks of a name the cycles of all slices, by the slices' names."""
    found: dict[str, int] = defaultdict(int)
    for event in slices(document, name):
        found[event["name"]] += event["dur"]
    return dict(found)


def counter(document: Mapping[str, Any], name: str) -> list[tuple[int, int]]:
    """(time, value) of a counter with one series."""
    found = [event for event in document["traceEvents"] if event["ph"] == "C" and event["name"] == name]
    assert found, name
    return [(event["ts"], *event["args"].values()) for event in found]
