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
from hwgen.scoremod.block_list import BlockMask, create_block_mask
from hwgen.sim.build import content_key

TYPES = {"bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32}
PRESETS = ("tiny", "demo")
MOST_SCORES = 60_000
"""Of one case, so that none takes much longer than the others."""

COMBINATIONS = {
    "window": ("bf16", {"window"}),
    "capped window": ("fp16", {"softcap", "window"}),
    "slopes": ("bf16", {"alibi_slopes", "offsets"}),
    "mask": ("fp32", {"boolean attn_mask", "sink"}),
    "bias": ("bf16", {"attn_mask", "dropout"}),
    "dropped slopes": ("fp16", {"alibi_slopes", "dropout", "softcap"}),
    "blocks": ("bf16", {"block_mask", "sink"}),
    "pages": ("bf16", {"block_table", "window", "attn_mask"}),
}
"""What is done to scores together, and the type it is done with: each is a machine of its own, so that there are few.
Contents, ranges and lengths are any."""

SCORE_PRESET = "tiny"
HEADS, BATCHES = 4, 2
"""Query heads of cases with a number a head, batch entries of those with one a batch entry: sizes of tables belong to
the machine, and so does the softcap."""
SOFTCAP = 20.0


@dataclass(frozen=True)
class Case:
    """A problem: shape (B, Hq, Hkv, L, S, E, F), type, masks, one of COMBINATIONS or nothing done to scores."""

    number: int
    preset: str
    dtype: str
    shape: tuple[int, int, int, int, int, int, int]
    causal: bool
    offset: int
    lengths: tuple[int, ...] | None
    scale: float | None
    scores: str | None = None

    @classmethod
    def of(
        cls,
        number: int,
        presets: Sequence[str] = PRESETS,
        dtypes: Sequence[str] = tuple(TYPES),
        combinations: Sequence[str] = tuple(COMBINATIONS),
    ) -> Case:
        """The case of a number. About half of them do something to scores, if there are combinations to choose from."""
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
        plain = cls(number, name, dtype, shape, causal, offset, lengths, scale)
        if not combinations or rng.random() < 0.5:
            return plain
        return plain.with_scores(str(rng.choice(combinations)))

    def with_scores(self, scores: str) -> Case:
        """The same with something done to scores: shape and masks as far as the combination allows."""
        dtype, options = COMBINATIONS[scores]
        rng = np.random.default_rng([self.number, 2])
        b, hq, hkv, queries, keys, e, f = self.shape
        config = preset(SCORE_PRESET)
        e, f = min(e, config.head_e), min(f, config.head_f)
        if options & {"alibi_slopes", "sink"}:
            hq, hkv = HEADS, int(rng.choice([1, 2, 4]))
        b = BATCHES if "offsets" in options else b
        if "block_table" in options:
            page = int(rng.choice([1, 2, 5, 8, 16]))
            keys = -(-keys // page) * page
        queries = max(1, min(queries, MOST_SCORES // (b * hq * keys)))
        # A window that hides nothing would be another machine: some query stands behind the first key.
        offset = max(self.offset, 2 - queries) if "window" in options else self.offset
        lengths = None if self.lengths is None else tuple(min(n, keys) for n in (self.lengths * b)[:b])
        if "block_table" in options and lengths is None:
            lengths = tuple(int(n) for n in rng.integers(0, keys + 1, b))
        shape = (b, hq, hkv, queries, keys, e, f)
        return Case(self.number, SCORE_PRESET, dtype, shape, self.causal, offset, lengths, self.scale, scores)

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

    def arguments(self) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        """What `hwgen.attention` is called with."""
        options: dict[str, Any] = {"scale": self.scale, "preset": self.preset, "return_lse": True}
        options |= {"is_causal": self.causal, "causal_offset": self.offset}
        options["kv_lengths"] = None if self.lengths is None else np.array(self.lengths)
        tensors = self.tensors()
        if self.scores is not None:
            rng = np.random.default_rng([self.number, 3])
            for option in sorted(COMBINATIONS[self.scores][1]):
                getattr(self, f"_{option.replace(' ', '_')}")(rng, options)
            if "block_table" in options:
                tensors = self._paged(rng, tensors, options)
        return tensors, options

    def _window(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        queries, keys = self.shape[3:5]
        right = int(rng.choice([-1, 0, rng.integers(0, keys + 1)]))
        options["window"] = int(rng.integers(0, self.offset + queries - 1)), right

    def _softcap(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        options["softcap"] = SOFTCAP

    def _alibi_slopes(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        options["alibi_slopes"] = rng.uniform(-1, 1, HEADS) * 2.0 ** rng.integers(-8, 1)

    def _offsets(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        """Causal, at another place in every batch entry."""
        queries, keys = self.shape[3:5]
        choices = rng.permutation(np.arange(-queries, keys + 1))
        options |= {"is_causal": False, "causal_offset": None, "causal": choices[:BATCHES]}

    def _sizes(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Of a mask: (B, Hq, L, S), some of them 1."""
        b, hq, _, queries, keys, _, _ = self.shape
        return tuple(n if rng.random() < 0.7 else 1 for n in (b, hq, queries, keys))

    def _boolean_attn_mask(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        options["attn_mask"] = rng.random(self._sizes(rng)) < rng.choice([0.1, 0.5, 0.95])

    def _attn_mask(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        sizes = self._sizes(rng)
        values = rng.standard_normal(sizes) * 2.0 ** rng.integers(-6, 4)
        values[rng.random(sizes) < 0.1] = -np.inf
        if self.number % 7 == 0:
            values.flat[rng.integers(values.size)] = rng.choice([np.nan, np.inf])
        options["attn_mask"] = values.astype(TYPES[self.dtype])

    def _sink(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        options["sink"] = rng.normal(size=HEADS) * 2.0 ** rng.integers(-2, 5)

    def _dropout(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        options |= {"dropout_p": float(rng.uniform(0.01, 0.99)), "dropout_seed": int(rng.integers(1 << 31))}

    def _block_mask(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        """Blocks of whole columns, so that a list says all of the mask."""
        queries, keys = self.shape[3:5]
        high, wide = preset(self.preset).cols * int(rng.integers(1, 9)), int(rng.integers(1, 33))
        chosen = rng.random((-(-queries // high), -(-keys // wide))) < rng.choice([0.1, 0.5, 0.9])
        options["block_mask"] = _blocks(chosen, queries, keys, high, wide)

    def _block_table(self, rng: np.random.Generator, options: dict[str, Any]) -> None:
        """Pages in any order, some of them of several batch entries or of none."""
        b, keys = self.shape[0], self.shape[4]
        page = int(rng.choice([n for n in (1, 2, 5, 8, 16) if keys % n == 0]))
        pages = keys // page
        options["block_table"] = rng.integers(0, int(rng.integers(1, b * pages + 2)), (b, pages))

    def _paged(
        self, rng: np.random.Generator, tensors: tuple[NDArray[Any], ...], options: dict[str, Any]
    ) -> tuple[NDArray[Any], ...]:
        """Keys and values cut in pages, as many as the table names."""
        table = options["block_table"]
        page = self.shape[4] // table.shape[1]
        pools = []
        for array in tensors[1:]:
            b, heads, keys, size = array.shape
            cut = array.reshape(b, heads, keys // page, page, size).swapaxes(1, 2).reshape(-1, heads, page, size)
            pools.append(np.ascontiguousarray(np.resize(cut, (int(table.max()) + 1, heads, page, size))))
        return tensors[0], *pools

    def run(self) -> str | None:
        """What differs, or None."""
        tensors, options = self.arguments()
        got, want = (hwgen.attention(*tensors, backend=backend, **options) for backend in ("rtl", "bitexact"))
        for name, a, b in zip(("out", "lse"), got, want, strict=True):
            code = f"u{a.dtype.itemsize}"
            wrong = np.argwhere(a.view(code) != b.view(code))
            if len(wrong):
                return f"{name}{wrong[0].tolist()} and {len(wrong) - 1} more: {self}"
        return None


def _blocks(chosen: NDArray[np.bool_], queries: int, keys: int, high: int, wide: int) -> BlockMask:
    """The block mask that shows the chosen blocks of high x wide pairs wholly."""
    return create_block_mask(lambda b, h, q, kv: chosen[q // high, kv // wide], None, None, queries, keys, (high, wide))


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
