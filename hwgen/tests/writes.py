"""Clients of the write engine, and a memory that follows the rules of AXI and checks that the engine does."""

from collections import Counter, deque
from typing import Any, NamedTuple

import numpy as np

from hwgen.memory.write_engine import WriteEngine
from hwgen.params import Params

REGION = 1 << 32
"""Client i writes in REGION * (i + 1) .. REGION * (i + 2) - 1."""


class Burst(NamedTuple):
    """Its first word's address and its beats minus one."""

    address: int
    length: int


class Client:
    """Requests and their words, offered with gaps if there is a generator of random numbers."""

    def __init__(self, dut: WriteEngine, i: int, width: int, rng: np.random.Generator | None) -> None:
        self.ports, self.width, self.rng = (dut.requests[i], dut.words[i]), width, rng
        self.waiting: tuple[deque, deque] = (deque(), deque())
        self.offered = [False, False]
        self.asked = self.words = 0  # words of the requests that the engine has taken, and words that it has
        self.place = REGION * (i + 1)

    def add(self, rng: np.random.Generator, sizes: list[int], aligned: bool = False) -> dict[int, int]:
        """Requests of the given numbers of bytes, one behind the other with gaps; gives the bytes they write."""
        wanted: dict[int, int] = {}
        width = self.width
        for size in sizes:
            start = self.place + (0 if aligned else int(rng.integers(1, 70)))
            self.place = start + size
            self.waiting[0].append({"address": start, "bytes": size})
            for word in range(start // width * width, start + size, width):
                values = rng.integers(256, size=width, dtype=np.uint8)
                strobe = sum(1 << b for b in range(width) if start <= word + b < start + size)
                self.waiting[1].append({"data": int.from_bytes(values.tobytes(), "little"), "strobe": strobe})
                wanted |= {word + b: int(values[b]) for b in range(width) if strobe >> b & 1}
        return wanted

    def offer(self, ctx: Any) -> None:
        for i, (port, waiting) in enumerate(zip(self.ports, self.waiting, strict=True)):
            if waiting and not self.offered[i] and (self.rng is None or self.rng.random() < 0.5):
                self.offered[i] = True
                ctx.set(port.payload, waiting[0])
            ctx.set(port.valid, int(self.offered[i]))

    def settle(self, ctx: Any) -> None:
        for i, (port, waiting) in enumerate(zip(self.ports, self.waiting, strict=True)):
            if self.offered[i] and ctx.get(port.ready):
                payload = waiting.popleft()
                self.offered[i] = False
                if i:
                    self.words += 1
                else:
                    first, end = payload["address"], payload["address"] + payload["bytes"]
                    self.asked += (end - 1) // self.width - first // self.width + 1

    def forget(self) -> None:
        for waiting in self.waiting:
            waiting.clear()
        self.offered = [False, False]
        self.asked = self.words = 0


class Memory:
    """A subordinate that is not always ready if there is a generator of random numbers; checks every cycle."""

    def __init__(self, dut: WriteEngine, params: Params, rng: np.random.Generator | None, latency: int = 3) -> None:
        self.dut, self.params, self.rng, self.latency = dut, params, rng, latency
        self.bytes: dict[int, int] = {}
        self.errors: dict[int, int] = {}
        self.bursts: list[Burst] = []  # offered
        self.promised: Counter[int] = Counter()  # their words, by client
        self.written: Counter[int] = Counter()
        self.taken_bursts = self.finished = self.answered = 0
        self.beat = 0
        self.due: deque[int] = deque()
        self.held: dict[str, int] = {}
        self.faults: list[tuple[int, int]] = []
        self.times: list[int] = []

    def chance(self) -> bool:
        return self.rng is None or bool(self.rng.random() < 0.5)

    def offer(self, ctx: Any, t: int) -> None:
        dut = self.dut
        self.ready = {"aw": self.chance(), "w": self.chance()}
        ctx.set(dut.aw.ready, int(self.ready["aw"]))
        ctx.set(dut.w.ready, int(self.ready["w"]))
        # A burst is answered once both its address and its last word have been taken.
        possible = self.answered < min(self.taken_bursts, self.finished) and self.due[self.answered] <= t
        self.answer = possible and self.chance()
        ctx.set(dut.b.valid, int(self.answer))
        ctx.set(dut.b.payload.response, self.errors.get(self.answered, 0))

    def settle(self, ctx: Any, t: int) -> None:
        dut = self.dut
        valid = {"aw": ctx.get(dut.aw.valid), "w": ctx.get(dut.w.valid)}
        for name, channel in (("aw", dut.aw), ("w", dut.w)):
            # An offer stays as it is until it is taken.
            payload = ctx.get(channel.payload.as_value()) if valid[name] else None
            assert name not in self.held or self.held[name] == payload
            if valid[name] and name not in self.held:
                self.held[name] = payload
                if name == "aw":
                    payload = ctx.get(channel.payload)
                    self.bursts.append(Burst(payload.address, payload.length))
                    self.promised[payload.address // REGION - 1] += payload.length + 1
        assert ctx.get(dut.waiting) == any(valid[name] and not self.ready[name] for name in valid)
        assert ctx.get(dut.b.ready)
        if self.answer:
            self.answered += 1
        # No word comes before its burst's address, and none is late once a burst has begun.
        assert not valid["w"] or self.finished < len(self.bursts)
        assert valid["w"] or not self.beat
        taken = ctx.get(dut.taken)
        assert bool(taken) == bool(valid["w"] and self.ready["w"])
        if taken:
            self.times.append(t)
            self.write(ctx.get(dut.w.payload), taken, t)
            del self.held["w"]
        if valid["aw"] and self.ready["aw"]:
            self.taken_bursts += 1
            del self.held["aw"]
        assert len(self.bursts) - self.answered + self.answer <= self.params.config.outstanding
        if ctx.get(dut.fault.valid):
            assert not ctx.get(dut.idle)
            self.faults.append((ctx.get(dut.fault.code), ctx.get(dut.fault.address)))

    def write(self, word: Any, taken: int, t: int) -> None:
        burst = self.bursts[self.finished]
        width = self.params.bus_bytes
        address = burst.address + self.beat * width
        client = address // REGION - 1
        assert taken == 1 << client
        self.written[client] += 1
        strobe, values = word.strobe, word.data
        self.bytes |= {address + b: values >> 8 * b & 0xFF for b in range(width) if strobe >> b & 1}
        self.beat += 1
        last = self.beat == burst.length + 1
        assert word.last == last
        if last:
            self.finished += 1
            self.beat = 0
            self.due.append(t + self.latency)

    @property
    def busy(self) -> bool:
        return self.answered < len(self.bursts)


class Machine:
    """Engine, clients and memory, stepped together."""

    def __init__(self, params: Params, clients: int, idle: int | None, pressure: int | None, latency: int = 3) -> None:
        self.dut, self.params = WriteEngine(params, clients), params
        gaps, pauses = (None if seed is None else np.random.default_rng(seed) for seed in (idle, pressure))
        self.clients = [Client(self.dut, i, params.bus_bytes, gaps) for i in range(clients)]
        self.memory = Memory(self.dut, params, pauses, latency)
        self.wanted: dict[int, int] = {}
        self.time = 0
        self.flush = 0
        self.dropped = False  # clients have to begin anew

    def add(self, rng: np.random.Generator, sizes: list[int], aligned: bool = False) -> dict[int, int]:
        wanted = [client.add(rng, sizes, aligned) for client in self.clients]
        return {address: value for part in wanted for address, value in part.items()}

    async def step(self, ctx: Any) -> bool:
        """One cycle; gives whether the engine says that it is idle."""
        ctx.set(self.dut.flush, self.flush)
        self.memory.offer(ctx, self.time)
        for client in self.clients:
            client.offer(ctx)
        busy = self.memory.busy
        self.memory.settle(ctx, self.time)
        idle = bool(ctx.get(self.dut.idle))
        self.dropped |= bool(self.flush)
        assert not idle or not busy
        for i, client in enumerate(self.clients):
            # All words of a burst have been taken before its address is offered.
            assert self.memory.promised[i] <= client.words
            assert not idle or self.dropped or client.asked == client.words == self.memory.written[i]
            client.settle(ctx)
        await ctx.tick()
        self.time += 1
        return idle

    def forget(self) -> None:
        """What clients still have to send is not sent, as after a reset of theirs."""
        self.memory.bytes.clear()
        self.memory.promised.clear()
        self.memory.written.clear()
        self.dropped = False
        for client in self.clients:
            client.forget()

    async def finish(self, ctx: Any) -> None:
        """Until everything has been sent and the engine is idle."""
        while True:
            idle = await self.step(ctx)
            if idle and not any(waiting for client in self.clients for waiting in client.waiting):
                return
