"""Serial lines: 8 data bits, the lowest first, no parity, one stop bit."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from hwgen.part import Part

FEWEST_CLOCKS = 4
DATA_BITS = 8


def require_clocks(clocks_per_bit: int) -> None:
    """Raises ValueError for a bit that is too short to be found."""
    if clocks_per_bit < FEWEST_CLOCKS:
        raise ValueError(f"a bit must take at least {FEWEST_CLOCKS} clocks, not {clocks_per_bit!r}")


class UartReceiver(Part):
    """Bytes from a line, each bit looked at in its middle.

    Latency: `valid` is high for a cycle, `latency(clocks_per_bit)` cycles after the start bit's first one. The next
    start bit may follow right behind a stop bit's middle, so that clocks may differ by 5 % of a bit at 8 clocks a bit.

    Members
    -------
    rx:          the line, of any clock
    valid, data: a byte
    broken:      for a cycle: a byte without a stop bit, which is dropped; the line must be high before the next one
    """

    def __init__(self, clocks_per_bit: int) -> None:
        require_clocks(clocks_per_bit)
        self._clocks = clocks_per_bit
        super().__init__({"rx": In(1), "valid": Out(1), "data": Out(DATA_BITS), "broken": Out(1)})

    @staticmethod
    def latency(clocks_per_bit: int) -> int:
        """Two registers of the synchroniser, nine and a half bits, and two registers."""
        return 2 + 9 * clocks_per_bit + clocks_per_bit // 2 + 2

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # The first one may be caught between 0 and 1.
        line = Signal(2, init=3)
        m.d.sync += line.eq(Cat(self.rx, line[0]))
        level = line[1]
        clock = Signal(range(self._clocks), init=self._clocks // 2)
        left = Signal(range(DATA_BITS + 2), init=DATA_BITS + 1)
        busy, high = Signal(), Signal(init=1)
        m.d.sync += [self.valid.eq(0), self.broken.eq(0)]
        with m.If(~busy):
            m.d.sync += [clock.eq(self._clocks // 2), left.eq(DATA_BITS + 1)]
            with m.If(level):
                m.d.sync += high.eq(1)
            with m.Elif(high):
                m.d.sync += busy.eq(1)
        with m.Elif(clock != 0):
            m.d.sync += clock.eq(clock - 1)
        with m.Else():
            m.d.sync += [clock.eq(self._clocks - 1), left.eq(left - 1)]
            with m.If(left == DATA_BITS + 1):
                # A start bit that is over in its middle was noise.
                m.d.sync += busy.eq(~level)
            with m.Elif(left == 0):
                m.d.sync += [busy.eq(0), high.eq(level), self.valid.eq(level), self.broken.eq(~level)]
            with m.Else():
                m.d.sync += self.data.eq(Cat(self.data[1:], level))
        return m


class UartTransmitter(Part):
    """Bytes onto a line.

    Latency 1 cycle from a byte to its start bit; throughput a byte in `10 clocks_per_bit + 1` cycles.

    Members
    -------
    input: bytes
    tx:    the line, high at rest
    """

    def __init__(self, clocks_per_bit: int) -> None:
        require_clocks(clocks_per_bit)
        self._clocks = clocks_per_bit
        super().__init__({"input": In(stream.Signature(unsigned(DATA_BITS))), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = Signal(DATA_BITS + 2, init=-1)
        clock, left, busy = Signal(range(self._clocks)), Signal(range(DATA_BITS + 2)), Signal()
        m.d.comb += [self.input.ready.eq(~busy), self.tx.eq(bits[0])]
        with m.If(~busy):
            m.d.sync += [clock.eq(self._clocks - 1), left.eq(DATA_BITS + 1)]
            with m.If(self.input.valid):
                m.d.sync += [busy.eq(1), bits.eq(Cat(C(0, 1), self.input.payload, C(1, 1)))]
        with m.Elif(clock != 0):
            m.d.sync += clock.eq(clock - 1)
        with m.Else():
            m.d.sync += [clock.eq(self._clocks - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], C(1, 1)))]
            m.d.sync += busy.eq(left != 0)
        return m
