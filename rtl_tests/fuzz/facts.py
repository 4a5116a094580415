"""What a case had, so that a campaign can tell that it had everything."""

from __future__ import annotations

from collections import Counter

import numpy as np

from hwgen.control.descriptor import DESCRIPTOR_BYTES, KEY_LENGTH_BYTES
from hwgen.control.record import record_bytes
from rtl_tests.fuzz import machines
from rtl_tests.fuzz.cases import BUS_FAULTS, LAYOUTS, MISHAPS, STOPS, TARGETS, Job
from rtl_tests.fuzz.mutants import KINDS
from rtl_tests.fuzz.scene import Scene
from rtl_tests.fuzz.values import RECIPES, seen_keys

JOBS = (
    *("grouped", "several batches", "decode", "several blocks", "ragged E", "ragged F", "causal", "offset > 0"),
    *("offset < 0", "lengths", "length 0", "no LSE", "listed", "paged", "empty rows", "all rows empty", "saturated"),
    *("poisoned rows", "poison behind masks"),
)
CASES = ("back to back", "one at a time", "no latency", "latency", "stalls", "narrow memory", "AW waits", "lite stalls")
OTHERS = ("mutant: accepted", "mutant: refused", "mutant: result known", "register writes", "register reads")


def required() -> list[str]:
    """Of which a campaign needs at least one."""
    names = [f"machine: {name}" for name in machines.MACHINES] + [f"values: {name}" for name in RECIPES]
    names += [f"layout: {name}" for name in LAYOUTS] + [f"mishap: {name}" for name in MISHAPS]
    names += [f"hit: {name}" for name in BUS_FAULTS] + [f"at work: {name}" for name in STOPS]
    names += [f"error on: {name}" for name in TARGETS] + [f"descriptor: {kind.__name__}" for kind in KINDS]
    return [*names, "descriptor: record", "descriptor: list", *JOBS, *CASES, *OTHERS]


def of_scene(scene: Scene) -> Counter[str]:
    """The facts of a case and its jobs."""
    case, memory = scene.case, scene.case.memory
    found = Counter([f"machine: {case.machine}", f"mishap: {case.mishap.kind}"])
    several = scene.submitted > 1
    conditions = {
        "back to back": several and case.portion > 1,
        "one at a time": several and case.portion == 1,
        "no latency": memory.latency == 0,
        "latency": memory.latency > 0,
        "stalls": any(memory.stalls),
        "narrow memory": memory.bandwidth < 256,
        "AW waits": memory.aw_waits,
        "lite stalls": memory.lite_stall > 0,
    }
    found.update(name for name, true in conditions.items() if true)
    for number, job in enumerate(case.jobs):
        found.update(_of_job(scene, number, job))
    return found


def _of_job(scene: Scene, number: int, job: Job) -> list[str]:
    core, want = scene.params, scene.problems[number].golden
    special = _special_rows(scene, number)
    conditions = {
        f"values: {job.values}": True,
        f"layout: {job.layout}": True,
        "grouped": job.group > 1,
        "several batches": job.batches > 1,
        "decode": job.queries == 1 and job.keys > 1,
        "several blocks": job.queries * job.group > core.block,
        "ragged E": job.head_e % core.config.rows_e != 0,
        "ragged F": job.head_f % core.config.rows_f != 0,
        "causal": job.causal,
        "offset > 0": job.offset > 0,
        "offset < 0": job.offset < 0,
        "lengths": job.lengths is not None,
        "length 0": job.lengths is not None and 0 in job.lengths,
        "no LSE": not job.lse,
        "listed": job.listed,
        "paged": job.listed and 0 < job.page < job.keys,
        "empty rows": bool(want.empty.any()),
        "all rows empty": bool(want.empty.all()),
        "saturated": bool(want.saturated.any()),
        "poisoned rows": bool(want.poisoned.any()),
        "poison behind masks": bool((special & ~seen_keys(job)).any()),
    }
    return [name for name, true in conditions.items() if true]


def _special_rows(scene: Scene, number: int) -> np.ndarray:
    """(B, S): keys in which K or V has a NaN or an infinity."""
    layer, fmt = scene.problems[number].layer, scene.params.input
    magnitude = (1 << (fmt.bits - 1)) - 1
    return np.any([((rows & magnitude) >= fmt.infinity).any(axis=(1, 3)) for rows in (layer.k, layer.v)], axis=0)


def where(scene: Scene, index: int, address: int) -> str | None:
    """What of a descriptor lies in the bus word at an address; None if nothing does."""
    word, ranges = scene.params.bus_bytes, places(scene, index)
    return next((name for name, (low, high) in ranges.items() if low < address + word and address < high), None)


def places(scene: Scene, index: int) -> dict[str, tuple[int, int]]:
    """The first address of all that a job's descriptor names, itself included, and the one behind the last."""
    d, params = scene.entries[index].descriptor, scene.params
    first = scene.ring + DESCRIPTOR_BYTES * index
    placed = scene.entries[index].placed
    assert placed is not None
    ranges = {"descriptor": (first, first + DESCRIPTOR_BYTES)}
    if d.key_lengths:
        ranges["lengths"] = (d.key_lengths_address, d.key_lengths_address + KEY_LENGTH_BYTES * d.batches)
    if d.score_address:
        ranges["record"] = (d.score_address, d.score_address + record_bytes(params))
    ranges |= scene.beside(index)
    return ranges | {name: (low + placed.base, high + placed.base) for name, (low, high) in placed.places.items()}
