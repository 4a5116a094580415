"""docs/cascades.md says what is so."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from golden import exact
from golden.cascade import read
from golden.cascade.cascade import Cascade
from golden.cascade.errors import CascadeError
from golden.cascade.evaluate import evaluate
from golden.cascade.operators import INFIX, OPERATORS, REDUCTIONS
from golden.cascade.passes import passes
from hwgen import cascade
from hwgen.cascade.report import LIBRARY_HEADER, all_facts, library_rows

PAGE = (Path(cascade.__file__).parents[2] / "docs" / "cascades.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def example() -> str:
    (text,) = re.findall(r"(?m)(?:^    .*\n)*^    name: (?:.*\n)(?:^    .*\n)+", section("The language"))
    return textwrap.dedent(text)


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def test_the_library() -> None:
    header, _, *rows = [line for line in section("The library").splitlines() if line.startswith("|")]
    assert cells(header) == list(LIBRARY_HEADER)
    assert [tuple(cells(row)) for row in rows] == library_rows(all_facts())


def test_the_example_is_attention_in_one_pass() -> None:
    found = read.loads(example())
    assert passes(found).count == 1 and found.outputs == ("AV",)
    q, k, v = (np.random.default_rng(seed).normal(size=(8, 4)) for seed in (1, 2, 3))
    got = evaluate(found, {"Q": q.T, "K": k.T, "V": v.T}, {"M0": 2})["AV"].T
    want = exact.attention(q[None, None], k[None, None], v[None, None], scale=1.0).out[0, 0]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_the_mistake() -> None:
    text = re.sub(r"SLD\[m1,p\] +=.*", "SLD[m1,p] = SLm[m1,m0,p]", example())
    with pytest.raises(CascadeError) as caught:
        read.loads(text, "mine.yaml")
    shown = re.findall(r"(?m)^    hwgen: (.*)$", section("The language"))
    assert shown == str(caught.value).splitlines()


def test_all_operators_are_told() -> None:
    told = set(re.findall(r"[a-z][a-z0-9]+", " ".join(re.findall(r"(?m)^\| (.*?) \|", section("The language")))))
    assert set(OPERATORS) - set(INFIX) - {"neg"} <= told
    assert set(re.findall(r"`(\w+)`", section("The language").split("or reduced otherwise")[1].split("|")[0])) == {
        *REDUCTIONS,
        "sum",
    }


def test_cascades_of_the_text() -> None:
    """`Y = A[k]`, `Z = Y * B[k]` is said to make no pass."""
    assert "`Y = A[k]`, `Z = Y * B[k]`" in PAGE
    found = Cascade(name="x", inputs={"A": ("K",), "B": ("K",)}, einsums=("Y = A[k]", "Z = Y * B[k]"))  # type: ignore
    assert (passes(found).count, passes(found).waits) == (1, (("Z", "Y"),))
