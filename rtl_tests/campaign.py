"""Random calls of `hwgen.attention`: the simulated accelerator against the integer model, every bit.

    python -m rtl_tests.campaign --cases 500        # goes on where it was stopped; `--again` starts anew
    python -m rtl_tests.campaign --only 123         # one case, by its number

A case is its number and nothing else. What was done is kept beside the results, under a key of the sources: a change of
the generator starts the campaign anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import hwgen
from hwgen import table
from hwgen.presets import preset
from hwgen.sim.build import content_key

TYPES = {"bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32}
PRESETS = ("tiny", "demo")
MOST_SCORES = 60_000
"""Of one case, so that none takes much longer than the others."""


@dataclass(frozen=True)
class Case:
    """A problem: shape (B, Hq, Hkv, L, S, E, F), type, masks."""

    number: int
    preset: str
    dtype: str
    shape: tuple[int, int, int, int, int, int, int]
    causal: bool
    offset: int
    lengths: tuple[int, ...] | None
    scale: float | None

    @classmethod
    def of(cls, number: int, presets: Sequence[str] = PRESETS, dtypes: Sequence[str] = tuple(TYPES)) -> Case:
        """The case of a number."""
        rng = np.random.default_rng(number)
        name, dtype = str(rng.choice(presets)), str(rng.choice(dtypes))
        config = preset(name)
        batches, kv_heads = (int(rng.choice([1, 1, 2, 3])) for _ in range(2))
        group = int(rng.choice([1, 1, 2, 3, 4, 7]))
        queries = int(rng.choice([1, 2, rng.integers(1, 20), rng.integers(1, 150)]))
        keys = int(rng.choice([1, 2, rng.integers(1, 20), rng.integers(1, 300)]))
        heads = batches * kv_heads * group
        queries = max(1, min(queries, MOST_SCORES // (heads * keys)))
        e, f = (int(rng.choice([d, rng.integers(1, d + 1)])) for d in (config.head_e, config.head_f))
        causal = bool(rng.random() < 0.5)
        offset = int(rng.choice([0, keys - queries, rng.integers(-queries, keys + 1)])) if causal else 0
        lengths = tuple(int(n) for n in rng.integers(0, keys + 1, batches)) if rng.random() < 0.4 else None
        scale = None if rng.random() < 0.7 else float(rng.normal())
        shape = (batches, kv_heads * group, kv_heads, queries, keys, e, f)
        return cls(number, name, dtype, shape, causal, offset, lengths, scale)

    def tensors(self) -> tuple[NDArray[Any], ...]:
        """q, k and v; in some cases rows of different sizes, or a few NaN and infinities."""
        b, hq, hkv, rows, keys, e, f = self.shape
        rng = np.random.default_rng([self.number, 1])
        arrays = []
        for size in ((b, hq, rows, e), (b, hkv, keys, e), (b, hkv, keys, f)):
            values = rng.standard_normal(size)
            if self.number % 3 == 0:
                values = values * 2.0 ** rng.integers(-6, 4, (*size[:3], 1))
            if self.number % 7 == 0:
                values[rng.random(size) < 0.3 / values.size**0.5] = rng.choice([np.nan, np.inf, -np.inf])
            arrays.append(values.astype(TYPES[self.dtype]))
        return tuple(arrays)

    def run(self) -> str | None:
        """What differs, or None."""
        options: dict[str, Any] = {"scale": self.scale, "preset": self.preset, "return_lse": True}
        options |= {"is_causal": self.causal, "causal_offset": self.offset}
        options["kv_lengths"] = None if self.lengths is None else np.array(self.lengths)
        tensors = self.tensors()
        got, want = (hwgen.attention(*tensors, backend=backend, **options) for backend in ("rtl", "bitexact"))
        for name, a, b in zip(("out", "lse"), got, want, strict=True):
            code = f"u{a.dtype.itemsize}"
            wrong = np.argwhere(a.view(code) != b.view(code))
            if len(wrong):
                return f"{name}{wrong[0].tolist()} and {len(wrong) - 1} more: {self}"
        return None


def finished(file: Path, key: str) -> dict[int, str | None]:
    """Cases done before with these sources, and what differed."""
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {line["number"]: line["difference"] for line in lines if line["key"] == key}


def campaign(count: int, file: Path, again: bool) -> int:
    """Run what is missing of cases 0 .. count - 1; the exit status."""
    key = content_key("campaign")
    if again:
        file.unlink(missing_ok=True)
    done = finished(file, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    start, begun = time.monotonic(), len(done)
    for number in range(count):
        if number in done:
            continue
        done[number] = Case.of(number).run()
        with file.open("a") as log:
            log.write(json.dumps({"key": key, "number": number, "difference": done[number]}) + "\n")
        pace = (time.monotonic() - start) / (len(done) - begun)
        left = (count - len(done)) * pace / 60
        print(f"\r{len(done)} of {count} cases, {left:.0f} min left ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    wrong = [difference for number, difference in done.items() if difference is not None and number < count]
    facts = [("cases", table.count(count)), ("equal in every bit", table.count(count - len(wrong)))]
    print(table.pairs([*facts, ("written", str(file))]))
    for difference in wrong:
        print(f"differs: {difference}")
    return int(bool(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500, metavar="N", help="how many (default 500)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this case, whatever was done before")
    parser.add_argument("--again", action="store_true", help="forget what was done before")
    parser.add_argument("-o", dest="file", type=Path, default=Path("build/campaign.jsonl"), metavar="FILE")
    arguments = parser.parse_args()
    if arguments.only is None:
        return campaign(arguments.cases, arguments.file, arguments.again)
    difference = Case.of(arguments.only).run()
    print(difference or f"equal in every bit: {Case.of(arguments.only)}")
    return int(difference is not None)


if __name__ == "__main__":
    sys.exit(main())
