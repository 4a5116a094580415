"""The command queue among models of all that surrounds it."""

import pytest

from hwgen.control.faults import Fault
from hwgen.tests.queue_host import HOLD, Report, Surroundings, play

BASE = 0x4100
SHORT = {"fetch": 2, "work": 2, "rest": 1, "copy": 2}
WHOLE = 32
"""More cycles than two descriptors take, if they are short."""


def places(first: int, count: int, size: int) -> list[int]:
    return [BASE + 256 * (i % size) for i in range(first, first + count)]


@pytest.mark.parametrize(
    ("size", "portions"), [(3, (1, 3, 2, 3)), (1, (1, 1)), (5, (5, 5, 1)), (65535, (4,))], ids=lambda value: str(value)
)
@pytest.mark.parametrize("deaf", [0, 3])
def test_every_descriptor_has_its_turn(size: int, portions: tuple[int, ...], deaf: int) -> None:
    heads = []

    async def scenario(s: Surroundings) -> None:
        for portion in portions:
            s.ring(portion)
            await s.settle()
            heads.append(s.levels[-1].head)

    s = play(scenario, size=size, deaf=deaf)
    total = sum(portions)
    assert s.of("request") == places(0, total, size)
    each = ["request", "run", "capture"]
    wanted = [name for portion in portions for name in ["ready", *(each * portion), "done"]]
    order = [name for _, name, _ in s.events]
    # The last capture and the end are one cycle's.
    assert [name for name in order if name != "done"] == [name for name in wanted if name != "done"]
    assert len(s.of("done")) == len(portions)
    assert heads == [sum(portions[: i + 1]) for i in range(len(portions))]
    assert s.require_flushes() == 0


def test_numbers_wrap_around() -> None:
    async def scenario(s: Surroundings) -> None:
        s.ctx.set(s.dut.head, 65533)
        s.tail = 65533
        s.ring(5)
        await s.settle()

    s = play(scenario, size=6)
    assert s.of("request") == places(0, 5, 6)
    assert s.tail == s.levels[-1].head == 2
    assert len(s.of("done")) == 1


def test_latencies() -> None:
    begun = []

    async def scenario(s: Surroundings) -> None:
        begun.append(s.cycle)
        s.ring(2)
        await s.settle()

    s = play(scenario, copy=7)
    rung = next(cycle for cycle, name, _ in s.events if name == "ready")
    asked = [cycle for cycle, name, _ in s.events if name == "request"]
    captured = [cycle for cycle, name, _ in s.events if name == "capture"]
    assert asked[0] == rung + 1 == begun[0] + 2
    # The counters are copied before the next descriptor is asked for.
    assert [asked[1], *captured] == [captured[0] + 11, asked[0] + 4 + 1 + 2 + 5 + 1, asked[1] + 4 + 1 + 2 + 5 + 1]
    assert [now.working for now in s.levels[captured[0] : captured[0] + 2]] == [1, 0]
    # It is busy all the time between the two descriptors.
    assert all(now.busy for now in s.levels[rung : captured[1] + 1])


def test_doorbell_while_busy() -> None:
    ends = []

    async def scenario(s: Surroundings) -> None:
        for late in range(20):
            begin, first = s.cycle, s.tail
            s.ring()
            await s.steps(late)
            s.ring()
            await s.settle()
            assert s.of("request", since=begin) == places(first, 2, 3)
            assert len(s.of("capture", since=begin)) == 2 and s.levels[-1].head == first + 2
            last = max(cycle for cycle, name, _ in s.events if name == "capture")
            assert s.of("done", since=last)
            ends.append(len(s.of("done", since=begin)))

    play(scenario, **SHORT)
    # One end if the second came in time.
    assert ends == sorted(ends) and set(ends) == {1, 2}


def test_start_without_work_is_answered() -> None:
    async def scenario(s: Surroundings) -> None:
        s.ring(0)
        await s.steps(2)
        assert [name for _, name, _ in s.events] == ["ready", "done"]
        s.ring(1)
        await s.steps(8)
        # One more start, which asks for nothing new.
        s.ring(0)
        await s.settle()

    s = play(scenario)
    assert len(s.of("request")) == 1
    assert len(s.of("done")) == len(s.of("ready")) == 3


