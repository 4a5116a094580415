"""A memory that holds key lengths."""

from collections import deque
from typing import Any

import numpy as np

from hwgen.params import Params
from hwgen.tests.bench import Testbench, gaps


class LengthMemory:
    """Answers requests for 4 bytes with the bus word they lie in, in order, `latency` cycles later at the earliest."""

    def __init__(self, seed: int, params: Params, latency: int) -> None:
        self.params, self.latency = params, latency
        self.rng = np.random.default_rng(seed)
        self.held: dict[int, int] = {}
        self.asked: list[int] = []
        self.answered = 0
        self.stopped = False

    def stop(self) -> None:
        """Let the testbench return."""
        self.stopped = True

    def put(self, address: int, lengths: list[int]) -> None:
        for i, length in enumerate(lengths):
            self.held[address + 4 * i] = length

    def word(self, address: int) -> int:
        """The bus word around an address; noise where nothing was put."""
        start = address - address % self.params.bus_bytes
        places = range(start, start + self.params.bus_bytes, 4)
        noise = [int(x) for x in self.rng.integers(0, 1 << 32, len(places))]
        return sum(self.held.get(place, n) << 32 * i for i, (place, n) in enumerate(zip(places, noise, strict=True)))

    def serve(self, request: Any, words: Any, idle: int | None, pressure: int | None) -> Testbench:
        """A testbench for the two streams of a reader's client."""
        rests, pauses = gaps(idle), gaps(pressure)

        async def run_memory(ctx: Any) -> None:
            due: deque[tuple[int, int]] = deque()
            now, rest, pause = 0, next(rests), next(pauses)
            offered = False
            while not self.stopped:
                if not offered and due and due[0][0] <= now:
                    rest -= 1
                    if rest < 0:
                        ctx.set(words.payload, self.word(due[0][1]))
                        ctx.set(words.valid, 1)
                        offered = True
                pause -= 1
                ctx.set(request.ready, int(pause < 0))
                sampled = await ctx.tick().sample(request.valid, request.ready, request.payload, words.ready)
                _, _, valid, ready, payload, taken = sampled
                if valid and ready:
                    assert payload.bytes == 4
                    self.asked.append(payload.address)
                    due.append((now + self.latency, payload.address))
                    pause = next(pauses)
                if offered and taken:
                    due.popleft()
                    self.answered += 1
                    offered, rest = False, next(rests)
                    ctx.set(words.valid, 0)
                now += 1

        return run_memory
