"""The read engine and its parts: places are reserved, bursts are legal, words go to those who asked."""

from typing import Any

from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.utils import ceil_log2

from hwgen.memory.read_client import ReadClient
from hwgen.memory.read_engine import ReadEngine
from hwgen.memory.read_tracker import ReadTracker
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import Followed, obeyed, obeys
from rtl_tests.formal.subjects.bursts import NARROW, asks_for_something, legal, splitter_holds

DEPTH = 8
"""Words in a client's queue: two bursts."""


def bursts_kept(opened: Opened, path: str = "") -> list[tuple[Any, Any]]:
    """The bursts that a client has cut and that are not issued, the oldest first, as (whether it is there, burst)."""
    read, held = opened.inner(f"{path}read"), opened.inner(f"{path}held")
    bits, layout = len(read.addr), opened.inner(f"{path}layout")
    places = range(ReadClient.PLACES - 1)
    return [(held > i, layout(opened.stored(f"{path}bursts", (read.addr + i)[:bits]))) for i in places]


def client_holds(bench: Bench, opened: Opened, path: str, owed: Any, claims: Any, offer: Any) -> Any:
    """Of a client: pointers to its bursts, of which `claims` are claimed and one is not if `offer` is set; gives the
    places in its queue that are reserved or taken."""
    names = ("write", "read", "held", "claim", "any_held", "_place")
    write, read, held, claim, some, place = (opened.inner(f"{path}{name}") for name in names)
    bits = len(claim)
    bench.check((held == (write.addr - read.addr)[:bits]) & (some == (held != 0)) & (place == (held != 3)))
    # What is about to be forgotten may have been forgotten elsewhere.
    cleared = opened.inner(f"{path}cleared")
    bench.check(cleared | ((claims == (claim - read.addr)[:bits]) & (claims <= held)))
    bench.check(cleared | ~offer | (claims < held))
    splitter_holds(bench, opened, f"{path}splitter.")
    fits, found, splitter = (opened.inner(f"{path}{name}") for name in ("fits", "next_burst", "splitter"))
    bench.check(~(fits & splitter.output.valid) | (opened.inner(f"{path}room") > found.length))
    freed, used = opened.inner(f"{path}freed"), opened.inner(f"{path}queue.used")
    bench.check(opened.inner(f"{path}queue.some") == (used != 0))
    reserved = owed + opened.inner(f"{path}room") + freed + used
    for there, burst in bursts_kept(opened, path):
        bench.check(~there | lawful(burst))
        reserved = reserved + Mux(there, burst.length + 1, 0)
    return reserved


def client() -> Bench:
    """A burst is claimed if one was promised for this cycle, and issued if it is claimed; words come only for those."""
    bench, part = Bench(), ReadClient(NARROW, DEPTH)
    opened = bench.place(part)
    m = bench.m
    obeyed(bench, part.request)
    asks_for_something(bench, part.request)
    cleared = opened.inner("cleared")
    obeys(bench, part.words, unless=cleared)
    offer, claims, owed = Signal(), Signal(3), Signal(range(64))
    m.d.sync += [
        offer.eq(Mux(part.claimed, part.several, part.some)),
        claims.eq(claims + part.claimed - part.issued),
        owed.eq(owed + Mux(part.issued, part.burst.length + 1, 0) - part.write),
    ]
    with m.If(cleared):
        m.d.sync += [owed.eq(0), claims.eq(0)]
    bench.assume((~part.claimed | offer) & (~part.issued | (claims != 0)) & (~part.write | (owed != 0)))
    bench.check(~part.write | opened.inner("queue").input.ready)
    bench.check((claims == 0) | lawful(part.burst))
    # Every place is free, reserved, or holds a word.
    bench.check(client_holds(bench, opened, "", owed, claims, offer) == DEPTH)
    leaves = part.words.valid & part.words.ready
    followed = Followed(bench, part.write, part.data, leaves, part.words.payload, DEPTH + 2, clear=cleared)
    queue_holds(bench, opened, followed)
    return bench


def lawful(burst: Any) -> Any:
    """A burst as `legal` wants it."""
    word_bits = ceil_log2(NARROW.bus_bytes)
    beat_bits = ceil_log2(NARROW.config.burst_beats)
    within = burst.address[word_bits : word_bits + beat_bits] + burst.length < NARROW.config.burst_beats
    return (burst.address[:word_bits] == 0) & within


