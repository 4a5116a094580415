"""Hands a job's addresses to all who read or write its rows."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from hwgen.control.job_walker import head_tensors, heads_layout
from hwgen.params import LENGTH_BITS, QUERY_BITS, Params
from hwgen.part import Part, place
from hwgen.pipeline import delayed
from hwgen.queue import Queue

DEPTH = 4
WRITTEN = ("o", "lse")


class HeadFork(Part):
    """One stream of jobs' places in; for each tensor a stream of addresses out, for those written one of row numbers
    too, each with a queue of its own so that each goes at its own pace. LSE gets nothing unless `write_lse` is set.

    Latency 3 cycles; throughput one job every 3 cycles, as jobs are longer than that: the queues are apart, so what
    they get is in registers first, and whether they have room is looked at a cycle before.
    """

    def __init__(self, params: Params) -> None:
        self._tensors = head_tensors(params)
        address = stream.Signature(unsigned(params.config.address_bits))
        rows = stream.Signature(unsigned(QUERY_BITS))
        super().__init__(
            {"heads": In(stream.Signature(heads_layout(params))), "write_lse": In(1)}
            | {name: Out(address) for name in self._tensors}
            | {f"{name}_rows": Out(rows) for name in WRITTEN}
        )

    def elaborate(self, platform):
        m = Module()
        heads = self.heads.payload
        outputs = {name: (getattr(self, name), heads[name]) for name in self._tensors}
        outputs |= {f"{name}_rows": (getattr(self, f"{name}_rows"), heads.queries) for name in WRITTEN}
        queues = {name: Queue(width=len(value), depth=DEPTH) for name, (_, value) in outputs.items()}
        ready, taken, there = Signal(), Signal(), Signal()
        m.d.comb += [self.heads.ready.eq(ready), taken.eq(self.heads.valid & ready)]
        m.d.sync += [
            ready.eq(Cat(queue.w_rdy for queue in queues.values()).all() & ~taken & ~there),
            there.eq(taken),
        ]
        # Known long before the first job.
        write_lse = Signal()
        m.d.sync += write_lse.eq(self.write_lse)
        words = {name: delayed(m, value, 1, name) for name, (_, value) in outputs.items()}
        for name, (output, _) in outputs.items():
            queue = queues[name]
            place(m, f"queue_{name}", queue)
            wanted = write_lse if name.startswith("lse") else 1
            m.d.comb += [
                queue.w_data.eq(words[name]),
                queue.w_en.eq(there & wanted),
                output.payload.eq(queue.r_data),
                output.valid.eq(queue.r_rdy),
                queue.r_en.eq(output.ready),
            ]
        return m


class RowsOwed(Part):
    """Counts rows that were promised and not asked for yet: `add` adds `rows`, `pay` is taken off; `none` is left: not
    from the cycle behind `add` on, and three cycles behind the last `pay` again.
    """

    def __init__(self) -> None:
        super().__init__({"add": In(1), "rows": In(QUERY_BITS), "pay": In(LENGTH_BITS), "none": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # All jobs in the queues may be of the largest size.
        owed = Signal(QUERY_BITS + (DEPTH + 2).bit_length())
        add, rows, pay, zero = Signal(), Signal.like(self.rows), Signal.like(self.pay), Signal(init=1)
        # What is to be added, less what is paid.
        added, more = Signal(), Signal(signed(QUERY_BITS + 1))
        m.d.comb += self.none.eq(zero & ~add & ~added)
        m.d.sync += [
            add.eq(self.add),
            rows.eq(self.rows),
            pay.eq(self.pay),
            added.eq(add),
            more.eq(Mux(add, rows, 0) - pay),
            owed.eq(owed + more),
            zero.eq((owed == 0) & ~added),
        ]
        return m
