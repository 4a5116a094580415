"""What is written lies inside of the tensor: rows where the strides say, strobes on their bytes only."""

from typing import Any

from amaranth.hdl import Const, Mux, Signal

from hwgen.control.command_queue import CommandQueue
from hwgen.memory.row_packer import RowPacker
from hwgen.memory.row_walker import RowWalker
from rtl_tests.formal.bench import Bench, Opened
from rtl_tests.formal.proof import Breakage, Method, Proof
from rtl_tests.formal.streams import obeyed, obeys
from rtl_tests.formal.subjects.bursts import NARROW

GROUP = 3
"""Most query heads of a group that are looked at."""


def times(number: Any, value: Any) -> Any:
    """A product with a small number, as a sum: easier for solvers."""
    return sum((Mux(bit, value, 0).shift_left(i) for i, bit in enumerate(number)), start=Const(0, 1))


def rows() -> Bench:
    """A job of O or LSE, `positions` times `group` rows: request (p, m) is for `row_bytes` bytes from
    `base + p stride + m head_stride` on, with p < positions and m < group. So none is below the tensor's base or ends
    behind its last byte, `base + (positions - 1) stride + (group - 1) head_stride + row_bytes - 1`, of which the
    descriptor's check makes sure that it has an address."""
    bench, part = Bench(), RowWalker(NARROW)
    opened = bench.place(part)
    m = bench.m
    obeyed(bench, part.head, part.block)
    obeys(bench, part.request, part.run)
    bench.steady(part.stride, part.head_stride, part.group, part.row_bytes)
    bench.assume(~part.packed & (part.group != 0) & (part.group <= GROUP))
    positions = bench.constant(20, "positions")
    base, group = bench.constant(len(part.head.payload), "base"), part.group[:2]
    block, request = part.block.payload, part.request.payload
    bench.assume((positions != 0) & (part.head.payload == base))
    bench.assume((block.rows == times(group, positions)) & block.last & ~block.rewind)
    # The request that comes next: its numbers, and the address that belongs to them.
    p, member, at_position, at_row = Signal(20), Signal(2), Signal(len(base)), Signal(len(base))
    due = Signal()
    with m.If(part.block.valid & part.block.ready):
        m.d.sync += [p.eq(0), member.eq(0), at_position.eq(base), at_row.eq(base), due.eq(1)]
    step, ask = opened.state("STEP"), opened.state("ROW")
    with m.If(step):
        m.d.sync += [member.eq(member + 1), at_row.eq(at_row + part.head_stride)]
        with m.If(member == group - 1):
            following = at_position + part.stride
            m.d.sync += [p.eq(p + 1), member.eq(0), at_position.eq(following), at_row.eq(following)]
    asked = bench.past(ask) & bench.begun & step
    bench.check(~asked | ((request.address == at_row) & (request.bytes == part.row_bytes) & part.request.valid))
    bench.check(~asked | ((p < positions) & (member < group)))
    # Nothing else is asked for.
    bench.check(~part.request.valid | asked | bench.past(part.request.valid & ~part.request.ready))
    rows_hold(bench, opened, (p, member, at_position, at_row), base, positions)
    bench.check(due | opened.state("JOB") | opened.state("BLOCK"))
    return bench


def rows_hold(bench: Bench, opened: Opened, expected: tuple, base: Signal, positions: Signal) -> None:
    """What the walker's registers are to the numbers of the next request."""
    part: Any = opened.inner("self")
    p, member, at_position, at_row = expected
    names = (
        "_base",
        "_position",
        "_row",
        "_member",
        "_member_last",
        "_left",
        "_fresh",
        "_bytes",
        "_last",
    )
    first, position, row, counted, at_last, left, fresh, size, final = (opened.inner(name) for name in names)
    job, beginning, ask, step = (opened.state(name) for name in ("JOB", "BLOCK", "ROW", "STEP"))
    group, place = part.group[:2], opened.state("PLACE")
    bench.check((job | beginning | place | ask | step) & (~(beginning | place) | fresh))
    bench.check(~place | ((p == 0) & (member == 0) & (at_position == base) & (at_row == base)))
    bench.check(job | ((first == base) & bench.begun))
    second, single = opened.inner("_group_second"), opened.inner("_single")
    bench.check(~bench.begun | ((second == (part.group - 2)[: len(second)]) & (single == (part.group == 1))))
    bench.check(~(ask | step) | (at_last == (counted == part.group - 1)))
    following = Mux(at_last, single, counted == second)
    bench.check(~step | ((opened.inner("_next_last") == following) & (left != 0)))
    stride = Mux(at_last, part.stride, part.head_stride)
    bench.check(~(ask | step) | (opened.inner("ahead") == stride))
    flags = ("_starting", "_beginning", "_rewinding", "_stepping", "_multiplying")
    states = zip(flags, (job, beginning, place, step, 0), strict=True)
    for flag, state in states:
        bench.check(opened.inner(flag) == state)
    behind = Mux(at_last, position + part.stride, row + part.head_stride)
    bench.check(~step | (opened.inner("_next") == behind[: len(row)]))
    bench.check(~(place | ask | step) | (opened.inner("_some") == (left != 0)))
    working = (ask | step) & (left != 0)
    bench.check(~(place | ask | step) | (final & (size == part.row_bytes)))
    bench.check(~(ask | step) | ((counted == member) & (position == at_position) & (row == at_row)))
    bench.check(~(place | ask | step) | ((p <= positions) & (member < group) & ((p != positions) | (member == 0))))
    bench.check(~(place | ask | step) | (left + times(group, p) + member == times(group, positions)))
    bench.check(~working | (p < positions))


