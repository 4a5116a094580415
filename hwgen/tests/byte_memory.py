"""A memory in place of the read engine: answers requests for any bytes with the bus words they touch."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen.params import Params
from hwgen.tests.bench import Testbench, gaps


def words_of(numbers: Sequence[int]) -> bytes:
    """Numbers as they lie in memory, 4 bytes each."""
    return np.array(numbers, dtype="<u4").tobytes()


class ByteMemory:
    """Answers in order, `latency` cycles after a request at the earliest; noise lies wherever nothing was put."""

    def __init__(self, seed: int, params: Params, latency: int = 10) -> None:
        self.params, self.latency = params, latency
        self.rng = np.random.default_rng(seed)
        self.held: dict[int, int] = {}
        self.asked: list[tuple[int, int]] = []
        self.left = 0
        self.stopped = False

    def stop(self) -> None:
        """Let the testbench return."""
        self.stopped = True

    def put(self, address: int, raw: bytes) -> None:
        self.held |= {address + i: byte for i, byte in enumerate(raw)}

    def word(self, address: int) -> int:
        noise = self.rng.bytes(self.params.bus_bytes)
        return sum(self.held.get(address + i, byte) << 8 * i for i, byte in enumerate(noise))

    def touched(self, address: int, count: int) -> range:
        """Addresses of the bus words in which these bytes lie."""
        size = self.params.bus_bytes
        return range(address - address % size, address + count, size)

    def serve(self, request: Any, words: Any, idle: int | None = None, pressure: int | None = None) -> Testbench:
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
                    assert payload.bytes > 0
                    self.asked.append((payload.address, payload.bytes))
                    due.extend((now + self.latency, place) for place in self.touched(payload.address, payload.bytes))
                    pause = next(pauses)
                if offered and taken:
                    due.popleft()
                    offered, rest = False, next(rests)
                    ctx.set(words.valid, 0)
                now += 1
                self.left = len(due)

        return run_memory
