"""The ring of rows in front of an array: what is claimed is what came, and no row is overwritten that is needed."""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Mux, Signal

from hwgen.memory.row_buffer import RowBuffer
from hwgen.params import Params
from hwgen.presets import preset
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Proof

SMALL = Params(preset("tiny"))
ROW_BITS = 2
CAPACITY = 1 << ROW_BITS
"""Rows of the ring."""


class Rows:
    """Rows by their number since reset, modulo a power of two that is larger than any difference: how many have come,
    which is unclaimed, which is not freed, which was the block's first one. Nothing of the block was claimed yet
    (`fresh`); more than the ring holds was (`long`), so that its rows cannot stay."""

    BITS = ROW_BITS + 3

    def __init__(self, bench: Bench, part: RowBuffer) -> None:
        m, names = bench.m, ("come", "next", "freed", "start")
        self.come, self.next, self.freed, self.start = (Signal(self.BITS, name=f"row_{name}") for name in names)
        self.fresh, self.long = Signal(init=1), Signal()
        self.finished = part.input.valid & part.input.payload.last
        # Those that are known to have come.
        self.known = bench.past(self.come)
        self.again = part.advance & part.block_last & part.keep
        # Whoever gives places back, which the part does not see.
        self.gives = bench.free(1, "gives")
        m.d.sync += [self.come.eq(self.come + self.finished), self.freed.eq(self.freed + self.gives)]
        with m.If(part.advance):
            m.d.sync += [self.next.eq(self.next + 1), self.fresh.eq(part.block_last)]
            m.d.sync += self.long.eq(~part.block_last & (self.long | (self.count(self.next, self.start) == CAPACITY)))
            with m.If(self.again):
                m.d.sync += self.next.eq(self.start)
            with m.Elif(part.block_last):
                m.d.sync += self.start.eq(self.next + 1)

        # All of it as it was before the last claim, of which only `ready` is told at once.
        self.was = SimpleNamespace(
            next=bench.past(self.next), start=bench.past(self.start), long=bench.past(self.long), fresh=Signal(init=1)
        )
        m.d.sync += self.was.fresh.eq(self.fresh)

    def count(self, end: Any, begin: Any) -> Any:
        """How many rows lie between."""
        return (end - begin)[: self.BITS]


def environment(bench: Bench, part: RowBuffer, rows: Rows) -> None:
    """A row comes only if there is a place for it, only one that is there is claimed, only one that was claimed is
    freed, and none of a block whose rows stay."""
    bench.assume(~part.input.valid | (rows.count(rows.come, rows.freed) != CAPACITY))
    bench.assume(~part.advance | part.ready)
    bench.assume(~rows.gives | (rows.next != rows.freed))
    claimed, left = rows.count(rows.next, rows.start), rows.count(rows.next, rows.freed)
    bench.assume(~rows.again | (~rows.long & (left >= claimed + rows.gives)))


