"""What the machine's parts hold, taken apart: what has to be the same for its behaviour to be the same, and what merely
counts.

A *count* matters only within its *zone*: keys that are left do when there are few. So two states of one *shape*, which
is all else with times taken relative to now, go on alike until a count enters its zone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from hwgen.model.parts.blocks import BlockWalker
from hwgen.model.parts.queue import Fifo
from hwgen.model.parts.records import COUNTS

if TYPE_CHECKING:
    from hwgen.model.clockwork import Clockwork

FAR = 1 << 62
Zone = tuple[int, int]
"""The first and the last value at which a count may matter."""

Zones = tuple[Zone, ...]
NOWHERE: Zones = ()


def below(least: int) -> Zones:
    return ((-FAR, least - 1),)


def above(most: int) -> Zones:
    return ((most + 1, FAR),)


class Snapshot(NamedTuple):
    """shape: all that must be the same;  counts;  sums: what is counted up for the result, cycles first."""

    shape: tuple[Any, ...]
    counts: list[int]
    sums: list[int]


class Holder(NamedTuple):
    """A part and its members.

    fixed:   names of those whose values must be the same
    lists:   names of lists and queues of such values
    times:   names of queues of times, or of tuples that begin with one
    counts:  names of counts, with their zones
    records: names of members that are None or a record (`parts.records`), with the zones of its counts
    queues:  names of queues of records or of fixed values, likewise
    """

    part: Any
    fixed: tuple[str, ...]
    lists: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    counts: Mapping[str, Zones | Callable[[], Zones]] = {}
    records: Mapping[str, tuple[Zones, ...]] = {}
    queues: Mapping[str, tuple[Zones, ...]] = {}


class State:
    """The state of a machine, to be taken and to be put into it."""

    def __init__(self, machine: Clockwork) -> None:
        self._machine = machine
        self._holders = list(_holders(machine))
        self._fixed = [_getter(holder.fixed) for holder in self._holders]
        self._sums = list(_sums(machine))

    def take(self) -> Snapshot:
        now = self._machine.now
        shape: list[Any] = []
        counts: list[int] = []
        for (part, _, lists, times, names, records, queues), fixed in zip(self._holders, self._fixed, strict=True):
            shape.append(fixed(part))
            for name in lists:
                shape.append(tuple(getattr(part, name)))
            for name in times:
                line = getattr(part, name)
                shape.append(tuple([_moved(entry, -now) for entry in line]) if line else ())
            for name in names:
                counts.append(getattr(part, name))
            for name in records:
                _divide(getattr(part, name), shape, counts)
            for name in queues:
                queue: Fifo = getattr(part, name)
                shape.append((queue.ready, len(queue.items)))
                for entry in (queue.head, *queue.items) if queue.ready else queue.items:
                    _divide(entry, shape, counts)
        sums = [now, *self._machine.issuer.idle, *[getattr(part, name) for part, name in self._sums]]
        return Snapshot(tuple(shape), counts, sums)

    def zones(self) -> list[Zones]:
        """Of each count, in the order of a snapshot taken now."""
        zones: list[Zones] = []
        for holder in self._holders:
            zones += [zone() if callable(zone) else zone for zone in holder.counts.values()]
            for of, number in _counted(holder):
                zones += of * number
        return zones

    def ways(self) -> list[int]:
        """Which way each count goes through a whole job, or through all jobs; 0 for those that go to and fro."""
        machine = self._machine
        writing: list[Any] = [machine.blocks, machine.jobs]
        for writer in machine.writers.values():
            writing += [writer.splitter, writer.source, writer.source.walker]
        found: list[int] = []
        for holder in self._holders:
            found += [PASSING.get(name, 0) if holder.part in writing else 0 for name in holder.counts]
            for of, number in _counted(holder):
                found += [0] * (len(of) * number)
        return found

    def put(self, snapshot: Snapshot) -> None:
        """Make the machine's state that of the snapshot."""
        machine = self._machine
        now = snapshot.sums[0]
        shape, counts = iter(snapshot.shape), iter(snapshot.counts)
        for part, fixed, lists, times, names, records, queues in self._holders:
            for name, value in zip(fixed, next(shape), strict=True):
                setattr(part, name, value)
            for name in lists:
                _refill(getattr(part, name), next(shape))
            for name in times:
                _refill(getattr(part, name), [_moved(entry, now) for entry in next(shape)])
            for name in names:
                setattr(part, name, next(counts))
            for name in records:
                setattr(part, name, _joined(next(shape), counts))
            for name in queues:
                queue: Fifo = getattr(part, name)
                queue.ready, length = next(shape)
                queue.head = _joined(next(shape), counts) if queue.ready else None
                _refill(queue.items, [_joined(next(shape), counts) for _ in range(length)])
        machine.now = now
        idle = len(machine.issuer.idle)
        machine.issuer.idle[:] = snapshot.sums[1 : 1 + idle]
        for (part, name), value in zip(self._sums, snapshot.sums[1 + idle :], strict=True):
            setattr(part, name, value)
        machine.moved()


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda part: tuple([getattr(part, name) for name in names])


