"""Cascades as they are written: text, YAML and Python mean the same, and mistakes are found where they stand."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from golden.cascade import parse
from golden.cascade.cascade import Cascade
from golden.cascade.einsum import Access, Apply, Condition, Coordinate, Einsum, Index, Joined, Number
from golden.cascade.errors import CascadeError, did_you_mean
from golden.cascade.passes import passes
from golden.cascade.read import LIBRARY, library, load, loads, read
from golden.cascade.write import as_yaml


def a(tensor: str, *indices: str | Index | Joined | Coordinate) -> Access:
    return Access(tensor, tuple(Index(i) if isinstance(i, str) else i for i in indices))


def exp(x: Apply) -> Apply:
    return Apply("exp", (x,))


NEXT, LAST, ZERO = Index("m1", 1), Coordinate("M1"), Coordinate(None, 0)
JOINED = Joined(("m1", "m0"))

ONE_PASS = {
    "BK": Einsum(a("BK", "e", "m1", "m0"), a("K", "e", JOINED)),
    "BV": Einsum(a("BV", "f", "m1", "m0"), a("V", "f", JOINED)),
    "BQK": Einsum(a("BQK", "m1", "m0", "p"), a("Q", "e", "p") * a("BK", "e", "m1", "m0")),
    "LM": Einsum(a("LM", "m1", "p"), a("BQK", "m1", "m0", "p"), "max"),
    "RM": Einsum(a("RM", NEXT, "p"), Apply("max", (a("RM", "m1", "p"), a("LM", "m1", "p")))),
    "SLN": Einsum(a("SLN", "m1", "m0", "p"), exp(a("BQK", "m1", "m0", "p") - a("RM", NEXT, "p"))),
    "SLD": Einsum(a("SLD", "m1", "p"), a("SLN", "m1", "m0", "p")),
    "SLNV": Einsum(a("SLNV", "f", "m1", "p"), a("SLN", "m1", "m0", "p") * a("BV", "f", "m1", "m0")),
    "PRM": Einsum(a("PRM", "m1", "p"), exp(a("RM", "m1", "p") - a("RM", NEXT, "p"))),
    "SPD": Einsum(a("SPD", "m1", "p"), a("RD", "m1", "p") * a("PRM", "m1", "p")),
    "RD": Einsum(a("RD", NEXT, "p"), a("SLD", "m1", "p") + a("SPD", "m1", "p")),
    "SPNV": Einsum(a("SPNV", "f", "m1", "p"), a("RNV", "f", "m1", "p") * a("PRM", "m1", "p")),
    "RNV": Einsum(a("RNV", "f", NEXT, "p"), a("SLNV", "f", "m1", "p") + a("SPNV", "f", "m1", "p")),
    "AV": Einsum(a("AV", "f", "p"), a("RNV", "f", LAST, "p") / a("RD", LAST, "p")),
}


def test_python_and_yaml_mean_the_same() -> None:
    file = load("attention-1-pass")
    made = Cascade(
        name="attention-1-pass",
        about=file.about,
        source=file.source,
        inputs={"Q": ("E", "P"), "K": ("E", "M"), "V": ("F", "M")},
        ranks={"M": ("M1", "M0")},
        stop={"m1": "M1"},
        initial=(
            Einsum(a("RM", ZERO, "p"), -Number(math.inf)),
            Einsum(a("RD", ZERO, "p"), Number(0)),
            Einsum(a("RNV", "f", ZERO, "p"), Number(0)),
        ),
        einsums=tuple(ONE_PASS.values()),
        over="M",
        sizes={"E": 64, "F": 64, "M": 1024, "P": 1024, "M0": 256},
    )
    assert made == file
    assert [str(e) for e in made.einsums] == [str(e) for e in file.einsums]
    assert made.outputs == ("AV",)
    # And it is no equality of everything with everything.
    assert made != load("attention-split")


@pytest.mark.parametrize("name", library())
def test_what_is_written_is_read_again(name: str) -> None:
    cascade = load(name)
    assert name == cascade.name and cascade.about and cascade.source
    assert loads(as_yaml(cascade)) == cascade
    for einsum in cascade.all:
        assert parse.einsum(str(einsum)) == einsum


TEXTS = [
    ("Z = A[k]", Einsum(a("Z"), a("A", "k"))),
    ("Z[i]=A[k:k<=i]", Einsum(a("Z", "i"), a("A", Index("k", 0, Condition("<=", "i"))))),
    ("Z[i] = A[k : k > i-2]", Einsum(a("Z", "i"), a("A", Index("k", 0, Condition(">", "i", -2))))),
    ("Z = max over k, j: A[k,j]", Einsum(a("Z"), a("A", "k", "j"), "max")),
    ("Z = sum over k: A[k]", Einsum(a("Z"), a("A", "k"))),
    ("Z = A[K-1] - B[0] - C", Einsum(a("Z"), a("A", Coordinate("K", -1)) - a("B", ZERO) - a("C"))),
    ("Z = A - (B - C)", Einsum(a("Z"), a("A") - (a("B") - a("C")))),
    ("Z = A / (B * C) / 2.5e-3", Einsum(a("Z"), a("A") / (a("B") * a("C")) / 2.5e-3)),
    ("Z = -A * -(B + 1)", Einsum(a("Z"), -a("A") * -(a("B") + 1))),
    ("Z = A - -2", Einsum(a("Z"), a("A") - -2)),
    ("Z = ldexp(A, -B) * inf", Einsum(a("Z"), Apply("ldexp", (a("A"), -a("B"))) * math.inf)),
    ("Z = K3[m2*M1*M0+m1*M0+m0]", Einsum(a("Z"), a("K3", Joined(("m2", "m1", "m0"))))),
]


@pytest.mark.parametrize(("text", "wanted"), TEXTS, ids=[text for text, _ in TEXTS])
def test_text_of_einsums(text: str, wanted: Einsum) -> None:
    found = parse.einsum(text)
    assert found == wanted
    assert parse.einsum(str(found)) == found


def test_operators_bind_as_in_arithmetic() -> None:
    assert parse.einsum("Z = A - B - C") != parse.einsum("Z = A - (B - C)")
    assert parse.einsum("Z = A + B * C") == parse.einsum("Z = A + (B * C)")
    assert parse.einsum("Z = A / B / C") == parse.einsum("Z = (A / B) / C")
    assert str(parse.einsum("Z = (A + (B) * C)")) == "Z = A + B * C"


BASE = """\
name: mine
inputs:
  Q: [E, P]
  K: [E, M]