LANES, LONGEST = 4, 3
"""Elements of 8 bits in a word of 32, and most elements in a row."""


def strobes() -> Bench:
    """One run of rows, whichever; its words begin behind those of the runs before."""
    bench, part = Bench(), RowPacker(8 * LANES, 8, 2, LONGEST)
    bench.place(part)
    m = bench.m
    obeyed(bench, part.run, part.values)
    obeys(bench, part.words)
    bench.steady(part.elements)
    rows, offset = part.run.payload.rows, part.run.payload.offset
    bench.assume((part.elements != 0) & (rows != 0) & (rows <= 3))
    # A row's last beat is marked.
    left = Signal(range(LONGEST + 1))
    taken = part.values.valid & part.values.ready
    beats = Mux(left == 0, part.elements, left)
    with m.If(taken):
        m.d.sync += left.eq(Mux(beats <= 2, 0, beats - 2))
    bench.assume(~part.values.valid | (part.values.payload.last == (beats <= 2)))
    # Words that earlier runs have, where the followed one lies in its words, and how many of them there are.
    enters, leaves = part.run.valid & part.run.ready, part.words.valid & part.words.ready
    end = offset + rows[:2] * part.elements
    before, came, inside, low, high = Signal(8), Signal(8), Signal(), Signal(2), Signal(6)
    with m.If(enters):
        m.d.sync += before.eq(before + ((end + LANES - 1) >> 2))
    start = Signal(8)
    with m.If(enters & ~inside & bench.free(1, "mark")):
        m.d.sync += [inside.eq(1), start.eq(before), low.eq(offset), high.eq(end)]
    m.d.sync += came.eq(came + leaves)
    # One of the run's elements, whichever.
    which, kept, value, known = bench.constant(4, "which"), Signal(4), Signal(8), Signal()
    with m.If(inside & taken & (kept != 15)):
        m.d.sync += kept.eq(kept + Mux(beats <= 2, beats, 2))
        for i, element in enumerate(part.values.payload.elements):
            with m.If((kept + i == which) & (beats > i) & (low + which < high)):
                m.d.sync += [known.eq(1), value.eq(element)]
    number = (came - start)[:8]
    mine = inside & part.words.valid & (number < ((high + LANES - 1) >> 2))
    for lane in range(LANES):
        index = number * LANES + lane
        wanted = (index >= low) & (index < high)
        bench.check(~mine | (part.words.payload.strobe[lane] == wanted))
        here = mine & known & (index == low + which)
        bench.check(~here | (part.words.payload.data.word_select(lane, 8) == value))
    bench.check(~part.words.valid | (came < before))
    return bench


def finished() -> Bench:
    """The command queue calls a descriptor done when nothing is left anywhere, or behind a flush whose engines have
    been quiet for as long as the data path's reset takes."""
    bench, part = Bench(), CommandQueue(NARROW)
    opened = bench.place(part)
    hold, flush, boot = opened.inner("_hold"), opened.state("FLUSH"), opened.state("BOOT")
    rested = flush & hold[-1]
    head, well, cleared = bench.past(part.head), bench.past(part.capture), bench.past(rested)
    bench.check(~part.capture | bench.past(part.settled))
    bench.check(opened.inner("_settled") == bench.past(part.settled))
    bench.check(opened.inner("_quiet") == bench.past(part.quiet))
    bench.check(~bench.begun | (part.head == head) | well | cleared)
    bench.check(~flush | (hold == hold.init) | bench.past(opened.inner("_quiet") & flush))
    bench.check(flush | boot | (hold == hold.init))
    # Done is told with the last descriptor, with none, or because the queue halts.
    bench.check(~part.done | part.capture | opened.state("IDLE") | opened.state("ASK") | rested)
    return bench


PROOFS = (
    Proof(
        "rows_inside",
        f"RowWalker(up to {GROUP} heads)",
        "every request is for the next row where the strides say, inside of the tensor",
        rows,
        breakages=(
            Breakage(RowWalker, "Mux(self._member_last, self._position, self._row) + step", "self._row + step"),
        ),
        broken_depth=12,
    ),
    Proof(
        "strobes",
        f"RowPacker({LANES} lanes, up to {LONGEST} elements)",
        "every element of a run is where it has to be; strobes are on these bytes and no others",
        strobes,
        method=Method.BOUNDED,
        depth=9,
        breakages=(Breakage(RowPacker, "inner[i].eq(lane[-1] & (amount <= i))", "inner[i].eq(lane[-1])"),),
    ),
    Proof(
        "done_when_settled",
        "CommandQueue",
        "a descriptor is done only when all is settled, the write engine idle too; or behind a flush",
        finished,
        breakages=(
            Breakage(CommandQueue, "with m.If(self._settled & ~self._interrupted):", "with m.If(~self._interrupted):"),
        ),
        broken_depth=24,
    ),
)
