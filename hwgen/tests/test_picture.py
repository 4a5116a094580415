"""The figure counts every cycle once and shows the weights that attention has."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden import exact
from golden.formats import BF16, decode, encode
from hwgen.control.causes import BUSY, Cause
from hwgen.picture import COLOURS, attention_weights, bin_activity, bin_edges, draw
from hwgen.tests.fakes import ACTIVITY, CYCLES, TINY, checked_run, random_problem


def png_size(path: Path) -> tuple[int, int]:
    """Width and height from a PNG's header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[12:16] == b"IHDR"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_bins_add_up() -> None:
    """In every bin the causes add up to its cycles; over all bins every cause to its own."""
    rng = np.random.default_rng(11)
    for cycles, changes, bins in ((1, 1, 5), (97, 40, 10), (5000, 300, 160), (100_003, 20_000, 7)):
        starts = np.unique(np.append(0, rng.integers(0, cycles, changes)))
        causes = rng.choice([*Cause, BUSY], len(starts))
        busy = rng.integers(0, 2, len(starts))
        activity = list(zip(starts.tolist(), causes.tolist(), busy.tolist(), strict=True))
        edges = bin_edges(0, cycles, bins)
        binned = bin_activity(activity, cycles, edges)
        np.testing.assert_array_equal(sum(binned.score.values()), binned.lengths)
        assert binned.lengths.sum() == cycles
        lengths = np.diff(np.append(starts, cycles))
        assert {code: count.sum() for code, count in binned.score.items()} == {
            int(code): lengths[causes == code].sum() for code in np.unique(causes)
        }
        assert binned.value.sum() == lengths[busy == 1].sum()
        assert (binned.value <= binned.lengths).all()


def test_single_cycles() -> None:
    """With bins of one cycle the counts are the activity itself."""
    edges = bin_edges(90, 140, 50)
    binned = bin_activity([(t, int(cause), busy) for t, cause, busy in ACTIVITY], CYCLES, edges)
    np.testing.assert_array_equal(edges, np.arange(90, 141))
    np.testing.assert_array_equal(binned.score[Cause.FILL], edges[:-1] < 100)
    np.testing.assert_array_equal(binned.score[BUSY], edges[:-1] >= 100)
    np.testing.assert_array_equal(binned.value, edges[:-1] >= 130)


def test_untraced_run_is_refused() -> None:
    with pytest.raises(ValueError, match="not traced"):
        bin_activity([], 10, bin_edges(0, 10))


def test_every_cause_has_a_colour() -> None:
    assert set(COLOURS) == {*Cause, BUSY}
    assert len(set(COLOURS.values())) == len(COLOURS)


@pytest.mark.parametrize(
    "masks", [{}, {"causal": True, "offset": 2}, {"key_length": 4}, {"causal": True, "offset": -2}]
)
def test_weights_are_those_of_attention(masks: dict[str, Any]) -> None:
    """The weights of the figure times V are exact attention."""
    problem = random_problem((1, 2, 6, 9), scale=0.7, **masks)
    q, k, v = (decode(codes, BF16) for codes in (problem.q, problem.k, problem.v))
    rules: dict[str, Any] = {"causal": problem.causal, "offset": problem.offset, "key_lengths": problem.keys}
    want = exact.attention(q, k, v, scale=0.7, **rules).out
    for h, job in enumerate(problem.jobs(TINY)):
        weights = attention_weights(job, 0.7, TINY)
        assert weights.shape == (6, 9)
        np.testing.assert_allclose(weights @ v[0, h], want[0, h], rtol=1e-12, atol=1e-15)


def test_weights_next_to_a_poisoned_row() -> None:
    problem = random_problem((1, 1, 3, 4))
    q = problem.q.copy()
    q[0, 0, 1, 0] = BF16.quiet_nan
    weights = attention_weights(replace(problem, q=q).jobs(TINY)[0], 1.0, TINY)
    assert np.isnan(weights[1]).all()
    np.testing.assert_allclose(weights[[0, 2]].sum(axis=1), 1)


def test_figure_with_tokens(tmp_path: Path) -> None:
    problem = random_problem((1, 1, 6, 6))
    path = tmp_path / "run.png"
    draw(path, checked_run(problem), tokens=[f"$tok_{i}^" for i in range(6)], title="One head")
    assert png_size(path) == (1760, 864)
    assert 20_000 < path.stat().st_size < 500_000


def test_figure_of_a_masked_and_poisoned_head(tmp_path: Path) -> None:
    problem = random_problem((2, 2, 6, 9), causal=True, offset=-2)
    q = problem.q.copy()
    q[1, 1, 4] = encode(np.full(8, np.nan), BF16)
    path = tmp_path / "run.png"
    draw(path, checked_run(replace(problem, q=q)), head=3)
    assert png_size(path) == (1760, 864)
    draw(path, checked_run(random_problem((1, 1, 2, 3), key_length=0)))
    assert png_size(path) == (1760, 864)


def test_same_run_gives_the_same_picture(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, checked_run())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
