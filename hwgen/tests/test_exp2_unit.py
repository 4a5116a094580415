"""The exponent unit against the golden model's weights."""

import numpy as np
import numpy.typing as npt
import pytest

from golden.bitexact.exp2 import exp2_fraction
from hwgen.params import Params
from hwgen.softmax.exp2 import Exp2
from hwgen.tests.bench import clocked, tiny

TABLES = [
    pytest.param(tiny(), id="default"),
    pytest.param(tiny(weight_bits=18), id="18-14-32"),
    pytest.param(tiny(score_frac=16, exp_segments=64), id="26-16-64"),
    pytest.param(tiny(weight_bits=12, score_frac=10, exp_segments=2, accumulator_bits=46), id="12-10-2"),
]


def assert_weights(x: npt.NDArray[np.int64], params: Params) -> None:
    """Ceilings and weights of x, one a cycle, each at its latency."""
    n = params.numerics
    seen = clocked(Exp2(params), [{"x": int(value)} for value in x], ["ceiling", "y"], Exp2.LATENCY)
    ceiling = [-(-int(value) >> n.score_frac) for value in x]
    assert [c for c, _ in seen[Exp2.CEILING_LATENCY :]][: len(x)] == ceiling
    y = exp2_fraction((np.array(ceiling) << n.score_frac) - x, n)
    assert [w for _, w in seen[Exp2.LATENCY :]] == y.tolist()


@pytest.mark.parametrize("params", TABLES)
@pytest.mark.parametrize("seed", range(2))
def test_random_scores(seed: int, params: Params) -> None:
    limit = params.numerics.score_max
    rng = np.random.default_rng(seed)
    assert_weights(np.concatenate([rng.integers(-limit, limit + 1, 600), [limit, -limit, 0]]), params)


@pytest.mark.parametrize("params", TABLES)
def test_ends_of_all_chords(params: Params) -> None:
    n = params.numerics
    steps = (1 << n.score_frac) // n.exp_segments
    edges = np.arange(-n.exp_segments, n.exp_segments + 1) * steps
    assert_weights((edges[:, None] + np.arange(-1, 2)).ravel(), params)


def test_every_fraction() -> None:
    params = tiny(weight_bits=20, score_frac=11, exp_segments=16)
    assert_weights(np.arange(-(1 << 11) - 1, 2), params)
