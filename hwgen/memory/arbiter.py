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
        behind, turn = Signal.like(self.grant), Signal.like(self.grant)
        m.d.comb += turn.eq(Mux((self.request & behind).any(), self.request & behind, self.request))
        m.d.comb += self.grant.eq(Cat(bit & ~turn[:i].any() for i, bit in enumerate(turn)))
        with m.If(self.advance & turn.any()):
            m.d.sync += behind.eq(Cat(self.grant[:i].any() for i in range(len(turn))))
        return m