ranks:
  M: [M1, M0]
stop: m1 >= M1
initial: |
  RM[0,p] = -inf
einsums: |
  BQK[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0]   # scores
  LM[m1,p] = max over m0: BQK[m1,m0,p]

  RM[m1+1,p] = max(RM[m1,p], LM[m1,p])
  SD[p] = exp(BQK[m1,m0,p] - RM[M1,p])
outputs: [SD]
over: M
sizes: {E: 4, M0: 2}
"""

# What is changed; where the complaint points, as the text that follows the caret; what it says.
MISTAKES = [
    ("einsums: |", "einsum: |", "einsum: |", "unknown key 'einsum'; did you mean 'einsums'?"),
    ("over: M\n", "over: M\nover: P\n", "over: P", "'over' stands there twice"),
    ("name: mine\n", "", "inputs:", "a cascade needs 'name'"),
    ("  Q: [E, P]", "  Q: {E: P}", "{E: P}", "expected a text"),
    ("  Q: [E, P]", "  q: [E, P]", "q: [E", "a tensor is called by a capital letter, then letters and digits, not 'q'"),
    ("  Q: [E, P]", "  Q: [e, P]", "Q: [e", "a rank is called by capital letters and digits, not 'e'"),
    ("  Q: [E, P]", "  Q: [E, E]", "Q: [E", "Q has a rank twice"),
    ("  Q: [E, P]", "  Q: [E, P]\n  W: [M]", "W: [M]", "W comes in, but nothing reads it"),
    ("[M1, M0]", "[M1, M]", "M: [M1", "M cannot be a part of M"),
    ("m1 >= M1", "m1 > M1", "> M1", "expected '>=', not '>'"),
    ("m1 >= M1", "m1 >= M0", "m1 >= M0", "m1 runs over M1, so it must stop at `m1 >= M1`"),
    ("m1 >= M1", "m2 >= M1", "m2", "unknown rank 'M2'"),
    ("stop: m1 >= M1\n", "", "RM[m1+1,p] =", "m1+1 on the left makes M1 iterative: it needs the stopping condition"),
    ("  RM[0,p] = -inf", "  RM[1,p] = -inf", "RM[1", "an initial value of RM has the index 0, not 1"),
    ("  RM[0,p] = -inf", "  LM[0,p] = -inf", "LM[0", "LM is not iterative, so it has no initial value"),
    ("initial: |\n  RM[0,p] = -inf\n", "", "RM[m1+1,p] =", "RM needs an initial value RM[0,p]"),
    ("Q[e,p] *", "Q[e,p *", "* K[e", "expected ']', not '*'"),
    ("Q[e,p] *", "Q[e,p]", "K[e", "expected an operator, not 'K'"),
    ("Q[e,p] *", "Q[e,p] * %", "% K", "unexpected '%'"),
    ("Q[e,p] *", "q[e,p] *", "q[e", "expected a tensor, which begins with a capital letter, not 'q'"),
    ("Q[e,p] *", "Z[e,p] *", "Z[e", "unknown tensor 'Z'; allowed: BQK, K, LM, Q, RM, SD"),
    ("Q[e,p] *", "Q[e] *", "Q[e]", "Q[e] has 1 indices, but Q has 2 ranks: Q[e,p]"),
    ("Q[e,p] *", "Q[p,e] *", "Q[p", "p does not run over E; allowed: e"),
    ("Q[e,p] *", "Q[e,e] *", "Q[e", "Q[e,e] has a variable twice"),
    ("Q[e,p] *", "Q[e,p+1] *", "Q[e", "p+1 leaves the coordinates of Q; allowed is p alone"),
    ("Q[e,p] *", "Q[e,P] *", "Q[e", "coordinates of Q along P end at P-1, so P is none"),
    ("m1*M0+m0]", "m1*M1+m0]", "m1*M1", "an index of a partitioned rank is written m1*M0+m0"),
    ("m1*M0+m0]", "m0*M1+m1]", "K[e", "m0*M1+m1 does not go through M, which is not partitioned so"),
    ("BQK[m1,m0,p] = Q", "BQK[m1,m,p] = Q", "BQK[m1,m,", "m stands on the left only"),
    ("BQK[m1,m0,p] = Q", "BQK[m1,z,p] = Q", "BQK[m1,z", "z runs over Z, which is unknown"),
    ("BQK[m1,m0,p] = Q", "BQK[m1,0,p] = Q", "BQK[m1,0", "0 is one coordinate: only initial values are given"),
    ("max over m0:", "maxx over m0:", "maxx", "unknown reduction 'maxx'; did you mean 'max'?"),
    ("max over m0:", "max over p:", "p: BQK", "p stands on the left, so it is not reduced"),
    ("max over m0:", "max over e:", "e: BQK", "e does not occur on the right"),
    ("LM[m1,p] = max over m0:", "LM[p] = max over m0:", "m0: BQK", "m1 is missing on the left and not among"),
    ("RM[m1+1,p] = max", "RM[m1+2,p] = max", "RM[m1+2", "an iterative rank goes on by one coordinate: m1+1"),
    ("max(RM[m1,p], LM", "max(RM[m1+1,p], LM", "RM[m1+1,p] = max(RM[m1+1", "RM needs RM: nothing can be computed"),
    ("max(RM[m1,p], LM", "max(RM[m1+2,p], LM", "RM[m1+2", "m1+2 leaves the coordinates of RM; allowed is m1 and m1+1"),
    ("max(RM[m1,p], LM[m1,p])", "max(RM[m1,p])", "max(RM", "max takes 2 operands, not 1"),
    ("exp(BQK", "expp(BQK", "expp", "unknown function 'expp'; did you mean 'exp'?"),
    ("exp(BQK[m1,m0,p] - ", "(BQK[m1,m0,p] - ", "SD[p] = (", "RM[M1,p] does not depend on m1 and would be added"),
    ("RM[M1,p])", "RM[P,p])", "RM[P", "P is no coordinate of M1"),
    ("RM[M1,p])", "RM[M1+1,p])", "RM[M1+1", "coordinates of RM along M1 end at M1, so M1+1 is none"),
    ("BQK[m1,m0,p] - RM", "BQK[m1,m0 : m0<=z,p] - RM", "BQK[m1,m0 :", "z, with which m0 is compared, occurs nowhere"),
    ("BQK[m1,m0,p] - RM", "BQK[m1,m0 : m1<=p,p] - RM", "m1<=p", "the filter of m0 must begin with m0"),
    ("  SD[p] =", "  LM[p] =", "LM[p]", "LM is made twice"),
    ("  SD[p] =", "  Q[p] =", "Q[p]", "Q comes in, so no Einsum can make it"),
    ("[SD]", "[SDD]", "[SDD]", "no Einsum makes 'SDD'; did you mean 'SD'?"),
    ("over: M\n", "over: M1\n", "M1\nsizes", "`over` must be a rank that is no part of another; did you mean 'M'?"),
    ("M0: 2}", "M2: 2}", "{E: 4", "unknown rank 'M2'"),
    ("M0: 2}", "M0: two}", "two}", "expected a whole number"),
    ("outputs: [SD]", "outputs: [SD", ": M\nsizes", "expected ',' or ']'"),
    ("[M1, M0]", "[]", "M: []", "M needs parts, or the rank it is another name of"),
    ("M: [M1, M0]", "[M1, M0]", "[M1", "expected `key: value` pairs"),
    ("m1 >= M1", "m1 >= M1 M0", "M0\ninitial", "expected nothing more, not 'M0'"),
    ("  RM[0,p] = -inf", "  RM[0] = -inf", "RM[0]", "RM has 2 ranks, not 1"),
    ("BQK[m1,m0,p] = Q", "BQK[m1,m1,p] = Q", "BQK[m1,m1", "BQK[m1,m1,p] has a variable twice"),
    ("BQK[m1,m0,p] = Q", "BQK[m1,m0 : m0<=p,p] = Q", "BQK[m1,m0 :", "m0 : m0<=p cannot stand on the left"),
    ("RM[m1+1,p] = max", "RM[m1+1,p+1] = max", "RM[m1+1,p+1]", "only one rank of a tensor can be iterative"),
    ("BQK[m1,m0,p] - RM", "BQK[m1,m0 : m0 p,p] - RM", "p,p]", "expected one of <= < >= >, not 'p'"),
    ("BQK[m1,m0,p] - RM", "BQK[m1,m0 : m0<=m0,p] - RM", "BQK[m1,m0 :", "m0 is compared with itself"),
    ("- RM[M1,p])", "- BQK[m1,m0 : m0<p,p] * BQK[m1,m0 : m0<=p,p])", "BQK[m1,m0 : m0<=p", "m0 has two filters"),
]


@pytest.mark.parametrize(("old", "new", "there", "message"), MISTAKES, ids=[m[3][:40] for m in MISTAKES])
def test_mistakes_are_found_where_they_stand(old: str, new: str, there: str, message: str) -> None:
    assert BASE.count(old) == 1, "a mistake must be made in one place"
    text = BASE.replace(old, new)
    with pytest.raises(CascadeError) as caught:
        loads(text, "mine.yaml")
    assert message in caught.value.message
    place = caught.value.place
    assert place is not None
    start = sum(len(line) + 1 for line in text.split("\n")[: place.line - 1]) + place.column - 1
    assert text[start:].startswith(there), f"points at {text[start : start + 30]!r}"
    # What the user sees: file, line and column, the line, and a caret below the right character.
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"mine.yaml:{place.line}:{place.column}: ")
    assert shown[2:] == text.split("\n")[place.line - 1]
    assert caret.index("^") - 2 == place.column - 1


def test_the_base_of_the_mistakes_is_right() -> None:
    assert loads(BASE).outputs == ("SD",)


def test_einsums_in_a_list() -> None:
    block = loads("name: x\ninputs: {A: [K]}\neinsums: |\n  Y = max over k: A[k]\n  Z = Y + 1\n")
    assert loads("name: x\ninputs: {A: K}\neinsums:\n  - 'Y = max over k: A[k]'\n  - Z = Y + 1\n") == block
    with pytest.raises(CascadeError, match="must stand under `|` or in quotes") as caught:
        loads("name: x\ninputs: {A: K}\neinsums:\n  - Y = max over k: A[k]\n")
    assert caught.value.place is not None and (caught.value.place.line, caught.value.place.column) == (4, 5)
    with pytest.raises(CascadeError) as caught:
        loads("name: x\ninputs: {A: K}\neinsums:\n  - 'Y = A[j]'\n")
    assert caught.value.place is not None and (caught.value.place.line, caught.value.place.column) == (4, 10)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BASE)
    assert read(path) == loads(BASE)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.yaml")
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(CascadeError, match="is no text: invalid start byte at byte 6"):
        read(path)
    for text in ("", "- 1\n", "just words\n"):
        with pytest.raises(CascadeError, match="a cascade has the keys name, about"):
            loads(text)
    with pytest.raises(CascadeError, match="unknown cascade 'atention-1-pass'; did you mean 'attention-1-pass'"):
        load("atention-1-pass")


def test_every_file_of_the_library_is_there() -> None:
    assert {path.stem for path in LIBRARY.iterdir()} == set(library())
    assert len(library()) >= 14


def test_mistakes_in_python_have_no_place() -> None:
    with pytest.raises(CascadeError, match="unknown tensor 'B'") as caught:
        Cascade(name="x", inputs={"A": ("K",)}, einsums=(Einsum(a("Z"), a("A", "k") * a("B", "k")),))
    assert caught.value.place is None
    with pytest.raises(CascadeError, match="unknown operator 'plus'"):
        Apply("plus", (a("A"), a("B")))
    with pytest.raises(CascadeError, match="unknown reduction 'mean'"):
        Einsum(a("Z"), a("A", "k"), "mean")
    with pytest.raises(CascadeError, match="at least one Einsum"):
        Cascade(name="x", inputs={"A": ("K",)}, einsums=())
    with pytest.raises(CascadeError, match="expected several Einsums, not one text"):
        Cascade(name="x", inputs={"A": ("K",)}, einsums="Z = A[k]")  # type: ignore[arg-type]
    with pytest.raises(CascadeError, match="K is another name of J, which is another name itself"):
        Cascade(
            name="x", inputs={"A": ("K",)}, ranks={"K": ("J",), "J": ("I",)}, einsums=(Einsum(a("Z"), a("A", "k")),)
        )
    with pytest.raises(CascadeError, match="line 1, column 5: unknown tensor 'B'"):
        Cascade(name="x", inputs={"A": ("K",)}, einsums=("Z = B[k] * A[k]",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"E": 1, "P": 1, "M": 6, "M0": 4}, "M = 6 is no multiple of 4, so M1 has no size"),
        ({"E": 1, "P": 1, "M": 6, "M0": 3, "M1": 3}, "M = 6 does not agree with M1 = 3 x M0 = 3"),
        ({"E": 1, "M": 6, "M0": 3}, "the size of P is not known"),
        ({"E": 1, "P": 1, "M": 6}, "the size of M1, M0 is not known"),
        ({"E": 0, "P": 1, "M": 6}, "the size of E must be a whole number from 1 on, not 0"),
        ({"EE": 1}, "unknown rank 'EE'; did you mean 'E'?"),
    ],
)
def test_sizes(given: dict[str, int], message: str) -> None:
    ranks = loads(BASE).space
    assert ranks.sizes({"E": 1, "P": 2, "M": 6, "M0": 3}) == {"E": 1, "P": 2, "M": 6, "M1": 2, "M0": 3}
    assert ranks.sizes({"E": 1, "P": 2, "M1": 5, "M0": 3})["M"] == 15
    with pytest.raises(CascadeError, match=message):
        ranks.sizes(given)


@pytest.mark.parametrize("begin", range(0, 64, 16))
def test_no_text_breaks_the_reader(begin: int) -> None:
    """Files with a few wrong letters are read or refused, and what is read can be analysed."""
    texts = [path.read_text() for path in sorted(LIBRARY.iterdir())]
    refused = 0
    for seed in range(begin, begin + 16):
        rng = random.Random(seed)
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 3)):
            i = rng.randrange(len(text))
            text = text[:i] + rng.choice(("", *"[]():,=+-*/<>|#&!\n mMpPkK01{}'\"")) + text[i + rng.randint(0, 1) :]
        try:
            cascade = loads(text)
            for rank in cascade.space.roots:
                passes(cascade, rank)
        except CascadeError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {text}") from error
    assert refused


def test_brackets_without_end() -> None:
    with pytest.raises(CascadeError, match="too deep"):
        parse.einsum("Z = " + "(" * 10_000 + "A")
    with pytest.raises(CascadeError, match="mine.yaml is nested too deep"):
        loads("[" * 10_000, "mine.yaml")


def test_letters_that_no_file_may_have() -> None:
    with pytest.raises(CascadeError, match="mine.yaml is no YAML"):
        loads("name: \x00\n", "mine.yaml")


def test_nearest_name() -> None:
    assert did_you_mean("x", []) == "; there are none"
    assert did_you_mean("qk", ["QK", "AV"]) == "; did you mean 'QK'? allowed: AV, QK"
