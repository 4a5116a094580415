"""Plays all that surrounds a command queue in Amaranth's simulator: host, bus engines, descriptor unit and walker."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from hwgen.control.command_queue import CommandQueue
from hwgen.control.faults import Fault
from hwgen.tests.bench import run, tiny
from hwgen.timing import reset_cycles

PARAMS = tiny(address_bits=40)
HOLD = reset_cycles(PARAMS)
PULSES = ("ready", "done", "run", "capture", "clear_counters")
LEVELS = ("head", "working", "busy", "flush", "reset_data", "quiet")


class Report(NamedTuple):
    """A fault as the host reads it."""

    code: int
    index: int
    address: int


class Levels(NamedTuple):
    """What does not come in pulses, in one cycle."""

    head: int
    working: int
    busy: int
    flush: int
    reset_data: int
    quiet: int


class Surroundings:
    """Everything around a command queue, a clock cycle at a time.

    size, base: of the ring;  deaf: cycles in which a request is not taken
    fetch, work, rest, copy: cycles that a descriptor's words and check, its run, the bus behind a flush, and the copy
                of the counters take
    verdicts:   the descriptor unit's code and offset, by the number of the request; none if all is well
    events:     (cycle, name, value) of all pulses, of requests with their address, and of faults
    levels:     of every cycle
    """

    def __init__(self, ctx: Any, dut: CommandQueue, *, size: int = 3, base: int = 0x4100, **times: int) -> None:
        self.ctx, self.dut = ctx, dut
        self.size, self.base, self.tail, self.pending = size, base, 0, 0
        self.times = {"fetch": 4, "work": 5, "rest": 3, "copy": 4, "deaf": 0} | times
        self.verdicts: dict[int, tuple[Fault, int]] = {}
        self.events: list[tuple[int, str, Any]] = []
        self.levels: list[Levels] = []
        self.requests = 0
        self._left = dict.fromkeys(self.times, 0) | {"deaf": self.times["deaf"]}
        self._finished = 0
        self._offer: int | None = None

    @property
    def cycle(self) -> int:
        return len(self.levels)

    @property
    def bus_works(self) -> bool:
        """Engines or walker may find a fault."""
        return bool(self._left["fetch"] or self._left["work"])

    def of(self, *names: str, since: int = 0) -> list[Any]:
        """The values of events, or their names too if several are asked for."""
        found = [(name, value) for cycle, name, value in self.events if name in names and cycle >= since]
        return [value for _, value in found] if len(names) == 1 else found

    def ring(self, count: int = 1) -> None:
        """The doorbell: so many more descriptors."""
        self.tail, self.pending = (self.tail + count) % (1 << 16), 1

    async def step(self, fault: tuple[Fault, int] | None = None, **pulses: int) -> None:
        """One cycle; `pulses` are abort and soft_reset."""
        if pulses.get("soft_reset"):
            self.size = self.base = self.tail = self.pending = 0
        ctx, dut, left = self.ctx, self.dut, self._left
        code, offset = self.verdicts.get(self.requests - 1, (Fault.NONE, 0))
        inputs = {"size": self.size, "base": self.base, "tail": self.tail, "start": self.pending}
        inputs |= {"abort": 0, "soft_reset": 0} | pulses
        inputs |= {"loaded": int(left["fetch"] == 1), "code": code, "offset": offset, "settled": self._finished}
        inputs |= {"quiet": int(left["rest"] == 0), "copying": int(left["copy"] != 0)}
        for name, value in inputs.items():
            ctx.set(getattr(dut, name), value)
        wrong, address = fault or (Fault.NONE, 0)
        ctx.set(dut.fault_in, {"valid": int(fault is not None), "code": wrong, "address": address})
        ctx.set(dut.request.ready, int(left["deaf"] == 0))
        names = [*PULSES, *LEVELS[:-1], "fault_index", "load"]
        ports = [getattr(dut, name) for name in names]
        _, _, request, where, told, *values = await ctx.tick().sample(
            dut.request.valid, dut.request.payload, dut.fault, *ports
        )
        inputs["asked"] = int(request and left["deaf"] == 0)
        self._note(dict(zip(names, values, strict=True)) | inputs, where if request else None, told)

    def _note(self, seen: dict[str, int], request: Any, told: Any) -> None:
        """Write down what the queue did in a cycle."""
        assert self._offer is None or (request is not None and request.address == self._offer)
        self._offer = None
        assert seen["start"] or not seen["ready"]
        if seen["asked"]:
            assert request.bytes == 256 and seen["load"]
            self.events.append((self.cycle, "request", request.address))
        elif request is not None:
            self._offer = request.address
        self.events += [(self.cycle, name, 1) for name in PULSES if seen[name]]
        if told.valid:
            report = Report(told.code, seen["fault_index"], told.address)
            self.events.append((self.cycle, "fault", report))
        self._react(seen)
        self.levels.append(Levels(*(seen[name] for name in LEVELS)))

    def _react(self, seen: dict[str, int]) -> None:
        """What follows in the next cycle."""
        left, times = self._left, self.times
        if left["work"] == 1 and not seen["flush"]:
            self._finished = 1
        for name in ("fetch", "work", "copy", *(["rest"] if seen["flush"] else [])):
            left[name] = max(0, left[name] - 1)
        if self._finished:
            left["rest"] = 0
        if seen["ready"]:
            self.pending = 0
        if seen["asked"]:
            self.requests += 1
            left |= {"fetch": times["fetch"], "rest": times["rest"], "deaf": times["deaf"]}
        elif self._offer is not None:
            left["deaf"] -= 1
        if seen["run"]:
            self._finished = 0
            left |= {"work": times["work"], "rest": times["rest"]}
        if seen["capture"]:
            left["copy"] = times["copy"]
        if seen["flush"] or seen["reset_data"]:
            self._finished = left["fetch"] = left["work"] = 0

    async def steps(self, count: int) -> None:
        for _ in range(count):
            await self.step()

    async def settle(self) -> None:
        """Until there is nothing to do."""
        waits = True
        while waits:
            waits = bool(self.pending)
            await self.step()
            waits |= bool(self.levels[-1].busy)

    async def until(self, name: str, since: int) -> None:
        """Until an event comes, if it has not come since a cycle."""
        while not self.of(name, since=since):
            await self.step()

    def require_flushes(self) -> int:
        """How many flushes there were, not counting that behind the reset: in each the data path is reset, for long
        enough behind the last cycle in which something was on the bus."""
        count, ended = -1, [*self.levels, Levels(0, 0, 0, 0, 0, 0)]
        quiet = 0
        for now, after in zip(ended, ended[1:], strict=False):
            assert now.reset_data or not now.flush
            quiet = quiet + 1 if now.flush and now.quiet else 0
            if now.flush and not after.flush:
                assert quiet >= HOLD
                count += 1
        return count


Scenario = Callable[[Surroundings], Awaitable[None]]


def play(scenario: Scenario, *, boot: bool = True, limit: int = 20_000, **traits: int) -> Surroundings:
    """Run a scenario, which begins when the machine has come out of its reset, unless not to `boot`."""
    dut = CommandQueue(PARAMS)
    kept: list[Surroundings] = []

    async def bench(ctx: Any) -> None:
        surroundings = Surroundings(ctx, dut, **traits)
        kept.append(surroundings)
        if boot:
            await surroundings.settle()
        await scenario(surroundings)

    run(dut, bench, limit=limit)
    return kept[0]
