"""The sequencer keeps its distance from the slots it has just visited, shows every key, and comes to an end."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Mux, Signal

from hwgen.control.issuer import Issuer, VisitIssuer
from hwgen.control.segment_issuer import SegmentIssuer
from hwgen.control.visit_queue import VisitQueue
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.timing import hazard_distance
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof
from rtl_tests.formal.streams import Followed, obeyed
from rtl_tests.harness.score_machines import machine

SMALL = Params(preset("tiny"))
AGE = 3
"""Bits of a number of cycles that is never larger than 7."""


def issuer(part: VisitIssuer, params: Params) -> tuple[Bench, Opened, Any]:
    """An issuer whose geometry is one that exists; gives the pulse with which a visit starts."""
    bench = Bench()
    opened = bench.place(part)
    geometry = part.geometry
    bench.steady(geometry)
    bench.assume((geometry.last_step >= params.group - 1) & (geometry.last_step >= geometry.last_fold_e))
    step = opened.inner("_step")
    bench.check(step <= geometry.last_step)
    starts = part.tag.valid & part.tag.first_fold
    return bench, opened, starts


def distance(make: Callable[[Params], VisitIssuer], params: Params) -> Bench:
    """Whatever rows, banks and results do: of one slot, whichever, no two visits start too close together."""
    bench, opened, starts = issuer(make(params), params)
    part = opened.inner("self")
    slot, age = bench.constant(params.slot_bits, "slot"), Signal(AGE, init=(1 << AGE) - 1)
    visits = starts & (part.tag.visit.slot == slot)
    with bench.m.If(visits):
        bench.m.d.sync += age.eq(1)
    with bench.m.Elif(age != (1 << AGE) - 1):
        bench.m.d.sync += age.eq(age + 1)
    bench.check(~visits | (age >= hazard_distance(params)))
    return bench


def ending() -> Bench:
    """(keys that are left, slots behind the current one) falls with every visit that is described; the block is over
    with the last one. A described visit starts at the latest `hazard_distance` + 2 cycles behind its operands, and
    lasts as many cycles as the geometry says: so every block ends.
    """
    bench, opened, _ = issuer(part := Issuer(SMALL), SMALL)
    obeyed(bench, part.block)
    block, wanted = opened.inner("_block"), part.block.payload
    bench.assume(~part.block.valid | (wanted.keys == 0) | (wanted.void_slots <= wanted.slots))
    active, slot, left, some = (opened.inner(f"_{name}") for name in ("active", "slot", "left", "some"))
    end, over = opened.inner("_end"), opened.inner("_block_end")
    last_slot, last_key = opened.inner("_last_slot"), opened.inner("_last_key")
    live = active & some
    bench.check(~live | ((slot <= block.slots) & (left != 0) & (last_key == (left == 1))))
    bench.check(~live | (last_slot == (slot == block.slots)))
    bench.check(~(live & opened.inner("_staying")) | (opened.inner("_next_low") <= block.slots))
    bench.check(~active | (some == (block.keys != 0)))
    # Each key's row is claimed once: with the visit of its last slot.
    claimed = Signal.like(left)
    with bench.m.If(end & last_slot):
        bench.m.d.sync += claimed.eq(claimed + 1)
    with bench.m.If(over):
        bench.m.d.sync += claimed.eq(0)
    bench.check(Mux(live, (claimed + left)[: len(left)] == block.keys, claimed == 0))
    # The measure falls, and nothing but room stops it.
    measure, was_end = Cat((block.slots - slot)[: len(slot)], left), bench.past(end & ~over)
    bench.check(~was_end | (measure < bench.past(measure)))
    bench.check(~(end & last_slot & last_key) | over)
    room = opened.inner("_queue").room
    bench.check((~active | end | over | ~room) & (opened.inner("going") == (active & room)))
    progress(bench, opened, part)
    return bench


def progress(bench: Bench, opened: Opened, part: Issuer) -> None:
    """The first visit starts if nothing is missing, and goes on until its end."""
    queue, head, go, step = (opened.inner(name) for name in ("_queue", "_head", "_go", "_step"))
    first, final = opened.inner("_first"), opened.inner("final")
    loaded = Mux(head.bank, part.loaded[1], part.loaded[0])
    there = queue.head_there & ~head.nothing & part.key.ready & part.value.ready & loaded & ~part.pending.any()
    idle = Signal(AGE)
    bench.m.d.sync += idle.eq(Mux(there & ~go, idle + 1, 0))
    bench.check(idle <= hazard_distance(SMALL) + 1)
    last = part.geometry.last_step
    bench.check((first == (step == 0)) & (~bench.begun | (final == (step == last))))
    bench.follows(go & (step != last), go & (step == (bench.past(step) + 1)[: len(step)]))


def visits() -> Bench:
    """Visits are described, then start, in the same order."""
    bench, part = Bench(), VisitQueue(SMALL)
    opened = bench.place(part)
    bench.assume((~part.push | part.room) & (~part.pop | part.head_there))
    entries, there = opened.inner("entries"), opened.inner("there")
    word = Followed(bench, part.push, part.visit, part.pop, part.head, len(entries))
    bench.check(word.level == sum(there, start=Const(0)))
    for i, entry in enumerate(entries):
        bench.check(~word.at(i) | (entry.as_value() == word.value))
        bench.check(there[i] | ~there[i + 1])
    return bench


PROOFS = (
    Proof(
        "issuer_distance",
        f"Issuer({SMALL.config.slots} slots)",
        f"two visits of a slot start {hazard_distance(SMALL)} cycles apart at least, whatever happens around",
        lambda: distance(Issuer, SMALL),
        depth=6,
        breakages=(Breakage(VisitIssuer, "& ~self._met(visit, recent) & drained", "& drained"),),
    ),
    Proof(
        "segment_issuer_distance",
        "SegmentIssuer",
        "the same where keys come as segments",
        lambda: distance(SegmentIssuer, machine("bounds")),
        depth=6,
    ),
    Proof(
        "visit_queue",
        "VisitQueue",
        "visits start in the order in which they were described, each once",
        visits,
        breakages=(Breakage(VisitQueue, "with m.If(self.pop | ~there[i]):", "with m.If(self.pop):"),),
    ),
    Proof(
        "issuer_ends",
        f"Issuer({SMALL.config.slots} slots)",
        "every block ends: each visit brings it nearer, none waits but for its operands; each key is claimed once",
        ending,
        depth=6,
        breakages=(Breakage(Issuer, "self._last_key.eq(self._left == 2)", "self._last_key.eq(self._left == 3)"),),
    ),
)
