"""Requests become bursts that touch exactly their words and cross no page."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Const, Signal
from amaranth.utils import ceil_log2

from hwgen.memory.bursts import BurstSplitter
from hwgen.params import PAGE_BYTES, Params
from hwgen.presets import preset
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import obeyed, obeys

NARROW = Params(replace(preset("small"), burst_beats=4, outstanding=2))
"""A bus of 32 bits for data and addresses, bursts of 4 words, 2 bursts in flight."""


def legal(bench: Bench, burst: Any, params: Params = NARROW) -> None:
    """A burst that is offered begins with a word, is not too long and does not reach into the next page."""
    payload, word_bits = burst.payload, ceil_log2(params.bus_bytes)
    page = payload.address[: ceil_log2(PAGE_BYTES)]
    end = page + ((payload.length + 1) << word_bits)
    fine = (payload.address[:word_bits] == 0) & (payload.length < params.config.burst_beats) & (end <= PAGE_BYTES)
    bench.check(~burst.valid | fine)


def splitter_holds(bench: Bench, opened: Opened, path: str = "", params: Params = NARROW) -> None:
    """What the registers of a splitter at `path` mean."""
    work, counted = opened.inner(f"{path}work"), opened.inner(f"{path}counted")
    offered, done, counted_valid = (opened.inner(f"{path}{name}") for name in ("offered", "done", "counted_valid"))
    final, second, length = (opened.inner(f"{path}{name}") for name in ("final", "second", "length"))
    longest = params.config.burst_beats - 1
    bench.check(~counted_valid | (counted.left != 0) | (counted.end >= counted.word))
    bench.check(~offered | ~done | final)
    done = done & ~offered
    whole, rest = longest - work.word, work.end - work.word
    fine = (final == (work.left == 0)) & (second == (work.left == 1))
    # Behind a burst that was taken there is another one.
    bench.check(done | (fine & (offered | ~final) & (~final | (work.end >= work.word))))
    bench.check(done | ((final & (length == rest)) | (~final & (length == whole))))


def asks_for_something(bench: Bench, request: Any) -> None:
    """A request is for a byte at least, and for none beyond what can be counted."""
    bench.assume(~request.valid | (request.payload.bytes != 0))


def splitter() -> Bench:
    """One request, whichever, is followed."""
    bench, part = Bench(), BurstSplitter(NARROW)
    opened = bench.place(part)
    m, word_bits = bench.m, ceil_log2(NARROW.bus_bytes)
    obeyed(bench, part.input)
    obeys(bench, part.output, unless=part.clear)
    asks_for_something(bench, part.input)
    legal(bench, part.output)
    splitter_holds(bench, opened)
    request, burst = part.input.payload, part.output.payload
    enters, moves = part.input.valid & part.input.ready, part.output.valid & part.output.ready
    first = request.address[word_bits:]
    words = ((request.address[:word_bits] + request.bytes - 1) >> word_bits) + 1
    inside, behind, at, left = Signal(), Signal(), Signal(len(first)), Signal(len(words))
    counted, counted_valid, work = (opened.inner(name) for name in ("counted", "counted_valid", "work"))
    done = opened.inner("done") & ~opened.inner("offered")
    offered = opened.inner("offered")
    gone = moves & burst.last
    with m.If(~inside & enters & bench.free(1, "mark")):
        m.d.sync += [inside.eq(1), behind.eq(1), at.eq(first), left.eq(words)]
    with m.Elif(inside & behind):
        m.d.sync += behind.eq(~done)
    with m.Elif(inside & moves):
        m.d.sync += [at.eq(at + burst.length + 1), left.eq(left - burst.length - 1), inside.eq(~gone)]
    with m.If(part.clear):
        m.d.sync += inside.eq(0)
    mine = inside & ~behind
    bench.check(~(mine & part.output.valid) | (burst.address == Cat(Const(0, word_bits), at)))
    bench.check(~(mine & part.output.valid) | (burst.last == (left == burst.length + 1)))
    bench.check(~(mine & part.output.valid) | (left > burst.length))
    beats = NARROW.config.burst_beats
    bench.check(~(inside & behind) | (counted_valid & where(counted, at, left, beats)))
    bench.check(
        ~mine | (~done & offered & where(work, at, left, beats)) | (~done & ~offered & ended(work, at, left, beats))
    )
    return bench


def where(stage: Any, at: Signal, left: Signal, beats: int) -> Any:
    """The followed request is in this stage."""
    return (Cat(stage.word, stage.chunk) == at) & (stage.left * beats + stage.end + 1 == left + stage.word)


def ended(stage: Any, at: Signal, left: Signal, beats: int) -> Any:
    """Likewise, with the burst before the next one."""
    following = (stage.chunk + 1)[: len(stage.chunk)]
    return (Cat(Const(0, len(stage.word)), following) == at) & ((stage.left - 1) * beats + stage.end + 1 == left)


PROOFS = (
    Proof(
        "burst_splitter",
        "BurstSplitter(4 beats of 32 bits)",
        "the bursts of a request are its words, all, once, in order; none crosses 4 KiB; the last one is marked",
        splitter,
        breakages=(
            Breakage(BurstSplitter, "length.eq(Mux(second, work.end, longest))", "length.eq(longest)"),
            Breakage(BurstSplitter, "work.word.eq(0)", "work.word.eq(work.word)"),
        ),
    ),
)
