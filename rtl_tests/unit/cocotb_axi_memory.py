"""Runs in the simulator: bursts into the memory, every beat with the cycle in which it moved."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

BASE = 0x1_0000_0000
WORDS = 10
BYTES = 8
SIZE = 3
LATENCY = 20

OKAY, SLVERR, DECERR = 0, 2, 3


class Read(NamedTuple):
    cycle: int
    data: int
    response: int
    last: int


def content(word: int) -> int:
    """What the memory holds at first."""
    return (word * 0x9E3779B97F4A7C15 + 1) & (1 << 64) - 1


class Master:
    """Offers bursts back to back and is ready with a given probability. Inputs change at falling edges."""

    def __init__(self, dut: Any, ready: float = 1.0) -> None:
        self.dut, self.ready, self.random = dut, ready, random.Random(5)
        self.cycle = 0
        self.ar_cycles: list[int] = []
        self.aw_cycles: list[int] = []
        self.w_cycles: list[int] = []
        self.reads: list[Read] = []
        self.responses: list[tuple[int, int]] = []

    async def reset(self) -> None:
        dut = self.dut
        Clock(dut.clk, 2, unit="ns").start(start_high=False)
        for name in ("arvalid", "awvalid", "wvalid", "rready", "bready", "dump"):
            getattr(dut, name).value = 0
        for name in ("ar", "aw"):
            getattr(dut, f"{name}size").value = SIZE
            getattr(dut, f"{name}burst").value = 1
        dut.reset.value = 1
        for _ in range(3):
            await FallingEdge(dut.clk)
        dut.reset.value = 0
        await FallingEdge(dut.clk)

    async def run(
        self,
        reads: Sequence[tuple[int, int]] = (),
        writes: Sequence[tuple[int, Sequence[tuple[int, int]]]] = (),
        *,
        limit: int = 3000,
    ) -> None:
        """Read (byte offset, beats), write (byte offset, [(data, strobe)]); returns when all bursts have ended."""
        dut = self.dut
        beats = [(*beat, i == len(data) - 1) for _, data in writes for i, beat in enumerate(data)]
        ar = aw = w = ends = 0
        before = len(self.responses)
        for _ in range(limit):
            dut.arvalid.value = ar < len(reads)
            if ar < len(reads):
                dut.araddr.value, dut.arlen.value = BASE + reads[ar][0], reads[ar][1] - 1
            dut.awvalid.value = aw < len(writes)
            if aw < len(writes):
                dut.awaddr.value, dut.awlen.value = BASE + writes[aw][0], len(writes[aw][1]) - 1
            dut.wvalid.value = w < len(beats)
            if w < len(beats):
                dut.wdata.value, dut.wstrb.value, dut.wlast.value = beats[w]
            dut.rready.value = self.random.random() < self.ready
            dut.bready.value = self.random.random() < self.ready
            # Outputs that depend on inputs settle before the next rising edge.
            await ReadOnly()
            if ar < len(reads) and dut.arready.value:
                ar += 1
                self.ar_cycles.append(self.cycle)
            if aw < len(writes) and dut.awready.value:
                aw += 1
                self.aw_cycles.append(self.cycle)
            if w < len(beats) and dut.wready.value:
                w += 1
                self.w_cycles.append(self.cycle)
            if dut.rvalid.value and dut.rready.value:
                beat = (int(dut.rdata.value), int(dut.rresp.value), int(dut.rlast.value))
                self.reads.append(Read(self.cycle, *beat))
                ends += beat[2]
            if dut.bvalid.value and dut.bready.value:
                self.responses.append((self.cycle, int(dut.bresp.value)))
            self.cycle += 1
            await FallingEdge(dut.clk)
            if ends == len(reads) and len(self.responses) - before == len(writes):
                dut.rready.value = dut.bready.value = 0
                return
        answers = len(self.responses) - before
        raise AssertionError(f"not done: {ends} of {len(reads)} reads, {answers} of {len(writes)} writes")

    def words(self) -> list[int]:
        return [read.data for read in self.reads]


ALL = (1 << BYTES) - 1
SCATTERED = [(8 * 37, 5), (0, 1), (8 * 1000, 24), (8, 1), (16, 1), (8 * 64, 16), (8 * 512, 256)]


def wanted(reads: Sequence[tuple[int, int]]) -> list[int]:
    return [content(offset // BYTES + i) for offset, beats in reads for i in range(beats)]


async def plain(dut: Any) -> None:
    master = Master(dut)
    await master.reset()
    await master.run(SCATTERED)
    assert master.words() == wanted(SCATTERED)
    # Addresses are taken at once, all beats follow each other without a gap, and the first is as late as asked for.
    assert master.ar_cycles == list(range(len(SCATTERED)))
    assert [read.cycle for read in master.reads] == list(range(LATENCY, LATENCY + len(master.reads)))
    assert {read.response for read in master.reads} == {OKAY}
    lengths = [beats for _, beats in SCATTERED]
    ends = [i for i, read in enumerate(master.reads) if read.last]
    assert ends == [sum(lengths[: i + 1]) - 1 for i in range(len(lengths))]
    assert int(dut.read_bursts.value) == len(SCATTERED) and int(dut.read_beats.value) == sum(lengths)
    writes = [(8 * 5, [(i * 0x0101010101010101, ALL) for i in range(1, 17)]), (0, [(2**64 - 1, 0x81)])]
    writes.append((8 * 5, [(0, 0), (0, 0x0F)]))
    begin = master.cycle
    await master.run(writes=writes)
    assert master.w_cycles == list(range(begin + 1, begin + 1 + 19))
    lasts = [begin + 16, begin + 17, begin + 19]
    assert master.responses == [(cycle + LATENCY, OKAY) for cycle in lasts]
    master.reads.clear()
    await master.run([(0, 32)])
    want = [content(i) for i in range(32)]
    want[0] |= 0xFF000000000000FF
    want[5:21] = [i * 0x0101010101010101 for i in range(1, 17)]
    want[6] &= ~0xFFFFFFFF
    assert master.words() == want
    assert int(dut.write_bursts.value) == 3 and int(dut.write_beats.value) == 19
    dut.dump.value = 1
    for _ in range(3):
        await FallingEdge(dut.clk)


async def a_slow_reader(dut: Any) -> None:
    master = Master(dut, ready=0.4)
    await master.reset()
    writes = [(8 * i, [(i, ALL)]) for i in range(40)]
    await master.run(SCATTERED, writes)
    master.reads.clear()
    await master.run([(0, 40), (8 * 512, 256)])
    assert master.words() == [*range(40), *wanted([(8 * 512, 256)])]


async def stalls(dut: Any) -> None:
    master = Master(dut, ready=0.7)
    await master.reset()
    writes = [(8 * 4 * i, [(4 * i + j, ALL) for j in range(4)]) for i in range(20)]
    await master.run([(8 * 512, 256), (8 * 800, 16)], writes)
    assert master.words() == wanted([(8 * 512, 256), (8 * 800, 16)])
    master.reads.clear()
    await master.run([(8 * i, 1) for i in range(80)])
    assert master.words() == list(range(80))
    # Every channel paused somewhere.
    for cycles in (master.ar_cycles[2:], master.aw_cycles, master.w_cycles):
        assert cycles[-1] - cycles[0] > len(cycles) * 1.2


async def half_the_bandwidth(dut: Any) -> None:
    master = Master(dut)
    await master.reset()
    await master.run([(0, 128)])
    # 100 of 256.
    assert 320 <= master.reads[-1].cycle - master.reads[0].cycle <= 328
    await master.run(writes=[(0, [(i, ALL) for i in range(128)])])
    assert 320 <= master.w_cycles[-1] - master.w_cycles[0] <= 328


async def data_before_the_address(dut: Any) -> None:
    """AWREADY waits for WVALID."""
    master = Master(dut)
    await master.reset()
    dut.awvalid.value, dut.awaddr.value, dut.awlen.value = 1, BASE, 0
    for _ in range(10):
        await FallingEdge(dut.clk)
        assert not dut.awready.value
    await master.run(writes=[(0, [(1, ALL)])])
    assert len(master.responses) == 1


async def faults(dut: Any) -> None:
    """The 7th beat, the 4th burst read and the second one written."""
    master = Master(dut)
    await master.reset()
    reads = [(0, 4), (64, 4), (128, 2), (256, 3), (512, 1)]
    await master.run(reads, [(0, [(1, ALL)]), (8, [(2, ALL)]), (16, [(3, ALL)])])
    assert [i for i, read in enumerate(master.reads) if read.response == DECERR] == [6, 10, 11, 12]
    assert [response for _, response in master.responses] == [OKAY, DECERR, OKAY]
    assert {read.response for read in master.reads} == {OKAY, DECERR}
    assert master.words() == wanted(reads)
    master.reads.clear()
    await master.run([(0, 3)])
    # What is refused is not written.
    assert master.words() == [1, content(1), 3]


async def outside(dut: Any) -> None:
    """Addresses below and above, bursts of other kinds."""
    master = Master(dut)
    await master.reset()
    await master.run([(-8, 1), (8 << WORDS, 2), ((8 << WORDS) - 8, 1)], [(-8, [(1, ALL)]), (8 << WORDS, [(1, ALL)])])
    assert [read.response for read in master.reads] == [DECERR] * 3 + [OKAY]
    assert [response for _, response in master.responses] == [DECERR] * 2
    for size, burst in ((SIZE - 1, 1), (SIZE, 2), (SIZE, 0)):
        dut.arsize.value, dut.arburst.value = size, burst
        master.reads.clear()
        await master.run([(0, 1)])
        assert master.reads[0].response == SLVERR
    dut.arsize.value, dut.arburst.value = SIZE, 1
    master.reads.clear()
    await master.run([(0, 1), ((8 << WORDS) - 8, 1)])
    assert master.words() == [content(0), content((1 << WORDS) - 1)]


async def wrong_ends(dut: Any) -> None:
    """From the second burst on one ends early, which is the third; the fifth ends late."""
    master = Master(dut)
    await master.reset()
    assert not dut.wrong_last.value
    await master.run([(0, 4), (64, 1), (128, 3), (0, 2), (0, 2), (0, 3)])
    assert dut.wrong_last.value
    ends = [i for i, read in enumerate(master.reads) if read.last]
    assert ends == [3, 4, 6, 8, 11, 14]
    assert {read.response for read in master.reads} == {OKAY}


@cocotb.test()
async def case(dut: Any) -> None:
    await globals()[os.environ["CASE"]](dut)
