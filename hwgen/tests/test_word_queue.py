"""The word queue against a list."""

from typing import Any

import pytest

from hwgen.memory.word_queue import WordQueue
from hwgen.tests.bench import STALLS, clocked, receiver, run, sender


@STALLS
@pytest.mark.parametrize("depth", [1, 2, 5, 16])
def test_words_stay_in_order(depth: int, idle: int | None, pressure: int | None) -> None:
    dut, got, words = WordQueue(16, depth), list[int](), [(i * 40503) % 65536 for i in range(60)]
    run(dut, sender(dut.input, words, idle), receiver(dut.output, len(words), got, pressure))
    assert got == words


def test_latency_throughput_and_room() -> None:
    depth, count = 4, 12
    cycles: list[dict[str, Any]] = [{"input.valid": 1, "input.payload": i, "output.ready": 1} for i in range(count)]
    # Then nobody takes words: the registers and all places fill up.
    cycles += [{"input.payload": count + i, "output.ready": 0} for i in range(depth + 4)]
    names = ["input.ready", "output.valid", "output.payload", "freed", "empty"]
    seen = clocked(WordQueue(8, depth), cycles, names)
    ready, valid, payload, freed, empty = zip(*seen, strict=True)
    assert list(zip(valid, payload, strict=True))[WordQueue.LATENCY : count] == [
        (1, i) for i in range(count - WordQueue.LATENCY)
    ]
    assert not any(valid[: WordQueue.LATENCY])
    # Of the words taken, three have not left when the stall begins; one of those is in the memory.
    assert ready == (1,) * (count + depth - 1) + (0,) * 5
    assert empty == (1,) + (0,) * (len(seen) - 1)
    assert freed == (0,) + (1,) * (count - 1) + (0,) * (len(seen) - count)


def test_clear_forgets() -> None:
    cycles: list[dict[str, Any]] = [{"input.valid": 1, "input.payload": 1 + i} for i in range(4)]
    cycles += [{"clear": 1}, {"clear": 0, "input.payload": 9, "output.ready": 1}, {"input.valid": 0}]
    seen = clocked(WordQueue(8, 8), cycles, ["empty", "output.valid", "output.payload"], 4)
    assert [empty for empty, *_ in seen] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    assert [payload for _, valid, payload in seen[5:] if valid] == [9]