def test_boot() -> None:
    async def scenario(s: Surroundings) -> None:
        s.ring(1)
        await s.settle()

    s = play(scenario, boot=False)
    held = [now.reset_data & now.flush for now in s.levels]
    assert held[: HOLD + 1] == [1] * (HOLD + 1) and not any(now.reset_data or now.flush for now in s.levels[HOLD + 1 :])
    assert s.events[0] == (HOLD + 1, "ready", 1)
    assert s.of("capture") == s.of("done") == [1]


@pytest.mark.parametrize("rest", [0, 1, 25])
def test_fault_at_any_time(rest: int) -> None:
    """Whenever engines or walker find something, this descriptor ends and the next one is whole."""
    hit = []

    async def scenario(s: Surroundings) -> None:
        for wait in range(13):
            s.ring(2)
            begin, first = s.cycle, s.levels[-1].head
            await s.steps(wait + 1)
            now = s.cycle
            if s.bus_works:
                hit.append((first, begin))
                await s.step(fault=(Fault.READ_RESPONSE, 0x77000 + wait))
            await s.settle()
            since = s.of("fault", "capture", "done", since=begin)
            if s.bus_works or hit[-1:] == [(first, begin)]:
                report = Report(Fault.READ_RESPONSE, first, 0x77000 + wait)
                assert since[0] == ("fault", report)
                # It may have been started in the cycle in which something was found.
                assert len(s.of("run", since=now + 1)) == 1
            assert [name for name, _ in since if name != "fault"].count("done") == 1
            assert s.levels[-1].head == first + 2

    s = play(scenario, rest=rest)
    assert s.of("request") == places(0, 26, 3)
    # All the time between the request and the end, and only then.
    assert len(hit) == 4 + 1 + 5 - 1
    assert len(s.of("fault")) == s.require_flushes() == len(hit)
    assert len(s.of("capture")) == 26 - len(hit)


def test_descriptor_that_is_refused() -> None:
    async def scenario(s: Surroundings) -> None:
        s.verdicts = {1: (Fault.GROUP, 0x14), 2: (Fault.RESERVED, 0xFC)}
        s.ring(2)
        await s.settle()
        s.ring(2)
        await s.settle()

    s = play(scenario, size=2)
    second, third = Report(Fault.GROUP, 1, BASE + 256 + 0x14), Report(Fault.RESERVED, 2, BASE + 0xFC)
    assert s.of("fault") == [second, third]
    assert s.of("request") == places(0, 4, 2)
    assert len(s.of("run")) == len(s.of("capture")) == s.require_flushes() == 2
    assert len(s.of("done")) == 2


def test_data_path_stays_in_reset_while_the_bus_is_not_quiet() -> None:
    async def scenario(s: Surroundings) -> None:
        s.ring()
        await s.steps(8)
        await s.step(fault=(Fault.WRITE_RESPONSE, 0x123))
        await s.steps(HOLD - 1)
        # Something turns up after all.
        s._left["rest"] = 6
        await s.settle()

    s = play(scenario, rest=0)
    flushed = [now for now in s.levels[HOLD + 1 :] if now.flush]
    assert len(flushed) == (HOLD - 1) + 6 + HOLD + 1
    assert s.require_flushes() == 1


@pytest.mark.parametrize("doorbell", [False, True])
def test_abort_at_any_time(doorbell: bool) -> None:
    """One end, one fault if a descriptor was at hand; the rest waits for a start. Starts before that end are void."""
    aborted = []

    async def scenario(s: Surroundings) -> None:
        for wait in range(WHOLE):
            s.ring(2)
            begin = s.cycle
            await s.steps(wait)
            if doorbell and wait:
                s.pending = 1
            await s.step(abort=1)
            # It is seen a cycle late.
            now = s.cycle
            await s.step()
            at_hand = s.levels[-1].working
            await s.until("done", now)
            await s.steps(12)
            assert not s.pending and not s.levels[-1].busy
            head = s.levels[-1].head
            report = Report(Fault.ABORTED, head - 1, places(head - 1, 1, 3)[0])
            assert s.of("fault", since=begin) == [report] * at_hand
            assert len(s.of("done", since=now)) == 1
            assert s.of("request", since=begin) == places(s.tail - 2, head - (s.tail - 2), 3)
            aborted.append(at_hand)
            s.ring(0)
            await s.settle()
            assert s.levels[-1].head == s.tail

    s = play(scenario, **SHORT)
    assert s.of("request") == places(0, 2 * WHOLE, 3)
    assert sum(aborted) == 2 * (1 + 2 + 1 + 2 + 2 + 1)
    assert s.require_flushes() == sum(aborted)
    assert len(s.of("capture")) == 2 * WHOLE - sum(aborted)


