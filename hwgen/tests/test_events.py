"""What a traced run wrote down: whose words moved when, and how many bursts were open."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.sim.events import OTHER, WORD, Events, read_events, running
from hwgen.tests.fakes import PLACES, READ_WORDS, WRITTEN_WORDS, events


def test_lines_of_a_file() -> None:
    found = read_events(["r 3 4", "loaded 5", "r 8 1", "ar 1 4294967296 16"])
    assert {name: lines.tolist() for name, lines in found.items()} == {
        "r": [[3, 4], [8, 1]],
        "loaded": [[5]],
        "ar": [[1, 1 << 32, 16]],
    }
    assert read_events([]) == {}


def test_a_run_that_did_nothing() -> None:
    empty = Events({}, 0, {})
    assert empty.moments("job").shape == (0,)
    for channel in ("r", "w"):
        assert empty.stretches(channel)[1] == [] and empty.in_flight(channel) == []


def test_words_belong_to_the_tensor_they_touch() -> None:
    found = events()
    for name, (begin, end) in PLACES.items():
        assert [found.tensor(at) for at in (begin - WORD, begin - WORD + 1, begin, end - 1, end)] == [
            OTHER,
            name,
            name,
            name,
            OTHER,
        ]


@pytest.mark.parametrize(("channel", "words"), [("r", READ_WORDS), ("w", WRITTEN_WORDS)])
def test_words_by_tensor(channel: str, words: dict[str, int]) -> None:
    lines, tensors = events().stretches(channel)
    assert {name: int(lines[np.array(tensors) == name, 1].sum()) for name in words} == words
    assert set(tensors) == set(words)


def test_stretches_belong_to_the_bursts_their_words_come_from() -> None:
    """Bursts of random lengths, interrupted at random: every word is that of the burst it belongs to."""
    rng = np.random.default_rng(5)
    names = list(PLACES)
    owners = rng.choice(names, 60)
    beats = rng.integers(1, 17, 60)
    log = {"ar": np.array([[i, PLACES[name][0], n] for i, (name, n) in enumerate(zip(owners, beats, strict=True))])}
    now, stretches, want, last = 100, [], [], []
    for name, left in zip(owners.tolist(), beats.tolist(), strict=True):
        while left:
            size = int(rng.integers(1, left + 1))
            stretches.append([now, size])
            want.append(name)
            now, left = now + size + int(rng.integers(1, 4)), left - size
        last.append(sum(stretches[-1]) - 1)
    found = Events(log | {"r": np.array(stretches)}, 0, PLACES)
    assert len(want) > 80 and found.stretches("r")[1] == want
    # Every burst is open from the cycle behind its address to its last word.
    level = np.zeros(now + 2, dtype=int)
    for opened, closed in zip(range(60), last, strict=True):
        level[opened + 1 : closed + 1] += 1
    changes = [(t, int(level[t])) for t in range(1, len(level)) if level[t] != level[t - 1]]
    assert found.in_flight("r") == changes


def test_what_opens_while_another_closes_changes_nothing() -> None:
    assert running([1, 5], [5, 9]) == [(2, 1), (10, 0)]
    assert running([], []) == []


def test_writes_are_open_until_they_are_answered() -> None:
    found = events()
    (first, level), *_, (last, end) = found.in_flight("w")
    assert (first, level, end) == (found.bursts("w")[0][0, 0] + 1, 1, 0)
    assert last == found.moments("b")[-1] + 1
