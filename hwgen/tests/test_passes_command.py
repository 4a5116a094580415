"""`hwgen passes`: tables, JSON and drawings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from golden.cascade.count import total
from golden.cascade.footprint import footprint
from golden.cascade.passes import passes
from golden.cascade.read import library, load
from hwgen import cli
from hwgen.cascade.command import sizes
from hwgen.cascade.graph import COLOURS, colour
from hwgen.cascade.layout import arrange
from hwgen.command_line import UsageError

ROOT = Path(cli.__file__).parent.parent

MINE = """\
name: mine
inputs: {A: [K], B: [K]}
einsums: |
  Y = A[k] * B[k]
  Z = Y * A[k]
  W = Y * B[k]
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return str(path)


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["passes", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["passes", *words]) == 0
    return capsys.readouterr().out


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(["passes", *words]) == 2
    return [line.removeprefix("hwgen: ") for line in capsys.readouterr().err.splitlines()]


def test_json_is_what_the_analysis_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "attention-2-pass", "--sizes", "M=2048", "P=1")
    cascade = load("attention-2-pass")
    analysis = passes(cascade)
    known = cascade.space.sizes({**cascade.sizes, "M": 2048, "P": 1})
    assert (found["cascade"], found["rank"], found["parts"]) == ("attention-2-pass", "M", ["M1", "M0"])
    assert found["sizes"] == {"E": 64, "P": 1, "M": 2048, "F": 64, "M1": 8, "M0": 256}
    assert found["passes"] == analysis.count == 2
    assert {e["einsum"].partition("[")[0]: e["stage"] for e in found["einsums"]} == {
        name: str(stage) for name, stage in analysis.stages.items()
    }
    assert [r["text"] for r in found["reasons"]] == [str(r) for r in analysis.reasons]
    assert found["inputs"] == {"K": [1, 2], "V": [2]}
    assert found["other_ranks"] == {"E": 1, "P": 1, "F": 1}
    assert [(k["tensor"], k["elements"]) for k in found["kept"]] == [
        (k.tensor, {"formula": str(k.elements), "number": k.elements.value(known)}) for k in footprint(analysis)
    ]
    assert found["between"] == [{"after": 1, "tensors": ["SLN"], "elements": {"formula": "M*P", "number": 2048}}]
    assert {k: v["number"] for k, v in found["operations"].items()} == {
        kind: formula.value(known) for kind, formula in total(cascade).items()
    }


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "attention-3-pass")
    lines = text.splitlines()
    assert "passes       3" in lines
    assert "read         K in passes 1, 2, 3" in lines and "read         V in pass 3" in lines
    for row in ("2     SN[m,p] = exp(QK[m,p] - GM[p])  M*P exp, M*P sub", "3     AV[f,p] = A[m,p] * V[f,m]"):
        assert any(line.startswith(row) for line in lines), row
    assert any(line.startswith("pass 2  SN needs GM, complete only when GM has read every element") for line in lines)
    kept = next(line.split() for line in lines if line.startswith("QK "))
    assert kept == ["QK", "every", "element", "1", "to", "2", "M*P", "1,048,576", "M", "1,024"]
    assert any(line.split() == ["exp", "M*P", "1,048,576"] for line in lines)


