"""A memory behind AR and R for tests: it answers in order, after a while, with pauses, and rarely wrongly."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.memory.axi import Response
from hwgen.params import Params

Beat = dict[str, int]


def word_at(params: Params, index: int) -> int:
    """What the memory holds in a bus word: all its words differ."""
    bits = params.config.bus_bits
    return (index + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276BF3A27251F % (1 << bits)


@dataclass
class ReadMemory:
    """Serves the read side of a bus until told to stop.

    latency: cycles from AR to the first R;  seed: pauses of AR and R if there is one;
    spoil:   changes the beats of a burst before they are sent
    """

    params: Params
    latency: int = 1
    seed: int | None = None
    spoil: Callable[[int, list[Beat]], list[Beat]] = lambda _, beats: beats
    stop: bool = False
    bursts: list[tuple[int, int]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    flying: int = 0
    cycle: int = 0

    def answer(self, address: int, length: int) -> list[Beat]:
        first = address // self.params.bus_bytes
        beats = [
            {"data": word_at(self.params, first + i), "response": Response.OKAY, "last": int(i == length)}
            for i in range(length + 1)
        ]
        return self.spoil(address, beats)

    def check(self, address: int, length: int) -> None:
        """A burst is aligned, stays in its chunk, and is one of at most `outstanding`."""
        c, width = self.params.config, self.params.bus_bytes
        assert address % width == 0
        chunk = c.burst_beats * width
        assert address // chunk == (address + length * width) // chunk
        assert self.flying <= c.outstanding

    async def serve(self, ctx: Any, ar: Any, r: Any) -> None:
        rng = None if self.seed is None else np.random.default_rng(self.seed)
        queue: deque[tuple[int, Beat]] = deque()
        while not self.stop:
            assert ctx.get(r.ready)
            beat = None
            if queue and queue[0][0] <= self.cycle and (rng is None or rng.random() < 0.7):
                beat = queue.popleft()[1]
                self.sent.append(self.cycle)
                ctx.set(r.payload, beat)
            ctx.set(r.valid, int(beat is not None))
            ready = rng is None or rng.random() < 0.6
            ctx.set(ar.ready, int(ready))
            _, _, valid, burst = await ctx.tick().sample(ar.valid, ar.payload)
            self.cycle += 1
            self.flying -= int(beat is not None and beat["last"])
            if valid and ready:
                self.flying += 1
                self.check(burst.address, burst.length)
                self.bursts.append((burst.address, burst.length))
                self.asked.append(self.cycle - 1)
                queue.extend((self.cycle - 1 + self.latency, one) for one in self.answer(burst.address, burst.length))
        ctx.set(r.valid, 0)
        ctx.set(ar.ready, 0)
