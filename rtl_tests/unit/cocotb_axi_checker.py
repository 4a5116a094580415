"""Runs in the simulator: traffic cycle by cycle, and the one rule that has to be broken by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

READS = WRITES = 4
BYTES = 16
SIZE = 4
INCR = 1

Cycle = dict[str, int]

INPUTS = {
    **{f"{x}{name}": 0 for x in ("aw", "ar") for name in ("id", "addr", "len", "rest", "valid", "ready")},
    **{f"{x}size": SIZE for x in ("aw", "ar")},
    **{f"{x}burst": INCR for x in ("aw", "ar")},
    **{name: 0 for name in ("wdata", "wstrb", "wlast", "wvalid", "wready", "bid", "bresp", "bvalid", "bready")},
    **{name: 0 for name in ("rid", "rdata", "rresp", "rlast", "rvalid", "rready", "forgive_last", "forgive_ahead")},
}


def aw(address: int = 0, length: int = 0, ready: int = 1, **more: int) -> Cycle:
    return {"awaddr": address, "awlen": length, "awvalid": 1, "awready": ready, **more}


def w(last: int = 1, strobe: int = (1 << BYTES) - 1, ready: int = 1, **more: int) -> Cycle:
    return {"wvalid": 1, "wready": ready, "wlast": last, "wstrb": strobe, **more}


def b(ready: int = 1, **more: int) -> Cycle:
    return {"bvalid": 1, "bready": ready, **more}


def ar(address: int = 0, length: int = 0, ready: int = 1, **more: int) -> Cycle:
    return {"araddr": address, "arlen": length, "arvalid": 1, "arready": ready, **more}


def r(last: int = 1, ready: int = 1, **more: int) -> Cycle:
    return {"rvalid": 1, "rready": ready, "rlast": last, **more}


LEGAL: dict[str, list[Cycle]] = {
    "one read": [ar(0x1000, 2), r(0), r(0), r(1)],
    "reads in flight": [ar(0, 1), ar(0x40, 0), r(0), {**r(1), **ar(0x80, 0)}, r(1), {}, r(1)],
    "as many reads as allowed": [*[ar(16 * i) for i in range(READS)], *[r() for _ in range(READS)]],
    "a slow read": [ar(ready=0), ar(ready=0), ar(), {}, r(ready=0, rdata=5), r(ready=0, rdata=5), r(rdata=5)],
    "one write": [aw(0x1000, 1), w(0), w(1), b()],
    "address and data at once": [aw(0, 1) | w(0), w(1), {}, b()],
    "data before the address is taken": [aw(0, 1, ready=0) | w(0), aw(0, 1, ready=0) | w(1), aw(0, 1), b()],
    "writes in flight": [aw(0), aw(16, 1) | w(), w(0) | b(), w(1), b()],
    "as many writes as allowed": [*[aw(16 * i) | w() for i in range(WRITES)], *[b() for _ in range(WRITES)]],
    "a slow write": [aw(ready=0), aw(), w(ready=0, wdata=7), w(wdata=7), b(ready=0), b()],
    "readiness may come and go": [{"awready": 1, "rready": 1}, {"bready": 1, "arready": 1}, {"wready": 1}, {}],
    "up to the end of the page": [ar(0xF00, 15), *[r(i == 15) for i in range(16)]],
    "a whole page": [ar(0x3000, 255), *[r(i == 255) for i in range(256)]],
    "few bytes": [aw(0, 1), w(0, 0x8001), w(1, 0), b()],
    "narrow": [aw(0x6, 2, awsize=1), w(0, 0xC0), w(0, 0x300), w(1, 0x400), b()],
    "narrow and unaligned": [aw(0x5, 1, awsize=2), w(0, 0xE0), w(1, 0xF00), b()],
    "unaligned": [aw(0x13, 1), w(0, 0xFFF8), w(1, 0xFFFF), b()],
    "narrow in the upper lanes, then wrapping to the lower": [aw(0xC, 1, awsize=2), w(0, 0xF000), w(1, 0xF), b()],
    "errors are answers": [ar(), r(rresp=3), aw(), w(), b(bresp=2)],
    "a forgiven lead": [w(ready=0, forgive_ahead=1), aw(ready=0) | w(ready=0), aw() | w(), b()],
    "a forgiven end": [ar(0, 3, forgive_last=1), r(0, forgive_last=1), r(1, forgive_last=1)],
}

ILLEGAL: dict[str, tuple[str, list[Cycle]]] = {
    "AW falls": ("AW_STABLE", [aw(ready=0), {}]),
    "AW address": ("AW_STABLE", [aw(0, ready=0), aw(16, ready=0)]),
    "AW qos": ("AW_STABLE", [aw(ready=0), aw(ready=0, awrest=1)]),
    "W falls": ("W_STABLE", [aw(), w(ready=0), {}]),
    "W data": ("W_STABLE", [aw(), w(ready=0, wdata=1), w(ready=0, wdata=1 << 127)]),
    "W strobe": ("W_STABLE", [aw(), w(ready=0), w(ready=0, strobe=1)]),
    "B falls": ("B_STABLE", [aw() | w(), b(ready=0), {}]),
    "B response": ("B_STABLE", [aw() | w(), b(ready=0), b(ready=0, bresp=2)]),
    "AR falls": ("AR_STABLE", [ar(ready=0), {}]),
    "AR length": ("AR_STABLE", [ar(ready=0), ar(0, 1, ready=0)]),
    "R falls": ("R_STABLE", [ar(), r(ready=0), {}]),
    "R data": ("R_STABLE", [ar(), r(ready=0), r(ready=0, rdata=1)]),
    "R last": ("R_STABLE", [ar(0, 1), r(0, ready=0), r(1, ready=0)]),
    "read over a page": ("PAGE", [ar(0xFF0, 1)]),
    "write over a page": ("PAGE", [aw(0xF10, 15)]),
    "long read over a page": ("PAGE", [ar(0x10, 255)]),
    "unaligned read over a page": ("PAGE", [ar(0xFF8, 1)]),
    "fixed": ("BURST", [ar(arburst=0)]),
    "wrapping": ("BURST", [aw(awburst=2)]),
    "too wide a read": ("SIZE", [ar(arsize=SIZE + 1)]),
    "too wide a write": ("SIZE", [aw(awsize=7)]),
    "WLAST early": ("WLAST", [aw(0, 1), w(1)]),
    "WLAST missing": ("WLAST", [aw(), w(0)]),
    "WLAST missing in an offered burst": ("WLAST", [aw(ready=0) | w(0, ready=0)]),
    "WLAST of the second burst": ("WLAST", [aw(0), aw(16, 1), w(1), w(1)]),
    "RLAST early": ("RLAST", [ar(0, 1), r(1)]),
    "RLAST missing": ("RLAST", [ar(), r(0)]),
    "RLAST of the second burst": ("RLAST", [ar(0), ar(16, 1), r(1), r(0), r(0)]),
    "W alone": ("W_AHEAD", [w(ready=0)]),
    "W of a burst more": ("W_AHEAD", [aw(), w(), w(ready=0)]),
    "lower lanes": ("STROBE", [aw(0x13), w(1, 0xFFFC)]),
    "upper lanes": ("STROBE", [aw(0, awsize=0), w(1, 0x3)]),
    "second beat": ("STROBE", [aw(0, 1, awsize=2), w(0, 0xF), w(1, 0xF)]),
    "burst that is offered": ("STROBE", [aw(8, ready=0) | w(1, 0x80, ready=0)]),
    "B alone": ("B_EARLY", [b()]),
    "B with the last W": ("B_EARLY", [aw(), w() | b()]),
    "B before AW": ("B_EARLY", [aw(ready=0) | w(), aw(ready=0) | b()]),
    "B before W": ("B_EARLY", [aw(), b()]),
    "two B": ("B_EARLY", [aw() | w(), b(), b()]),
    "R alone": ("R_EARLY", [r()]),
    "R with AR": ("R_EARLY", [ar() | r()]),
    "R behind the last": ("R_EARLY", [ar(), r(), r()]),
    "a read too many": ("READS", [*[ar(16 * i) for i in range(READS + 1)], {}]),
    "a write too many": ("WRITES", [*[aw(16 * i) | w() for i in range(WRITES + 1)], {}]),
    "AW number": ("ID", [aw(awid=1)]),
    "AR number": ("ID", [ar(arid=1)]),
    "B number": ("ID", [aw() | w(), b(bid=1)]),
    "R number": ("ID", [ar(), r(rid=1)]),
    "AW cache": ("KIND", [aw(awrest=1 << 7)]),
    "AR qos": ("KIND", [ar(arrest=8)]),
    "forgiving the end does not forgive the rest": ("R_EARLY", [ar(0, 3, forgive_last=1), *[r(1, forgive_last=1)] * 2]),
}


async def play(dut: Any, cycles: Iterable[Cycle], reset: int = 0) -> None:
    for changes in cycles:
        dut.reset.value = reset
        for name, value in (INPUTS | changes).items():
            getattr(dut, name).value = value
        await FallingEdge(dut.clk)


async def restart(dut: Any) -> None:
    await play(dut, [{}] * 5, reset=1)


@cocotb.test()
async def every_rule(dut: Any) -> None:
    """Inputs change at falling edges, so what is checked at a rising edge was there for half a cycle."""
    from rtl_tests.unit.test_axi_checker import RULES

    Clock(dut.clk, 2, unit="ns").start(start_high=False)
    await restart(dut)
    assert not dut.violated.value
    for label, cycles in LEGAL.items():
        await restart(dut)
        await play(dut, [*cycles, {}, {}])
        assert not dut.violated.value, f"{label}: {RULES[int(dut.rule.value)]}"
        assert (int(dut.reads.value), int(dut.writes.value)) == (0, 0), label
    for label, (rule, cycles) in ILLEGAL.items():
        await restart(dut)
        await play(dut, cycles[:-1])
        assert not dut.violated.value, f"{label}: {RULES[int(dut.rule.value)]} before its end"
        await play(dut, [cycles[-1], {}])
        got = RULES[int(dut.rule.value)]
        assert dut.violated.value and got == rule, f"{label}: {got} instead of {rule}"
        # The first one stays.
        await play(dut, [ar(arburst=0), ar(arsize=7), {}])
        assert RULES[int(dut.rule.value)] == rule, label


@cocotb.test()
async def valid_in_reset(dut: Any) -> None:
    Clock(dut.clk, 2, unit="ns").start(start_high=False)
    for name in ("awvalid", "wvalid", "bvalid", "arvalid", "rvalid"):
        await play(dut, [{}] * 3)
        # The first cycles of a reset may find anything.
        await play(dut, [{name: 1}] * 3, reset=1)
        await play(dut, [{}] * 3, reset=1)
        assert not dut.violated.value
        await play(dut, [{name: 1}, {}], reset=1)
        assert dut.violated.value and int(dut.rule.value) == 1, name


@cocotb.test()
async def cycles_are_counted(dut: Any) -> None:
    Clock(dut.clk, 2, unit="ns").start(start_high=False)
    for wait in (0, 7):
        await restart(dut)
        await play(dut, [{}] * wait + [r(), {}])
        assert int(dut.since.value) == wait
