"""Passes, footprints and operation counts of the library: what is published, and what follows from it by hand."""

from __future__ import annotations

import functools

import pytest

from golden.cascade.count import operations, total, with_pairs
from golden.cascade.footprint import PARTS, RESULT, STATE, WHOLE, boundaries, footprint
from golden.cascade.formula import Formula
from golden.cascade.passes import passes
from golden.cascade.read import library
from golden.cascade.read import load as read_library

load = functools.cache(read_library)

# FuseMax, MICRO 2024: sections III (examples), IV-E1, IV-D, IV-E2, IV-E3; the others follow from the definition.
COUNTS = {
    "example-two-passes": 2,
    "example-deferred": 1,
    "example-iterative": 1,
    "attention-3-pass": 3,
    "attention-3-pass-deferred": 2,
    "attention-2-pass": 2,
    "attention-1-pass": 1,
    "attention-split": 1,
    "attention-streaming": 1,
    "softmax": 3,
    "softmax-online": 2,
    "layer-norm": 3,
    "layer-norm-sums": 2,
    "variance-two-pass": 2,
    "variance-sums": 1,
    "variance-welford": 1,
    "prefix-sum": 1,
    "prefix-sum-filter": 1,
    "log-sum-exp": 2,
    "log-sum-exp-online": 1,
}


@pytest.mark.parametrize("name", library())
def test_counts(name: str) -> None:
    assert passes(load(name)).count == COUNTS[name]


# The passes of every Einsum as FuseMax's tables give them (section IV-E), and of the streaming cascade.
STAGES = {
    "attention-3-pass": {"1": "QK GM", "2": "SN SD", "3": "A AV"},
    "attention-3-pass-deferred": {"1": "QK GM", "2": "SN SD SNV", "after 2": "AV"},
    "attention-2-pass": {
        "1": "BK BQK LM SLN SLD",
        "along 1": "GM",
        "after 1": "PLM SPD SD",
        "2": "BV SN A AV",
    },
    "attention-1-pass": {
        "1": "BK BV BQK LM SLN SLD SLNV",
        "along 1": "RM PRM SPD RD SPNV RNV",
        "after 1": "AV",
    },
    "attention-split": {"1": "BQK LM SLN SLD SLNV", "along 1": "GM", "after 1": "PLM SD SNV AV"},
    "attention-streaming": {
        "1": "QK X C Y VM EV BV CV RM SLN PRM RD RMV SLNV PRMV RNV",
        "after 1": "AV LSE",
    },
}


@pytest.mark.parametrize("name", sorted(STAGES))
def test_the_pass_of_every_einsum(name: str) -> None:
    found = {tensor: str(stage) for tensor, stage in passes(load(name)).stages.items()}
    assert found == {tensor: stage for stage, tensors in STAGES[name].items() for tensor in tensors.split()}


REASONS = {
    "attention-3-pass": [
        "SN needs GM, complete only when GM has read every element of QK along M; it reads QK again",
        "A needs SD, complete only when SD has read every element of SN along M; it reads SN again",
    ],
    "attention-2-pass": [
        "SN needs PLM (through GM, LM), complete only when LM has read every element of BQK along M; it reads SLN "
        "again, which was made of BQK",
        "A needs SD (through SPD, PLM, GM, LM), complete only when LM has read every element of BQK along M; it reads "
        "SN again, which was made of BQK",
    ],
    "example-two-passes": ["Z needs Y, complete only when Y has read every element of A along K; it reads A again"],
    "variance-two-pass": [
        "SQ needs MU (through S), complete only when S has read every element of A along I; it reads A again"
    ],
    "layer-norm": [
        "DX needs MU (through SX), complete only when SX has read every element of X along D; it reads X again",
        "Y needs RS (through SQ), complete only when SQ has read every element of DX along D; it reads DX again",
    ],
    "attention-1-pass": [],
}


@pytest.mark.parametrize("name", sorted(REASONS))
def test_reasons(name: str) -> None:
    assert [str(reason) for reason in passes(load(name)).reasons] == REASONS[name]


@pytest.mark.parametrize("name", library())
def test_every_further_pass_has_a_reason(name: str) -> None:
    cascade = load(name)
    for rank in cascade.space.roots:
        found = passes(cascade, rank)
        assert {reason.number for reason in found.reasons} == set(range(2, found.count + 1))
        # A reason is a barrier between neighbouring passes.
        for reason in found.reasons:
            assert (reason.by, reason.einsum) in found.barriers
            assert found.stages[reason.by].number == reason.number - 1 == found.stages[reason.einsum].number - 1


KEPT = {
    "attention-3-pass": {WHOLE: {"QK": "M*P", "SN": "M*P"}, RESULT: {"GM": "P", "SD": "P"}},
    "attention-3-pass-deferred": {WHOLE: {"QK": "M*P"}, RESULT: {"GM": "P", "SD": "P", "SNV": "F*P"}},
    "attention-2-pass": {
        WHOLE: {"SLN": "M*P"},
        PARTS: {"LM": "M1*P", "SLD": "M1*P", "PLM": "M1*P"},
        RESULT: {"GM": "P", "SD": "P"},
    },
    "attention-split": {PARTS: {"LM": "M1*P", "SLD": "M1*P", "SLNV": "F*M1*P"}, RESULT: {"GM": "P"}},
    "attention-1-pass": {STATE: {"RM": "P", "RD": "P", "RNV": "F*P"}},
    "attention-streaming": {STATE: {"RM": "P", "RMV": "P", "RD": "P", "RNV": "F*P"}},
    "example-two-passes": {WHOLE: {"A": "K"}, RESULT: {"Y": "1"}},
    "example-iterative": {STATE: {"RY": "1", "RZ": "1"}},
    "softmax": {WHOLE: {"X": "M*P", "SN": "M*P"}, RESULT: {"GM": "P", "SD": "P"}},
    "layer-norm": {WHOLE: {"X": "D*N", "DX": "D*N"}, RESULT: {"SX": "N", "MU": "N", "SQ": "N", "RS": "N"}},
    "prefix-sum": {STATE: {"S": "1"}},
}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_footprints(name: str) -> None:
    found: dict[str, dict[str, str]] = {}
    for kept in footprint(passes(load(name))):
        found.setdefault(kept.kind, {})[kept.tensor] = str(kept.elements)
    assert found == KEPT[name]


