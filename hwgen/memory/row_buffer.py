"""Bookkeeping of the converted rows that wait in an array's feeders."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.convert import converted_rows
from hwgen.memory.styles import APART
from hwgen.params import Params
from hwgen.part import Part


class RowBuffer(Part):
    """A ring of `2^row_bits` rows of up to `folds` folds, spread over the banks in the feeders of an array with `rows`
    rows.

    Rows enter in order from a block converter, which knows how many places there are: whoever is the last to read the
    oldest claimed row gives its place back there. `ready` says that the oldest unclaimed row is complete, `row`,
    `exponent` and `poisoned` describe it, `advance` claims it. With the last row of a block comes `block_last`; if also
    `keep`, the block's rows, of none of which the place may have been given back, are unclaimed again.

    Latency READY cycles from a row's last beat to `ready`, 1 from `advance`; one more to `row`, `exponent` and
    `poisoned`; throughput 1 beat a cycle.
    """

    READY = 2

    def __init__(self, params: Params, rows: int, folds: int, row_bits: int) -> None:
        self._params = params
        self._groups, self._folds, self._row_bits = rows // params.config.beat, folds, row_bits
        super().__init__(
            {
                "input": In(converted_rows(params)),
                "write_rows": Out(self._groups),
                "write_address": Out(row_bits + ceil_log2(folds)),
                "write_data": Out(data.ArrayLayout(signed(params.config.operand_bits), params.config.beat)),
                "ready": Out(1),
                "row": Out(row_bits),
                "exponent": Out(unsigned(params.input.exponent_bits)),
                "poisoned": Out(1),
                "advance": In(1),
                "block_last": In(1),
                "keep": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        capacity = 1 << self._row_bits
        complete, head, finished = Signal(range(capacity + 1)), Signal(self._row_bits), Signal()
        self._write(m, head, finished)
        m.d.comb += finished.eq(self.input.valid & self.input.payload.last)
        # All but its place is told of a row from registers: the beat's way is long already.
        ended, place = Signal(), Signal.like(head)
        m.d.sync += [ended.eq(finished), place.eq(head)]
        # Of what is claimed only `ready` is told at once.
        claim, last, again = Signal(), Signal(), Signal()
        back = self.block_last & self.keep
        m.d.sync += [claim.eq(self.advance), last.eq(self.block_last), again.eq(self.advance & back)]
        claimed = Signal(range(capacity + 1))
        # The row behind the oldest unclaimed one, the block's first row, and for each the row behind it.
        following, after = Signal(self._row_bits, init=1), Signal(self._row_bits, init=2 % capacity)
        start, second = Signal(self._row_bits), Signal(self._row_bits, init=1)
        # The oldest unclaimed row is the block's first.
        at_start = Signal(init=1)
        several, change = Signal(), Signal.like(complete)
        none, one, two = self._few(m, complete, claimed, (ended, claim, again), at_start)
        m.d.comb += [
            # A row that has ended comes in as a carry.
            change.eq(Mux(again, claimed, Mux(claim, -1, 0))),
            # More than one row is complete; `complete` does not know of the claim yet.
            several.eq(~none & ~one & Mux(claim & ~again, ~two, 1) | (again & ~at_start)),
        ]
        m.d.sync += complete.eq((Cat(Const(1, 1), complete) + Cat(ended, change))[1:])
        # In two halves, so that of all this only the claim, which is late in its cycle, is close to a register.
        found, left = Signal(), Signal()
        m.d.sync += [found.eq(ended | several), left.eq(Mux(self.advance, back, self.ready))]
        m.d.comb += self.ready.eq(found | left)
        with m.If(claim):
            m.d.sync += [
                claimed.eq(claimed + 1),
                self.row.eq(following),
                following.eq(after),
                after.eq(after + 1),
                at_start.eq(last),
            ]
            with m.If(last):
                m.d.sync += claimed.eq(0)
                with m.If(again):
                    m.d.sync += [self.row.eq(start), following.eq(second), after.eq(second + 1)]
                with m.Else():
                    m.d.sync += [start.eq(following), second.eq(after)]
        # The row that has ended is the oldest unclaimed one, or the one behind it, as so many others are complete.
        oldest, second_oldest = ~again & Mux(claim, one, none), Mux(again, one & at_start, Mux(claim, two, one))
        comes = ended, ended & oldest, ended & second_oldest
        changes = Mux(again, ~at_start, claim | (ended & none))
        self._describe(m, place, comes, (second, after, following), at_start, (claim, again, changes))
        return m

    def _few(self, m: Module, complete: Signal, claimed: Signal, events: tuple, at_start: Signal) -> tuple:
        """Whether no row is complete, one, or two: registers, as much depends on it in the same cycle.

        events: a row has ended, one is claimed, the block comes again;  at_start: nothing of the block is claimed
        """
        none, one, two = (Signal(name=name, init=name == "none") for name in ("none", "one", "two"))
        ended, claim, again = events
        more, less = ended & ~claim, claim & ~ended
        with m.If(again):
            # The row that is claimed in this cycle is complete, and will be again.
            m.d.sync += [
                none.eq(0),
                one.eq(one & at_start & ~ended),
                two.eq(Mux(ended, one & at_start, (one & (claimed == 1)) | (two & at_start))),
            ]
        with m.Elif(more | less):
            m.d.sync += [
                none.eq(less & one),
                one.eq(Mux(less, two, none)),
                two.eq(Mux(less, complete == 3, one)),
            ]
        return none, one, two

    def _write(self, m: Module, head: Signal, finished: Signal) -> None:
        """Spread beats over groups of rows, then over folds."""
        group, fold = Signal(range(max(self._groups, 2))), Signal(range(max(self._folds, 2)))
        fold_bits = ceil_log2(self._folds)
        with m.If(self.input.valid):
            m.d.sync += group.eq(group + 1)
            with m.If(group == self._groups - 1):
                m.d.sync += [group.eq(0), fold.eq(fold + 1)]
            with m.If(finished):
                m.d.sync += [fold.eq(0), head.eq(head + 1)]
        m.d.comb += [
            self.write_rows.eq(Mux(self.input.valid, 1 << group, 0)),
            self.write_address.eq(Cat(fold[:fold_bits], head)),
            self.write_data.eq(self.input.payload.elements),
        ]

    def _describe(self, m: Module, place: Signal, comes: tuple, behind: tuple, at_start: Signal, claims) -> None:
        """What goes with the oldest unclaimed row stands in a register; the memory gives what goes with the one behind
        it, and is a cycle late to know of what was just written.

        comes: the row at `place` has ended, it is the oldest unclaimed one, it is the one behind that;  behind: where
        that one lies if the block comes again, if a row is claimed, if neither;  claims: a row is claimed, the block
        comes again, the oldest unclaimed row is another one
        """
        layout = data.StructLayout({"exponent": self._params.input.exponent_bits, "poisoned": 1})
        m.submodules.facts = facts = Memory(shape=layout, depth=1 << self._row_bits, init=[], attrs=APART)
        write, read = facts.write_port(), facts.read_port()
        claim, again, changes = claims
        now, first, late, come = Signal(layout), Signal(layout), Signal(layout), Signal(layout)
        was_late = Signal()
        ended, arrives, follows = comes
        m.d.sync += [come[name].eq(self.input.payload[name]) for name in ("exponent", "poisoned")]
        m.d.comb += [
            write.en.eq(ended),
            write.addr.eq(place),
            write.data.eq(come),
            read.addr.eq(Mux(again, behind[0], Mux(claim, behind[1], behind[2]))),
            self.exponent.eq(now.exponent),
            self.poisoned.eq(now.poisoned),
        ]
        m.d.sync += [late.eq(come), was_late.eq(follows)]
        with m.If(at_start):
            m.d.sync += first.eq(now)
        # The memory is slow: the choice comes behind a register.
        stored, other, other_counts = Signal(layout), Signal(layout), Signal()
        with m.If(changes):
            m.d.sync += [
                stored.eq(read.data),
                other.eq(Mux(arrives, come.as_value(), Mux(again, first.as_value(), late.as_value()))),
                other_counts.eq(arrives | again | was_late),
            ]
        m.d.comb += now.eq(Mux(other_counts, other.as_value(), stored.as_value()))
