"""Every cascade of the library computes what its name says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from golden import exact
from golden.cascade.cascade import Cascade
from golden.cascade.errors import CascadeError
from golden.cascade.evaluate import evaluate, groups
from golden.cascade.operators import shift
from golden.cascade.read import library, load, loads

Array = npt.NDArray[np.float64]

ATTENTION = [name for name in library() if name.startswith("attention")]
UNIT = 2.0**-53

# P queries, M keys, head dimensions, and keys in a tile.
SIZES = [(5, 12, 4, 3, 4), (1, 7, 1, 1, 7), (3, 7, 2, 5, 1), (17, 64, 16, 8, 16), (2, 1, 3, 2, 1)]


def rounding(q: Array, k: Array, v: Array) -> float:
    """How far two float64 computations of attention can be apart.

    A score is a sum of E products and is wrong by at most (E + 1) s in units of 2^-53, where s is the largest sum of
    magnitudes of those products. In an exponent, with the subtraction of a maximum, of a product with log2(e), and with
    the corrections of a running maximum, whose exponents add up to no more than 2 s, that is a relative error of at
    most (E + 10) s + 3 M; the sums of weights add M, the exponentials and divisions less than 16. All that holds for
    the numerator and the denominator of both computations, and the result is a mean of values.
    """
    s = float(np.max(np.abs(q) @ np.abs(k).T))
    return 4 * UNIT * ((q.shape[1] + 10) * s + 4 * len(k) + 16) * float(np.abs(v).max())


def problem(seed: int, sizes: tuple[int, ...], spread: float = 1.0) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    p, m, e, f, _ = sizes
    return spread * rng.normal(size=(p, e)), rng.normal(size=(m, e)), rng.normal(size=(m, f))


def attend(cascade: Cascade, q: Array, k: Array, v: Array, tile: int) -> dict[str, Array]:
    sizes = {"M0": tile} if "M0" in cascade.space.names else {}
    return evaluate(cascade, {"Q": q.T, "K": k.T, "V": v.T}, sizes)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", ATTENTION)
def test_attention_is_exact(name: str, sizes: tuple[int, ...]) -> None:
    for seed, spread in ((1, 1.0), (2, 30.0), (3, 1e-3)):
        q, k, v = problem(seed, sizes, spread)
        got = attend(load(name), q, k, v, sizes[4])
        want = exact.attention(q[None, None], k[None, None], v[None, None], scale=1.0)
        np.testing.assert_allclose(got["AV"].T, want.out[0, 0], rtol=0, atol=rounding(q, k, v), err_msg=f"seed {seed}")
        if "LSE" in got:
            np.testing.assert_allclose(got["LSE"], want.lse[0, 0], rtol=0, atol=rounding(q, k, 1 + 0 * v))


def test_the_bound_is_no_excuse() -> None:
    """It is far below what leaving out a key or the maximum of a tile would do."""
    q, k, v = problem(1, SIZES[0])
    assert rounding(q, k, v) < 1e-12
    one_less = attend(load("attention-3-pass"), q, k[:-1], v[:-1], 1)["AV"]
    assert np.abs(one_less - attend(load("attention-3-pass"), q, k, v, 1)["AV"]).max() > 1e-3


def test_references_of_the_streaming_cascade_are_whole() -> None:
    q, k, v = problem(4, (6, 40, 8, 4, 1))
    v[::3] *= 2.0**20
    got = attend(load("attention-streaming"), q, k, v, 1)
    for name in ("RM", "RMV", "PRM", "PRMV", "EV"):
        assert np.array_equal(got[name], np.rint(got[name])), name
    # The reference is the ceiling of the maximum, so that weights are at most 1 and the sum at least one half.
    scores = q @ k.T * np.log2(np.e)
    np.testing.assert_array_equal(got["RM"][-1], np.ceil(scores.max(axis=1)))
    assert got["SLN"].max() <= 1 and got["RD"][-1].min() > 0.5
    # Every value row is brought to the same range, whatever its scale.
    assert np.all((np.abs(got["BV"]).max(axis=0) >= 0.5) & (np.abs(got["BV"]) < 1).all(axis=0))


X = np.random.default_rng(5).normal(size=(9, 4)) * 3
A, B = np.random.default_rng(6).normal(size=(2, 11))
G, H = np.random.default_rng(7).normal(size=(2, 9))


def softmax() -> Array:
    return np.exp(X) / np.exp(X).sum(axis=0)


def norm() -> Array:
    return ((X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + 1e-5) * G[:, None] + H[:, None]).T


def running() -> Array:
    return np.concatenate([[0.0], np.cumsum(A)])


OTHERS: dict[str, tuple[dict[str, Array], str, Callable[[], npt.ArrayLike]]] = {
    "softmax": ({"X": X}, "A", softmax),
    "softmax-online": ({"X": X}, "A", softmax),
    "log-sum-exp": ({"X": X}, "LSE", lambda: np.log(np.exp(X).sum(axis=0))),
    "log-sum-exp-online": ({"X": X}, "LSE", lambda: np.log(np.exp(X).sum(axis=0))),
    "layer-norm": ({"X": X.T, "G": G, "B": H}, "Y", norm),
    "layer-norm-sums": ({"X": X.T, "G": G, "B": H}, "Y", norm),
    "variance-two-pass": ({"A": A}, "VAR", lambda: np.var(A)),
    "variance-sums": ({"A": A}, "VAR", lambda: np.var(A)),
    "variance-welford": ({"A": A}, "VAR", lambda: np.var(A)),
    "prefix-sum": ({"A": A}, "S", running),
    "prefix-sum-filter": ({"A": A}, "S", lambda: np.cumsum(A)),
    "example-two-passes": ({"A": A, "B": B}, "Z", lambda: A @ B * A.sum()),
    "example-deferred": ({"A": A, "B": B}, "Z", lambda: A @ B * A.sum()),
    "example-iterative": ({"A": A, "B": B}, "Z", lambda: A @ B * A.sum()),
}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_the_others_are_what_numpy_says(name: str) -> None:
    inputs, output, want = OTHERS[name]
    cascade = load(name)
    assert output in cascade.outputs
    # Sums of about ten numbers of the order of one, some of which cancel.
    np.testing.assert_allclose(evaluate(cascade, inputs)[output], want(), rtol=1e-11, atol=1e-12)


def test_every_cascade_is_looked_at() -> None:
    assert set(ATTENTION) | set(OTHERS) == set(library())


@pytest.mark.parametrize("seed", [1, 2, 3], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("name", library())
def test_the_order_of_writing_does_not_matter(name: str, seed: int) -> None:
    """Not even in the last bit."""
    cascade = load(name)
    rng = np.random.default_rng(seed)
    shuffled = Cascade(
        name="shuffled",
        inputs=cascade.inputs,
        einsums=tuple(cascade.einsums[i] for i in rng.permutation(len(cascade.einsums))),
        initial=cascade.initial[::-1],
        stop=cascade.stop,
        ranks=cascade.ranks,
    )
    sizes = {rank: 2 + i for i, rank in enumerate(cascade.space.roots)} | {"M0": 2}
    sizes = {rank: 4 if rank == "M" else size for rank, size in sizes.items() if rank in cascade.space.names}
    inputs = {t: rng.normal(size=[sizes[r] for r in ranks]) for t, ranks in cascade.inputs.items()}
    want, got = evaluate(cascade, inputs, sizes), evaluate(shuffled, inputs, sizes)
    assert want.keys() == got.keys()
    assert all(np.array_equal(want[name], got[name], equal_nan=True) for name in want)


def made(einsums: str, **choices: Any) -> Cascade:
    inputs = {"A": ("K",), "B": ("K", "J"), "C": ("M",)}
    used = {name: ranks for name, ranks in inputs.items() if name in einsums}
    return Cascade(name="x", inputs=used, einsums=tuple(einsums.split("; ")), **choices)  # type: ignore[arg-type]


B2 = np.random.default_rng(8).normal(size=(11, 3))


@pytest.mark.parametrize(
    ("einsums", "want"),
    [
        ("Z = max over k: A[k]", lambda: A.max()),
        ("Z = min over k, j: A[k] * B[k,j]", lambda: (A[:, None] * B2).min()),
        ("Z[j] = mul over k: B[k,j]", lambda: B2.prod(axis=0)),
        ("Z[j,k] = B[k,j]", lambda: B2.T),
        ("Z[j] = A[k] * B[k,j]", lambda: A @ B2),
        ("Z = A[k] * A[k] * A[k]", lambda: (A**3).sum()),
        ("Z[j] = A[K-1] * B[0,j] + K", lambda: A[-1] * B2[0] + 11),
        ("Z[j] = B[k : k>=j,j]", lambda: [B2[j:, j].sum() for j in range(3)]),
        ("Z[j] = max over k: A[k : k<j+1] * B[k,j]", lambda: [(A * B2[:, j])[: j + 1].max() for j in range(3)]),
        (
            "Z[k] = sqrt(abs(A[k])) - rsqrt(abs(A[k])) + tanh(-A[k])",
            lambda: abs(A) ** 0.5 - abs(A) ** -0.5 - np.tanh(A),
        ),
        ("Z[k] = floor(A[k]) + exponent(A[k]) * reciprocal(A[k])", lambda: np.floor(A) + np.frexp(A)[1] / A),
    ],
)
def test_operators_filters_and_coordinates(einsums: str, want: Callable[[], npt.ArrayLike]) -> None:
    cascade = made(einsums)
    arrays = {"A": A, "B": B2}
    got = evaluate(cascade, {name: arrays[name] for name in cascade.inputs})["Z"]
    np.testing.assert_allclose(got, want(), rtol=1e-12, atol=1e-13)


def test_shift_is_exact() -> None:
    x = np.array([1.5, -3.0, 7.0, 2.0])
    np.testing.assert_array_equal(shift(x, np.array([3.0, -1.0, -np.inf, 0.0])), [12.0, -1.5, 0.0, 2.0])
    cascade = made("Z[k] = ldexp(A[k], A[k])")
    with pytest.raises(CascadeError, match=r"ldexp\(A\[k\], A\[k\]\): the second operand of ldexp must be whole"):
        evaluate(cascade, {"A": A})


def test_recurrences_over_several_tensors() -> None:
    """Two states that need each other, with an Einsum between them that reads what this step has just made."""
    cascade = made(
        "S[k+1] = S[k] + A[k] * T[k]; U[k] = S[k+1] / 2; T[k+1] = U[k] - T[k]; Z = S[K] + T[K]",
        stop={"k": "K"},
        initial=("S[0] = 1", "T[0] = 2"),
    )
    assert [sorted(group) for group in groups(cascade)] == [["S", "T", "U"], ["Z"]]
    s, t = 1.0, 2.0
    for x in A:
        s, t = s + x * t, (s + x * t) / 2 - t
    assert evaluate(cascade, {"A": A})["Z"] == s + t


def test_tiles_of_a_recurrence_are_read_by_tile() -> None:
    cascade = made(
        "L[m1] = C[m1*M0+m0]; S[m1+1] = S[m1] / 2 + L[m1]",
        stop={"m1": "M1"},
        initial=("S[0] = 0",),
        ranks={"M": ("M1", "M0")},
    )
    c = np.arange(12.0)
    assert evaluate(cascade, {"C": c}, {"M0": 4})["S"].tolist() == [0, 6, 3 + 22, 12.5 + 38]


@pytest.mark.parametrize(
    ("inputs", "sizes", "message"),
    [
        ({"A": A}, {}, "x needs an array for B"),
        ({"A": A, "B": B2, "D": A}, {}, "unknown input 'D'; allowed: A, B"),
        ({"A": B2, "B": B2}, {}, r"A has the ranks K, not an array of shape \(11, 3\)"),
        ({"A": A[1:], "B": B2}, {}, "K is 11 in B and 10 in A"),
        ({"A": A, "B": B2}, {"K": 12}, "K is 11 in A and 12 in what was given"),
        ({"A": A, "B": B2}, {"M": 12}, "unknown rank 'M'"),
    ],
)
def test_bad_arrays(inputs: dict[str, Array], sizes: dict[str, int], message: str) -> None:
    with pytest.raises(CascadeError, match=message):
        evaluate(made("Z = A[k] * B[k,j]"), inputs, sizes)


def test_inputs_are_left_as_they_were() -> None:
    q, k, v = problem(9, SIZES[0])
    copies = q.copy(), k.copy(), v.copy()
    for name in ATTENTION:
        attend(load(name), q, k, v, 4)
    assert all(np.array_equal(x, y) for x, y in zip((q, k, v), copies, strict=True))


def test_causal_attention_by_a_filter() -> None:
    cascade = loads(
        """
name: causal
inputs: {Q: [E, P], K: [E, M], V: [F, M]}
einsums: |
  QK[m,p] = Q[e,p] * K[e,m]
  GM[p]   = max over m: QK[m : m<=p+2,p]
  SN[m,p] = exp(QK[m,p] - GM[p])
  SD[p]   = SN[m : m<=p+2,p]
  AV[f,p] = SN[m : m<=p+2,p] * V[f,m] / SD[p]
"""
    )
    q, k, v = problem(10, (6, 9, 4, 3, 1))
    want = exact.attention(q[None, None], k[None, None], v[None, None], scale=1.0, causal=True, offset=2)
    got = attend(cascade, q, k, v, 1)["AV"]
    np.testing.assert_allclose(got.T, want.out[0, 0], rtol=0, atol=rounding(q, k, v))
