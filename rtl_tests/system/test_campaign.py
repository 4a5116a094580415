"""A sample of the campaign, and how it keeps what it has done."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import hwgen
from hwgen.functional import make_task
from hwgen.problem import Problem
from rtl_tests import campaign
from rtl_tests.campaign import Case


@pytest.mark.parametrize("number", range(8))
def test_attention_of_the_accelerator_is_that_of_the_model(number: int) -> None:
    """Repeat with the number; `python -m rtl_tests.campaign` runs many more."""
    assert Case.of(number, presets=("tiny",), dtypes=("bf16",), combinations=()).run() is None


def test_cases_are_all_kinds() -> None:
    cases = [Case.of(number) for number in range(500)]
    kinds = {
        "grouped": [c.shape[1] > c.shape[2] for c in cases],
        "decode": [c.shape[3] == 1 and c.shape[4] > 20 for c in cases],
        "causal": [c.causal and c.offset != 0 for c in cases],
        "lengths": [c.lengths is not None for c in cases],
        "ragged": [c.shape[5] % 4 != 0 and c.shape[6] % 4 != 0 for c in cases],
        "scaled": [c.scale is not None for c in cases],
    }
    kinds |= {name: [name in (c.preset, c.dtype) for c in cases] for name in (*campaign.PRESETS, *campaign.TYPES)}
    assert {kind: sum(found) > 25 for kind, found in kinds.items()} == dict.fromkeys(kinds, True)
    plain = sum(c.scores is None for c in cases)
    assert 200 < plain < 300
    kinds = {name: [c.scores == name for c in cases] for name in campaign.COMBINATIONS}
    assert {kind: sum(found) > 15 for kind, found in kinds.items()} == dict.fromkeys(kinds, True)
    assert cases[17] == Case.of(17)


def test_a_combination_is_one_machine() -> None:
    """Whatever the numbers: those are loaded at run time."""
    defaults = {name: p.default for name, p in inspect.signature(hwgen.attention).parameters.items()}
    machines: dict[str, set[str]] = {}
    for number in range(24):
        for name in campaign.COMBINATIONS:
            (q, k, v), options = Case.of(number, combinations=()).with_scores(name).arguments()
            task = make_task(Problem.checked(q, k, v, defaults | options), options["preset"])
            machines.setdefault(name, set()).add(task.params.config.hash())
    assert {name: len(found) for name, found in machines.items()} == dict.fromkeys(campaign.COMBINATIONS, 1)
    assert len(set.union(*machines.values())) == len(machines)


def test_it_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[int] = []

    def run(case: Case) -> str | None:
        ran.append(case.number)
        return "out[0]" if case.number == 4 else None

    monkeypatch.setattr(Case, "run", run)
    file = tmp_path / "new" / "log.jsonl"
    assert campaign.campaign(3, file, again=False) == 0
    assert campaign.campaign(6, file, again=False) == 1
    assert ran == [0, 1, 2, 3, 4, 5]
    assert "differs: out[0]" in capsys.readouterr().out
    # Results of other sources do not count.
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line | {"key": "other"}) + "\n" for line in lines))
    assert campaign.campaign(2, file, again=False) == 0
    assert ran[6:] == [0, 1]
    assert campaign.campaign(1, file, again=True) == 0
    assert ran[8:] == [0] and len(file.read_text().splitlines()) == 1