def test_footprint_of_one_query_grows_with_the_keys_only_if_there_are_passes() -> None:
    sizes = {"M": 4096, "P": 1, "E": 64, "F": 64, "M0": 256}
    for name, fiber, number in (
        ("attention-3-pass", ["M", "M"], 2 * 4096),
        ("attention-2-pass", ["M", "M1", "M1", "M1"], 4096 + 3 * 16),
        ("attention-split", ["M1"] * 3, 3 * 16),
        ("attention-1-pass", [], 0),
        ("attention-streaming", [], 0),
    ):
        cascade = load(name)
        grows = [k for k in footprint(passes(cascade)) if k.kind in (WHOLE, PARTS)]
        assert [str(k.fiber) for k in grows] == fiber
        known = cascade.space.sizes({rank: size for rank, size in sizes.items() if rank in cascade.space.names})
        assert sum(k.fiber.value(known) for k in grows) == number


def test_what_is_kept_between_passes() -> None:
    between = {name: boundaries(passes(load(name))) for name in library()}
    assert [[k.tensor for k in kept] for kept in between["attention-3-pass"]] == [["QK"], ["SN"]]
    for name, kept in between.items():
        # A pass that could read nothing again would be none.
        assert len(kept) == COUNTS[name] - 1 and all(kept)


def test_how_often_inputs_are_needed() -> None:
    def reads(name: str) -> dict[str, tuple[int, ...]]:
        return dict(passes(load(name)).reads)

    assert reads("attention-3-pass") == {"K": (1, 2, 3), "V": (3,)}
    assert reads("attention-3-pass-deferred") == {"K": (1, 2), "V": (2,)}
    assert reads("attention-2-pass") == {"K": (1, 2), "V": (2,)}
    assert reads("attention-1-pass") == reads("attention-streaming") == {"K": (1,), "V": (1,)}
    assert reads("layer-norm") == {"X": (1, 2, 3), "G": (3,), "B": (3,)}


def test_other_ranks() -> None:
    """The streaming cascade goes twice through the elements of a value row: for its exponent, and to use it."""
    assert {r: passes(load("attention-streaming"), r).count for r in "EFMP"} == {"E": 1, "F": 2, "M": 1, "P": 1}
    assert {r: passes(load("attention-3-pass"), r).count for r in "EFMP"} == {"E": 1, "F": 1, "M": 3, "P": 1}


# Operations


def test_operations_of_the_1_pass_cascade() -> None:
    """Points of each Einsum's space times what FuseMax's model charges for one (its exponential is six products)."""
    found = {
        name: {kind: str(n) for kind, n in kinds.items()}
        for name, kinds in operations(load("attention-1-pass")).items()
    }
    assert found == {
        "BK": {},
        "BV": {},
        "BQK": {"mul": "E*M*P", "add": "E*M*P"},
        "LM": {"max": "M*P"},
        "RM": {"max": "M1*P"},
        "SLN": {"sub": "M*P", "exp": "M*P"},
        "SLD": {"add": "M*P"},
        "SLNV": {"mul": "F*M*P", "add": "F*M*P"},
        "PRM": {"sub": "M1*P", "exp": "M1*P"},
        "SPD": {"mul": "M1*P"},
        "RD": {"add": "M1*P"},
        "SPNV": {"mul": "F*M1*P"},
        "RNV": {"add": "F*M1*P"},
        "AV": {"divide": "F*P"},
    }


def test_deferred_division_saves_divisions() -> None:
    assert str(total(load("attention-3-pass"))["divide"]) == "M*P"
    assert str(total(load("attention-3-pass-deferred"))["divide"]) == "F*P"
    assert str(total(load("example-two-passes"))["mul"]) == "2*K"
    assert str(total(load("example-deferred"))["mul"]) == "K + 1"


def test_numbers_of_operations() -> None:
    cascade = load("attention-1-pass")
    sizes = cascade.space.sizes({"E": 64, "F": 32, "M": 1024, "P": 16, "M0": 256})
    found = {kind: formula.value(sizes) for kind, formula in total(cascade).items()}
    pairs = 1024 * 16
    assert found["mul"] == 64 * pairs + 32 * pairs + 4 * 16 + 32 * 4 * 16
    assert found["exp"] == found["sub"] == pairs + 4 * 16
    assert found["divide"] == 32 * 16


def test_filtered_points_are_counted() -> None:
    cascade = load("prefix-sum-filter")
    assert str(total(cascade)["add"]) == "|k<=i|"
    sizes = cascade.space.sizes({"K": 10})
    assert total(cascade)["add"].value(with_pairs(cascade, sizes)) == 55


def test_formulas() -> None:
    f = Formula.product(["P", "M"], 2) + Formula.product([]) + Formula.product(["M", "P"])
    assert str(f) == "3*M*P + 1" and f.value({"M": 5, "P": 7}) == 106
    assert str(Formula()) == "0" and Formula().value({}) == 0
    assert f + Formula() == f
