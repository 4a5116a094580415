"""Who is next."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from hwgen.part import Part


class RoundRobin(Part):
    """Grants one of `clients` requests: the next in turn behind the one granted last.

    Latency 0; throughput 1 grant a cycle.

    Members
    -------
    request: who wants something
    grant:   one of them, a bit for each client; none if there is no request
    advance: the grant was used
    """

    def __init__(self, clients: int) -> None:
        super().__init__(
            {"request": In(clients), "grant": Out(clients), "advance": In(1)},
        )

    def elaborate(self, platform):
        m = Module()
        behind = Signal.like(self.grant)
        # Those behind the last one, and all: the first of each is found at the same time.
        late, all_of = self.request & behind, self.request
        late_before, all_before = (Cat(bits[:i].any() for i in range(len(bits))) for bits in (late, all_of))
        m.d.comb += self.grant.eq((late & ~late_before) | (Mux(late.any(), 0, all_of) & ~all_before))
        with m.If(self.advance & self.request.any()):
            m.d.sync += behind.eq(Mux(late.any(), late_before, all_before))
        return m
