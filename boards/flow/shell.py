"""The outermost module of a board: clock, reset, pins; in it the `BoardTop`."""

from __future__ import annotations

from typing import Any, NamedTuple

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, Signal
from amaranth.lib.wiring import In, Out

from boards.board import Board
from boards.link.top import BoardTop
from hwgen.errors import ConfigError
from hwgen.params import Params
from hwgen.part import Part, place

OSCILLATOR, LEDS = "oscillator", "leds"
"""Names of ports."""

MACHINE = "clk"
"""The clock that all of the machine runs on."""

SETTLING = 4
"""Cycles from the PLL's lock to the end of the reset."""


class PllSettings(NamedTuple):
    """Dividers of an ECP5 PLL whose own output is its feedback: output = input / reference * feedback, and the VCO runs
    `output` times as fast as the output."""

    reference: int
    feedback: int
    output: int


def ecp5_pll(input_hz: int, output_hz: int) -> PllSettings:
    """Dividers that give exactly the frequency, with the VCO near the middle of its range. Raises ConfigError."""
    slowest, fastest, least_reference = 400_000_000, 800_000_000, 3_125_000
    found = [
        PllSettings(reference, feedback, output)
        for reference in range(1, 129)
        if input_hz >= least_reference * reference
        for feedback in range(1, 81)
        if input_hz * feedback == output_hz * reference
        for output in range(1, 129)
        if slowest <= output_hz * output <= fastest
    ]
    if not found:
        raise ConfigError(f"no setting of an ECP5 PLL makes {output_hz} Hz of {input_hz} Hz")
    return min(found, key=lambda pll: (abs(output_hz * pll.output - 600_000_000), pll.reference))


class Shell(Part):
    """Pins outside, the machine inside. The reset ends SETTLING cycles behind the PLL's lock, or behind power-up if the
    oscillator is the machine's clock itself.

    Members: oscillator (clock); uart_rx, uart_tx; leds. Raises ConfigError if the PLL cannot make the clock.
    """

    def __init__(self, params: Params, board: Board, leds_inverted: bool = False) -> None:
        self._leds_inverted = leds_inverted
        self._top = BoardTop(
            params, memory_bytes=board.memory_bytes, clocks_per_bit=clocks_per_bit(board.clock_hz, board.baud)
        )
        self._pll = None if board.clock_hz == board.oscillator_hz else ecp5_pll(board.oscillator_hz, board.clock_hz)
        super().__init__(
            {OSCILLATOR: In(1), "uart_rx": In(1), "uart_tx": Out(1, init=1), LEDS: Out(len(self._top.leds))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains += ClockDomain("sync", reset_less=True)
        locked = Signal()
        clock = Signal(name=MACHINE)
        if self._pll is None:
            m.d.comb += [clock.eq(self.oscillator), locked.eq(1)]
        else:
            m.submodules.pll = self._make_pll(self._pll, clock, locked)
        m.d.comb += ClockSignal("sync").eq(clock)
        reset = Signal(SETTLING, init=-1)
        m.d.sync += reset.eq(reset << 1 | ~locked)
        place(m, "board", self._top)
        m.d.comb += [
            self._top.clk.eq(clock),
            self._top.rst.eq(reset[-1]),
            self._top.uart_rx.eq(self.uart_rx),
            self.uart_tx.eq(self._top.uart_tx),
            self.leds.eq(~self._top.leds if self._leds_inverted else self._top.leds),
        ]
        return m

    def _make_pll(self, pll: PllSettings, clock: Signal, locked: Signal) -> Instance:
        return Instance(
            "EHXPLLL",
            p_CLKI_DIV=pll.reference,
            p_CLKFB_DIV=pll.feedback,
            p_CLKOP_DIV=pll.output,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=pll.output - 1,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.oscillator,
            i_CLKFB=clock,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=0,
            i_PHASESTEP=0,
            i_PHASELOADREG=0,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=clock,
            o_LOCK=locked,
        )


def clocks_per_bit(clock_hz: int, baud: int) -> int:
    """Cycles of a UART bit. Raises ConfigError if the clock is too slow or misses the rate by more than 1 %; a receiver
    that looks into the middle of each of ten bits can stand more."""
    clocks = round(clock_hz / baud)
    if clocks < 4 or abs(clocks * baud - clock_hz) > 0.01 * clock_hz:
        near = clock_hz / max(clocks, 4)
        raise ConfigError(f"a clock of {clock_hz} Hz cannot serve {baud} baud; the nearest it can is {near:.0f}")
    return clocks