def queue_holds(bench: Bench, opened: Opened, word: Followed, path: str = "queue.", depth: int = DEPTH) -> None:
    """Where the followed word is in a `WordQueue`."""
    names = ("used", "head", "tail", "found", "offered", "word")
    used, head, tail, found, offered, output = (opened.inner(f"{path}{name}") for name in names)
    bench.check((used <= depth) & (head < depth) & (tail < depth) & (opened.inner(f"{path}some") == (used != 0)))
    bench.check((head + used)[: len(tail)] == tail)
    bench.check(word.level == used + found + offered)
    before = Value.cast(found) + offered
    bench.check(~word.at(0) | ~offered | (output == word.value))
    bench.check(~word.inside | ~found | (word.ahead != offered) | (opened.inner(f"{path}read").data == word.value))
    stored = opened.stored(f"{path}memory", (head + word.ahead - before)[: len(head)])
    bench.check(~word.inside | (word.ahead < before) | (stored == word.value))


def tracker() -> Bench:
    """Bursts are issued while there is room; beats come whenever they like, marked as the last one or not."""
    bench, part = Bench(), ReadTracker(NARROW, 2)
    opened = bench.place(part)
    bench.assume(~part.issue | (part.room & lawful(part.burst) & (part.client < 2)))
    ends = part.beat & part.last & part.known
    followed = Followed(bench, part.issue, Cat(part.burst, part.client), ends, None, NARROW.config.outstanding)
    tracker_holds(bench, opened, part, followed, ends)
    bench.check(part.busy == (followed.level != 0))
    bench.check(part.room == (followed.level != NARROW.config.outstanding))
    followed.leaves_by(bench, part.known, 2)
    return bench


def tracker_holds(
    bench: Bench, opened: Opened, part: ReadTracker, followed: Followed, ends: Any, path: str = ""
) -> None:
    """Each beat of the followed burst is known as its own: owner, address, whether it is the last, or too many."""
    sent, known = Signal(10), part.known
    with bench.m.If(part.beat & known):
        bench.m.d.sync += sent.eq(Mux(part.last, 0, Mux(sent == 1023, sent, sent + 1)))
    burst = followed.value[: -len(part.client)]
    address, length, client = burst[:-8], burst[-8:], followed.value[-len(part.client) :]
    mine = followed.at(0) & known
    bench.check(~mine | (part.owner == client))
    bench.check(~mine | (sent > length) | (part.address == address + (sent << 2)))
    bench.check(~mine | (part.extra == (sent > length)))
    bench.check(~mine | (sent > length) | (part.final == (sent == length)))
    stored, head, depth = opened.inner(f"{path}stored"), opened.inner(f"{path}head"), opened.inner(f"{path}depth")
    write, read = opened.inner(f"{path}write"), opened.inner(f"{path}read")
    bench.check((followed.level == stored + known) & (known | (sent == 0)))
    bench.check((read.addr + stored)[: len(read.addr)] == write.addr)
    bench.check(opened.inner(f"{path}flying") == followed.level)
    # What is counted down, and up within its chunk, is what was stored.
    bench.check(~mine | (sent > length) | (head.left == length - sent))
    assert depth >= NARROW.config.outstanding
    place = (read.addr + followed.ahead - known)[: len(read.addr)]
    expected = Signal(head.shape())
    bench.m.d.comb += [
        expected.owner.eq(client),
        Cat(expected.word, expected.chunk).eq(address[2:]),
        expected.left.eq(length),
    ]
    waits = followed.inside & (followed.ahead >= known)
    bench.check(~waits | (opened.stored(f"{path}bursts", place) == expected.as_value()))
    bench.check(~followed.inside | ((address[2:4] + length < NARROW.config.burst_beats) & (address[:2] == 0)))


