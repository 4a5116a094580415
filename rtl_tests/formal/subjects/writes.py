"""The write engine: legal bursts, as many words as promised with WLAST on the last one, all responses awaited."""

from typing import Any

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from hwgen.memory.write_client import UNSEEN_WORDS, WriteClient, places
from hwgen.memory.write_engine import WORDS_UNDER_WAY, WriteEngine
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import Followed, obeyed, obeys
from rtl_tests.formal.subjects.bursts import NARROW, asks_for_something, legal, splitter_holds
from rtl_tests.formal.subjects.queues import fifo_entries, fifo_holds, fifo_pointers, queue_level

WORDS = places(NARROW)
MOST = NARROW.config.outstanding
CLIENTS = 2


def engine(flushes: bool) -> tuple[Bench, WriteEngine, Opened]:
    """Clients that keep to the rules; a memory that responds once a burst's address and words have all been taken."""
    bench, part = Bench(), WriteEngine(NARROW, CLIENTS)
    opened = bench.place(part)
    for request, words in zip(part.requests, part.words, strict=True):
        obeyed(bench, request, words)
        asks_for_something(bench, request)
    if not flushes:
        bench.assume(~part.flush)
    m, fires = bench.m, {name: getattr(part, name).valid & getattr(part, name).ready for name in ("aw", "w", "b")}
    taken, ended = Signal(range(MOST + 1)), Signal(range(MOST + 1))
    m.d.sync += [
        taken.eq(taken + fires["aw"] - fires["b"]),
        ended.eq(ended + (fires["w"] & part.w.payload.last) - fires["b"]),
    ]
    bench.assume(~part.b.valid | ((taken != 0) & (ended != 0)))
    flight, sending, room = opened.inner("_in_flight"), opened.inner("sending"), opened.inner("_room")
    bench.check((flight == taken + part.aw.valid) & (flight <= MOST) & (room == (flight != MOST)))
    ending = total(there & last for there, last, _ in leaving(part, opened))
    bench.check(flight == ended + ending + sending + queue_level(opened, "orders"))
    landing_holds(bench, opened)
    bench.check(~sending | (opened.inner("last") == (opened.inner("order").length == 0)))
    drop = opened.inner("drop")
    bench.check(opened.inner("_open") == (room & ~drop))
    bench.check(~opened.inner("rested") | part.idle)
    for i in range(CLIENTS):
        bench.check(opened.inner(f"client_{i}.flushed") == (drop | ~bench.begun))
        bench.check(opened.inner(f"client_{i}.leaving") == (opened.inner("way")[0] & opened.inner("known")[1][1 + i]))
    bench.check(part.b.ready)
    return bench, part, opened


def total(bits: Any) -> Any:
    """How many of them are set."""
    return sum((Value.cast(bit) for bit in bits), Const(0))


def leaving(part: WriteEngine, opened: Opened) -> list[tuple[Any, Any, Any]]:
    """What is between the clients and the bus, the word that is on W first, as (whether it is there, whether it is its
    burst's last one, its owners)."""
    landed = [(there, entry[-CLIENTS - 1 :]) for there, entry in landing_entries(part, opened)]
    way, known = opened.inner("way"), opened.inner("known")
    coming = [(way[i], known[i + 1]) for i in reversed(range(len(way)))]
    return [(there, facts[0], facts[1:]) for there, facts in [*landed, *coming]]


def landing_entries(part: WriteEngine, opened: Opened) -> list[tuple[Any, Any]]:
    """Words that have landed, the one that is on W first."""
    used, read = opened.inner("landing.used"), opened.inner("landing.read")
    bits = len(read.addr)
    stored = [(used > i, opened.stored("landing.memory", (read.addr + i)[:bits])) for i in range(WORDS_UNDER_WAY)]
    return [(part.w.valid, opened.inner("landing.offered")), *stored]


def landing_holds(bench: Bench, opened: Opened) -> None:
    """Every place where words land is free, will be in the next cycle, or is for a word that is there or on its way."""
    used, free, write, read = (opened.inner(f"landing.{name}") for name in ("used", "free", "write", "read"))
    moved = opened.inner("landing.moved")
    some, room = opened.inner("landing.some"), opened.inner("landing").room
    bench.check(free + moved + used + total(opened.inner("way")) == WORDS_UNDER_WAY)
    bench.check((read.addr + used)[: len(read.addr)] == write.addr)
    bench.check((some == (used != 0)) & (room == (free != 0)))


