"""Proofs run, and can fail."""

from pathlib import Path

import pytest

from hwgen.memory.word_queue import WordQueue
from rtl_tests.formal.__main__ import cases, printed
from rtl_tests.formal.broken import broken
from rtl_tests.formal.proof import Breakage, Case, Method
from rtl_tests.formal.runner import run
from rtl_tests.formal.subjects import PROOFS

QUEUE = next(proof for proof in PROOFS if proof.name == "word_queue_5")


def test_a_queue_loses_nothing(tmp_path: Path) -> None:
    result = run(Case(QUEUE.name, QUEUE), tmp_path)
    assert result.good and result.verdict == "proved"
    assert 1 <= result.depth <= QUEUE.depth


def test_a_queue_that_drops_when_full_is_noticed(tmp_path: Path) -> None:
    """The same harness, as a proof that is to hold and as one that is to fail."""
    (drops,) = QUEUE.broken()
    assert drops.method is Method.REFUTED
    result = run(drops, tmp_path)
    assert result.good and result.depth > 4
    assert result.verdict in printed([result])


def test_a_mistake_is_made_where_it_is_said_and_goes_again() -> None:
    kept = WordQueue.elaborate
    with broken(Breakage(WordQueue, "offered.eq(found)", "offered.eq(0)")):
        assert WordQueue.elaborate is not kept
    assert WordQueue.elaborate is kept
    with (
        pytest.raises(ValueError, match="WordQueue has 0 times 'nothing', not once"),
        broken(Breakage(WordQueue, "nothing", "something")),
    ):
        pass


def test_every_mistake_can_be_made() -> None:
    """A line that has changed since would leave its proof without a test."""
    for proof in PROOFS:
        for breakage in proof.breakages:
            with broken(breakage):
                pass


def test_names() -> None:
    names = [case.name for case in cases(())]
    assert len(set(names)) == len(names)
    assert [case.name for case in cases(("word_queue_5",))] == ["word_queue_5", "word_queue_5_broken"]
    with pytest.raises(SystemExit, match="no proof begins with 'wort'"):
        cases(("wort",))
