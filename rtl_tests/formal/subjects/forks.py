"""Forks give everything to everybody: each output has what came in, in order, once."""

from collections.abc import Callable, Iterator
from typing import Any

from amaranth.hdl import Cat, Const, Signal, Value

from hwgen.control.block_fork import DEPTH, SEGMENT_DEPTH, BlockFork, SegmentFork
from hwgen.control.head_fork import HeadFork
from hwgen.memory.fetch_fork import DEPTH as FETCHES
from hwgen.memory.fetch_fork import FetchFork
from hwgen.memory.row_walker import row_block_layout
from hwgen.params import Params
from hwgen.presets import preset
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import Followed, obeyed, obeys
from rtl_tests.formal.subjects.queues import fifo_holds
from rtl_tests.harness.score_machines import machine

SMALL = Params(preset("tiny"))

Branch = tuple[Any, str, int, Any, Any]
"""An output, its queue and the queue's depth, what enters it of the input, and whether anything does."""

Kept = Callable[[Opened, str], Any]
"""The register in front of a queue."""


def fork(
    part: Any, source: Any, branches: Iterator[Branch], bench: Bench | None = None, kept: Kept | None = None
) -> Bench:
    """What enters a fork leaves at every branch; where there are registers in front of the queues they are `kept`."""
    bench = bench or Bench()
    opened = bench.place(part)
    obeyed(bench, source)
    for i, (output, queue, depth, word, wanted) in enumerate(branches):
        obeys(bench, output)
        enters, leaves = source.valid & source.ready & wanted, output.valid & output.ready
        followed = Followed(bench, enters, word, leaves, output.payload, depth, name=f"branch_{i}_")
        behind = opened.inner("there") & wanted if kept else Const(0, 1)
        fifo_holds(bench, opened, queue, depth, followed, behind=behind)
        if kept:
            in_front = followed.level == followed.ahead + 1
            bench.check(~(followed.inside & behind & in_front) | (Value.cast(kept(opened, queue)) == followed.value))
            room = opened.inner(f"{queue}.w_rdy")
            bench.check((~behind | room) & (~opened.inner("ready") | ~behind))
            bench.check(~opened.inner("ready") | room)
        followed.leaves_by(bench, opened.inner(f"{queue}.r_rdy"), 3 if kept else 2)
    return bench


def block_fork() -> Bench:
    part = BlockFork(SMALL, 2)
    return fork(
        part,
        part.input,
        ((output, f"queue_{i}", DEPTH, part.input.payload, 1) for i, output in enumerate(part.outputs)),
        kept=lambda opened, _: opened.inner("block"),
    )


def of_fields(output: Any, payload: Any) -> Any:
    """Those of an output's fields that a payload has too."""
    return Cat(payload[name] for name in output.payload.shape().members)


def segment_fork() -> Bench:
    part = SegmentFork(machine("bounds"))
    names = ("issue", "fetch")
    outputs = [(getattr(part, name), f"{name}_queue") for name in names]
    return fork(
        part, part.input, ((o, path, SEGMENT_DEPTH, of_fields(o, part.input.payload), 1) for o, path in outputs)
    )


def head_fork() -> Bench:
    part, bench = HeadFork(SMALL), Bench()
    heads = part.heads.payload
    bench.steady(part.write_lse)

    def branches() -> Iterator[Branch]:
        for name in ("q", "k", "v", "o", "lse"):
            yield getattr(part, name), f"queue_{name}", DEPTH, heads[name], part.write_lse if name == "lse" else 1
        for name in ("o", "lse"):
            wanted = part.write_lse if name == "lse" else 1
            yield getattr(part, f"{name}_rows"), f"queue_{name}_rows", DEPTH, heads.queries, wanted

    return fork(
        part, part.heads, branches(), bench, lambda opened, queue: opened.inner("words")[queue.removeprefix("queue_")]
    )


def filled(bench: Bench, name: str, layout: Any, fields: dict[str, Any]) -> Any:
    """A payload made of fields; those not named are 0."""
    word = Signal(layout, name=name)
    bench.m.d.comb += [word[field].eq(value) for field, value in fields.items()]
    return word


def fetch_fork() -> Bench:
    part, bench = FetchFork(SMALL), Bench()
    block = part.fetch.payload
    shared = {"rewind": block.rewind, "last": block.job_last}
    fields = {
        "q": {"rows": block.queries, "last": block.job_last},
        **{n: {"rows": block.fresh, **shared} for n in "kv"},
    }
    words = {name: filled(bench, f"expected_{name}", row_block_layout(), fields[name]) for name in "qkv"}
    return fork(
        part,
        part.fetch,
        ((getattr(part, n), f"queue_{n}", FETCHES, words[n], 1) for n in "qkv"),
        bench,
        lambda opened, queue: opened.inner("words")[queue.removeprefix("queue_")],
    )


PROOFS = (
    Proof(
        "block_fork",
        "BlockFork(2 ways)",
        "every way has each block once, in order; what is offered stays",
        block_fork,
        broken_depth=8,
        breakages=(
            Breakage(
                BlockFork,
                "queue.w_en.eq(there)",
                "queue.w_en.eq(there & ~output.ready)",
            ),
        ),
    ),
    Proof("segment_fork", "SegmentFork", "issuer and readers have each segment once, in order", segment_fork),
    Proof("head_fork", "HeadFork", "every tensor has each job's address once, in order", head_fork),
    Proof("fetch_fork", "FetchFork", "readers of Q, K and V have each block's rows once, in order", fetch_fork),
)