def flight() -> Bench:
    """Addresses, numbers of words, responses, with flushes at any time."""
    bench, part, opened = engine(True)
    obeys(bench, part.aw, part.w)
    legal(bench, part.aw)
    flight, drop = opened.inner("_in_flight"), opened.inner("drop")
    # From a flush's second cycle on clients have forgotten all that can be.
    rest = Signal()
    bench.m.d.sync += rest.eq(drop & ~part.idle)
    bench.check(~rest | drop)
    bench.check(~part.idle | ((flight == 0) & ~part.aw.valid & ~part.w.valid))
    last_words(bench, part, opened)
    order, sending = opened.inner("_order"), opened.inner("sending")
    current = opened.inner("order")
    entries = [(sending, current)] + [
        (valid, order(entry)) for valid, entry in fifo_entries(opened, "orders", MOST + 1)
    ]
    for valid, entry in entries:
        bench.check(~valid | ((entry.length < NARROW.config.burst_beats) & ((entry.owner == 1) | (entry.owner == 2))))
    for i in range(CLIENTS):
        owed: Any = Const(0)
        for valid, entry in entries:
            owed = owed + Mux(valid & entry.owner[i], entry.length + 1, 0)
        client_holds(bench, opened, f"client_{i}.", owed, rest)
        client = opened.inner("_clients")[i]
        legal(bench, client.burst)
        bench.check(~rest | ~client.burst.valid)
    return bench


def last_words(bench: Bench, part: WriteEngine, opened: Opened) -> None:
    """Of a burst, whichever: it has as many words as its address said, the last one marked."""
    sent, fires = Signal(9), part.w.valid & part.w.ready
    with bench.m.If(fires):
        bench.m.d.sync += sent.eq(Mux(part.w.payload.last, 0, sent + 1))
    sending, current = opened.inner("sending"), opened.inner("order")
    issued, burst = opened.inner("issue"), opened.inner("burst")
    bench.follows(issued, part.aw.valid & (part.aw.payload.length == bench.past(burst.length)))
    word = Cat(opened.inner("arbiter.grant"), burst.length)
    followed = Followed(bench, issued, word, fires & part.w.payload.last, None, MOST, name="burst_")
    length, owner = followed.value[CLIENTS:], followed.value[:CLIENTS]
    mine = followed.at(0) & part.w.valid
    bench.check(~mine | (part.w.payload.last == (sent == length)))
    bench.check((followed.level != 0) | ~part.w.valid)
    # For each word that has left, bursts before its own, and words of its own before it.
    ending: Any = Const(0)
    done: Any = sent
    beats = NARROW.config.burst_beats
    bench.check(sent < beats)
    for there, last, owners in leaving(part, opened):
        mine = there & followed.inside & (followed.ahead == ending)
        bench.check(~mine | ((last == (done == length)) & (done <= length) & (owners == owner)))
        bench.check(~there | (done < beats))
        ending, done = ending + (there & last), Mux(there, Mux(last, 0, done + 1), done)[:9]
    fifo_holds(bench, opened, "orders", MOST + 1, followed, front=ending + sending)
    bench.check(Mux(sending, current.length + done < beats, done == 0))
    at_order = followed.inside & sending & (followed.ahead == ending)
    bench.check(~at_order | ((current.length + done == length) & (current.owner == owner)))


def client_holds(bench: Bench, opened: Opened, path: str, owed: Any, rest: Any) -> None:
    """Every word in a client's queue is spare or belongs to a burst that is taken; or is waste, behind a flush."""
    splitter_holds(bench, opened, f"{path}splitter.")
    names = ("head", "tail", "level", "some", "ready", "arrived", "leaving", "dropped", "spare", "passed")
    head, tail, level, some, ready, arrived, leaves, dropped, spare, passed = (
        opened.inner(f"{path}{name}") for name in names
    )
    bench.check((level + arrived <= WORDS) & (~ready | (level + arrived < WORDS)) & (some == (level != 0)))
    bench.check(opened.inner(f"{path}room") == (level <= WORDS - UNSEEN_WORDS))
    # In the first cycle all words are forgotten, and there are none.
    bench.check(((head + level)[: len(head)] == tail) | (dropped & (level == 0)))
    burst, found = opened.inner(f"{path}burst"), opened.inner(f"{path}found")
    kept = spare + owed + leaves + Mux(burst.valid & ~passed, burst.payload.length + 1, 0)
    bench.check(Mux(rest, level >= kept, level == kept))
    bench.check(~rest | ((spare == 0) & ~passed & ~arrived))
    # What is thrown away belongs to nobody.
    bench.check(~dropped | ((kept == 0) & ~arrived))
    bench.check(~passed | (burst.valid & ~found.valid & (spare > burst.payload.length)))


