"""Exact attention with rules for single pairs, against a reference that treats one query at a time."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.exact import Result, Shape, attention
from golden.tests.test_exact import INF, NAN, SMALL, assert_close, assert_same, random_problem

Array = npt.NDArray[np.float64]
Rules = dict[str, Callable[..., Any]]


def nowhere(score: Any, b: int, h: int, q: Any, kv: Any) -> Any:
    """Every score hides its key."""
    return np.full_like(score, -INF)


RULES: dict[str, Rules] = {
    "alibi": {"score_mod": lambda s, b, h, q, kv: s - 0.5 ** (h + 1) * (q - kv)},
    "batch": {"score_mod": lambda s, b, h, q, kv: s * (b + 1) + h},
    "hidden": {"score_mod": lambda s, b, h, q, kv: np.where((q + kv) % 3 > 0, s, -INF)},
    "mask": {"mask_mod": lambda b, h, q, kv: (kv <= q + h) & (kv != 2 - b)},
    "sink": {"sink": lambda b, h, q: 0.25 * q - h},
    "sink-number": {"sink": lambda b, h, q: -INF if h else 1.5},
    "keep": {"keep": lambda b, h, q, kv: (3 * q + kv + b + h) % 4 > 0},
    "nothing-kept": {"keep": lambda b, h, q, kv: False},
    "nothing-seen": {"score_mod": nowhere, "mask_mod": lambda b, h, q, kv: True},
    "sink-alone": {"mask_mod": lambda b, h, q, kv: (q > 2) & (kv > q), "sink": lambda b, h, q: -0.5},
    "all": {
        "score_mod": lambda s, b, h, q, kv: np.tanh(s) + 0.1 * kv,
        "mask_mod": lambda b, h, q, kv: kv >= q - 1,
        "sink": lambda b, h, q: 0.1 * q,
        "keep": lambda b, h, q, kv: (q ^ kv) % 3 > 0,
    },
}
CHOICES: list[dict[str, Any]] = [{}, {"causal": True, "offset": 1, "key_lengths": [6, 4]}]


def one_query(
    b: int, h: int, i: int, q: Array, k: Array, v: Array, keys: list[int], rules: Rules, probability: float
) -> tuple[list[float], float]:
    """Output and lse of query i from the keys that lengths and the causal rule leave, a pair after the other."""
    here, width = np.array([[i]]), v.shape[1]
    total, out, poisoned = 0.0, [0.0] * width, False
    sink = float(np.ravel(rules["sink"](b, h, here))[0]) if "sink" in rules else -INF
    total += math.exp(sink)
    for j in keys:
        there = np.array([[j]])
        dirty = not all(math.isfinite(x) for row in (q[i], k[j], v[j]) for x in row)
        score = NAN if dirty else math.fsum(q[i] * k[j]) / math.sqrt(len(q[i]))
        if "score_mod" in rules:
            score = float(rules["score_mod"](np.array([[score]]), b, h, here, there)[0, 0])
        if score == -INF or ("mask_mod" in rules and not np.all(rules["mask_mod"](b, h, here, there))):
            continue
        if dirty or not math.isfinite(score):
            poisoned = True
            continue
        total += math.exp(score)
        if "keep" not in rules or np.all(rules["keep"](b, h, here, there)):
            out = [x + math.exp(score) / probability * y for x, y in zip(out, v[j].tolist(), strict=True)]
    if poisoned:
        return [NAN] * width, NAN
    return ([x / total for x in out], math.log(total)) if total else (out, -INF)


def reference(
    q: Array,
    k: Array,
    v: Array,
    rules: Rules,
    probability: float,
    causal: bool = False,
    offset: int = 0,
    key_lengths: Any = None,
) -> Result:
    """All queries."""
    out, lse = np.empty((*q.shape[:3], v.shape[3])), np.empty(q.shape[:3])
    group = q.shape[1] // k.shape[1]
    for b, h, i in np.ndindex(*q.shape[:3]):
        length = k.shape[2] if key_lengths is None else key_lengths[b]
        keys = [j for j in range(length) if not causal or j <= i + offset]
        out[b, h, i], lse[b, h, i] = one_query(
            b, h, i, q[b, h], k[b, h // group], v[b, h // group], keys, rules, probability
        )
    return Result(out, lse)


@pytest.mark.parametrize("choice", CHOICES, ids=["all", "causal"])
@pytest.mark.parametrize("name", RULES)
def test_rules(name: str, choice: dict[str, Any]) -> None:
    problem = random_problem(1, Shape(B=2, Hq=4, Hkv=2, L=5, S=7, E=4, F=3))
    got = attention(*problem, **RULES[name], **choice, keep_probability=0.75)
    assert_close(got, reference(*problem, RULES[name], 0.75, **choice))
    assert not np.isnan(got.lse).any()


@pytest.mark.parametrize("name", RULES)
def test_poison(name: str) -> None:
    q, k, v = random_problem(2, SMALL)
    q[0, 1, 3, 0] = k[0, 0, 2, 1] = k[1, 1, 6, 0] = NAN
    v[1, 0, 5, 0], k[0, 1, 4, 0] = INF, -INF
    got = attention(q, k, v, **RULES[name], causal=True, offset=1)
    assert_close(got, reference(q, k, v, RULES[name], 1.0, causal=True, offset=1))
    assert np.isnan(got.lse).any() == (name != "nothing-seen")


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_score_that_is_no_number_poisons_who_sees_it(value: float) -> None:
    q, k, v = random_problem(3, SMALL)

    def score_mod(s: Array, b: int, h: int, i: Any, j: Any) -> Any:
        return np.where((i == 3) & (j == 2) | (i == 1) & (j == 4), value, s)

    # Query 1 does not see key 4.
    got = attention(q, k, v, score_mod=score_mod, causal=True)
    want = attention(q, k, v, causal=True)
    assert np.isnan(got.lse[:, :, 3]).all() and np.isnan(got.out[:, :, 3]).all()
    rest = [0, 1, 2, 4]
    assert_close(Result(got.out[:, :, rest], got.lse[:, :, rest]), Result(want.out[:, :, rest], want.lse[:, :, rest]))


def test_the_identity_changes_nothing() -> None:
    q, k, v = random_problem(4, SMALL)
    want = attention(q, k, v, causal=True, key_lengths=[7, 3])
    rules: list[Rules] = [
        {"score_mod": lambda s, b, h, q, kv: s},
        {"mask_mod": lambda b, h, q, kv: True},
        {"sink": lambda b, h, q: -INF},
        {"keep": lambda b, h, q, kv: np.array(True)},
    ]
    for rule in rules:
        assert_close(attention(q, k, v, causal=True, key_lengths=[7, 3], **rule), want)
    assert_close(attention(q, k, v, mask_mod=lambda b, h, q, kv: kv <= q, key_lengths=[7, 3]), want)


@pytest.mark.parametrize("garbage", [NAN, INF, 1.7e308], ids=str)
def test_rows_hidden_by_a_mask_are_never_looked_at(garbage: float) -> None:
    q, k, v = random_problem(5, SMALL)
    masks: list[Rules] = [
        {"mask_mod": lambda b, h, q, kv: kv != 3},
        {"score_mod": lambda s, b, h, q, kv: np.where(kv == 3, -INF, s)},
    ]
    clean = [attention(q, k, v, **mask) for mask in masks]
    k[:, :, 3] = v[:, :, 3] = garbage
    for mask, want in zip(masks, clean, strict=True):
        assert_same(attention(q, k, v, **mask), want)


@pytest.mark.parametrize("name", RULES)
def test_blocks_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(6, SMALL)
    want = attention(*problem, **RULES[name])
    monkeypatch.setattr(exact, "BLOCK_QUERIES", 2)
    assert_close(attention(*problem, **RULES[name]), want)


def test_a_sink_is_the_lse_of_who_sees_nothing() -> None:
    q, k, v = random_problem(7, SMALL)
    got = attention(q, k, v, key_lengths=0, sink=lambda b, h, q: 2.0 * q + b)
    assert not got.out.any()
    assert np.array_equal(got.lse, np.broadcast_to(2.0 * np.arange(5) + [[[0]], [[1]]], (2, 2, 5)))


@pytest.mark.parametrize("probability", [0.0, -0.5, 1.5, NAN])
def test_bad_probabilities(probability: float) -> None:
    with pytest.raises(ValueError, match="keep_probability must lie above 0 and not above 1, got"):
        attention(*random_problem(8, SMALL), keep_probability=probability)
