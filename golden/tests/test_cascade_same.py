"""What the analysis of passes must not depend on, and what is no pass."""

from __future__ import annotations

import dataclasses
import functools
import random

import pytest

from golden.cascade.cascade import Cascade
from golden.cascade.count import total
from golden.cascade.einsum import Access, Apply, Coordinate, Einsum, Expression, Index, Joined
from golden.cascade.errors import CascadeError
from golden.cascade.footprint import RESULT, WHOLE, footprint
from golden.cascade.passes import passes
from golden.cascade.read import library, loads
from golden.cascade.read import load as read_library

load = functools.cache(read_library)


def renamed(cascade: Cascade, names: dict[str, str], order: random.Random) -> Cascade:
    def new(value: Expression) -> Expression:
        if isinstance(value, Access):
            return dataclasses.replace(value, tensor=names.get(value.tensor, value.tensor))
        return Apply(value.operator, tuple(map(new, value.operands))) if isinstance(value, Apply) else value

    def einsum(old: Einsum) -> Einsum:
        output = dataclasses.replace(old.output, tensor=names[old.name])
        return Einsum(output, new(old.expression), old.reduce)

    return Cascade(
        name="renamed",
        inputs={names[t]: ranks for t, ranks in cascade.inputs.items()},
        einsums=tuple(map(einsum, order.sample(cascade.einsums, len(cascade.einsums)))),
        initial=tuple(map(einsum, order.sample(cascade.initial, len(cascade.initial)))),
        stop=cascade.stop,
        ranks=cascade.ranks,
        over=cascade.over,
    )


