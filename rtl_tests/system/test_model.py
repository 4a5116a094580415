"""The model's counters are the RTL's, on a sample of the campaign."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from golden.exact import Shape
from hwgen.model.machine import Memory, predict
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.presets import preset
from rtl_tests import model_campaign
from rtl_tests.harness.counting import builder, differences, measured
from rtl_tests.model_campaign import Case, Outcome

USUAL = ("tiny",)
"""Machines whose simulators other tests build too, and small enough to be quick."""


@pytest.mark.parametrize("number", range(8))
def test_counters_are_those_of_the_rtl(number: int) -> None:
    """Repeat with the number; `make model-campaign` runs many more, on more machines."""
    case = Case.of(number, machines=USUAL, most=4000)
    assert case.run().different == {}, case


@pytest.mark.parametrize(
    "work, memory",
    [
        # Many heads and entries, so that the descriptor's checks are long; no key, so that it is all there is.
        (Work(shape=Shape(5, 12, 3, 9, 33, 8, 8), key_lengths=(0,) * 5, lse=True), Memory(latency=7)),
        (Work(shape=Shape(1, 1, 1, 1, 1, 1, 1)), Memory(latency=2)),
        (Work(shape=Shape(1, 9, 1, 1, 300, 8, 8)), Memory(latency=250)),
        (Work(shape=Shape(1, 1, 1, 40, 90, 8, 8), causal=True, offset=-3, lse=True), Memory(bandwidth=50)),
        # Blocks that see no key, in front of others of the same job; every row a burst of its own.
        (Work(shape=Shape(1, 6, 2, 20, 2, 2, 8), causal=True, offset=-9, lse=True), Memory(latency=3)),
        # Results wait in all places up to the bus, so that one place more or less moves the end of the jobs.
        (Work(shape=Shape(1, 2, 2, 80, 1, 8, 8), lse=True), Memory(latency=2, bandwidth=37)),
    ],
    ids=["descriptor", "smallest", "decode", "slow and causal", "empty blocks", "full of results"],
)
def test_each_part_alone(work: Work, memory: Memory) -> None:
    """Where one part of the machine decides about the time: any constant of the model that is wrong shows."""
    params = Params(preset("tiny"))
    assert differences(predict(params, work, memory), measured(builder(params, work), work, memory)) == {}


def test_cases_are_all_kinds() -> None:
    cases = [Case.of(number) for number in range(300)]
    works = [case.work for case in cases]
    kinds = {
        "grouped": [work.group > 1 for work in works],
        "decode": [work.shape.L == 1 and work.shape.S > 20 for work in works],
        "causal": [work.causal and work.offset != 0 for work in works],
        "lengths": [work.key_lengths is not None for work in works],
        "ragged": [work.shape.E % 4 != 0 and work.shape.F % 4 != 0 for work in works],
        "lse": [work.lse for work in works],
        "slow": [case.memory.bandwidth < 256 for case in cases],
        "distant": [case.memory.latency >= 250 for case in cases],
    }
    kinds |= {name: [name == case.machine for case in cases] for name in model_campaign.MACHINES}
    assert {kind: sum(found) > 10 for kind, found in kinds.items()} == dict.fromkeys(kinds, True)
    assert cases[17] == Case.of(17)


def test_it_goes_on_where_it_stopped_and_tells_what_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[int] = []

    def run(case: Case) -> Outcome:
        ran.append(case.number)
        if len(ran) == 3:
            raise KeyboardInterrupt
        wrong = {"cycles": (1117, 1100)} if case.number == 1 else {}
        return Outcome(1117 if wrong else 1100, 1100, wrong, 0.25)

    monkeypatch.setattr(Case, "run", run)
    file = tmp_path / "model_campaign.json"
    with pytest.raises(KeyboardInterrupt):
        model_campaign.campaign(5, file, again=False)
    assert len(json.loads(file.read_text())["cases"]) == 2
    first = ran[:2]
    assert model_campaign.campaign(5, file, again=False) == 1
    assert sorted(first + ran[3:]) == [0, 1, 2, 3, 4]
    printed = capsys.readouterr().out
    assert "python -m rtl_tests.model_campaign --only 1" in printed
    facts = dict(line.split("  ", 1) for line in printed.splitlines() if "  " in line)
    assert {name: text.strip() for name, text in facts.items()} == {
        "cases": "5",
        "cycles simulated": "5,500",
        "worst deviation": "17 cycles",
        "all bytes equal": "5 cases",
        "all counters equal": "4 cases",
        "longest prediction": "0.25 s",
        "written": str(file),
    }
