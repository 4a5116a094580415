"""FlashAttention's acceptance rule: random attention problems, and their errors next to those of plain arithmetic.

`python -m hwgen.tests.flash_rule --cases 500` runs more of them, `--first 17 --cases 1` a single one.

FlashAttention accepts a kernel if its largest error is at most twice that of the same formula computed plainly in the
inputs' type, plus twice what adding 0.3 to the answer in that type and taking it off again changes (the tests of its
`flash_attn_interface`). Both errors here are against float64 on the same inputs, not rounded, and what may be added is
much less, see `Verdict.accepted`; so whatever is accepted here FlashAttention accepts.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from golden.error import relative_rmse, rounding_rmse
from golden.formats import FloatFormat
from hwgen.backends import exact_attention, run_bitexact
from hwgen.config import Config
from hwgen.functional import make_task
from hwgen.problem import TYPES, Problem

HEADS = (32, 40, 59, 64, 80, 96, 111, 128, 160, 192, 224, 256)
LENGTHS = (1, 2, 5, 17, 64, 97, 128, 147, 200, 203, 239, 256)
MACHINE = Config(head_e=256, head_f=256)
RULE = 2.0
RMSE_LIMIT = 1.02

Wide = NDArray[np.float64]
OPTIONS = {
    "scale": None, "is_causal": False, "causal_offset": None, "causal": None, "kv_lengths": None, "window": None,
    "attn_mask": None, "softcap": None, "alibi_slopes": None, "sink": None, "score_mod": None, "mask_mod": None,
    "score_arguments": None, "dropout_p": 0.0, "dropout_seed": 0, "block_mask": None, "block_table": None,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One problem: q (B, Hq, L, E), k and v (B, Hkv, S, E), and options of `hwgen.attention`."""

    number: int
    q: NDArray[Any]
    k: NDArray[Any]
    v: NDArray[Any]
    options: dict[str, Any]

    @classmethod
    def random(cls, number: int) -> Case:
        """The same number gives the same case."""
        rng = np.random.default_rng([number, 2])
        dtype = (ml_dtypes.bfloat16, np.float16)[number % 2]
        head = HEADS[number // 2 % len(HEADS)]
        length, keys = (int(rng.choice(LENGTHS)) if rng.random() < 0.5 else int(rng.integers(1, 257)) for _ in "qk")
        kv_heads, group = int(rng.integers(1, 3)), int(rng.choice([1, 1, 2, 3]))
        q, k, v = (
            rng.standard_normal((1, heads, rows, head)).astype(np.float32)
            for heads, rows in ((kv_heads * group, length), (kv_heads, keys), (kv_heads, keys))
        )
        options: dict[str, Any] = {}
        if rng.random() < 0.4:
            options["causal"] = "bottom_right"
        if rng.random() < 0.35:
            options["window"] = tuple(int(side) for side in rng.integers(0, keys, 2))
        if rng.random() < 0.35:
            options["softcap"] = float(rng.choice([15.0, 50.0]))
            q *= options["softcap"]
        if rng.random() < 0.35:
            options["alibi_slopes"] = (rng.random(kv_heads * group) * 0.3).astype(np.float32)
        return cls(number, *(array.astype(dtype) for array in (q, k, v)), options)

    @property
    def fmt(self) -> FloatFormat:
        return TYPES[self.q.dtype]

    def __str__(self) -> str:
        (_, heads, length, head), kv_heads, keys = self.q.shape, self.k.shape[1], self.k.shape[2]
        options = {name: value for name, value in self.options.items() if name != "alibi_slopes"}
        alibi = " alibi" if "alibi_slopes" in self.options else ""
        sizes = f"Hq={heads} Hkv={kv_heads} L={length} S={keys} E={head}"
        return f"case {self.number}: {self.fmt.name} {sizes} {options}{alibi}"


def plain_attention(case: Case) -> Wide:
    """FlashAttention's reference formula without upcast: every tensor is rounded to the inputs' type, products of
    matrices are summed in float32 and rounded once, the softmax runs in float32 and is rounded. The scale is applied to
    k, as the reordered reference does; an ALiBi bias is float32 and makes the scores float32 too."""
    dtype, options = case.q.dtype, case.options
    length, keys = case.q.shape[2], case.k.shape[2]
    group = case.q.shape[1] // case.k.shape[1]

    def rounded(array: NDArray[Any]) -> NDArray[np.float32]:
        return array.astype(np.float32).astype(dtype).astype(np.float32)

    q, k, v = (array.astype(np.float32) for array in (case.q, case.k, case.v))
    k = rounded(k / np.float32(math.sqrt(q.shape[3])))
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = rounded(q @ k.swapaxes(2, 3))
    if "softcap" in options:
        cap = np.float32(options["softcap"])
        scores = rounded(rounded(np.tanh(rounded(scores / cap))) * cap)
    position = np.arange(length)[:, None] + keys - length
    j = np.arange(keys)
    if "alibi_slopes" in options:
        scores = scores - options["alibi_slopes"][:, None, None] * np.abs(position - j)
    seen = np.ones((length, keys), dtype=bool)
    if "window" in options:
        left, right = options["window"]
        seen &= (position - left <= j) & (j <= position + right)
    if "causal" in options:
        seen &= j <= position
    empty = ~seen.any(axis=1, keepdims=True)
    scores = np.where(seen | empty, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = rounded(np.where(empty, 0, weights / weights.sum(axis=-1, keepdims=True)))
    return rounded(weights @ v).astype(np.float64)


@dataclass(frozen=True)
class Verdict:
    """Largest errors of the integer model and of plain arithmetic; relative RMSE of the model and of the exact answer
    rounded; numbers compared; what half a unit of a converted value row can cost."""

    case: Case
    got: float
    plain: float
    rmse: float
    rounding: float
    count: int
    resolution: float

    @classmethod
    def of(cls, case: Case) -> Verdict:
        task = make_task(Problem.checked(case.q, case.k, case.v, OPTIONS | case.options), MACHINE)
        want = exact_attention(task).out
        out = run_bitexact(task, lse=False)[0].astype(np.float64)
        half = 2.0 ** (np.frexp(np.abs(case.v.astype(np.float64)).max())[1] - task.params.numerics.operand_bits)
        return cls(
            case,
            float(np.abs(out - want).max()),
            float(np.abs(plain_attention(case) - want).max()),
            relative_rmse(out, want),
            rounding_rmse(want, case.fmt),
            want.size,
            float(half),
        )

    @property
    def strictly(self) -> bool:
        """FlashAttention's rule to the letter."""
        return self.got <= RULE * self.plain

    @property
    def accepted(self) -> bool:
        """FlashAttention's rule. Where one key has all the weight, plain arithmetic copies its value row and errs by
        next to nothing; the row's conversion to a shared exponent, 1.5e-5 for values up to 4, then counts as what plain
        arithmetic loses. The 0.3 of FlashAttention's own tests is worth more than 1e-4 in fp16, 1e-3 in bf16."""
        return self.got <= RULE * max(self.plain, self.resolution)

    @property
    def ratio(self) -> float:
        """Largest error over that of plain arithmetic."""
        return self.got / self.plain if self.plain else math.inf if self.got else 0.0

    @property
    def share(self) -> float:
        """RMSE over that of rounding the exact answer."""
        return self.rmse / self.rounding if self.rounding else math.inf if self.rmse else 1.0

    def __str__(self) -> str:
        error = f"max error {self.got:.2e} = {self.ratio:.2f} of plain"
        return f"{self.case}: {error}; RMSE {self.share:.4f} of rounding"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    verdicts = []
    for number in range(arguments.first, arguments.first + arguments.cases):
        verdicts.append(Verdict.of(Case.random(number)))
        if arguments.cases <= 10 or not verdicts[-1].accepted:
            print(verdicts[-1], flush=True)
    print(summary(verdicts))
    return int(not all(verdict.accepted for verdict in verdicts))


def summary(verdicts: list[Verdict]) -> str:
    """What a set of cases shows, one line a format. Ratios leave out cases in which plain arithmetic copies a row."""
    lines = []
    for name in ("bf16", "fp16"):
        own = [verdict for verdict in verdicts if verdict.case.fmt.name == name]
        mixed = [verdict for verdict in own if verdict.plain > verdict.resolution]
        if own:
            accepted, strictly = sum(v.accepted for v in own), sum(v.strictly for v in own)
            line = f"{name}: {len(own)} cases, {len(own) - len(mixed)} of them copies"
            line += f", {accepted} accepted, {strictly} to the letter"
            ratios, shares = ([getattr(v, part) for v in mixed] for part in ("ratio", "share"))
            if mixed:
                line += f"; largest error over plain's: median {np.median(ratios):.3f}, worst {max(ratios):.3f}"
                line += f"; RMSE over rounding's: median {np.median(shares):.4f}, worst {max(shares):.4f}"
                line += f", all together {pooled(own):.4f}"
            lines.append(line)
    return "\n".join(lines)


def pooled(verdicts: list[Verdict]) -> float:
    """Root of the mean squared relative RMSE over that of rounding, every case weighted by its numbers."""
    weights = np.array([v.count for v in verdicts], dtype=np.float64)
    got, rounding = (np.array([getattr(v, name) for v in verdicts]) for name in ("rmse", "rounding"))
    return float(np.sqrt((weights * got**2).sum() / (weights * rounding**2).sum()))


if __name__ == "__main__":
    raise SystemExit(main())
