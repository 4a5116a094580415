"""Scores and the online softmax in integers: RM, RMV, RD, RNV exactly as the lanes and the value array keep them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.bitexact.convert import Block, convert_rows, round_shift
from golden.bitexact.exp2 import exp2_fraction
from golden.bitexact.normalise import normalise, quiet_nan
from golden.bitexact.numerics import SHIFT_LIMIT, Numerics, ScaleCode
from golden.scoremod.bias import bias_codes
from golden.scoremod.evaluate import evaluate
from golden.scoremod.program import KEEP_FRAC, Program

# Queries worked on at once, and, as every node of a score program holds that many integers, a bound on pairs.
QUERY_CHUNK = 512
PAIR_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreInputs:
    """What a score program reads for one (batch, head) besides the score and the positions of query and key.

    program:    outputs as in `golden.scoremod.program.Program`
    arguments:  name -> codes of every parameter and table of the program
    batch, head: its inputs `b` and `h`
    bias:       codes (L, S) of the input format, if and only if the program has an input `bias` or `hidden`; a program
                hides the pairs of -inf by its own output `seen`
    """

    program: Program
    arguments: Mapping[str, ArrayLike] = field(default_factory=dict)
    batch: int = 0
    head: int = 0
    bias: NDArray[np.unsignedinteger] | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one (batch, head) needs besides its tensors: query i sees key j iff `j < keys` and, if causal, `j <= i +
    offset`, and `score` and `shown` (L, S) let it where they are given."""

    scale: ScaleCode
    keys: int
    causal: bool = False
    offset: int = 0
    score: ScoreInputs | None = None
    shown: NDArray[np.bool_] | None = field(default=None, compare=False)


class Result(NamedTuple):
    """Outputs of `attend` (leading dimensions (L,)) or `attention` ((B, Hq, L)).

    out: codes of the output format (..., F);  rm: int64, running maximum (0 where empty);  rd: int64, denominator in
    units of 2^-Pw (0 where empty), a sink included in both;  empty: saw no key and no sink;  poisoned: saw NaN or Inf;
    saturated: a score was clamped.
    """

    out: NDArray[np.unsignedinteger]
    rm: NDArray[np.int64]
    rd: NDArray[np.int64]
    empty: NDArray[np.bool_]
    poisoned: NDArray[np.bool_]
    saturated: NDArray[np.bool_]

    def lse(self, numerics: Numerics) -> NDArray[np.float64]:
        """Natural log-sum-exp; -inf for an empty query, NaN for a poisoned one."""
        with np.errstate(divide="ignore"):
            lse = (self.rm + np.log2(self.rd.astype(np.float64)) - numerics.weight_bits) * math.log(2.0)
        return np.where(self.empty, -np.inf, np.where(self.poisoned, np.nan, lse))