def words() -> Bench:
    """The words of client 0, without flushes."""
    bench, part, opened = engine(False)
    bench.check(~opened.inner("drop"))
    source, stream = part.words[0], opened.inner("source")
    enters = source.valid & source.ready
    seen = Cat(part.w.payload.data, part.w.payload.strobe)
    most = 1 + WORDS + WORDS_UNDER_WAY + 1
    followed = Followed(bench, enters, source.payload, part.taken[0], seen, most, name="word_")
    bench.check((stream == 1) | (stream == 2) | ~part.w.valid)
    for there, _, owners in leaving(part, opened):
        bench.check(~there | (owners == 1) | (owners == 2))
    front = word_leaves(bench, part, opened, followed)
    arrived, level, head = (opened.inner(f"client_0.{name}") for name in ("arrived", "level", "head"))
    bench.check(followed.level == front + level + arrived)
    stored = opened.stored("client_0.memory", (head + followed.ahead - front)[: len(head)])
    queued = followed.inside & (followed.ahead >= front)
    bench.check(~queued | (followed.ahead >= front + level) | (stored == followed.value))
    latest = opened.inner("client_0.word").as_value()
    bench.check(~queued | (followed.ahead != front + level) | (latest == followed.value))
    sending, current, order = opened.inner("sending"), opened.inner("order"), opened.inner("_order")
    entries = [(sending, current)] + [
        (valid, order(entry)) for valid, entry in fifo_entries(opened, "orders", MOST + 1)
    ]
    for valid, entry in entries:
        bench.check(~valid | ((entry.owner == 1) | (entry.owner == 2)))
    owed: Any = Const(0)
    for valid, entry in entries:
        owed = owed + Mux(valid & entry.owner[0], entry.length + 1, 0)
    client_holds(bench, opened, "client_0.", owed, Const(0))
    fifo_pointers(bench, opened, "orders", MOST + 1)
    legal(bench, opened.inner("_clients")[0].burst)
    return bench


def word_leaves(bench: Bench, part: WriteEngine, opened: Opened, followed: Followed) -> Any:
    """Where the followed word of client 0 is once it has left its memory; gives how many of its words have."""
    way, known, queued = opened.inner("way"), opened.inner("known"), opened.inner("_clients")[0].queued
    places = [(there, entry[-CLIENTS], entry[: -CLIENTS - 1]) for there, entry in landing_entries(part, opened)]
    places.append((way[2], known[3][1], opened.inner("word").as_value()))
    places.append((way[1], known[2][1], queued.as_value()))
    front: Any = Const(0)
    for there, owned, value in places:
        here = there & owned
        bench.check(~followed.inside | ~here | (followed.ahead != front) | (value == followed.value))
        front = front + here
    return front


PROOFS = (
    Proof(
        "write_engine",
        f"WriteEngine({CLIENTS} clients, {MOST} in flight)",
        "AW and W stay; no burst crosses 4 KiB; as many words as AW said, WLAST on the last; idle only when all B came",
        flight,
        breakages=(
            Breakage(WriteEngine, "last.eq(order.length == 1)]", "last.eq(order.length == 2)]"),
            Breakage(WriteEngine, "(self._in_flight != p.config.outstanding - 1)", "1"),
        ),
    ),
    Proof(
        "write_words",
        f"WriteEngine({CLIENTS} clients, {MOST} in flight)",
        "every word of a client is on W once, in order, with its strobes, if nothing is flushed",
        words,
        breakages=(Breakage(WriteClient, "(spare > found.payload.length)", "(spare != 0)"),),
        broken_depth=20,
    ),
)
