"""Takes finished results out of the machine, row by row, behind the next block's work."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.block_fork import DEPTH
from hwgen.control.segments import void_layout
from hwgen.control.tags import block_layout
from hwgen.params import Params
from hwgen.part import Part


def step_layout(params: Params) -> data.StructLayout:
    """One beat of O: where its values lie, and what it is.

    slot, column, fold, group: the query's context, its column, and the group of `out_beat` rows within the fold
    void:        the slot never saw a key: nothing to read
    first, last: first and last beat of a query
    slot_last:   last beat of a slot;  job_last: last beat of a job
    """
    c = params.config
    return data.StructLayout(
        {
            "valid": 1,
            "slot": unsigned(params.slot_bits),
            "column": unsigned(ceil_log2(c.cols)),
            "fold": unsigned(params.fold_f_bits),
            "group": unsigned(ceil_log2(c.rows_f // c.out_beat)),
            "void": 1,
            "first": 1,
            "last": 1,
            "slot_last": 1,
            "job_last": 1,
        }
    )


class DrainWalker(Part):
    """Walks the queries of every block in order: slot, column, fold, group of rows; one step a cycle while `room`
    lasts. A row ends where F does. A block is given back a cycle behind its last step, as who keeps it is far.

    A slot is walked when the value array has said `done`, or at once if it is void. Latency 1 cycle from `done` to its
    first step, and from a block; throughput 1 step a cycle within a block.

    Where keys are given as segments, `void` tells each block's void slots once it is wholly issued. That is before
    any later block is, so nothing of a later block is `done` while a void slot still counts as one that is not.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        members = {
            "head_f": In(params.config.head_f.bit_length()),
            "block": In(stream.Signature(block_layout(params))),
            "done": In(1),
            "done_slot": In(params.slot_bits),
            "room": In(1),
            "step": Out(step_layout(params)),
        }
        if params.segmented:
            members["void"] = In(void_layout(params))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        c = self._params.config
        done = Signal(c.slots)
        step = self.step
        block = self.block.payload
        groups = c.rows_f // c.out_beat
        # Known ahead of the step: the row ends with it, the slot is the last one, its last column.
        walked, row_end = Signal(range(c.head_f + 2 * c.out_beat)), Signal()
        self._known, last_slot, last_column = Signal(), Signal(), Signal.like(step.column)
        with m.If(step.valid):
            m.d.sync += walked.eq(Mux(row_end, 0, walked + c.out_beat))
        ends = {
            "group": row_end | (step.group == groups - 1),
            "fold": row_end,
            "column": step.column == last_column,
            "slot": last_slot,
        }
        position = {name: Signal.like(step[name], name=f"at_{name}") for name in ends}
        for name, signal in position.items():
            m.d.comb += step[name].eq(signal)
        slot_end, single = Signal(), c.out_beat >= self.head_f
        ends_block, gone = Signal(), Signal()
        m.d.sync += [gone.eq(ends_block), self._known.eq(self.block.valid & ~ends_block & ~gone)]
        with m.If(~self._known):
            m.d.sync += row_end.eq(single)
        with m.Elif(step.valid):
            m.d.sync += row_end.eq(Mux(row_end, single, walked + 2 * c.out_beat >= self.head_f))
        # The slot that is walked from the next cycle on.
        following = Mux(self._known, position["slot"] + 1, 0)
        last = following == block.slots
        with m.If(~self._known | (step.valid & slot_end)):
            m.d.sync += [last_slot.eq(last), last_column.eq(Mux(last, block.width, c.cols) - 1)]
        m.d.comb += [
            step.void.eq(self._void(m, following, step.valid & slot_end)),
            step.valid.eq(self._known & self.room & (step.void | Array(done)[position["slot"]])),
            step.first.eq((step.group == 0) & (step.fold == 0)),
            step.last.eq(row_end),
            slot_end.eq(row_end & ends["column"]),
            step.slot_last.eq(slot_end),
            step.job_last.eq(slot_end & ends["slot"] & block.job_last),
            ends_block.eq(step.valid & slot_end & ends["slot"]),
            self.block.ready.eq(gone),
        ]
        carry = step.valid
        for name, signal in position.items():
            with m.If(carry):
                m.d.sync += signal.eq(Mux(ends[name], 0, signal + 1))
            carry = carry & ends[name]
        for i in range(c.slots):
            with m.If(self.done & (self.done_slot == i)):
                m.d.sync += done[i].eq(1)
            with m.Elif(step.valid & slot_end & ~step.void & (step.slot == i)):
                m.d.sync += done[i].eq(0)
        return m

    def _void(self, m: Module, following, ends):
        """The current slot is known to be void; the one that follows, where it ends."""
        block, slot = self.block.payload, self.step.slot
        if not self._params.segmented:
            void, no_keys = Signal(), Signal()
            with m.If(~self._known):
                m.d.sync += [no_keys.eq(block.keys == 0), void.eq((block.keys == 0) | (block.void_slots != 0))]
            with m.Elif(ends):
                m.d.sync += void.eq(no_keys | (following < block.void_slots))
            return void
        # No more blocks are issued and not yet walked than fit into this walker's queue of blocks.
        m.submodules.voids = voids = SyncFIFOBuffered(width=self._params.config.slots, depth=DEPTH)
        m.d.comb += [
            voids.w_data.eq(self.void.mask),
            voids.w_en.eq(self.void.valid),
            voids.r_en.eq(self.block.ready),
        ]
        return voids.r_rdy & Array(voids.r_data)[slot]


class PendingSlots(Part):
    """Slots whose result has not left the result memories: set when their last visit starts, cleared by the drain.

    Latency LATENCY cycles from `drained` to `pending`, as the drain is far, 1 from `finishing`.
    """

    LATENCY = 2

    def __init__(self, params: Params) -> None:
        self._slots = params.config.slots
        super().__init__(
            {
                "finishing": In(1),
                "finishing_slot": In(params.slot_bits),
                "drained": In(1),
                "drained_slot": In(params.slot_bits),
                "pending": Out(params.config.slots),
            }
        )

    def elaborate(self, platform):
        m = Module()
        drained, slot = Signal(), Signal.like(self.drained_slot)
        m.d.sync += [drained.eq(self.drained), slot.eq(self.drained_slot)]
        for i in range(self._slots):
            with m.If(drained & (slot == i)):
                m.d.sync += self.pending[i].eq(0)
            with m.Elif(self.finishing & (self.finishing_slot == i)):
                m.d.sync += self.pending[i].eq(1)
        return m


class Credits(Part):
    """Counts what may still be put into a queue of `depth` places (at least 2) whose writer is a pipeline that cannot
    stop.

    Latency 2 cycles from `give` to `room`, 1 from `take`.

    Members: take (something was put into the pipeline a cycle ago); give (something leaves the queue); room (for what
    may have been put in since, and for one more).
    """

    def __init__(self, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"a place is kept for what is on its way: there must be 2 at least, not {depth!r}")
        self._depth = depth
        super().__init__({"take": In(1), "give": In(1), "room": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        # What leaves is decided far away: it counts a cycle late.
        used, given = Signal(range(self._depth + 1)), Signal()
        m.d.sync += given.eq(self.give)
        with m.If(self.take != given):
            m.d.sync += used.eq(Mux(self.take, used + 1, used - 1))
            m.d.sync += self.room.eq(Mux(self.take, used < self._depth - 2, used != self._depth))
        return m


def beat_address(step):
    """Address of a step's values in the value array's result memories."""
    return Cat(step.fold, step.slot)