def scale_scores(
    qk: NDArray[np.int64], eq: NDArray[np.int64], ek: NDArray[np.int64], scale: ScaleCode, numerics: Numerics
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """x in units of 2^-sf, and where it was clamped. qk (P, M), eq (P,), ek (M,).

    Where the score's last bit is worth more than one unit of x (a right shift below 0) any nonzero score saturates.
    """
    product = qk * scale.mantissa
    power = 2 * (numerics.operand_bits - 1) - scale.exponent - numerics.score_frac
    amount = power - eq[:, None] - ek[None, :]
    x = round_shift(product, np.maximum(amount, 0))
    limit = numerics.score_max
    x = np.where((amount < 0) & (product != 0), np.where(product < 0, -limit - 1, limit + 1), x)
    return np.clip(x, -limit, limit), np.abs(x) > limit


def allowed_pairs(job: Job, first: int, queries: int) -> NDArray[np.bool_]:
    """(queries, keys) mask of the pairs that a job, but for its score program, lets query `first + i` see."""
    j = np.arange(job.keys)[None, :]
    i = np.arange(first, first + queries)[:, None]
    allowed = (j <= i + job.offset) if job.causal else np.ones((queries, job.keys), dtype=bool)
    return allowed if job.shown is None else allowed & job.shown[first : first + queries, : job.keys]


class Scores(NamedTuple):
    """What the softmax gets of P queries and M keys.

    x: (P, M), units of 2^-sf;  seen, poisoned, clamped: bool (P, M);  kept: bool (P, M), takes part in the values;
    keep_factor (units of 2^-KEEP_FRAC), keep_shift: (P, M), or None for weights used as they are;  sink: (P,) or None
    """

    x: NDArray[np.int64]
    seen: NDArray[np.bool_]
    poisoned: NDArray[np.bool_]
    clamped: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    keep_factor: NDArray[np.int64] | None = None
    keep_shift: NDArray[np.int64] | None = None
    sink: NDArray[np.int64] | None = None


def modify(scores: Scores, first: int, inputs: ScoreInputs, numerics: Numerics) -> Scores:
    """`scores` of queries `first`, `first + 1`, ... behind a score program. Raises ValueError if a bias is missing or
    is not used."""
    shape = queries, keys = scores.x.shape
    values: dict[str, ArrayLike] = {
        "score": scores.x,
        "b": inputs.batch,
        "h": inputs.head,
        "q": np.arange(first, first + queries)[:, None],
        "kv": np.arange(keys)[None, :],
    }
    poisoned = scores.poisoned
    needs_bias = not {"bias", "hidden"}.isdisjoint(inputs.program.inputs)
    if needs_bias != (inputs.bias is not None):
        raise ValueError("the score program needs a bias" if needs_bias else "the score program does not use the bias")
    if inputs.bias is not None:
        bias = bias_codes(inputs.bias[first : first + queries, :keys], numerics)
        values |= {"bias": bias.x, "hidden": bias.hidden}
        poisoned = poisoned | bias.poison
    outputs = {
        name: np.broadcast_to(codes, (queries, 1) if name == "sink" else shape)
        for name, codes in evaluate(inputs.program, values, inputs.arguments).items()
    }
    limit = numerics.score_max
    x = outputs.get("score", scores.x)
    seen = scores.seen & (outputs["seen"] != 0) if "seen" in outputs else scores.seen
    kept = seen & (outputs["keep"] != 0) if "keep" in outputs else seen
    return Scores(
        np.clip(x, -limit, limit),
        seen,
        poisoned,
        scores.clamped | (x > limit),
        kept,
        outputs.get("keep_factor") if "keep" in outputs else None,
        outputs.get("keep_shift") if "keep" in outputs else None,
        np.clip(outputs["sink"][:, 0], -limit, limit) if "sink" in outputs else None,
    )


class State(NamedTuple):
    """The running state of P queries after the last key."""

    rm: NDArray[np.int64]
    rmv: NDArray[np.int64]
    rd: NDArray[np.int64]
    rnv: NDArray[np.int64]


def weights(x: NDArray[np.int64], numerics: Numerics) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`c = ceil(x)` and `y = 2^(x - c)` in units of 2^-Pw."""
    ceiling = -((-x) >> numerics.score_frac)
    return ceiling, exp2_fraction((ceiling << numerics.score_frac) - x, numerics)


def stream(scores: Scores, v: Block, numerics: Numerics) -> State:
    """One pass over the keys; v.elements (M, F)."""
    ceiling, y = weights(scores.x, numerics)
    sink = None if scores.sink is None else weights(scores.sink, numerics)
    rm, rd = denominators(ceiling, y, scores.seen, sink)
    reference, value_y = ceiling + v.exponent, y
    if scores.keep_factor is not None:
        value_y = (y * scores.keep_factor) >> KEEP_FRAC
    if scores.keep_shift is not None:
        reference = reference + scores.keep_shift
    rmv, rnv = numerators(reference, value_y, scores.kept, v.elements, numerics.drop)
    return State(rm, rmv, rd, rnv)


def denominators(
    ceiling: NDArray[np.int64],
    y: NDArray[np.int64],
    seen: NDArray[np.bool_],
    sink: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """RM and RD (P,) over the keys seen, of ceiling, y and seen (P, M), behind a sink's c and y (P,)."""
    queries, keys = seen.shape
    rm, rd = np.zeros(queries, dtype=np.int64), np.zeros(queries, dtype=np.int64)
    fresh = np.full(queries, sink is None)
    if sink is not None:
        rm, rd = sink[0].copy(), sink[1].copy()
    for m in range(keys):
        rows = np.flatnonzero(seen[:, m])
        if rows.size == 0:
            continue
        c, before = ceiling[rows, m], rm[rows]
        after = np.where(fresh[rows], c, np.maximum(before, c))
        # A fresh query's RD is zero, whatever it is shifted by.
        back = np.where(fresh[rows], 0, np.minimum(after - before, SHIFT_LIMIT))
        rd[rows] = (rd[rows] >> back) + (y[rows, m] >> np.minimum(after - c, SHIFT_LIMIT))
        rm[rows] = after
        fresh[rows] = False
    return rm, rd


def numerators(
    reference: NDArray[np.int64],
    y: NDArray[np.int64],
    kept: NDArray[np.bool_],
    elements: NDArray[np.int64],
    drop: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """RMV (P,) and RNV (P, F) over the keys kept, of reference, y and kept (P, M) and elements (M, F)."""
    queries, keys = kept.shape
    rmv = np.zeros(queries, dtype=np.int64)
    rnv = np.zeros((queries, elements.shape[1]), dtype=np.int64)
    fresh = np.ones(queries, dtype=bool)
    for m in range(keys):
        rows = np.flatnonzero(kept[:, m])
        if rows.size == 0:
            continue
        c, before = reference[rows, m], rmv[rows]
        after = np.where(fresh[rows], c, np.maximum(before, c))
        back = np.where(fresh[rows], 0, np.minimum(after - before, SHIFT_LIMIT))
        weight = y[rows, m] >> np.minimum(after - c, SHIFT_LIMIT)
        rnv[rows] = (rnv[rows] >> back[:, None]) + ((weight[:, None] * elements[m]) >> drop)
        rmv[rows] = after
        fresh[rows] = False
    return rmv, rnv


def attend(
    q: NDArray[np.unsignedinteger],
    k: NDArray[np.unsignedinteger],
    v: NDArray[np.unsignedinteger],
    job: Job,
    numerics: Numerics,
) -> Result:
    """One head: float codes q (L, E), k (S, E), v (S, F). Raises ValueError if the head dimension is too large."""
    _check(q, k, job, numerics)
    kb, vb = (convert_rows(t[: job.keys], numerics) for t in (k, v))
    chunks = [
        _attend_chunk(convert_rows(q[rows], numerics), kb, vb, job, rows.start, numerics)
        for rows in _query_chunks(len(q), job)
    ]
    return Result(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def seen_pairs(
    q: NDArray[np.unsignedinteger], k: NDArray[np.unsignedinteger], job: Job, numerics: Numerics
) -> NDArray[np.bool_]:
    """(L, keys) mask of the pairs that a job sees; q (L, E) and k (S, E) as in `attend`."""
    if job.score is None:
        return allowed_pairs(job, 0, len(q))
    _check(q, k, job, numerics)
    kb = convert_rows(k[: job.keys], numerics)
    return np.concatenate(
        [
            scores_of(convert_rows(q[rows], numerics), kb, kb.poisoned, job, rows.start, numerics).seen
            for rows in _query_chunks(len(q), job)
        ]
    )


def _check(q: NDArray[np.unsignedinteger], k: NDArray[np.unsignedinteger], job: Job, numerics: Numerics) -> None:
    numerics.check_head(q.shape[1])
    sinks = job.score is not None and "sink" in job.score.program.output
    most = min(len(k), (1 << numerics.key_bits) - sinks)
    if not 0 <= job.keys <= most:
        raise ValueError(f"keys must lie in 0 .. {most}, not {job.keys!r}")


def _query_chunks(queries: int, job: Job) -> Iterator[slice]:
    """Slices that cover all queries, at least one."""
    step = QUERY_CHUNK if job.score is None else max(1, min(QUERY_CHUNK, PAIR_CHUNK // max(job.keys, 1)))
    return (slice(i, i + step) for i in range(0, max(queries, 1), step))


def scores_of(
    qb: Block, kb: Block, key_poisoned: NDArray[np.bool_], job: Job, first: int, numerics: Numerics
) -> Scores:
    """Scores of queries `first`, `first + 1`, ... with all keys; key_poisoned (M,) tells of key and value rows."""
    # Every partial sum is an integer below 2^53, so the float64 product is exact in whatever order it is summed.
    if numerics.qk_bits(qb.elements.shape[1]) <= 53:
        qk = (qb.elements.astype(np.float64) @ kb.elements.T.astype(np.float64)).astype(np.int64)
    else:
        qk = qb.elements @ kb.elements.T
    x, clamped = scale_scores(qk, qb.exponent, kb.exponent, job.scale, numerics)
    seen = allowed_pairs(job, first, len(qb.elements))
    scores = Scores(x, seen, key_poisoned[None, :] | qb.poisoned[:, None], clamped, kept=seen)
    return scores if job.score is None else modify(scores, first, job.score, numerics)


def _attend_chunk(qb: Block, kb: Block, vb: Block, job: Job, first: int, numerics: Numerics) -> Result:
    scores = scores_of(qb, kb, kb.poisoned | vb.poisoned, job, first, numerics)
    state = stream(scores, vb, numerics)
    seen, dirty, clamped = scores.seen, scores.poisoned, scores.clamped
    visible, poisoned, saturated = (np.any(a, axis=1) for a in (seen, seen & dirty, seen & clamped & ~dirty))
    empty = ~visible & (scores.sink is None)
    out = normalise(state.rnv, np.maximum(state.rd, 1), state.rm, state.rmv, numerics)
    out[empty] = 0
    out[poisoned] = quiet_nan(numerics.output)
    return Result(out, state.rm, state.rd, empty, poisoned, saturated)


def attention(
    q: NDArray[np.unsignedinteger],
    k: NDArray[np.unsignedinteger],
    v: NDArray[np.unsignedinteger],
    numerics: Numerics,
    *,
    scale: float | None = None,
    causal: bool = False,
    offset: int = 0,
    key_lengths: int | NDArray[np.integer] | None = None,
    score: Program | None = None,
    arguments: Mapping[str, ArrayLike] | None = None,
    bias: NDArray[np.unsignedinteger] | None = None,
    shown: NDArray[np.bool_] | None = None,
) -> Result:
    """All heads: codes q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F); query head h uses kv head h // (Hq // Hkv).

    scale defaults to 1/sqrt(E); key_lengths is a number or one per batch, S if not given. score is a score program,
    arguments the codes of its parameters and tables; bias has codes of the input format and, as shown, which hides
    pairs where it is false, a shape that broadcasts to (B, Hq, L, S).
    """
    batches, heads, length, head_e = q.shape
    group = heads // k.shape[1]
    code = numerics.encode_scale(1 / math.sqrt(head_e) if scale is None else scale)
    lengths = np.broadcast_to(np.asarray(k.shape[2] if key_lengths is None else key_lengths), (batches,))
    pairs = (batches, heads, length, k.shape[2])
    elements = None if bias is None else np.broadcast_to(bias, pairs)
    visible = None if shown is None else np.broadcast_to(shown, pairs)

    def job(b: int, h: int) -> Job:
        inputs = None
        if score is not None:
            own = None if elements is None else elements[b, h]
            inputs = ScoreInputs(program=score, arguments=arguments or {}, batch=b, head=h, bias=own)
        mine = None if visible is None else visible[b, h]
        return Job(scale=code, keys=int(lengths[b]), causal=causal, offset=offset, score=inputs, shown=mine)

    results = [
        attend(q[b, h], k[b, h // group], v[b, h // group], job(b, h), numerics)
        for b in range(batches)
        for h in range(heads)
    ]
    stacked = (np.stack(parts) for parts in zip(*results, strict=True))
    return Result(*(part.reshape(batches, heads, *part.shape[1:]) for part in stacked))
