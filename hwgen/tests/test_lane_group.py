"""A lane and the columns that share it: fold sums, one score a column and visit, weights that stay for a visit."""

from typing import Any

import numpy as np
import pytest

from golden.bitexact.attention import scale_scores
from golden.bitexact.exp2 import exp2_fraction
from golden.bitexact.numerics import ScaleCode
from hwgen.params import Params
from hwgen.softmax.fold_sum import FoldSum
from hwgen.softmax.group import LaneGroup
from hwgen.softmax.lane import SoftmaxLane, lane_latency
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.pairs import PROGRAMS

SCALE = ScaleCode(700_001, -14)

SHAPES = [
    pytest.param(tiny(), id="two-columns-two-folds"),
    pytest.param(tiny(cols=3, lanes=1, head_e=4), id="three-columns-one-fold"),
    pytest.param(tiny(cols=2, lanes=2, head_e=12, rows_e=4), id="one-column-three-folds"),
    # Which leaves the scores of keys as they are.
    pytest.param(tiny(score=PROGRAMS["sink"]), id="program"),
]


def weights_of(qk: list[int], params: Params) -> list[int]:
    """The weight of each score if it is its query's first."""
    zero = np.zeros(len(qk), dtype=np.int64)
    x, _ = scale_scores(np.array([qk]), zero[:1], zero, SCALE, params.numerics)
    ceiling = -(-x[0] >> params.numerics.score_frac)
    return exp2_fraction((ceiling << params.numerics.score_frac) - x[0], params.numerics).tolist()


def random_sums(seed: int, params: Params, visits: int) -> Any:
    """Partial sums (visits, columns, folds)."""
    rng = np.random.default_rng(seed)
    limit = 1 << (params.qk_bits - 1 - params.fold_e_bits)
    return rng.integers(-limit + 1, limit, (visits, params.group, params.folds_e))


def cycles_of(sums: Any, params: Params) -> list[dict[str, Any]]:
    """Folds of consecutive visits, a column a cycle behind its left neighbour."""
    visits, group, folds = sums.shape
    idle = {"ends": 0} | {f"tag.{c}.valid": 0 for c in range(group)}
    cycles: list[dict[str, Any]] = [dict(idle) for _ in range(visits * params.visit + group)]
    # No query is loaded: its field is 0, which the key's makes up for.
    ek = 2 * (params.input.bias - 1)
    for i, c, f in np.ndindex(visits, group, folds):
        visit = {"slot": i % params.config.slots, "first": 1, "skip": 0, "width": group - c, "ek": ek}
        visit |= {"bank": i % 2, "block_last": int(i % 3 == 0)}
        tag = {"valid": 1, "fold": f, "first_fold": int(f == 0), "last_fold": int(f == folds - 1), "visit": visit}
        cycles[i * params.visit + c + f] |= {f"tag.{c}": tag, f"tag.{c}.valid": 1, f"sum.{c}": int(sums[i, c, f])}
        if c == 0:
            cycles[i * params.visit + f] |= {"ends": int(f == folds - 1)}
    for bank in range(2):
        cycles[0] |= {f"mantissa.{bank}": SCALE.mantissa, f"scale_exponent.{bank}": SCALE.exponent}
    return cycles


@pytest.mark.parametrize("params", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_weights(seed: int, params: Params) -> None:
    visits = 30
    sums = random_sums(seed, params, visits)
    names = [*(f"weight.{c}" for c in range(params.group)), "visit.valid", "visit.column", "visit.visit.slot"]
    names += ["released", "released_bank"]
    latency = FoldSum.LATENCY + lane_latency(params)
    seen = clocked(LaneGroup(params), cycles_of(sums, params), names, latency + 2)
    told, released = {}, {}
    for c in range(params.group):
        weights = weights_of(sums[:, c].sum(axis=1).tolist(), params)
        assert len(set(weights)) > visits // 2
        for i, weight in enumerate(weights):
            start = i * params.visit + c + params.folds_e - 1 + latency
            told[start - SoftmaxLane.TAG_LEAD] = (1, c, i % params.config.slots)
            released |= {start: (1, i % 2)} if c == params.group - 1 and i % 3 == 0 else {}
            # Taken in the next cycle, and there until the column's next visit.
            until = min(start + 1 + params.visit, len(seen))
            assert [cycle[c] for cycle in seen[start + 1 : until]] == [weight] * (until - start - 1)
    assert {t: cycle[-5:-2] for t, cycle in enumerate(seen) if cycle[-5]} == told
    assert {t: cycle[-2:] for t, cycle in enumerate(seen) if cycle[-2]} == released


@pytest.mark.parametrize("params", SHAPES)
def test_fold_sum(params: Params) -> None:
    sums = random_sums(3, params, 20)[:, :1]
    folds = [{"sum": int(x), "first_fold": int(f == 0)} for visit in sums[:, 0] for f, x in enumerate(visit)]
    seen = clocked(FoldSum(params), folds, ["qk"], FoldSum.LATENCY)
    ends = seen[params.folds_e - 1 + FoldSum.LATENCY :: params.folds_e]
    assert [qk for (qk,) in ends] == sums.sum(axis=(1, 2)).tolist()