def test_a_file_of_ones_own(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without sizes there are formulas only; one reason for each Einsum that begins a pass."""
    found = as_json(capsys, mine)
    assert (found["cascade"], found["rank"], found["passes"], found["sizes"]) == ("mine", "K", 2, None)
    assert [r["einsum"] for r in found["reasons"]] == ["Z", "W"]
    assert {k["tensor"]: k["elements"] for k in found["kept"]} == {
        "A": {"formula": "K", "number": None},
        "B": {"formula": "K", "number": None},
        "Y": {"formula": "1", "number": None},
    }
    text = shown(capsys, mine)
    assert text.count("pass 2  ") == 1 and "\n        W needs Y" in text
    assert as_json(capsys, mine, "--sizes", "K=7")["kept"][0]["elements"]["number"] == 7


def test_a_file_in_the_folder_needs_no_path(
    mine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path(mine).parent)
    assert as_json(capsys, "mine.yaml")["cascade"] == "mine"


def test_other_rank(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "attention-streaming", "--rank", "F")
    assert (found["rank"], found["passes"]) == ("F", 2)
    assert found["other_ranks"] == {"E": 1, "P": 1, "M": 1}


def test_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys)["library"]
    assert [c["cascade"] for c in found] == list(library())
    assert {c["cascade"]: c["passes"] for c in found} == {name: passes(load(name)).count for name in library()}
    rows = {line.split()[0]: line.split() for line in shown(capsys).splitlines()}
    assert rows["attention-3-pass"] == ["attention-3-pass", "M", "3", "QK", "M*P,", "SN", "M*P", "-"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["atention-1-pass"], "unknown cascade 'atention-1-pass'; did you mean 'attention-1-pass'?"),
        (["nowhere.yaml"], "nowhere.yaml: No such file or directory"),
        (["attention-1-pass", "--rank", "N"], "unknown rank 'N'; allowed: E, F, M, P"),
        (["attention-1-pass", "--rank", "M0"], "M0 belongs to M; ask for that"),
        (["attention-1-pass", "--sizes", "M=100"], "M = 100 is no multiple of 256, so M1 has no size"),
        (["attention-1-pass", "--sizes", "N=100"], "unknown rank 'N'; allowed: E, F, M, M0, M1, P"),
        (["attention-1-pass", "--sizes", "M"], "expected RANK=N with a whole number from 1 on, not 'M'"),
        (["attention-1-pass", "--sizes", "M=0"], "expected RANK=N with a whole number from 1 on, not 'M=0'"),
        (["attention-1-pass", "-o", "x.pdf"], "expected a file .svg or .png, not 'x.pdf'"),
        (["--rank", "M"], "--rank, --sizes and -o are for one cascade"),
        (["{mine}", "--sizes", "K=3", "J=2"], "unknown rank 'J'"),
    ],
)
def test_mistakes(words: list[str], message: str, mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = fails(capsys, *(word.format(mine=mine) for word in words))
    assert len(lines) == 1 and message in lines[0]


def test_mistakes_in_a_file_show_the_line(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(mine).write_text(MINE.replace("Z = Y", "Z = YY"))
    first, line, caret = fails(capsys, mine)
    assert first == f"{mine}:5:7: unknown tensor or rank 'YY'; did you mean 'Y'? allowed: A, B, W, Y, Z"
    assert line == "    Z = YY * A[k]" and caret.index("^") == line.index("YY")


def test_sizes_of_words() -> None:
    assert sizes(["M=4,P=2", "E=8"]) == {"M": 4, "P": 2, "E": 8} and sizes([]) == {}
    with pytest.raises(UsageError, match="not ''"):
        sizes(["M=4,"])


def test_drawings_are_the_same_every_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hwgen.cli", "passes", "attention-2-pass"]
    for name in ("a.svg", "a.png"):
        assert cli.main([*command[3:], "-o", str(tmp_path / "new" / name)]) == 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    subprocess.run([*command, "-o", "b.svg"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "new" / "a.svg").read_bytes()
    assert (tmp_path / "new" / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = (tmp_path / "b.svg").read_text()
    for word in ("attention-2-pass: 2 passes over M", "after pass 1", "waits for PLM, SD", "SLN[m1,m0,p]", "comes in"):
        assert word in text
    assert all(text.count(f"fill: {colour(number)}") for number in (1, 2))
    assert not text.count(f"fill: {colour(3)}")


def test_colours_begin_again() -> None:
    assert colour(0) == COLOURS[0] and colour(1) == colour(len(COLOURS)) != colour(2)


@pytest.mark.parametrize("name", library())
def test_nothing_is_drawn_over_anything(name: str) -> None:
    """Boxes and the places of lines in one column have room, and all that is needed stands to the left."""
    found = passes(load(name))
    layout = arrange(found)
    assert set(layout.at) == set(found.cascade.tensors)
    places: dict[int, list[tuple[float, float]]] = {}
    for column, middle in layout.at.values():
        places.setdefault(column, []).append((middle - 0.5, middle + 0.5))
    for (source, target, earlier), way in layout.lines.items():
        first, last = layout.at[source][0], layout.at[target][0]
        assert earlier or first < last
        assert [column for column, _ in way] == list(range(first + 1, last))
        for column, middle in way:
            places[column].append((middle - 0.2, middle + 0.2))
    for spans in places.values():
        ordered = sorted(spans)
        assert all(a[1] <= b[0] + 1e-9 for a, b in zip(ordered, ordered[1:], strict=False))
        assert ordered[0][0] >= 0 and ordered[-1][1] <= layout.height + 1e-9
    # Passes stand one behind the other.
    for tensor, stage in found.stages.items():
        first, last = layout.columns[stage.time]
        assert first <= layout.at[tensor][0] <= last
    ends = [layout.columns[step] for step in sorted(layout.columns)]
    assert all(a[1] + 1 == b[0] for a, b in zip(ends, ends[1:], strict=False))
