"""Utilisation of attention with score functions: what masks leave, counted over allowed pairs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from golden.formats import BF16, CodeArray, decode
from hwgen import table
from hwgen.compare import Difference
from hwgen.control.causes import idle_cycles
from hwgen.errors import SimulationError
from hwgen.functional import attention
from hwgen.presets import preset
from hwgen.problem import bit_patterns
from hwgen.scoremod import library
from hwgen.scoremod.block_list import BlockMask, create_block_mask

SEED = 1


@dataclass(frozen=True, kw_only=True)
class ScoreCase:
    """One head of L = S = `length` and the preset's head dimensions; `options` gives the arguments of
    `hwgen.attention` for a length, `target` is what the utilisation must reach."""

    name: str
    length: int
    preset: str = "sim"
    options: Callable[[int], dict[str, Any]]
    target: float | None = None


def sparse_blocks(length: int, block: int = 128, share: float = 0.25) -> BlockMask:
    """Of every row of blocks a random share is seen wholly."""
    count = length // block
    rng = np.random.default_rng(SEED)
    chosen = np.zeros((count, count), dtype=bool)
    for row in chosen:
        row[rng.permutation(count)[: round(share * count)]] = True
    return create_block_mask(lambda b, h, q, kv: chosen[q // block, kv // block], 1, 1, length, length, block)


def packed_documents(length: int, documents: int = 8) -> dict[str, Any]:
    """Documents of random lengths one behind the other, each seeing itself; blocks without a pair are skipped."""
    cuts = np.sort(np.random.default_rng(SEED).choice(np.arange(1, length), documents - 1, replace=False))
    mask = library.documents(np.searchsorted(cuts, np.arange(length), side="right"))
    return {"mask_mod": mask, "block_mask": create_block_mask(mask, 1, 1, length, length, 128)}


FULL = (
    ScoreCase(name="causal_mask_2048", length=2048, options=lambda n: {"mask_mod": library.causal()}, target=0.98),
    ScoreCase(
        name="alibi_softcap_causal_2048",
        length=2048,
        options=lambda n: {"causal": "top_left", "alibi_slopes": np.array([0.25]), "softcap": 30.0},
        target=0.98,
    ),
    ScoreCase(name="window_256_4096", length=4096, options=lambda n: {"window": (255, 0)}, target=0.92),
    ScoreCase(name="sparse_4096", length=4096, options=lambda n: {"block_mask": sparse_blocks(n)}, target=0.93),
    ScoreCase(name="documents_4096", length=4096, options=packed_documents, target=0.75),
)


QUICK = (
    ScoreCase(name="window_8_32", preset="tiny", length=32, options=lambda n: {"window": (7, 0)}),
    ScoreCase(name="sparse_32", preset="tiny", length=32, options=lambda n: {"block_mask": sparse_blocks(n, 8)}),
)


def run_cases(cases: Sequence[ScoreCase]) -> list[dict[str, Any]]:
    """Run every case on the simulated accelerator; gives what it counted, and how many bits are the integer model's."""
    return [_facts(case) for case in cases]


def require_equal(facts: Sequence[dict[str, Any]]) -> None:
    """Raises SimulationError with the first difference if there is one."""
    for fact in facts:
        if fact["first_difference"] is not None:
            raise SimulationError(f"{fact['name']}: first difference from the golden model: {fact['first_difference']}")


def _facts(case: ScoreCase) -> dict[str, Any]:
    print(f"case {case.name}", file=sys.stderr, flush=True)
    rng = np.random.default_rng(SEED)
    config = preset(case.preset)
    sizes = (config.head_e, config.head_e, config.head_f)
    tensors = [rng.standard_normal((1, 1, case.length, size)).astype(ml_dtypes.bfloat16) for size in sizes]
    options = case.options(case.length) | {"preset": case.preset}
    out, stats = attention(*tensors, **options, backend="rtl", return_stats=True)
    got, want = bit_patterns(out), bit_patterns(attention(*tensors, **options, backend="bitexact"))
    bits = BF16.bits * want.size
    met = None if case.target is None else stats["utilisation"] >= case.target
    return {
        "name": case.name,
        "kind": "score",
        "preset": case.preset,
        "length": case.length,
        "cycles": stats["cycles"],
        "pairs": stats["pairs"],
        "utilisation": stats["utilisation"],
        "bytes_read": sum(n for name, n in stats.items() if name.startswith("read_bytes_")),
        "bytes_written": sum(n for name, n in stats.items() if name.startswith("written_bytes_")),
        "idle": {array: idle_cycles(stats, array) for array in ("score", "value")},
        "bits_compared": bits,
        "bits_equal": bits - int(np.bitwise_count(got ^ want).sum()),
        "first_difference": _first_difference(got, want),
        "figure": "utilisation",
        "target": case.target,
        "met": met,
        "simulation_seconds": stats["seconds"],
    }


def _first_difference(got: CodeArray, want: CodeArray) -> str | None:
    """The first element (b, h, p, f) of the outputs that differs, in words."""
    places = np.argwhere(got != want)
    if not len(places):
        return None
    b, h, p, f = map(int, places[0])
    codes = np.array([got[b, h, p, f], want[b, h, p, f]])
    values = tuple(decode(codes, BF16).tolist())
    return str(Difference("O", (b, h, p), f, int(codes[0]), int(codes[1]), BF16.bits, values))


def score_table(facts: Sequence[dict[str, Any]]) -> str:
    """The cases as text."""
    names = ("cycles", "pairs", "utilisation", "target", "met", "bits equal", "score array idle")
    rows = []
    for fact in facts:
        target = "-" if fact["target"] is None else f">= {fact['target']}"
        figures = (table.count(fact["cycles"]), table.count(fact["pairs"]), f"{fact['utilisation']:.4f}", target)
        equal = table.equal_bits(fact["bits_compared"], fact["bits_equal"])
        idle = table.counts(fact["idle"]["score"])
        rows.append((fact["name"], fact["preset"], *figures, table.met(fact["met"]), equal, idle))
    return table.columns(("score functions", "preset", *names), rows, left=("preset", "score array idle"))