def engine() -> Bench:
    """A memory that answers in order, only what it was asked for, with RLAST wherever it likes."""
    clients = 2
    bench, part = Bench(), ReadEngine(NARROW, (DEPTH,) * clients)
    opened = bench.place(part)
    most = NARROW.config.outstanding
    for request in part.requests:
        obeyed(bench, request)
        asks_for_something(bench, request)
    obeys(bench, part.ar)
    legal(bench, part.ar)
    drop = opened.inner("drop")
    for i, words in enumerate(part.words):
        # A flush takes words back.
        obeys(bench, words, unless=opened.inner(f"client_{i}.cleared"))
    # Bursts whose address was taken and that have not ended.
    asked, last = Signal(range(most + 1)), part.r.valid & part.r.payload.last
    bench.m.d.sync += asked.eq(asked + (part.ar.valid & part.ar.ready) - last)
    bench.assume(~part.r.valid | (asked != 0))
    bench.check(asked + part.ar.valid <= most)
    bench.check(part.r.ready)
    # A cycle ago nothing was in flight.
    quiet = bench.past((asked == 0) & ~part.ar.valid)
    bench.check(~part.idle | quiet)
    bench.check(~opened.inner("still") | quiet)
    for i in range(clients):
        queue = opened.inner(f"client_{i}.queue")
        cleared = opened.inner(f"client_{i}.cleared")
        bench.follows(drop, cleared)
        bench.follows(~drop, ~cleared)
        bench.check(~queue.input.valid | queue.input.ready | cleared)
    engine_holds(bench, opened, part, asked, drop)
    return bench


def engine_holds(bench: Bench, opened: Opened, part: ReadEngine, asked: Signal, drop: Signal) -> None:
    """The tracker knows what is in flight, and every word of it has a place in its client's queue."""
    tracker, depth = opened.inner("tracker"), opened.inner("tracker.depth")
    stored, head, read = (opened.inner(f"tracker.{name}") for name in ("stored", "head", "read"))
    flying, write = opened.inner("tracker.flying"), opened.inner("tracker.write")
    some, chosen = opened.inner("some"), opened.inner("chosen")
    bench.check((flying == stored + tracker.known) & (flying == asked + part.ar.valid))
    bench.check((read.addr + stored)[: len(read.addr)] == write.addr)
    bench.check(tracker.known | (asked == 0))
    # From a flush's second cycle on nothing is chosen and no word taken; from its third on clients are empty.
    rest = bench.past(drop, "rest")
    bench.check(~rest | drop | (flying == 0))
    bench.check(~rest | (~some & (part.taken == 0) & (opened.inner("offers") == 0)))
    bench.check((chosen == 0) | (chosen == 1) | (chosen == 2))
    bench.check(some == (chosen != 0))
    flight = [(tracker.known & ~tracker.extra, head.owner, head.left)]
    for i in range(depth):
        entry = head.shape()(opened.stored("tracker.bursts", (read.addr + i)[: len(read.addr)]))
        flight.append((stored > i, entry.owner, entry.left))
    for valid, _, left in flight:
        bench.check(~valid | (left < NARROW.config.burst_beats))
    for i in range(len(part.words)):
        path = f"client_{i}."
        owed = Value.cast(part.taken[i])
        for valid, owner, left in flight:
            owed = owed + Mux(valid & (owner == i), left + 1, 0)
        reserved = client_holds(bench, opened, path, Mux(rest, 0, owed), chosen[i], opened.inner("offers")[i])
        # Less, if bursts ended before their time: what is behind such a fault is flushed.
        bench.check(reserved <= DEPTH)
        empty = (opened.inner(f"{path}held") == 0) & (opened.inner(f"{path}queue.used") == 0)
        bench.follows(opened.inner(f"{path}cleared"), empty)


PROOFS = (
    Proof(
        "read_client",
        f"ReadClient({DEPTH} words)",
        "no word is refused that was asked for; words leave once, in order; bursts are legal",
        client,
        depth=6,
        breakages=(Breakage(ReadClient, "ample.eq(room >= 2 * self._params.config.burst_beats)", "ample.eq(1)"),),
    ),
    Proof(
        "read_tracker",
        "ReadTracker(2 bursts)",
        "each beat is known by its burst's owner, its address, whether it is the last; bursts in flight are counted",
        tracker,
        breakages=(
            Breakage(ReadTracker, "self.known.eq(load | (self.known & ~end))", "self.known.eq(load | self.known)"),
        ),
    ),
    Proof(
        "read_engine",
        f"ReadEngine(2 clients, {DEPTH} words)",
        "AR stays, crosses no page; so many bursts in flight, none when idle; R is always taken, no word refused",
        engine,
        breakages=(
            Breakage(ReadEngine, "issue.eq(some & free & tracker.room & ~drop)", "issue.eq(some & free & ~drop)"),
            Breakage(ReadEngine, "drop.eq(self.flush | (drop & tracker.busy))", "drop.eq(self.flush)"),
        ),
    ),
)
