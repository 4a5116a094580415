"""What a case is, and the case of a seed and an index. A case is plain data that goes anywhere as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.sim.system import MemoryTraits
from rtl_tests.fuzz import machines
from rtl_tests.fuzz.values import POISON, RECIPES
from rtl_tests.harness.score_machines import BATCHES, HEADS, POSITIONS

LAYOUTS = ("packed", "interleaved", "scattered", "far", "shared")
"""Of tensors in memory: row major; heads beside each other; any order, gaps and shifts; rows pages apart; keys and
values that all heads or batches share."""

STOPS = ("abort", "soft reset", "hard reset")
BUS_FAULTS = ("read beat", "read burst", "write burst", "early last", "late last")
INTRUSIONS = ("descriptors", "registers")
"""Descriptors of random or changed words between the good ones; random accesses to registers all the while."""

TARGETS = ("descriptor", "lengths", "record", "list", "bias", "q", "k", "v", "o", "lse")
"""What is read and written."""

MISHAPS = ("none", *STOPS, *BUS_FAULTS, *INTRUSIONS)

MOST_VISITS = 2500
"""A key shown to a slot: of one job, so that none takes much longer than others."""

MOST_CODES = 12000
"""Numbers in one job's tensors."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attention problem: shape, masks, what its tensors hold (`values`, `poison`) and where they lie (`layout`)."""

    batches: int = 1
    kv_heads: int = 1
    group: int = 1
    queries: int = 1
    keys: int = 1
    head_e: int = 1
    head_f: int = 1
    values: str = "normal"
    poison: str = "none"
    layout: str = "packed"
    causal: bool = False
    offset: int = 0
    lengths: tuple[int, ...] | None = None
    scale: float = 1.0
    lse: bool = True
    listed: bool = False
    page: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """What goes wrong: `kind` of MISHAPS; `when` is a cycle behind the doorbell or the number of a beat or burst, of
    those that go to `target`, one of TARGETS, if there are any; `count` says how many descriptors or accesses."""

    kind: str = "none"
    when: int = 1
    target: str = ""
    response: int = 2
    count: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """As in `hwgen.sim.system.MemoryTraits`; stalls of aw, w, b, ar, r."""

    latency: int = 0
    bandwidth: int = 256
    stalls: tuple[int, ...] = (0, 0, 0, 0, 0)
    lite_stall: int = 0
    aw_waits: bool = False
    seed: int = 1

    def traits(self, faults: dict[str, int]) -> MemoryTraits:
        stalls = dict(zip(("aw", "w", "b", "ar", "r"), self.stalls, strict=True))
        rest = {"latency": self.latency, "bandwidth": self.bandwidth, "lite_stall": self.lite_stall}
        return MemoryTraits(stall=stalls, aw_waits=self.aw_waits, seed=self.seed, faults=faults, **rest)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Jobs for a machine with a memory, submitted in portions of `portion`, and one mishap."""

    name: str
    machine: str
    jobs: tuple[Job, ...]
    portion: int = 1
    memory: Memory = Memory()
    mishap: Mishap = Mishap()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Case:
        raw = json.loads(text)
        jobs = [job | {"lengths": None if job["lengths"] is None else tuple(job["lengths"])} for job in raw["jobs"]]
        memory = raw["memory"] | {"stalls": tuple(raw["memory"]["stalls"])}
        parts = {"jobs": tuple(Job(**job) for job in jobs), "memory": Memory(**memory)}
        return cls(**raw | parts | {"mishap": Mishap(**raw["mishap"])})


def case_of(seed: int, index: int) -> Case:
    """The case of a number: the same in every process, on every machine."""
    rng = np.random.default_rng([seed, index])
    machine = _one(rng, machines.LIKELY)
    # Intrusions are many things each.
    kind = _one(rng, (*MISHAPS, *INTRUSIONS)) if rng.random() < 0.7 else "none"
    jobs = tuple(_job(rng, machine) for _ in range(_one(rng, (1, 2, 2, 3))))
    memory = _memory(rng)
    portion = int(rng.integers(1, len(jobs) + 1))
    name = f"{seed}:{index}"
    mishap = _mishap(rng, kind, _targets(kind, machine, jobs))
    return Case(name=name, machine=machine, jobs=jobs, portion=portion, memory=memory, mishap=mishap)


def _one(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _job(rng: np.random.Generator, machine: str) -> Job:
    core = machines.params(machine)
    c, block = core.config, core.block
    batches, kv_heads = (_one(rng, (1, 1, 2, 3)) for _ in range(2))
    group = _one(rng, (1, 1, 2, 3, 4, HEADS // kv_heads))
    # Around whole blocks, where the last slot is full, empty or begun.
    positions = _one(rng, (1, 2, block, block + 1, 2 * block - 1, int(rng.integers(1, 3 * block + 2))))
    queries = max(1, positions // group)
    keys = _one(rng, (1, 2, int(rng.integers(1, 12)), int(rng.integers(1, 40)), int(rng.integers(1, POSITIONS + 1))))
    e, f = (_one(rng, (n, n, int(rng.integers(1, n + 1)))) for n in (c.head_e, c.head_f))
    most = MOST_VISITS // (batches * kv_heads * -(-queries * group // block) * c.slots)
    most = min(most, MOST_CODES // (batches * kv_heads * (group * queries + 1)))
    keys = max(1, min(keys, most))
    causal = bool(rng.random() < 0.5)
    offset = _one(rng, (0, keys - queries, int(rng.integers(-queries - 1, keys + 1)))) if causal else 0
    lengths = tuple(int(n) for n in rng.integers(0, keys + 1, batches)) if rng.random() < 0.4 else None
    return Job(
        batches=int(min(batches, BATCHES)),
        kv_heads=kv_heads,
        group=group,
        queries=int(queries),
        keys=int(keys),
        head_e=e,
        head_f=f,
        values=_one(rng, RECIPES),
        poison=_one(rng, POISON) if rng.random() < 0.4 else "none",
        layout=_one(rng, LAYOUTS),
        causal=causal,
        offset=int(offset),
        lengths=lengths,
        scale=float(_one(rng, (1.0, e**-0.5, e**-0.5, -0.3, 37.0, 0.0, float(np.round(rng.normal(), 6))))),
        lse=bool(rng.random() < 0.8),
        listed=c.block_list and bool(rng.random() < 0.8),
        page=_one(rng, (0, 1, 2, 5, 8)) if c.block_list else 0,
        seed=int(rng.integers(1 << 31)),
    )


def _memory(rng: np.random.Generator) -> Memory:
    def stall() -> int:
        return _one(rng, (0, 0, 20, 90, 160))

    return Memory(
        latency=_one(rng, (0, 3, 20, 60, 150)),
        bandwidth=_one(rng, (256, 256, 100, 60)),
        stalls=tuple(stall() for _ in range(5)) if rng.random() < 0.6 else (0,) * 5,
        lite_stall=stall(),
        aw_waits=bool(rng.random() < 0.3),
        seed=int(rng.integers(1, 1 << 16)),
    )


def _targets(kind: str, machine: str, jobs: tuple[Job, ...]) -> list[str]:
    """What a fault of the bus may hit, rare things more often."""
    if kind not in BUS_FAULTS:
        return [""]
    if kind == "write burst":
        return ["o", *(["lse"] if any(job.lse for job in jobs) else [])]
    core = machines.params(machine)
    found = ["descriptor", "q", "k", "v"] + ["lengths"] * (2 * any(job.lengths for job in jobs))
    found += ["record"] * (2 * (machine in machines.SCORED)) + ["bias"] * (3 * core.has_bias)
    return found + ["list"] * (8 * any(job.listed for job in jobs))


def _mishap(rng: np.random.Generator, kind: str, targets: list[str]) -> Mishap:
    """When is any time, but early more often, as some jobs are short."""
    when = int(2 ** rng.uniform(0, 13 if kind in STOPS else 8))
    return Mishap(
        kind=kind,
        when=when,
        target=_one(rng, targets),
        response=_one(rng, (2, 3)),
        count=int(rng.integers(1, 60 if kind == "registers" else 6)),
        seed=int(rng.integers(1 << 31)),
    )