def test_abort_together_with_a_fault() -> None:
    """The fault is told, which is seen a cycle late, not the abort, which halts the queue nevertheless."""

    async def scenario(s: Surroundings) -> None:
        for late in range(1, 3 + HOLD):
            s.ring(2)
            await s.steps(3)
            begin = s.cycle
            for cycle in range(3 + HOLD):
                pulses = {"abort": 1} if cycle == late else {}
                await s.step((Fault.READ_LAST, 0x80) if cycle == 0 else None, **pulses)
            await s.until("done", begin)
            await s.steps(12)
            assert not s.levels[-1].busy
            assert s.of("fault", since=begin) == [Report(Fault.READ_LAST, s.tail - 2, 0x80)]
            assert len(s.of("done", since=begin)) == 1
            s.ring(0)
            await s.settle()

    s = play(scenario, **SHORT)
    assert s.of("request") == places(0, 2 * (2 + HOLD), 3)


@pytest.mark.parametrize("before", [None, 1, 7], ids=["alone", "abort-just-before", "abort-before"])
def test_soft_reset_at_any_time(before: int | None) -> None:
    """Nothing is told of it; numbers begin at 0 again."""

    async def scenario(s: Surroundings) -> None:
        for wait in range(WHOLE):
            s.base, s.size = BASE, 3
            s.ring(2)
            begin = s.cycle
            await s.steps(wait)
            if before is not None:
                await s.step(abort=1)
                await s.steps(before - 1)
            now = s.cycle
            await s.step(soft_reset=1)
            await s.settle()
            await s.steps(4)
            found = [name for name, _ in s.of("fault", "done", "ready", "clear_counters", "request", since=now)]
            assert [name for name in found if name != "request"] == ["clear_counters"]
            # If it was just asking it does not take that back.
            assert found.count("request") <= 1
            assert s.levels[-1].head == 0
            assert s.of("request", since=begin) == places(0, len(s.of("request", since=begin)), 3)

    s = play(scenario, **SHORT)
    assert len(s.of("clear_counters")) == WHOLE
    assert s.require_flushes() >= WHOLE


def test_start_while_a_soft_reset_is_done() -> None:
    async def scenario(s: Surroundings) -> None:
        for wait in range(2 * HOLD):
            s.base, s.size = BASE, 3
            s.ring(2)
            # The second one finds the queue between two descriptors.
            await s.steps(wait // 2 if wait % 2 else 7)
            await s.step(soft_reset=1)
            begin = s.cycle
            s.base, s.size, count = BASE, 3, wait % 3
            await s.steps(wait // 4)
            s.ring(count)
            await s.settle()
            assert s.of("request", since=begin)[-count:] == places(0, count, 3)[-count:] or not count
            assert len(s.of("capture", since=begin)) == s.levels[-1].head == count
            assert len(s.of("ready", since=begin)) == len(s.of("done", since=begin)) == 1
            await s.step(soft_reset=1)
            await s.settle()

    play(scenario, **SHORT)


@pytest.mark.parametrize(("size", "count"), [(3, 4), (0, 1), (1, 65535)])
def test_more_than_the_ring_holds(size: int, count: int) -> None:
    async def scenario(s: Surroundings) -> None:
        for _ in range(2):
            s.ring(0)
            s.tail = count
            await s.settle()
            await s.steps(20)
        # The host thinks better of it.
        s.size, s.tail = 3, 2
        await s.steps(20)
        assert not s.of("request")
        s.ring(0)
        await s.settle()

    s = play(scenario, size=size)
    assert s.of("fault") == [Report(Fault.QUEUE, 0, BASE)] * 2
    assert s.of("request") == places(0, 2, 3)
    assert len(s.of("done")) == 3 and s.require_flushes() == 0