@pytest.mark.parametrize("seed", [1, 2, 3], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("name", library())
def test_order_and_names_do_not_matter(name: str, seed: int) -> None:
    cascade, rng = load(name), random.Random(seed)
    fresh = [f"T{i}" for i in range(len(cascade.tensors))]
    names = dict(zip(cascade.tensors, rng.sample(fresh, len(fresh)), strict=True))
    for rank in cascade.space.roots:
        want, got = passes(cascade, rank), passes(renamed(cascade, names, rng), rank)
        assert got.count == want.count
        assert dict(got.stages) == {names[t]: stage for t, stage in want.stages.items()}
        assert set(got.barriers) == {(names[a], names[b]) for a, b in want.barriers}
        kept = {(names[k.tensor], k.kind, k.elements, k.begin, k.end) for k in footprint(want)}
        assert {(k.tensor, k.kind, k.elements, k.begin, k.end) for k in footprint(got)} == kept
    assert total(renamed(cascade, names, rng)) == total(cascade)


def split(cascade: Cascade, rank: str) -> Cascade:
    """The same with a rank in two parts everywhere."""
    v, parts = rank.lower(), (f"{rank}1", f"{rank}0")

    def access(old: Access) -> Access:
        indices: list[Index | Joined | Coordinate] = []
        for index in old.indices:
            if index == Index(v):
                names = tuple(part.lower() for part in parts)
                indices += [Joined(names)] if old.tensor in cascade.inputs else [Index(name) for name in names]
            else:
                indices.append(index)
        return Access(old.tensor, tuple(indices))

    def new(value: Expression) -> Expression:
        if isinstance(value, Access):
            return access(value)
        return Apply(value.operator, tuple(map(new, value.operands))) if isinstance(value, Apply) else value

    einsums = tuple(Einsum(access(e.output), new(e.expression), e.reduce) for e in cascade.einsums)
    return Cascade(name="split", inputs=cascade.inputs, einsums=einsums, ranks={rank: parts}, over=cascade.over)


@pytest.mark.parametrize("name", [n for n in library() if not load(n).stop and not load(n).ranks])
def test_partitioning_does_not_matter(name: str) -> None:
    cascade = load(name)
    assert cascade.over is not None
    want, got = passes(cascade), passes(split(cascade, cascade.over))
    assert (got.count, dict(got.stages), got.barriers, dict(got.reads)) == (
        want.count,
        dict(want.stages),
        want.barriers,
        dict(want.reads),
    )
    assert [(k.tensor, str(k.elements)) for k in footprint(got)] == [
        (k.tensor, str(k.elements)) for k in footprint(want)
    ]
    assert total(split(cascade, cascade.over)) == total(cascade)


def test_how_much_an_einsum_holds_does_not_matter() -> None:
    """Softmax with the exponential computed where it is needed."""
    text = "name: x\ninputs: {X: [M]}\neinsums: |\n  GM = max over m: X[m]\n  SD = exp(X[m] - GM)\n"
    found = passes(loads(text + "  A[m] = exp(X[m] - GM) / SD\n"))
    assert found.count == passes(load("softmax")).count == 3
    assert [str(k.elements) for k in footprint(found) if k.kind == WHOLE] == ["M"]


# What is no pass


def small(einsums: str, inputs: str = "A: [K], B: [K]", more: str = "") -> Cascade:
    return loads(f"name: x\ninputs: {{{inputs}}}\n{more}einsums: |\n  " + "\n  ".join(einsums.split("; ")) + "\n")


def test_waiting_without_reading_again_is_no_pass() -> None:
    found = passes(small("Y = A[k]; Z = Y * B[k]"))
    assert (found.count, found.waits, found.barriers) == (1, (("Z", "Y"),), ())
    assert not [k for k in footprint(found) if k.kind == WHOLE]
    # But what was made of A is A again, whether it is computed first or last.
    for text in ("X[k] = A[k] * B[k]; Y = A[k]; Z = Y * X[k]", "Y = A[k]; Z = Y * X[k]; X[k] = A[k] * B[k]"):
        assert passes(small(text)).count == 2


def test_a_new_rank_is_no_fiber_of_the_old_one() -> None:
    """What is spread from a single value over the rank does not read the rank again."""
    found = passes(small("Y = A[k]; X[k] = Y * B[k]; Z = exp(X[k])"))
    assert found.count == 1


def test_one_coordinate_is_no_pass() -> None:
    found = passes(small("Y = A[k]; Z = Y * A[0] + A[K-1]", "A: [K]"))
    assert (found.count, str(found.stages["Z"])) == (1, "after 1")
    assert {(k.tensor, k.kind) for k in footprint(found)} == {("A", RESULT), ("Y", RESULT)}


def test_a_running_sum_that_is_read_at_the_end_makes_a_pass() -> None:
    more = "stop: k >= K\ninitial: S[0] = 0\n"
    assert passes(small("S[k+1] = S[k] + A[k]; Z = S[k+1] * A[k]", "A: [K]", more)).count == 1
    assert passes(small("S[k+1] = S[k] + A[k]; Z = S[K] * A[k]", "A: [K]", more)).count == 2
    # What each step has just made, once to add it up and once to use the sum: all steps lie between.
    found = passes(small("S[k+1] = S[k] + A[k]; H = S[k+1]; Z = S[k+1] * H", "A: [K]", more))
    assert (found.count, found.barriers) == (2, (("H", "Z"), ("S", "Z")))
    # All but the last element: that one may wait, the others need not.
    assert passes(small("S[k+1] = S[k] + A[k]; Z = S[K-1] * A[k]", "A: [K]", more)).count == 1


def test_the_beginning_of_a_running_sum_needs_nothing() -> None:
    """S itself is made in the second pass."""
    more = "stop: k >= K\ninitial: S[0] = 7\n"
    found = passes(small("Y = A[k]; S[k+1] = S[k] + A[k] * Y; Z = S[0] * B[k]; W = S[K]", more=more))
    assert {name: str(stage) for name, stage in found.stages.items()} == {"Y": "1", "S": "2", "Z": "1", "W": "after 2"}


def test_nothing_is_put_off_so_far_that_another_pass_is_needed() -> None:
    """T is read in the second pass only, but Z, which is in that pass too, must not wait for all of T there."""
    found = passes(
        small(
            "T[i] = A[k : k<=i]; Y = max over k: A[k]; W[k] = T[k] * Y; Z = A[k] * W[K-1]",
            "A: [K]",
            "ranks: {I: [K]}\n",
        )
    )
    assert {name: str(stage) for name, stage in found.stages.items()} == {"T": "1", "Y": "1", "W": "2", "Z": "2"}


def test_sums_from_both_sides_know_everything() -> None:
    more = "ranks: {I: [K]}\n"
    both = "S[i] = A[k : k<=i]; T[i] = A[k : k>=i]; Z = S[k] * T[k] * A[k]"
    assert passes(small(both, "A: [K]", more)).count == 2
    (reason,) = passes(small(both, "A: [K]", more)).reasons
    text = "Z needs S and T, complete only when S and T have read every element of A along K; it reads A again"
    assert str(reason) == text
    gap = both.replace("k<=i", "k<i").replace("k>=i", "k>i")
    assert passes(small(gap, "A: [K]", more)).count == 1


def test_passes_that_grow_with_steps_are_refused() -> None:
    """Power iteration reads the whole matrix at every step."""
    cascade = loads(
        "name: power\ninputs: {A: [N, M], D: [N], T: [I]}\nstop: i >= I\ninitial: 'X[0,n] = D[n]'\n"
        "einsums: |\n  W[i,m] = X[i,n] * A[n,m]\n  X[i+1,n] = W[i,m] * A[n,m] * T[i]\n  Z[n] = X[I,n]\n"
    )
    with pytest.raises(CascadeError, match="every step of an iterative rank goes through all of M once more"):
        passes(cascade, "M")
    assert passes(cascade, "I").count == 1


def test_bad_ranks() -> None:
    cascade = load("attention-2-pass")
    with pytest.raises(CascadeError, match="unknown rank 'm'; did you mean 'M'"):
        passes(cascade, "m")
    with pytest.raises(CascadeError, match="M0 belongs to M; ask for that"):
        passes(cascade, "M0")
    twice = small("Z[i] = A[k,i]", "A: [K, I]", "ranks: {I: [K]}\n")
    with pytest.raises(CascadeError, match="A has coordinates of K twice"):
        passes(twice, "K")
    steps = loads(
        "name: x\ninputs: {A: [M]}\nranks: {M: [M1, M0]}\nstop: m >= M\ninitial: S[0] = 0\n"
        "einsums: |\n  S[m+1] = S[m] + A[m]\n  B[m1,m0] = A[m1*M0+m0]\n"
    )
    with pytest.raises(CascadeError, match=r"m\+1 steps through M as a whole"):
        passes(steps, "M")


def test_without_a_named_rank_the_one_with_most_passes_is_taken() -> None:
    cascade = dataclasses.replace(load("attention-3-pass"), over=None)
    assert passes(cascade).rank == "M"
