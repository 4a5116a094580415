"""What a score program makes of a pair, against the whole program on integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from golden.bitexact.attention import Scores
from golden.scoremod import evaluate
from golden.scoremod.program import INDEX_BITS, KEEP_FRAC
from hwgen.params import Params
from hwgen.scoremod.schedule import schedule
from hwgen.softmax.pair import KeptWeight, PairScore, arrivals, pair_latency
from hwgen.softmax.scale import ScoreScale
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.pairs import PROGRAMS, Bools, Ints, become, random_arguments, random_bias, writes

OUTPUTS = ("seen", "pair", "kept", "poison", "saturated", "x", "keep_factor", "keep_shift")


@dataclass(frozen=True)
class Pairs:
    """Pairs one behind the other, some of them the sink of their query."""

    params: Params
    arguments: dict[str, Ints]
    inputs: dict[str, Any]
    scores: Scores
    sink: Bools

    @property
    def queries(self) -> dict[str, Ints]:
        return evaluate(self.params.partition.query, self.inputs, self.arguments)

    def wanted(self) -> list[tuple[int, ...]]:
        """OUTPUTS of every pair; where a number has no meaning it is left out as 0."""
        assert self.params.score is not None
        numerics = self.params.numerics
        found = become(self.params.score, numerics, self.scores, self.inputs, self.arguments)
        sink = self.sink
        shown = np.where(sink, self.scores.seen, found.seen)
        pair = found.seen & ~sink
        x = np.where(sink, self.queries["sink"], found.x) if sink.any() else found.x
        factor = 1 << KEEP_FRAC if found.keep_factor is None else found.keep_factor
        columns = {
            "seen": shown,
            "pair": pair,
            "kept": found.kept & ~sink,
            "poison": pair & found.poisoned,
            "saturated": pair & found.clamped & ~found.poisoned,
            "x": x * shown,
            "keep_factor": factor * (found.kept & ~sink),
            "keep_shift": (0 if found.keep_shift is None else found.keep_shift) * (found.kept & ~sink),
        }
        return list(zip(*(columns[name].astype(int).tolist() for name in OUTPUTS), strict=True))


def random_pairs(rng: np.random.Generator, params: Params, count: int) -> Pairs:
    assert params.score is not None
    limit, shape = params.numerics.score_max, (count,)
    inputs: dict[str, Any] = {name: rng.integers(0, 1 << bits, count) for name, bits in INDEX_BITS.items()}
    if params.has_bias:
        inputs["bias"] = random_bias(rng, shape, params)
    x = np.choose(rng.choice(3, shape), [rng.integers(-limit, limit + 1, shape), rng.integers(-99, 99, shape), limit])
    seen, poisoned, clamped = (rng.random(shape) < share for share in (0.8, 0.2, 0.3))
    sink = rng.random(shape) < 0.2 if params.has_sink else np.zeros(shape, dtype=bool)
    arguments = random_arguments(rng, params.score)
    return Pairs(params, arguments, inputs, Scores(x, seen, poisoned, clamped, seen), sink)


def cycles_of(pairs: Pairs, times: list[int]) -> list[dict[str, Any]]:
    """Each pair enters in its cycle; in all others inputs stay what they were, but nothing is shown."""
    params, count = pairs.params, len(pairs.sink)
    cycles: list[dict[str, Any]] = [{"seen_in": 0} for _ in range(times[-1] + 1 + ScoreScale.LATENCY)]
    sides = {"query": pairs.queries, "key": evaluate(params.partition.key, pairs.inputs, pairs.arguments)}
    for i, t in zip(range(count), times, strict=True):
        cycles[t] |= {"seen_in": int(pairs.scores.seen[i]), "poison_in": int(pairs.scores.poisoned[i])}
        cycles[t]["sink"] = int(pairs.sink[i])
        if params.has_bias:
            cycles[t]["bias"] = int(pairs.inputs["bias"][i])
        for side, outputs in sides.items():
            broadcast = {name: int(np.broadcast_to(codes, (count,))[i]) for name, codes in outputs.items()}
            cycles[t] |= {side: broadcast} if broadcast else {}
        late = t + ScoreScale.LATENCY
        cycles[late] |= {"scaled": int(pairs.scores.x[i]), "clamped": int(pairs.scores.clamped[i])}
    return cycles


def meaning(outputs: tuple[int, ...]) -> tuple[int, ...]:
    """Outputs without those that mean nothing where the pair is not seen or not kept."""
    values = dict(zip(OUTPUTS, outputs, strict=True))
    needs = {"poison": "pair", "x": "seen", "keep_factor": "kept", "keep_shift": "kept"}
    return tuple(value * values[needs.get(name, name)] if name in needs else value for name, value in values.items())


def outcomes(pairs: Pairs, times: list[int]) -> list[tuple[int, ...]]:
    """Of every pair what comes out `pair_latency` behind it."""
    params = pairs.params
    assert params.score is not None
    settling = schedule(params.partition.lane, arrivals(params)).settling
    start = [*writes(params.score, pairs.arguments), *[{}] * settling]
    latency = pair_latency(params)
    seen = clocked(PairScore(params), [*start, *cycles_of(pairs, times)], OUTPUTS, latency)[len(start) :]
    # Where no pair is, none is reported.
    silent = [t for t in range(times[-1]) if t not in times]
    assert not any(any(seen[t + latency][:3]) or seen[t + latency][4] for t in silent)
    return [meaning(seen[t + latency]) for t in times]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_pair(name: str) -> None:
    """One a cycle, then with gaps."""
    params, rng = tiny(score=PROGRAMS[name]), np.random.default_rng(1)
    pairs = random_pairs(rng, params, 150)
    want = pairs.wanted()
    assert outcomes(pairs, list(range(150))) == want
    few = random_pairs(rng, params, 40)
    assert outcomes(few, np.cumsum(rng.integers(1, 5, 40)).tolist()) == few.wanted()
    # Pairs do all that the program can.
    told = {name for name, column in zip(OUTPUTS, zip(*want, strict=True), strict=True) if len(set(column)) > 1}
    assert told >= set(OUTPUTS[:6])
    assert (len({pair[1:3] for pair in want}) == 3) == params.has_dropout


@pytest.mark.parametrize("name", PROGRAMS)
def test_latency(name: str) -> None:
    """A single pair is seen in one cycle, the stated one."""
    params, rng = tiny(score=PROGRAMS[name]), np.random.default_rng(3)
    latency = pair_latency(params)
    assert latency >= max([ScoreScale.LATENCY, *dict(arrivals(params)).values()])
    pairs = next(p for p in iter(lambda: random_pairs(rng, params, 1), None) if p.wanted()[0][0])
    start = [*writes(PROGRAMS[name], pairs.arguments), *[{}] * 40]
    cycles = [*start, *cycles_of(pairs, [0])]
    seen = clocked(PairScore(params), cycles, OUTPUTS, latency + 3)[len(start) :]
    assert [t for t, values in enumerate(seen) if values[0]] == [latency]


def test_shortest_latency() -> None:
    """Outputs come from registers; and nothing is told before it is known whether the score was clamped."""
    latencies = {name: pair_latency(tiny(score=program)) for name, program in PROGRAMS.items()}
    assert pair_latency(tiny()) == latencies["query"] == ScoreScale.LATENCY
    assert latencies["key"] == latencies["sink"] == ScoreScale.LATENCY + 1


def test_kept_weights() -> None:
    params = tiny()
    rng, bits, one = np.random.default_rng(4), params.numerics.weight_bits, 1 << KEEP_FRAC
    y = np.concatenate([rng.integers(0, 1 << bits, 100), [(1 << bits) - 1] * 4, [0]])
    factor = np.concatenate([rng.integers(0, one + 1, 98), [one, one, one, one - 1, 0, 1, 1]])
    cycles = [{"y": int(a), "factor": int(b)} for a, b in zip(y, factor, strict=True)]
    seen = clocked(KeptWeight(params), cycles, ("y_out", "kept"), KeptWeight.LATENCY)[KeptWeight.LATENCY :]
    assert seen == list(zip(y.tolist(), ((y * factor) >> KEEP_FRAC).tolist(), strict=True))
