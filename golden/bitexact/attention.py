"""Scores and the online softmax in integers: RM, RMV, RD, RNV exactly as the lanes and the value array keep them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.bitexact.convert import Block, convert_rows, round_shift
from golden.bitexact.exp2 import exp2_fraction
from golden.bitexact.normalise import normalise, quiet_nan
from golden.bitexact.numerics import SHIFT_LIMIT, Numerics, ScaleCode

QUERY_CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one (batch, head) needs besides its tensors: query i sees key j iff `j < keys` and, if causal, `j <= i +
    offset`."""

    scale: ScaleCode
    keys: int
    causal: bool = False
    offset: int = 0


class Result(NamedTuple):
    """Outputs of `attend` (leading dimensions (L,)) or `attention` ((B, Hq, L)).

    out: codes of the output format (..., F);  rm: int64, running maximum (0 where empty);  rd: int64, denominator in
    units of 2^-Pw (0 where empty);  empty: saw no key;  poisoned: saw NaN or Inf;  saturated: a score was clamped.
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
    """(queries, keys) mask of the pairs that job lets query `first + i` see."""
    j = np.arange(job.keys)[None, :]
    i = np.arange(first, first + queries)[:, None]
    return (j <= i + job.offset) if job.causal else np.ones((queries, job.keys), dtype=bool)


class State(NamedTuple):
    """The running state of P queries after the last key."""

    rm: NDArray[np.int64]
    rmv: NDArray[np.int64]
    rd: NDArray[np.int64]
    rnv: NDArray[np.int64]


def stream(
    x: NDArray[np.int64], seen: NDArray[np.bool_], v: Block, numerics: Numerics
) -> State:
    """One pass over the keys: x and seen (P, M), v.elements (M, F)."""
    ceiling = -((-x) >> numerics.score_frac)
    y = exp2_fraction((ceiling << numerics.score_frac) - x, numerics)
    queries, keys = x.shape
    rm, rmv, rd = (np.zeros(queries, dtype=np.int64) for _ in range(3))
    rnv = np.zeros((queries, v.elements.shape[1]), dtype=np.int64)
    fresh = np.ones(queries, dtype=bool)
    for m in range(keys):
        rows = np.flatnonzero(seen[:, m])
        if rows.size == 0:
            continue
        c, value_c = ceiling[rows, m], ceiling[rows, m] + v.exponent[m]
        new_rm = np.where(fresh[rows], c, np.maximum(rm[rows], c))
        new_rmv = np.where(fresh[rows], value_c, np.maximum(rmv[rows], value_c))
        # A fresh query's RD and RNV are zero, whatever they are shifted by.
        back = np.where(fresh[rows], 0, np.minimum(new_rm - rm[rows], SHIFT_LIMIT))
        value_back = np.where(fresh[rows], 0, np.minimum(new_rmv - rmv[rows], SHIFT_LIMIT))
        weight = y[rows, m] >> np.minimum(new_rm - c, SHIFT_LIMIT)
        value_weight = y[rows, m] >> np.minimum(new_rmv - value_c, SHIFT_LIMIT)
        rd[rows] = (rd[rows] >> back) + weight
        rnv[rows] = (rnv[rows] >> value_back[:, None]) + ((value_weight[:, None] * v.elements[m]) >> numerics.drop)
        rm[rows], rmv[rows] = new_rm, new_rmv
        fresh[rows] = False
    return State(rm, rmv, rd, rnv)


def attend(
    q: NDArray[np.unsignedinteger],
    k: NDArray[np.unsignedinteger],
    v: NDArray[np.unsignedinteger],
    job: Job,
    numerics: Numerics,
) -> Result:
    """One head: float codes q (L, E), k (S, E), v (S, F). Raises ValueError if the head dimension is too large."""
    numerics.check_head(q.shape[1])
    if not 0 <= job.keys <= min(len(k), 1 << numerics.key_bits):
        raise ValueError(f"keys must lie in 0 .. {min(len(k), 1 << numerics.key_bits)}, not {job.keys!r}")
    kb, vb = (convert_rows(t[: job.keys], numerics) for t in (k, v))
    chunks = [
        _attend_chunk(convert_rows(q[i : i + QUERY_CHUNK], numerics), kb, vb, job, i, numerics)
        for i in range(0, max(len(q), 1), QUERY_CHUNK)
    ]
    return Result(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def _attend_chunk(qb: Block, kb: Block, vb: Block, job: Job, first: int, numerics: Numerics) -> Result:
    queries = len(qb.elements)
    seen = allowed_pairs(job, first, queries)
    # Every partial sum is an integer below 2^53, so the float64 product is exact in whatever order it is summed.
    if numerics.qk_bits(qb.elements.shape[1]) <= 53:
        qk = (qb.elements.astype(np.float64) @ kb.elements.T.astype(np.float64)).astype(np.int64)
    else:
        qk = qb.elements @ kb.elements.T
    x, clamped = scale_scores(qk, qb.exponent, kb.exponent, job.scale, numerics)
    bad = kb.poisoned | vb.poisoned
    state = stream(x, seen, vb, numerics)
    dirty = bad[None, :] | qb.poisoned[:, None]
    visible, poisoned, saturated = (np.any(a, axis=1) for a in (seen, seen & dirty, seen & clamped & ~dirty))
    empty = ~visible
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
) -> Result:
    """All heads: codes q (B, Hq, L, E), k (B, Hkv, S, E), v (B, Hkv, S, F); query head h uses kv head h // (Hq // Hkv).

    scale defaults to 1/sqrt(E); key_lengths is a number or one per batch, S if not given.
    """
    batches, heads, _, head_e = q.shape
    group = heads // k.shape[1]
    code = numerics.encode_scale(1 / math.sqrt(head_e) if scale is None else scale)
    lengths = np.broadcast_to(np.asarray(k.shape[2] if key_lengths is None else key_lengths), (batches,))
    results = [
        attend(
            q[b, h],
            k[b, h // group],
            v[b, h // group],
            Job(scale=code, keys=int(lengths[b]), causal=causal, offset=offset),
            numerics,
        )
        for b in range(batches)
        for h in range(heads)
    ]
    stacked = (np.stack(parts) for parts in zip(*results, strict=True))
    return Result(*(part.reshape(batches, heads, *part.shape[1:]) for part in stacked))
