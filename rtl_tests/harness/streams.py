"""Stream drivers and monitors that pause at random, and insist on the handshake."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

PERIOD_NS = 2


async def start(dut: Any) -> None:
    """Clock and reset, all inputs zero."""
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0


class Source:
    """Offers words on `NAME__payload`; pauses with probability `idle` before each of them."""

    def __init__(self, dut: Any, name: str, idle: float, seed: int) -> None:
        self._clock = dut.clk
        self._valid, self._ready, self._payload = (getattr(dut, f"{name}__{x}") for x in ("valid", "ready", "payload"))
        self._random, self._idle = random.Random(seed), idle
        self._valid.value = 0

    async def send(self, words: Sequence[int]) -> None:
        """Return when the last word is taken."""
        for word in words:
            while self._random.random() < self._idle:
                await RisingEdge(self._clock)
            self._payload.value = word
            self._valid.value = 1
            while True:
                await ReadOnly()
                taken = bool(self._ready.value)
                await RisingEdge(self._clock)
                if taken:
                    break
            self._valid.value = 0


class Sink:
    """Takes words from `NAME__payload`; refuses with probability `stall` in each cycle.

    A word that is offered and not taken has to be there, unchanged, in the next cycle.
    """

    def __init__(self, dut: Any, name: str, stall: float, seed: int) -> None:
        self._clock = dut.clk
        self._valid, self._ready, self._payload = (getattr(dut, f"{name}__{x}") for x in ("valid", "ready", "payload"))
        self._random, self._stall = random.Random(seed), stall
        self._ready.value = 0

    async def receive(self, count: int, limit: int = 100_000) -> list[int]:
        """The next `count` words; AssertionError if they take more than `limit` cycles."""
        words: list[int] = []
        offered: int | None = None
        for _ in range(limit):
            self._ready.value = int(self._random.random() >= self._stall)
            await ReadOnly()
            valid = bool(self._valid.value)
            word = int(self._payload.value) if valid else None
            if offered is not None:
                assert word == offered, f"offered {offered:#x}, not taken, then {word if word is None else hex(word)}"
            if valid and self._ready.value:
                words.append(int(self._payload.value))
                offered = None
            else:
                offered = word
            await RisingEdge(self._clock)
            if len(words) == count:
                self._ready.value = 0
                return words
        raise AssertionError(f"{len(words)} of {count} words in {limit} cycles")
