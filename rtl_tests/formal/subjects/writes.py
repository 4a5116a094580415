"""The write engine: legal bursts, as many words as promised with WLAST on the last one, all responses awaited."""

from typing import Any

from amaranth.hdl import Cat, Const, Mux, Signal
from amaranth.lib import data

from hwgen.memory.write_client import LEAST_WORDS, WriteClient
from hwgen.memory.write_engine import WriteEngine
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import Followed, obeyed, obeys
from rtl_tests.formal.subjects.bursts import NARROW, asks_for_something, legal, splitter_holds
from rtl_tests.formal.subjects.queues import fifo_entries, fifo_holds, fifo_pointers, queue_level

WORDS = max(2 * NARROW.config.burst_beats, LEAST_WORDS) + 1
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
    (valid, out), (waiting, behind) = slice_words(part, opened)
    bench.check((flight == taken + part.aw.valid) & (flight <= MOST) & (room == (flight != MOST)))
    ending = (valid & out.last) + (waiting & behind.last)
    bench.check(flight == ended + ending + sending + queue_level(opened, "orders"))
    bench.check(~waiting | valid)
    bench.check(~sending | (opened.inner("last") == (opened.inner("order").length == 0)))
    drop = opened.inner("drop")
    bench.check(opened.inner("sender") == Mux(sending, opened.inner("order").owner, 0))
    bench.check(opened.inner("_open") == (room & ~drop))
    bench.check(~opened.inner("rested") | part.idle)
    for i in range(CLIENTS):
        bench.check(opened.inner(f"client_{i}.flushed") == drop)
        moves = opened.inner("sender")[i] & ~opened.inner("word_slice.waiting")
        bench.check(opened.inner(f"client_{i}.leaving") == moves)
    bench.check(part.b.ready)
    return bench, part, opened


def slice_words(part: WriteEngine, opened: Opened) -> list[tuple[Any, Any]]:
    """The words between the engine and the bus, the one that is on W first, as (whether it is there, the word)."""
    word = opened.inner("word")
    layout = data.StructLayout({"word": word.shape(), "last": 1, "owner": CLIENTS})
    return [
        (part.w.valid, layout(opened.inner("word_slice.offered"))),
        (opened.inner("word_slice.waiting"), layout(opened.inner("word_slice.following"))),
    ]


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
        # A word that is to be sent is there.
        bench.check(~opened.inner(f"client_{i}.leaving") | opened.inner(f"client_{i}.queue.r_rdy"))
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
    # Words and bursts that have left the engine for the bus; of the burst at hand, how many have in all.
    (valid, out), (waiting, behind) = slice_words(part, opened)
    first_ends, second_ends = valid & out.last, waiting & behind.last
    ending = first_ends + second_ends
    fifo_holds(bench, opened, "orders", MOST + 1, followed, front=ending + sending)
    begun = (valid & ~out.last & ~second_ends) + (waiting & ~behind.last)
    done = begun + Mux(ending == 0, sent, 0)
    bench.check((begun == 0) | sending)
    bench.check((sent == 0) | (ending != 0) | sending)
    at_order = followed.inside & sending & (followed.ahead == ending)
    bench.check(~at_order | ((current.length + done == length) & (current.owner == owner)))
    bench.check(~followed.at(0) | (ending != 0) | sending | (sent == 0))
    bench.check(~followed.at(0) | ~first_ends | (sent == length))
    bench.check(~followed.at(0) | first_ends | ~second_ends | (sent + 1 == length))
    bench.check(~followed.at(1) | ~first_ends | ~second_ends | (length == 0))


def client_holds(bench: Bench, opened: Opened, path: str, owed: Any, rest: Any) -> None:
    """Every word in a client's queue is spare or belongs to a burst that is taken; or is waste, behind a flush."""
    splitter_holds(bench, opened, f"{path}splitter.")
    fifo_pointers(bench, opened, f"{path}queue", WORDS)
    spare, passed, ready = (opened.inner(f"{path}{name}") for name in ("spare", "passed", "queue.r_rdy"))
    burst, splitter = opened.inner(f"{path}burst"), opened.inner(f"{path}splitter")
    kept = spare + owed + Mux(burst.valid & ~passed, burst.payload.length + 1, 0)
    level = queue_level(opened, f"{path}queue")
    bench.check(Mux(rest, level >= kept, level == kept))
    bench.check(~rest | ((spare == 0) & ~passed))
    # What is thrown away belongs to nobody.
    bench.check(~opened.inner(f"{path}dropped") | (kept == 0))
    offer = splitter.output
    bench.check(~passed | (burst.valid & offer.valid & (spare > burst.payload.length)))
    same = (offer.payload.address == burst.payload.address) & (offer.payload.length == burst.payload.length)
    bench.check(~passed | same)
    bench.check(ready | ((owed == 0) & ~burst.valid))


def words() -> Bench:
    """The words of client 0, without flushes."""
    bench, part, opened = engine(False)
    bench.check(~opened.inner("drop"))
    source, stream = part.words[0], opened.inner("source")
    enters = source.valid & source.ready
    seen = Cat(part.w.payload.data, part.w.payload.strobe)
    followed = Followed(bench, enters, source.payload, part.taken[0], seen, WORDS + 3, name="word_")
    (valid, out), (waiting, behind) = slice_words(part, opened)
    here, next_here = valid & out.owner[0], waiting & behind.owner[0]
    bench.check((stream == 1) | (stream == 2) | ~part.w.valid)
    bench.check(~waiting | (behind.owner == 1) | (behind.owner == 2))
    bench.check(~followed.at(0) | ~here | (seen == followed.value))
    bench.check(~followed.inside | ~next_here | (followed.ahead != here) | (behind.word.as_value() == followed.value))
    fifo_holds(bench, opened, "client_0.queue", WORDS, followed, front=here + next_here)
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
