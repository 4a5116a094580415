"""Divides query heads among key/value heads."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.descriptor_layout import COUNT_BITS
from hwgen.control.descriptor_rules import MAX_GROUP, MAX_QUERIES
from hwgen.params import EDGE_BITS, GROUP_BITS, LENGTH_BITS, OFFSET_BITS, QUERY_BITS, Params
from hwgen.part import Part


class HeadGroup(Part):
    """`group = query_heads / kv_heads`, `job_queries = group * queries`, `edge = -group * offset`.

    Long division, whose quotient digits, highest first, build the two products behind it. Busy for
    `3 (floor(log2(group)) + 1) + 2` cycles after `start`, 5 if the group is 0.

    Members: start; query_heads, kv_heads (not 0), queries, offset (all held while busy); busy; group, job_queries,
    edge; uneven (there is a remainder, or the group is too large); crowded (too many queries in a job). Results hold
    until the next start.
    """

    def __init__(self, params: Params) -> None:
        super().__init__(
            {
                "start": In(1),
                "query_heads": In(COUNT_BITS),
                "kv_heads": In(COUNT_BITS),
                "queries": In(LENGTH_BITS),
                "offset": In(signed(OFFSET_BITS)),
                "busy": Out(1),
                "group": Out(GROUP_BITS),
                "job_queries": Out(QUERY_BITS),
                "edge": Out(signed(EDGE_BITS)),
                "uneven": Out(1),
                "crowded": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rest, divisor = Signal(COUNT_BITS, reset_less=True), Signal(COUNT_BITS, reset_less=True)
        digits, quotient = Signal(ceil_log2(COUNT_BITS), reset_less=True), Signal(COUNT_BITS, reset_less=True)
        # The quotient is looked for, and wholly found.
        dividing, divided, down, ended = Signal(), Signal(), Signal(), Signal()
        less, fits = Signal(COUNT_BITS + 1), Signal()
        # Twice the divisor was compared, and is not too large: it enables much.
        compared, above = Signal(), Signal()
        m.d.comb += [
            less.eq(rest - divisor),
            fits.eq(~less[-1]),
            self.busy.eq(dividing | divided),
            self.group.eq(quotient),
        ]
        found = Signal()
        # The products take longer than the quotient by more than this cycle.
        m.d.sync += [divided.eq(dividing), self.uneven.eq((rest != 0) | (quotient > MAX_GROUP))]
        with m.If(self.start):
            m.d.sync += [
                rest.eq(self.query_heads),
                divisor.eq(self.kv_heads),
                digits.eq(0),
                quotient.eq(0),
                dividing.eq(1),
                down.eq(0),
                compared.eq(0),
                ended.eq(0),
            ]
        with m.Elif(dividing & ~down):
            m.d.sync += [compared.eq(~compared), above.eq(divisor.shift_left(1) <= rest)]
            with m.If(compared & above):
                m.d.sync += [divisor.eq(divisor.shift_left(1)), digits.eq(digits + 1)]
            with m.Elif(compared):
                m.d.sync += down.eq(1)
        with m.Elif(dividing):
            m.d.comb += found.eq(~ended)
            with m.If(found):
                m.d.sync += [
                    rest.eq(Mux(fits, less, rest)),
                    divisor.eq(divisor.shift_right(1)),
                    quotient.eq(quotient.shift_left(1) | fits),
                    digits.eq(digits - 1),
                    ended.eq(digits == 0),
                ]
            m.d.sync += dividing.eq(~ended)
        self._multiply(m, found, fits)
        return m

    def _multiply(self, m: Module, found: Signal, fits: Signal) -> None:
        """A digit is kept, then chooses what is added, then that is added: at the start nothing to nothing."""
        product = Signal(COUNT_BITS + LENGTH_BITS, reset_less=True)
        edge = Signal.like(self.edge, reset_less=True)
        kept, digit, started = Signal(), Signal(reset_less=True), Signal()
        queries = Signal.like(self.queries, reset_less=True)
        offset = Signal(signed(OFFSET_BITS), reset_less=True)
        add, first = Signal(), Signal()
        m.d.comb += [self.job_queries.eq(product), self.edge.eq(edge), self.crowded.eq(product > MAX_QUERIES)]
        m.d.sync += [
            started.eq(self.start),
            kept.eq(found),
            digit.eq(fits),
            first.eq(started),
            add.eq(started | kept),
            queries.eq(Mux(digit & kept, self.queries, 0)),
            offset.eq(Mux(digit & kept, self.offset, 0)),
        ]
        with m.If(add):
            m.d.sync += [
                product.eq(Mux(first, 0, product.shift_left(1)) + queries),
                edge.eq(Mux(first, 0, edge.shift_left(1)) - offset),
            ]
