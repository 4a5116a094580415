"""The sequencer: which key is shown to which slot, cycle by cycle."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from golden.scoremod.program import INDEX_BITS
from hwgen.array.feeder import key_address
from hwgen.control.causes import BUSY, CAUSE_BITS, Cause
from hwgen.control.job import geometry_layout
from hwgen.control.tags import OF_ROWS, block_layout, planned_layout, score_tag_layout, visit_layout
from hwgen.control.visit_queue import VisitQueue
from hwgen.params import EDGE_BITS, GROUP_BITS, Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.timing import hazard_distance, key_rows, row_bits


def head_layout(params: Params, bits: int) -> data.StructLayout:
    """The row at the head of a row buffer."""
    return data.StructLayout(
        {"ready": 1, "row": unsigned(bits), "exponent": unsigned(params.input.exponent_bits), "poisoned": 1}
    )


def bias_layout(params: Params) -> data.StructLayout:
    """The row at the head of the bias buffer."""
    from hwgen.memory.bias_buffer import bias_row_bits

    return data.StructLayout({"ready": 1, "row": unsigned(bias_row_bits(params))})


class VisitIssuer(Part):
    """What all issuers share: one visit after the other, without a gap where nothing is missing.

    Visits are described ahead, a few wait in a `VisitQueue`. The first one starts when its rows are there and, as was
    so in the cycle before, its queries are loaded, its slot will have been visited last at least
    `timing.hazard_distance` cycles ago and, at the slot's last key, its previous result is drained. Once started
    nothing stops it. Which visit comes next is a matter of the class derived from this one.

    Latency 3 cycles from `block` to the start of its first visit if none waits, LATENCY from there to the tag: what
    buffers tell of the visit's rows comes into it in the last one, and buffers and arrays are far. Throughput 1 fold a
    cycle.

    Members: geometry; block; loaded (query banks); key, value (heads of the row buffers), advance (claims both),
    block_last (if a row is claimed it is the block's last), keep (then go back to the block's first); pending (slots
    whose result is not drained), finishing and finishing_slot (a slot's last visit starts); tag, address (to the score
    array); visiting (a fold was issued a cycle ago); cause (BUSY or why not); pairs (allowed pairs of the visit that
    starts); block_done (the last fold of the block in `bank` is issued), empty_done (likewise, of a block without
    keys); more (blocks or jobs are waiting), running (visits happened since the run began), busy (there is a job).
    Where there is a score program, kv and batch (indices of the key and of its batch beside the tag; what the program
    makes of them is not yet in it); where there is a bias, bias (its buffer's head, claimed with the others).
    """

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(self._members())

    def _members(self) -> dict:
        params = self._params
        key_row_bits = ceil_log2(key_rows(params))
        members = {
            "geometry": In(geometry_layout(params)),
            "block": In(stream.Signature(block_layout(params))),
            "loaded": In(2),
            "key": In(head_layout(params, key_row_bits)),
            "value": In(head_layout(params, row_bits(params))),
            "advance": Out(1),
            "block_last": Out(1),
            "keep": Out(1),
            "pending": In(params.config.slots),
            "finishing": Out(1),
            "finishing_slot": Out(params.slot_bits),
            "tag": Out(score_tag_layout(params)),
            "address": Out(key_address(params)),
            "visiting": Out(1),
            "cause": Out(CAUSE_BITS),
            "pairs": Out(params.count_bits),
            "block_done": Out(1),
            "empty_done": Out(1),
            "bank": Out(1),
            "more": In(1),
            "running": In(1),
            "busy": In(1),
        }
        if params.score is not None:
            members |= {"kv": Out(INDEX_BITS["kv"]), "batch": Out(INDEX_BITS["b"])}
        if params.has_bias:
            members["bias"] = In(bias_layout(params))
        return members

    def elaborate(self, platform):
        m = Module()
        p = self._params
        self._queue = VisitQueue(p)
        place(m, "visit_queue", self._queue)
        self._head, self._second = self._queue.head, self._queue.second
        self._describe_visits(m)
        self._decide(m)
        self._fill_tag(m)
        self._explain(m)
        return m

    # Ahead: describing visits.

    def _prepare(self, m: Module) -> None:
        """Signals that only one kind of issuer has."""

    def _describe(self, m: Module, skip: Signal, width: Signal) -> dict:
        """Which columns see the key; gives those fields of the visit that depend on its place among others."""
        raise NotImplementedError

    def _shows(self):
        """There is a key to show."""
        raise NotImplementedError

    def _shows_nothing(self):
        """The block has no keys."""
        raise NotImplementedError

    def _begin_block(self, m: Module, payload) -> None:
        """What a new block changes."""
        raise NotImplementedError

    def _next_visit(self, m: Module) -> None:
        """What a visit that has been described changes."""
        raise NotImplementedError

    def _keep(self):
        """The block's rows stay."""
        return Const(0)

    def _row_end(self):
        """The current key's row is not needed behind this visit."""
        return self._last_slot

    def _describe_visits(self, m: Module) -> None:
        """One a cycle, while there is room; a block without keys is one too."""
        p, queue, visit = self._params, self._queue, self._queue.visit
        self._active, self._block, self._bank = Signal(), Signal(block_layout(p)), Signal()
        # The slot shown the current key, and whether it is the last one.
        self._slot, self._last_slot = Signal(p.slot_bits), Signal()
        self._key = Signal.like(self._block.keys)
        # The visit at hand, or the block without any, is handed on; with it the block ends.
        self._end, self._void, self._block_end = Signal(), Signal(), Signal()
        self._prepare(m)
        skip, width = Signal(p.count_bits), Signal(p.count_bits)
        fields = {
            "slot": self._slot,
            "bank": self._bank,
            "skip": skip,
            "width": width,
            "row_end": self._row_end(),
            "keep": self._keep(),
            "nothing": self._shows_nothing(),
        }
        fields |= self._describe(m, skip, width)
        if p.score is not None:
            fields |= {"key": self._key, "batch": self._block.batch}
        m.d.comb += [visit[name].eq(value) for name, value in fields.items()]
        # What is at hand may be handed on. Where that follows from no row it is known a cycle before, as much changes
        # with it.
        going = Signal()
        several = p.group > 1
        if several:
            active = Mux(self._active, ~self._block_end, self.block.valid)
            m.d.sync += going.eq(active & queue.room_next)
        else:
            m.d.comb += going.eq(self._active & queue.room)
        m.d.comb += [
            self._end.eq(going & self._shows()),
            self._void.eq(going & self._shows_nothing()),
            self._block_end.eq((self._end & visit.block_last) | self._void),
            queue.push.eq(self._end | self._void),
            # A block is wide: where the queue has visits for longer, it is taken when none is there.
            self.block.ready.eq(~self._active if several else ~self._active | self._block_end),
        ]
        with m.If(self._end):
            self._next_visit(m)
        with m.If(self._block_end):
            m.d.sync += [self._bank.eq(~self._bank), self._active.eq(0)]
        with m.If(self.block.ready):
            payload = self.block.payload
            m.d.sync += [self._active.eq(self.block.valid), self._block.eq(payload)]
            self._begin_block(m, payload)

    # Behind the queue: visits start and last.

    def _needless(self):
        """The first visit needs no rows."""
        return Const(0)

    def _rows(self) -> list:
        """The rows that a visit needs and why there is none without."""
        rows = [(self.key.ready, Cause.WAIT_K), (self.value.ready, Cause.WAIT_V)]
        return [*rows, (self.bias.ready, Cause.WAIT_K)] if self._params.has_bias else rows

    def _loaded(self, visit):
        return Mux(visit.bank, self.loaded[1], self.loaded[0])

    def _decide(self, m: Module) -> None:
        """Start the first visit, or go on with it; look whether it, or the one behind, may start in the next cycle."""
        p, geometry, queue, head = self._params, self.geometry, self._queue, self._head
        self._step = step = Signal(range(max(p.visit, 2)))
        # The step is the first one, or the last one; the visit may start; there is none, and its block may end.
        self._first, self._may, self._go = Signal(init=1), Signal(), Signal()
        final, passes, starting, end = Signal(), Signal(), Signal(), Signal()
        # Where no visit is of a single cycle its end follows from no row: the last step is known a cycle before.
        several = p.group > 1
        ready = Cat(row for row, _ in self._rows()).all() | self._needless()
        m.d.comb += [
            starting.eq(self._may & ready),
            self._go.eq(starting | ~self._first),
            end.eq(final if several else self._go & final),
            queue.pop.eq(end | passes),
            self.finishing.eq(starting & head.last),
            self.finishing_slot.eq(head.slot),
            self.advance.eq(end & head.row_end),
            self.block_last.eq(head.block_last),
            self.keep.eq(head.keep),
            self.empty_done.eq(passes),
            self.block_done.eq((end & head.block_last) | passes),
            self.bank.eq(head.bank),
            self.pairs.eq(Mux(starting & self._counts(), head.width - head.skip, 0)),
        ]
        # The first step waits for rows, which are far: so little depends on them, a bit of each register.
        at_end = Const(0) if several else geometry.last_step == 0
        goes_on = starting if several else starting & ~final
        with m.If(self._first):
            m.d.sync += [step.eq(goes_on), self._first.eq(~goes_on)]
            m.d.sync += final.eq(Mux(goes_on, geometry.last_step == 1, at_end))
        with m.Elif(final):
            m.d.sync += [step.eq(0), self._first.eq(1), final.eq(at_end)]
        with m.Else():
            m.d.sync += [step.eq(step + 1), final.eq(step + 1 == geometry.last_step)]
        recent = self._history(m, starting)
        # No visit is shorter than a lane's group of columns.
        now = self._free(head, recent[p.group : -1])
        later = self._free(self._second, recent[p.group - 1 : -1])
        empty, next_empty = ((visit.nothing & self._loaded(visit)) for visit in (head, self._second))
        m.d.sync += [
            self._may.eq(Mux(queue.pop, queue.second_there & later, queue.head_there & self._first & ~starting & now)),
            passes.eq(Mux(queue.pop, queue.second_there & next_empty, queue.head_there & empty)),
        ]
        m.d.comb += self._hazard.eq(self._met(head, recent[p.group :]))

    def _counts(self):
        """The first visit's pairs count."""
        return Const(1)

    def _free(self, visit, recent: list):
        """Nothing but rows may be missing."""
        drained = ~(visit.last & Array(self.pending)[visit.slot])
        return ~visit.nothing & self._loaded(visit) & ~self._met(visit, recent) & drained

    def _met(self, visit, recent: list):
        """A visit's slot is that of one of these starts."""
        return Cat(valid & (slot == visit.slot) for valid, slot in recent).any() if recent else Const(0)

    def _history(self, m: Module, starting: Signal) -> list:
        """What starts now, and in each of the hazard_distance - 1 cycles before."""
        p = self._params
        self._hazard = Signal()
        recent = [(starting, self._head.slot)]
        for i in range(1, hazard_distance(p)):
            valid, slot = Signal(name=f"recent_{i}"), Signal(p.slot_bits, name=f"recent_slot_{i}")
            m.d.sync += [valid.eq(recent[-1][0]), slot.eq(recent[-1][1])]
            recent.append((valid, slot))
        return recent

    def _fill_tag(self, m: Module) -> None:
        """The tag of the first visit's fold, two cycles later; what comes from its rows is there in the second one."""
        p, step, head = self._params, self._step, self._head
        names = [name for name in planned_layout(p).members if name in visit_layout(p).members and name not in OF_ROWS]
        tag, address = Signal(score_tag_layout(p), name="early"), Signal.like(self.address, name="early_address")
        m.d.sync += [
            tag.valid.eq(self._go & (step <= self.geometry.last_fold_e)),
            tag.fold.eq(step),
            tag.first_fold.eq(self._first),
            tag.last_fold.eq(step == self.geometry.last_fold_e),
            *(tag.visit[name].eq(head[name]) for name in names),
            self.tag.eq(tag),
            self.address.eq(address),
        ]
        bad = self.key.poisoned | self.value.poisoned
        m.d.comb += [
            tag.visit.ek.eq(self.key.exponent),
            tag.visit.ev.eq(self.value.exponent),
            tag.visit.bad.eq(bad & ~tag.visit.sink if p.has_sink else bad),
            tag.visit.row.eq(self.value.row),
            address.eq(Cat(tag.fold[: p.fold_e_bits], self.key.row)),
            self.visiting.eq(tag.valid),
        ]
        if p.has_bias:
            m.d.comb += tag.visit.bias_row.eq(self.bias.row)
        if p.score is not None:
            for port, index, name in ((self.kv, head.key, "kv"), (self.batch, head.batch, "batch")):
                m.d.comb += port.eq(delayed(m, index, self.LATENCY, f"tag_{name}"))

    def _explain(self, m: Module) -> None:
        """The first thing that is missing."""
        queue, head = self._queue, self._head
        m.d.comb += self.cause.eq(Cause.SETUP)
        with m.If(self._go):
            m.d.comb += self.cause.eq(Mux(self._step <= self.geometry.last_fold_e, BUSY, Cause.PAD))
        with m.Elif(~self.busy):
            m.d.comb += self.cause.eq(Cause.NO_JOB)
        with m.Elif(~self.running):
            m.d.comb += self.cause.eq(Cause.FILL)
        with m.Elif(~queue.head_there):
            m.d.comb += self.cause.eq(Mux(self._active | self.block.valid | self.more, Cause.SETUP, Cause.DRAIN))
        with m.Elif(~self._loaded(head)):
            m.d.comb += self.cause.eq(Cause.WAIT_Q)
        with m.Elif(head.nothing):
            m.d.comb += self.cause.eq(Cause.SETUP)
        for row, cause in self._rows():
            with m.Elif(~(row | self._needless())):
                m.d.comb += self.cause.eq(cause)
        # Where a visit is longer than the hazard there is none, and a branch that is never taken would be reported.
        if hazard_distance(self._params) > self._params.group:
            with m.Elif(self._hazard):
                m.d.comb += self.cause.eq(Cause.HAZARD)
        with m.Elif(head.last & Array(self.pending)[head.slot]):
            m.d.comb += self.cause.eq(Cause.WAIT_OUT)


class Issuer(VisitIssuer):
    """For each block, for each key from the first one on, for each live slot: one visit.

    Of a causal block only slots that hold a query allowed to see the key are visited: `low` is the first of them,
    `edge` counts its columns that may not, and from key to key `edge` grows by `group`. Members: see VisitIssuer.
    """

    def _prepare(self, m: Module) -> None:
        p = self._params
        self._low = Signal(p.slot_bits)  # the first slot that is shown the current key
        self._edge = Signal(signed(EDGE_BITS))
        # Columns of the current slot that the next key will not be shown to; all of them if the slot leaves.
        self._next_edge = Signal(signed(EDGE_BITS))
        # Whether a slot visited with this key stays for the next one, which is the first, and its edge then: that, and
        # whether it hides a column.
        self._staying, self._next_low, self._low_edge = Signal(), Signal(p.slot_bits), Signal(signed(EDGE_BITS))
        self._low_hides = Signal()
        # Compared a visit ahead: whether there is a key, the current one is the first or the last one, its edge hides a
        # column, the current slot leaves behind it and, as for every issuer, is the last one.
        self._some, self._first_key, self._last_key, self._hides, self._leaves = (Signal() for _ in range(5))
        self._left = Signal.like(self._block.keys)
        self._less = Signal(signed(GROUP_BITS + 1))
        self._following = self._follow(m)

    def _follow(self, m: Module):
        """Of the next key its first slot, that slot's edge, and whether it hides a column, which is told of both edges
        before one is chosen; of the next visit its next edge, and that less a slot's columns. None of it depends on
        whether a visit starts or ends."""
        cols = self._params.config.cols
        low, edge = Signal.like(self._low), Signal.like(self._edge)
        before, after, beyond = Signal.like(edge), Signal.like(edge), Signal(signed(EDGE_BITS + 1))
        hides = Signal()
        m.d.comb += [
            # The first slot that stays for the next key was met before, or is this one.
            low.eq(Mux(self._staying, self._next_low, self._slot)),
            edge.eq(Mux(self._staying, self._low_edge, self._next_edge)),
            hides.eq(self._block.causal & Mux(self._staying, self._low_hides, self._next_edge > 0)),
            before.eq(Mux(self._last_slot, edge, self._next_edge)),
            after.eq(before + Mux(self._last_slot, self._block.group, Const(-cols, signed(GROUP_BITS + 1)))),
            beyond.eq(before + Mux(self._last_slot, self._less, Const(-2 * cols, signed(GROUP_BITS + 1)))),
        ]
        return low, edge, hides, after, beyond

    def _describe(self, m: Module, skip: Signal, width: Signal) -> dict:
        p, block = self._params, self._block
        last_slot = self._last_slot
        m.d.comb += [
            skip.eq(Mux(self._hides & (self._slot == self._low), self._edge[: p.count_bits], 0)),
            width.eq(Mux(last_slot, block.width, p.config.cols)),
        ]
        return {
            "first": self._first_key,
            "last": self._last_key | self._leaves,
            "block_last": self._last_key & last_slot,
            "key_last": last_slot & ~block.keep,
        }

    def _shows(self):
        return self._some

    def _shows_nothing(self):
        return ~self._some

    def _keep(self):
        return self._block.keep

    def _begin_block(self, m: Module, payload) -> None:
        """At the first key, the first slot that sees any."""
        less = payload.group - self._params.config.cols
        m.d.sync += [
            self._key.eq(0),
            self._left.eq(payload.keys),
            self._some.eq(payload.keys != 0),
            self._first_key.eq(1),
            self._last_key.eq(payload.keys == 1),
            self._slot.eq(payload.void_slots),
            self._last_slot.eq(payload.void_slots == payload.slots),
            self._low.eq(payload.void_slots),
            self._edge.eq(payload.edge),
            self._hides.eq(payload.causal & (payload.edge > 0)),
            self._next_edge.eq(payload.edge + payload.group),
            self._less.eq(less),
            self._leaves.eq(payload.causal & (payload.edge + less >= 0)),
            self._staying.eq(0),
        ]

    def _next_visit(self, m: Module) -> None:
        """The next slot of this key, or the first one that sees the next key."""
        low, edge, hides, after, beyond = self._following
        m.d.sync += [self._next_edge.eq(after), self._leaves.eq(self._block.causal & (beyond >= 0))]
        with m.If(self._last_slot):
            m.d.sync += [
                self._key.eq(self._key + 1),
                self._left.eq(self._left - 1),
                self._first_key.eq(0),
                self._last_key.eq(self._left == 2),
                self._low.eq(low),
                self._slot.eq(low),
                self._last_slot.eq(low == self._block.slots),
                self._edge.eq(edge),
                self._hides.eq(hides),
                self._staying.eq(0),
            ]
        with m.Else():
            m.d.sync += [
                self._slot.eq(self._slot + 1),
                self._last_slot.eq(self._slot + 1 == self._block.slots),
                self._staying.eq(~self._leaves),
                self._next_low.eq(low),
                self._low_edge.eq(edge),
                self._low_hides.eq(hides),
            ]