def _counted(holder: Holder) -> Iterator[tuple[tuple[Zones, ...], int]]:
    """Zones of the counts of a record, and how many such records there are now."""
    for name, of in holder.records.items():
        yield of, int(getattr(holder.part, name) is not None)
    for name, of in holder.queues.items():
        queue: Fifo = getattr(holder.part, name)
        entries = (queue.head, *queue.items) if queue.ready else queue.items
        yield of, sum(type(entry) in COUNTS for entry in entries)


def _moved(entry: Any, cycles: int) -> Any:
    """A time, or a tuple that begins with one."""
    return entry + cycles if type(entry) is int else (entry[0] + cycles, *entry[1:])


def _refill(line: list[Any] | deque[Any], entries: Iterable[Any]) -> None:
    line.clear()
    line.extend(entries)


def _divide(entry: Any, shape: list[Any], counts: list[int]) -> None:
    """A record becomes its type, its fixed fields and its counts; anything else is fixed."""
    number = COUNTS.get(type(entry), 0)
    if number:
        shape.append((type(entry), *entry[:-number]))
        counts.extend(entry[-number:])
    else:
        shape.append(entry)


def _joined(fixed: Any, counts: Iterator[int]) -> Any:
    """What `_divide` took apart."""
    if type(fixed) is tuple and fixed and isinstance(fixed[0], type):
        kind = fixed[0]
        return kind(*fixed[1:], *[next(counts) for _ in range(COUNTS[kind])])
    return fixed


def _sums(machine: Clockwork) -> Iterator[tuple[Any, str]]:
    """Members that are counted up and influence nothing before the end."""
    yield machine.reads, "waits"
    yield machine.writes, "waits"
    yield machine.issuer, "visits"
    for client in machine.reads.clients:
        yield client, "words"
    for writer in machine.writers.values():
        yield writer, "words"
        yield writer, "asked"


def _holders(machine: Clockwork) -> Iterator[Holder]:
    yield from _core_holders(machine)
    yield from _control_holders(machine)
    yield from _read_holders(machine)
    yield from _write_holders(machine)


def _core_holders(machine: Clockwork) -> Iterator[Holder]:
    yield Holder(
        machine,
        (
            "running",
            "settled",
            "more",
            "hungry",
            "loaded",
            "job_count",
            "block_count",
            "job_done",
            "job_over",
            "lse_waiting",
        ),
    )
    fixed: tuple[str, ...] = (
        "step",
        "slot",
        "low",
        "next_low",
        "staying",
        "active",
        "bank",
        "may",
        "visiting",
        "block_done",
    )
    issuer = machine.issuer
    edge = above(issuer.cols - 1)
    counts: dict[str, Any] = {"left": below(3), "edge": NOWHERE, "next_edge": edge, "low_edge": NOWHERE}
    lines = ("starts", "drained", "done")
    yield Holder(issuer, fixed, ("pending", "queue"), lines, counts, {"block": _block_zones(machine)})
    fixed = ("active", "bank", "finished")
    yield Holder(machine.loader, fixed, ("loaded", "occupied", "beats"), ("released",), {"left": below(3)})
    for buffer in (machine.keys, machine.values):
        yield Holder(buffer, ("complete", "ended"), (), ("freed",), {"claimed": NOWHERE})
    fixed = ("slot", "column", "beat", "credits", "lse_credits", "given", "room", "known", "gone")
    yield Holder(machine.drain, fixed, ("results",), ("steps", "records"), queues={"o": (), "lse": ()})


def _block_zones(machine: Clockwork) -> tuple[Zones, ...]:
    """Of a block's keys, fresh and edge."""
    issuer = machine.issuer
    return below(1), NOWHERE, above(issuer.cols - 1 - machine.work.group)


PASSING = {"left": -1, "rows": -1, "end": 1, "positions": 1, "number": 1, "asked": 1}
"""Counts that go one way through a whole job, or through all jobs, and which way; of a splitter and of a packer there
is a long one only where a job is one request."""


