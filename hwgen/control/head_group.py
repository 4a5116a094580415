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

    Long division, whose quotient digits, highest first, build the two products a cycle behind. Busy for
    `2 (floor(log2(group)) + 1) + 1` cycles after `start`, 3 if the group is 0.

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
        rest, divisor = Signal(COUNT_BITS), Signal(COUNT_BITS)
        digits = Signal(ceil_log2(COUNT_BITS))
        quotient, product = Signal(COUNT_BITS), Signal(COUNT_BITS + LENGTH_BITS)
        # The quotient is looked for; a digit was found, and is 1.
        down, ended, found, digit = Signal(), Signal(), Signal(), Signal()
        less, fits = Signal(COUNT_BITS + 1), Signal()
        m.d.comb += [
            less.eq(rest - divisor),
            fits.eq(~less[-1]),
            self.group.eq(quotient),
            self.job_queries.eq(product),
            self.uneven.eq((rest != 0) | (quotient > MAX_GROUP)),
            self.crowded.eq(product > MAX_QUERIES),
        ]
        with m.If(self.start):
            m.d.sync += [
                rest.eq(self.query_heads),
                divisor.eq(self.kv_heads),
                digits.eq(0),
                quotient.eq(0),
                product.eq(0),
                self.edge.eq(0),
                self.busy.eq(1),
                down.eq(0),
                ended.eq(0),
                found.eq(0),
            ]
        with m.Elif(self.busy & ~down):
            with m.If(divisor.shift_left(1) <= rest):
                m.d.sync += [divisor.eq(divisor.shift_left(1)), digits.eq(digits + 1)]
            with m.Else():
                m.d.sync += down.eq(1)
        with m.Elif(self.busy):
            with m.If(~ended):
                m.d.sync += [
                    rest.eq(Mux(fits, less, rest)),
                    divisor.eq(divisor.shift_right(1)),
                    quotient.eq(quotient.shift_left(1) | fits),
                    digits.eq(digits - 1),
                    ended.eq(digits == 0),
                ]
            m.d.sync += [found.eq(~ended), digit.eq(fits), self.busy.eq(~ended)]
            with m.If(found):
                m.d.sync += [
                    product.eq(product.shift_left(1) + Mux(digit, self.queries, 0)),
                    self.edge.eq(self.edge.shift_left(1) - Mux(digit, self.offset, 0)),
                ]
        return m
