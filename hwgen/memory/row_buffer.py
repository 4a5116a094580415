"""Bookkeeping of the converted rows that wait in an array's feeders."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.memory.convert import converted_beat
from hwgen.params import Params
from hwgen.part import Part


class RowBuffer(Part):
    """A ring of `2^row_bits` rows of up to `folds` folds, spread over the banks in the feeders of an array with `rows`
    rows.

    Rows enter in order from a block converter; `ready` says that the oldest unclaimed row is complete, `row`,
    `exponent` and `poisoned` describe it, `advance` claims it, `freed` gives the oldest claimed row's place back. With
    the last row of a block comes `block_last`; if also `keep`, the block's rows, none of which may have been freed, are
    unclaimed again.

    Latency 1 cycle from a row's last beat to `ready`; throughput 1 beat a cycle.
    """

    def __init__(self, params: Params, rows: int, folds: int, row_bits: int) -> None:
        self._params = params
        self._groups, self._folds, self._row_bits = rows // params.config.beat, folds, row_bits
        super().__init__(
            {
                "input": In(stream.Signature(converted_beat(params))),
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
                "freed": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        capacity = 1 << self._row_bits
        used, complete = Signal(range(capacity + 1)), Signal(range(capacity + 1))
        head = Signal(self._row_bits)
        finished = Signal()
        accept = Signal()
        self._write(m, head, accept, finished)
        m.d.comb += [
            # A row's place is taken when its first beat is; `used` counts it when its last one is.
            self.input.ready.eq(used != capacity),
            accept.eq(self.input.valid & self.input.ready),
            finished.eq(accept & self.input.payload.last),
            self.ready.eq(complete != 0),
        ]
        m.d.sync += [
            used.eq(used + finished - self.freed),
            complete.eq(complete + finished - self.advance),
            self.row.eq(self.row + self.advance),
        ]
        start, claimed = Signal(self._row_bits), Signal(range(capacity + 1))
        with m.If(self.advance):
            m.d.sync += claimed.eq(claimed + 1)
            with m.If(self.block_last):
                m.d.sync += claimed.eq(0)
                with m.If(self.keep):
                    m.d.sync += [self.row.eq(start), complete.eq(complete + finished + claimed)]
                with m.Else():
                    m.d.sync += start.eq(self.row + 1)
        self._describe(m, head, finished)
        return m

    def _write(self, m: Module, head: Signal, accept: Signal, finished: Signal) -> None:
        """Spread beats over groups of rows, then over folds."""
        group, fold = Signal(range(max(self._groups, 2))), Signal(range(max(self._folds, 2)))
        fold_bits = ceil_log2(self._folds)
        with m.If(accept):
            m.d.sync += group.eq(group + 1)
            with m.If(group == self._groups - 1):
                m.d.sync += [group.eq(0), fold.eq(fold + 1)]
            with m.If(finished):
                m.d.sync += [fold.eq(0), head.eq(head + 1)]
        m.d.comb += [
            self.write_rows.eq(Mux(accept, 1 << group, 0)),
            self.write_address.eq(Cat(fold[:fold_bits], head)),
            self.write_data.eq(self.input.payload.elements),
        ]

    def _describe(self, m: Module, head: Signal, finished: Signal) -> None:
        exponent_bits = self._params.input.exponent_bits
        layout = data.StructLayout({"exponent": exponent_bits, "poisoned": 1})
        m.submodules.facts = facts = Memory(shape=layout, depth=1 << self._row_bits, init=[])
        write, read = facts.write_port(), facts.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(finished),
            write.addr.eq(head),
            write.data.exponent.eq(self.input.payload.exponent),
            write.data.poisoned.eq(self.input.payload.poisoned),
            read.addr.eq(self.row),
            self.exponent.eq(read.data.exponent),
            self.poisoned.eq(read.data.poisoned),
        ]