def _control_holders(machine: Clockwork) -> Iterator[Holder]:
    walker, fetch, jobs = machine.blocks, machine.fetch, machine.jobs
    counts: dict[str, Any] = {"left": below(walker.size + 1), "end": lambda: edge_zones(walker)}
    counts |= {"positions": lambda: bound_zones(walker), "brought": NOWHERE, "keys": NOWHERE}
    block = _block_zones(machine)
    fixed: tuple[str, ...] = ("state", "wait", "queries", "part", "job", "room")
    yield Holder(walker, fixed, counts=counts, records={"block": block, "there": block})
    for output in walker.outputs:
        yield Holder(_Only(output), (), queues={"queue": block})
    yield Holder(fetch, ("ahead", "offered", "closed", "room"), records={"there": block})
    for queue in fetch.list:
        yield Holder(_Only(queue), (), queues={"queue": (below(1),)})
    fixed = ("state", "wait", "offering", "heads_taken", "there", "finished", "room")
    yield Holder(jobs, fixed, counts={"number": jobs.last_numbers})
    for queue in jobs.forks:
        yield Holder(_Only(queue), (), queues={"queue": (below(1),)})
    if jobs.lengths is not None:
        yield Holder(jobs.lengths, ("address", "ahead", "took"), counts={"left": below(2)})
    yield Holder(machine.host, ("state", "wait"))


class _Only:
    """Gives a queue the name `queue`."""

    __slots__ = ("queue",)

    def __init__(self, queue: Fifo) -> None:
        self.queue = queue


def edge_zones(walker: BlockWalker) -> Zones:
    """Of the end of the block that was cut last: near the first query that sees a key."""
    job = walker.job
    if job is None or not job.causal:
        return NOWHERE
    first = -job.offset * job.group
    room = walker.cols * (walker.slots + 2) + 2 * walker.size + job.group
    return ((first - room, first + room),)


def bound_zones(walker: BlockWalker) -> Zones:
    """Of the positions up to that end: near the first one that sees a key, and the first one that sees all."""
    job = walker.job
    if job is None or not job.causal:
        return NOWHERE
    room = 2 * (walker.size // job.group + 2)
    return tuple((seen - job.offset - room, seen - job.offset + room) for seen in (0, job.keys))


def _read_holders(machine: Clockwork) -> Iterator[Holder]:
    reads = machine.reads
    fixed: tuple[str, ...] = (
        "chosen",
        "behind",
        "prefer",
        "held",
        "alone",
        "open",
        "offered",
        "flying",
        "sent",
        "beat",
        "last",
        "taken",
        "credit",
    )
    yield Holder(reads, fixed, (), ("bursts",))
    for client in reads.clients:
        yield Holder(client, ("room", "claimed", "fits", "found", "present", "freed", "used"), ("bursts",))
        yield _splitter(client.splitter)
    fixed = ("active", "group", "left", "offset", "step", "waiting", "used", "half", "turned", "beat", "full", "flow")
    for unpacker in machine.unpackers.values():
        names = (*fixed, "following", "offered", "last", "moved", "free_rows", "returned")
        yield Holder(unpacker, names, ("stages",), (), {"rows": below(3)}, queues={"runs": (below(2),)})
        yield _walker(unpacker.walker)


def _splitter(splitter: Any) -> Holder:
    records = {"counted": (below(3),), "request": (below(4 * splitter.chunk),)}
    return Holder(splitter, ("word", "end", "length", "done"), counts={"left": below(4)}, records=records)


def _walker(walker: Any) -> Holder:
    fixed: tuple[str, ...] = ("state", "wait", "base", "position", "row", "following", "member", "last", "open")
    records = {"request": (below(4 * walker.chunk),), "run": (below(2),)}
    return Holder(walker, fixed, counts={"left": below(3), "asked": NOWHERE}, records=records)


def _write_holders(machine: Clockwork) -> Iterator[Holder]:
    writes = machine.writes
    fixed: tuple[str, ...] = ("behind", "address", "in_flight", "bursts", "order", "left", "free", "moved", "word")
    yield Holder(writes, (*fixed, "credit"), ("setting_out", "landed"), ("answers",), queues={"orders": ()})
    for writer in machine.writers.values():
        fixed = ("spare", "ready", "offered", "burst", "passed", "level", "arrived", "leaving")
        yield Holder(writer, fixed)
        yield _splitter(writer.splitter)
        source = writer.source
        fixed = ("active", "left", "place", "chunk", "overhang", "complete", "turned", "offered")
        yield Holder(source, fixed, counts={"rows": below(3)})
        yield Holder(source.values, (), ("held",))
        yield _walker(source.walker)