def pointers(bench: Bench, opened: Opened, part: RowBuffer, rows: Rows) -> None:
    """What the counters mean."""
    names = ("complete", "claimed", "following", "after", "start", "second", "at_start", "head")
    complete, claimed, following, after, start, second, at_start, head = (opened.inner(n) for n in names)
    for i, flag in enumerate(("none", "one", "two")):
        bench.check(opened.inner(flag) == (complete == i))
    held, unclaimed, was = rows.count(rows.come, rows.freed), rows.count(rows.known, rows.next), rows.was
    bench.check((held <= CAPACITY) & (unclaimed <= held) & (rows.count(rows.come, rows.next) <= held))
    bench.check((complete == rows.count(rows.known, was.next)) & (part.ready == (unclaimed != 0)))
    bench.check((head == rows.come[:ROW_BITS]) & (part.row == was.next[:ROW_BITS]) & (start == was.start[:ROW_BITS]))
    for place, before in ((following, part.row), (after, following), (second, start)):
        bench.check(place == (before + 1)[:ROW_BITS])
    of_block, of_block_was = rows.count(rows.next, rows.start), rows.count(was.next, was.start)
    bench.check((at_start == was.fresh) & ~(rows.fresh & rows.long))
    bench.check(rows.long | ((of_block <= CAPACITY) & (rows.fresh == (of_block == 0))))
    bench.check(
        was.long | ((claimed == of_block_was) & (of_block_was <= CAPACITY) & (was.fresh == (of_block_was == 0)))
    )
    # What is on its way from the last beat, and from the claim to the pointers.
    ended, place = opened.inner("ended"), opened.inner("place")
    bench.check((ended == bench.past(rows.finished)) & (~ended | (place == rows.known[:ROW_BITS])))
    bench.check(rows.count(rows.come, rows.known) == ended)
    claim, again, last = (opened.inner(name) for name in ("claim", "again", "last"))
    bench.check((claim == bench.past(part.advance)) & (last == bench.past(part.block_last)))
    bench.check(again == bench.past(part.advance & part.block_last & part.keep))


def ring() -> Bench:
    """Pointers, and one row, whichever, of which exponent and poison are followed."""
    bench, part = Bench(), RowBuffer(SMALL, 4, 2, ROW_BITS)
    opened = bench.place(part)
    rows = Rows(bench, part)
    environment(bench, part, rows)
    pointers(bench, opened, part, rows)
    # No beat is written to a row that is held.
    at = (part.write_address[-ROW_BITS:] - rows.freed[:ROW_BITS])[:ROW_BITS]
    bench.check(~part.write_rows.any() | (at >= rows.count(rows.come, rows.freed)))
    describes(bench, opened, part, rows)
    return bench


def describes(bench: Bench, opened: Opened, part: RowBuffer, rows: Rows) -> None:
    """While a row is the oldest unclaimed one its exponent and poison are shown, as often as it is."""
    m, mark = bench.m, bench.free(1, "mark")
    known, number, value = Signal(), Signal(rows.BITS), Signal(len(part.exponent) + 1)
    comes = bench.past(Cat(part.input.payload.exponent, part.input.payload.poisoned))
    bench.check(opened.inner("come").as_value() == comes)
    with m.If(opened.inner("ended") & mark & ~known):
        m.d.sync += [known.eq(1), number.eq(rows.known), value.eq(comes)]
    with m.Elif(rows.gives & (rows.freed == number)):
        m.d.sync += known.eq(0)
    was, facts = rows.was, Cat(part.exponent, part.poisoned)
    shown = part.ready & ~bench.past(part.advance) & known & (rows.next == number)
    bench.check(~shown | (facts == value))
    bench.check(~known | (was.next != number) | (facts == value))
    # Where the facts are: in the memory, in what it has read of the row behind, and with the block's first row.
    bench.check(~known | (rows.count(number, rows.freed) < rows.count(rows.known, rows.freed)))
    bench.check(~known | (opened.stored("facts", number[:ROW_BITS]) == value))
    found = Mux(opened.inner("was_late"), opened.inner("late").as_value(), opened.inner("read").data.as_value())
    bench.check(~known | (number != (was.next + 1)[: rows.BITS]) | (found == value))
    first = opened.inner("first").as_value()
    bench.check(~known | was.fresh | was.long | (number != was.start) | (first == value))


PROOFS = (
    Proof(
        "row_buffer",
        f"RowBuffer({CAPACITY} rows)",
        "rows are claimed in order, those of a block that stays again, with their exponents; none that is held is "
        "overwritten",
        ring,
        breakages=(
            Breakage(RowBuffer, "[fold.eq(0), head.eq(head + 1)]", "[fold.eq(0), head.eq(head + 3)]"),
            Breakage(RowBuffer, "other_counts.eq(arrives | again | was_late)", "other_counts.eq(arrives | again)"),
        ),
    ),
)
