"""The promise of the numbers contract: a result is as good as the exact answer, rounded once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.bitexact import Numerics, attention
from golden.error import rounding_ratio
from golden.formats import FORMATS, decode, encode

Tensor = npt.NDArray[np.float64]
Workload = Callable[[np.random.Generator, Tensor, Tensor, Tensor], None]

LIMITS = [pytest.param("bf16", 1.02, id="bf16"), pytest.param("fp16", 1.05, id="fp16")]
HEAD = 64


def normal(rng: np.random.Generator, q: Tensor, k: Tensor, v: Tensor) -> None:
    """Leave everything N(0, 1)."""


def sharp(rng: np.random.Generator, q: Tensor, k: Tensor, v: Tensor) -> None:
    """A few keys take all the weight."""
    q *= 6


def sink(rng: np.random.Generator, q: Tensor, k: Tensor, v: Tensor) -> None:
    """The first key takes most of the weight of every query."""
    q[..., 0], k[..., 0, 0] = 4, 16


def key_channel(rng: np.random.Generator, q: Tensor, k: Tensor, v: Tensor) -> None:
    """One channel of K is an outlier."""
    k[..., 5] *= 10


def value_rows(rng: np.random.Generator, q: Tensor, k: Tensor, v: Tensor) -> None:
    """Rows of V are of very different sizes."""
    v *= np.exp2(rng.integers(-12, 13, (v.shape[-2], 1)))


def value_columns(rng: np.random.Generator, q: Tensor, k: Tensor, v: Tensor) -> None:
    """Columns of V are of very different sizes, so that a row has small elements beside large ones."""
    v *= np.exp2(rng.integers(-6, 7, v.shape[-1]))


def ratio(workload: Workload, seed: int, length: int, keys: int, name: str, **choices: Any) -> float:
    """Error against exact attention on the inputs as rounded, over the error of rounding the exact answer."""
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=(1, 1, n, HEAD)) for n in (length, keys, keys))
    workload(rng, q, k, v)
    fmt = FORMATS[name]
    codes = [encode(tensor, fmt) for tensor in (q, k, v)]
    got = attention(*codes, Numerics(in_format=name, out_format=name), **choices)
    want = exact.attention(*(decode(tensor, fmt) for tensor in codes), **choices)
    assert not (got.saturated.any() or got.poisoned.any())
    return rounding_ratio(decode(got.out, fmt), want.out, fmt)


@pytest.mark.parametrize(("name", "limit"), LIMITS)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("workload", [normal, sharp, sink, key_channel, value_rows, value_columns])
def test_as_good_as_rounding(workload: Workload, seed: int, name: str, limit: float) -> None:
    assert ratio(workload, seed, 128, 1024, name) <= limit


@pytest.mark.parametrize(("name", "limit"), LIMITS)
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_a_whole_head(causal: bool, name: str, limit: float) -> None:
    assert ratio(normal, 2, 1024, 1024, name, causal=causal) <= limit


@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_many_keys(name: str, limit: float) -> None:
    assert ratio(normal, 3, 128, 16384, name) <= limit
