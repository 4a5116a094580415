"""Queues lose nothing, double nothing and keep the order."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Value

from hwgen.memory.word_queue import WordQueue
from hwgen.queue import Queue, Slice
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import Followed, obeyed, obeys, wrapped


def queue_level(opened: Opened, path: str) -> Any:
    """Words in a `Queue` at `path`."""
    return opened.inner(f"{path}.level") + opened.inner(f"{path}.r_rdy")


def fifo_pointers(bench: Bench, opened: Opened, path: str, depth: int) -> None:
    """Pointers and level of a `Queue` of `depth` words at `path` fit together."""
    level, some, write, read = (opened.inner(f"{path}.{name}") for name in ("level", "some", "write", "read"))
    inner = depth - 1
    bench.check((level <= inner) & (write.addr < inner) & (read.addr < inner))
    bench.check((some == (level != 0)) & (opened.inner(f"{path}.w_rdy") == (level != inner)))
    bench.check(wrapped(read.addr + level, inner) == write.addr)
    reading, offered = opened.inner(f"{path}.reading"), opened.inner(f"{path}.r_rdy")
    bench.check((reading | offered | ~some) & (~reading | some))
    bench.check(~reading | ~offered | opened.inner(f"{path}.self").r_en)


def fifo_entries(opened: Opened, path: str, depth: int) -> list[tuple[Any, Any]]:
    """All that may be in such a queue, as (whether it is, the word), the next one out first."""
    level, read = opened.inner(f"{path}.level"), opened.inner(f"{path}.read")
    stored = [(level > i, opened.stored(f"{path}.memory", wrapped(read.addr + i, depth - 1))) for i in range(depth - 1)]
    return [(opened.inner(f"{path}.r_rdy"), read.data), *stored]


def fifo_holds(
    bench: Bench, opened: Opened, path: str, depth: int, word: Followed, front: Any = 0, behind: Any = 0
) -> None:
    """Where the followed word is in such a queue, with `front` words before it and `behind` on their way into it: in
    its output, or in its memory."""
    fifo_pointers(bench, opened, path, depth)
    read, offered = opened.inner(f"{path}.read"), opened.inner(f"{path}.r_rdy")
    inside = queue_level(opened, path) + front
    bench.check(word.level == inside + behind)
    bench.check(~word.inside | ~offered | (word.ahead != front) | (read.data == word.value))
    before = Value.cast(front) + offered
    stored = opened.stored(f"{path}.memory", wrapped(read.addr + word.ahead - before, depth - 1))
    bench.check(~word.inside | (word.ahead < before) | (word.ahead >= inside) | (stored == word.value))


def queue(depth: int, rests: bool = False) -> Bench:
    """The queue that most others are made of; it stands in a component of its own, so that it has a path."""
    bench, part = Bench(), Queue(4, depth, rests)
    opened = bench.place(Holder(part))
    for signal in (part.w_data, part.w_en, part.r_en):
        bench.own(signal)
    enters, leaves = part.w_en & part.w_rdy, part.r_en & part.r_rdy
    word = Followed(bench, enters, part.w_data, leaves, part.r_data, depth)
    fifo_holds(bench, opened, "part", depth, word)
    word.leaves_by(bench, part.r_rdy, 2)
    bench.check(part.empty == (word.level == 0))
    bench.follows(part.r_rdy & ~part.r_en, part.r_rdy & (part.r_data == bench.past(part.r_data)))
    return bench


class Holder(Elaboratable):
    """A module with one part."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.part = self.part
        return m


def slice_of() -> Bench:
    """Two words at most: one that is offered, one that waits."""
    bench, part = Bench(), Slice(4)
    opened = bench.place(part)
    obeyed(bench, part.input)
    obeys(bench, part.output)
    enters, leaves = part.input.valid & part.input.ready, part.output.valid & part.output.ready
    word = Followed(bench, enters, part.input.payload, leaves, part.output.payload, 2)
    head, ready, some = (opened.inner(name) for name in ("head", "ready", "some"))
    words = opened.inner("words")
    bench.check(word.level == some + ~ready)
    slices_hold(bench, opened)
    first, second = Mux(head, words[1], words[0]), Mux(head, words[0], words[1])
    bench.check(~word.at(0) | (first == word.value))
    bench.check(~word.at(1) | (second == word.value))
    return bench


def slices_hold(bench: Bench, opened: Opened) -> None:
    """Of every slice in here: registers take turns, and what enables one of them is what is known beside it."""
    for found in opened.each(Slice):
        ready, some = found["ready"], found["some"]
        bench.check((ready | some) & ((found["head"] ^ found["tail"]) == (some & ready)))
        for i, fill in enumerate(found["fills"]):
            bench.check(fill == (ready & (found["tail"] == i)))


def word_queue(depth: int) -> Bench:
    """The queue of the read engine, which may be cleared."""
    bench, queue = Bench(), WordQueue(4, depth)
    opened = bench.place(queue)
    obeyed(bench, queue.input)
    obeys(bench, queue.output, unless=queue.clear)
    enters, leaves = queue.input.valid & queue.input.ready, queue.output.valid & queue.output.ready
    word = Followed(bench, enters, queue.input.payload, leaves, queue.output.payload, depth + 2, clear=queue.clear)
    used, head, tail = (opened.inner(name) for name in ("used", "head", "tail"))
    found, offered, output = (opened.inner(name) for name in ("found", "offered", "word"))
    bench.check((used <= depth) & (head < depth) & (tail < depth) & (opened.inner("some") == (used != 0)))
    bench.check(wrapped(head + used, depth) == tail)
    bench.check(word.level == used + found + offered)
    bench.check(queue.empty == (word.level == 0))
    before = Value.cast(found) + offered
    bench.check(~word.at(0) | ~offered | (output == word.value))
    bench.check(~word.inside | ~found | (word.ahead != offered) | (opened.inner("read").data == word.value))
    stored = opened.stored("memory", wrapped(head + word.ahead - before, depth))
    bench.check(~word.inside | (word.ahead < before) | (stored == word.value))
    return bench


FULL = Breakage(WordQueue, "self.input.ready.eq(used != self._depth)", "self.input.ready.eq(1)")

KEPT = "fill.eq((tail != i) & (leaves | ~some))"

PROOFS = (
    Proof(
        "queue",
        "Queue(depth 5)",
        "words leave once each, in order, as they came; what is offered stays; nothing is kept back",
        lambda: queue(5),
        breakages=(Breakage(Queue, "self.w_rdy.eq(read.en | (level != places - 1))", "self.w_rdy.eq(1)"),),
    ),
    Proof(
        "queue_rests",
        "Queue(depth 4, rests)",
        "the same where the next word comes a cycle behind the one that was taken",
        lambda: queue(4, True),
    ),
    Proof(
        "slice",
        "Slice",
        "words leave once each, in order, as they came; what is offered stays",
        slice_of,
        breakages=(Breakage(Slice, KEPT, "fill.eq(tail != i)"),),
    ),
) + tuple(
    Proof(
        f"word_queue_{depth}",
        f"WordQueue(depth {depth})",
        "words leave once each, in order, as they came; what is offered stays",
        lambda depth=depth: word_queue(depth),
        breakages=(FULL,) if depth == 5 else (),
        depth=8,
    )
    for depth in (4, 5)
)
