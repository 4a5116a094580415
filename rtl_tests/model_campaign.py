"""Random problems on random machines: the model's counters against the RTL's, every one of them.

    python -m rtl_tests.model_campaign --cases 300        # goes on where it was stopped; `--again` starts anew
    python -m rtl_tests.model_campaign --only 123         # one case, by its number

A case is its number and nothing else. What was done is kept beside the results, under a key of the sources: a change of
generator or model starts the campaign anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hwgen.model
from golden.exact import Shape
from hwgen import table
from hwgen.model.machine import Memory, predict
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.build import content_key
from rtl_tests.harness.counting import builder, differences, measured

MACHINES: dict[str, tuple[str, dict[str, object]]] = {
    "tiny": ("tiny", {}),
    "demo": ("demo", {}),
    "sim": ("sim", {}),
    "ecp5": ("ecp5", {"address_bits": 32}),
    "one slot": ("tiny", {"slots": 1}),
    "many slots": ("tiny", {"slots": 13, "cols": 3}),
    "more lanes": ("demo", {"lanes": 8}),
    "large buffers": ("demo", {"buffer_rows": 100}),
    "smallest buffers": ("tiny", {"buffer_rows": 2, "queue_beats": 32}),
    "narrow bus": ("demo", {"bus_bits": 32, "burst_beats": 8}),
    "wide bus": ("demo", {"bus_bits": 512, "burst_beats": 4}),
    "two in flight": ("sim", {"outstanding": 2}),
    "fp32": ("tiny", {"in_format": "fp32", "out_format": "fp32"}),
}
"""Named changes of presets."""

LATENCIES = (2, 3, 20, 100, 100, 250, 500)
BANDWIDTHS = (256, 256, 256, 200, 100, 37)
MOST_PAIRS = 60_000
"""Of one case, times the machine's columns over 2: so that none takes much longer than the others."""


@dataclass(frozen=True)
class Case:
    """A machine, a problem and a memory."""

    number: int
    machine: str
    work: Work
    memory: Memory

    @classmethod
    def of(cls, number: int, machines: Sequence[str] = tuple(MACHINES), most: int = MOST_PAIRS) -> Case:
        rng = np.random.default_rng([number, 7])
        machine = str(rng.choice(machines))
        config = params_of(machine).config
        batches, kv_heads = (int(rng.choice([1, 1, 2, 3])) for _ in range(2))
        group = int(rng.choice([1, 1, 2, 3, 8]))
        queries, keys = (int(rng.choice([1, rng.integers(1, 20), rng.integers(1, 400)])) for _ in range(2))
        heads = batches * kv_heads * group
        keys = max(1, min(keys, most * config.cols // (2 * heads)))
        queries = max(1, min(queries, most * config.cols // (2 * heads * keys)))
        e, f = (int(rng.choice([d, rng.integers(1, d + 1)])) for d in (config.head_e, config.head_f))
        causal = bool(rng.random() < 0.5)
        offset = int(rng.choice([0, keys - queries, rng.integers(-queries, keys + 1)])) if causal else 0
        lengths = tuple(int(n) for n in rng.integers(0, keys + 1, batches)) if rng.random() < 0.3 else None
        shape = Shape(batches, kv_heads * group, kv_heads, queries, keys, e, f)
        lse = bool(rng.random() < 0.5)
        work = Work(shape=shape, causal=causal, offset=offset, key_lengths=lengths, lse=lse)
        memory = Memory(latency=int(rng.choice(LATENCIES)), bandwidth=int(rng.choice(BANDWIDTHS)))
        return cls(number, machine, work, memory)

    @property
    def command(self) -> str:
        """Repeats the case."""
        return f"python -m rtl_tests.model_campaign --only {self.number}"

    def run(self) -> Outcome:
        params = params_of(self.machine)
        counters = measured(builder(params, self.work), self.work, self.memory, self.number)
        begin = time.perf_counter()
        prediction = predict(params, self.work, self.memory)
        seconds = time.perf_counter() - begin
        return Outcome(prediction.cycles, counters["cycles"], differences(prediction, counters), seconds)


@dataclass(frozen=True)
class Outcome:
    """Cycles as the model and as the RTL says; counters that differ; seconds that the model took."""

    model: int
    rtl: int
    different: dict[str, tuple[int, int]]
    seconds: float

    @property
    def bytes_equal(self) -> bool:
        return not any("_bytes_" in name for name in self.different)


def params_of(machine: str) -> Params:
    name, changes = MACHINES[machine]
    return Params(preset(name).replace(changes))


def sources() -> str:
    """Twenty hexadecimal digits that change with the model."""
    folder, digest = Path(hwgen.model.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def finished(file: Path, key: str) -> dict[int, dict[str, Any]]:
    """Outcomes of the cases done before with these sources."""
    if not file.exists():
        return {}
    found = json.loads(file.read_text())
    return {line["number"]: line for line in found["cases"]} if found["key"] == key else {}


def campaign(count: int, file: Path, again: bool) -> int:
    """Run what is missing of cases 0 .. count - 1; the exit status."""
    key = content_key("model campaign", sources())
    done = {} if again else finished(file, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    start, begun = time.monotonic(), len(done)
    # Machine by machine, so that each is built once and its first failure is seen early.
    cases = sorted((Case.of(n) for n in range(count) if n not in done), key=lambda case: case.machine)
    for case in cases:
        outcome = case.run()
        done[case.number] = {"number": case.number, "machine": case.machine, **vars(outcome)}
        file.write_text(json.dumps({"key": key, "cases": list(done.values())}, indent=1) + "\n")
        if outcome.different:
            print(f"\ndiffers: {outcome.different}: {case.command}", flush=True)
        left = (count - len(done)) * (time.monotonic() - start) / (len(done) - begun) / 60
        print(f"\r{len(done)} of {count} cases, {left:.0f} min left ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return report([done[number] for number in range(count)], file)


def report(cases: Sequence[dict[str, Any]], file: Path) -> int:
    """Print what was found; the exit status."""
    away = [abs(case["model"] - case["rtl"]) for case in cases]
    bounds = [max(16, 0.001 * case["rtl"]) for case in cases]
    wrong_bytes = sum(any("_bytes_" in name for name in case["different"]) for case in cases)
    different = sum(bool(case["different"]) for case in cases)
    rows = [
        ("cases", table.count(len(cases))),
        ("cycles simulated", table.count(sum(case["rtl"] for case in cases))),
        ("worst deviation", f"{max(away, default=0)} cycles"),
        ("all bytes equal", f"{len(cases) - wrong_bytes} cases"),
        ("all counters equal", f"{len(cases) - different} cases"),
        ("longest prediction", f"{max((case['seconds'] for case in cases), default=0):.2f} s"),
        ("written", str(file)),
    ]
    print(table.pairs(rows))
    return int(wrong_bytes > 0 or any(a > b for a, b in zip(away, bounds, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300, metavar="N", help="how many (default 300)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this case, whatever was done before")
    parser.add_argument("--again", action="store_true", help="forget what was done before")
    parser.add_argument("-o", dest="file", type=Path, default=Path("build/model_campaign.json"), metavar="FILE")
    arguments = parser.parse_args()
    if arguments.only is None:
        return campaign(arguments.cases, arguments.file, arguments.again)
    case = Case.of(arguments.only)
    outcome = case.run()
    print(f"{case}\ncycles {outcome.model}, measured {outcome.rtl}; different: {outcome.different or 'nothing'}")
    return int(bool(outcome.different))


if __name__ == "__main__":
    sys.exit(main())
