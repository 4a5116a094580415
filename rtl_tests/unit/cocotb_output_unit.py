"""Runs in the simulator: the output unit between dictionaries that play the memories of lanes and value array."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from golden.bitexact.normalise import normalise, quiet_nan
from hwgen.array.value_array import drain_latency
from hwgen.control.drain import step_layout
from hwgen.params import Params
from hwgen.sim.files import unpack
from hwgen.softmax.lane import result_layout
from hwgen.softmax.output import RECORD_LATENCY, lse_beat, output_beat, output_latency, read_latency
from hwgen.tests.jobs import Fields, drain_steps, job
from rtl_tests.harness.configurations import params
from rtl_tests.harness.cycles import bits_of, pack
from rtl_tests.harness.streams import Sink, start

# Two cycles from end to end of an empty queue.
LSE_LATENCY = RECORD_LATENCY + 2
STEP = ("slot", "column", "fold", "group", "void", "first", "last", "slot_last", "job_last")


@dataclass(frozen=True)
class Query:
    """The final state of a query: what its lane keeps, and its row of accumulators."""

    result: Fields
    rnv: list[int]

    def codes(self, core: Params, void: int) -> list[int]:
        """Its row of O."""
        if void or self.result["empty"]:
            return [0] * len(self.rnv)
        if self.result["poisoned"]:
            return [quiet_nan(core.numerics.output)] * len(self.rnv)
        rd, rm, rmv = (np.array([self.result[name]]) for name in ("rd", "rm", "rmv"))
        return normalise(np.array([self.rnv]), rd, rm, rmv, core.numerics)[0].tolist()

    def lse(self, void: int) -> Fields:
        """What goes out beside it."""
        blank = void or self.result["empty"]
        sums = {name: 0 if blank else self.result[name] for name in ("rm", "rd")}
        return sums | {"empty": int(blank), "poisoned": 0 if void else self.result["poisoned"]}


def random_length(rng: np.random.Generator, bits: int) -> int:
    """A number of 1 .. bits bits, all lengths alike."""
    length = int(rng.integers(1, bits + 1))
    return int(rng.integers(1 << (length - 1), 1 << length))


def random_query(rng: np.random.Generator, core: Params) -> Query:
    """Quotients of all sizes, from below the smallest subnormal to infinity, many of them beside a midpoint."""
    n, fmt = core.numerics, core.output
    digits = fmt.mantissa_bits + 1
    rd = random_length(rng, n.denominator_bits)
    length = int(rng.integers(1, n.accumulator_bits))
    kinds = rng.integers(0, 4, core.config.head_f)
    if length >= digits + 1 + rd.bit_length():
        length = digits + 1 + rd.bit_length()
        near = rng.integers(1 << digits, 2 << digits, len(kinds)).astype(object) * rd + rng.integers(-1, 2, len(kinds))
    else:
        near = rng.integers(1 << (length - 1), 1 << length, len(kinds)).astype(object)
    plain = rng.integers(1 << (length - 1), 1 << length, len(kinds)).astype(object)
    rnv = np.where(kinds == 0, plain, np.where(kinds == 1, 0, near)) * rng.choice([1, -1], len(kinds))
    lowest = 1 - fmt.bias - fmt.mantissa_bits
    target = int(rng.choice([0, rng.integers(lowest - 3, lowest + 9), rng.integers(fmt.bias - 4, fmt.bias + 3)]))
    shift = target - (length - rd.bit_length()) - n.drop + n.operand_bits - 1
    empty = int(rng.random() < 0.15)
    result = {"rm": -(shift // 2), "rmv": shift - shift // 2, "rd": 0 if empty else rd, "empty": empty}
    return Query(result | {"poisoned": int(not empty and rng.random() < 0.15)}, [int(value) for value in rnv])


@dataclass
class Memories:
    """What stands in the place of a slot: its block's results until they are drained, then those of the next."""

    core: Params
    queries: dict[tuple[int, int, int], Query]
    blocks: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for block, slot, _ in self.queries:
            waiting = self.blocks.setdefault(slot, [])
            waiting += [block] if block not in waiting else []

    def holds(self, block: int, slot: int) -> bool:
        return self.blocks[slot][:1] == [block]

    def drain(self, slot: int) -> None:
        self.blocks[slot].pop(0)

    def at(self, slot: int, column: int) -> Query | None:
        """None where no query is."""
        block = (self.blocks.get(slot) or [-1])[0]
        return self.queries.get((block, slot, column))

    def result(self, lane: int, address: int) -> int:
        slot, place = address >> self.core.group_bits, address & ((1 << self.core.group_bits) - 1)
        query = self.at(slot, lane * self.core.group + place)
        return bits_of(result_layout(self.core), query.result) if query else 0

    def values(self, columns: int, rows: int, address: int) -> list[int]:
        """A value for each row of the selected group; zeros if no column is selected."""
        width = self.core.config.out_beat
        slot, fold = address >> self.core.fold_f_bits, address & ((1 << self.core.fold_f_bits) - 1)
        query = self.at(slot, columns.bit_length() - 1)
        if not columns or not query:
            return [0] * width
        assert rows.bit_count() == 1
        first = fold * self.core.config.rows_f + (rows.bit_length() - 1) * width
        return query.rnv[first : first + width]


class Player:
    """Sends steps while there is room, answers reads, and writes down what happens: (cycle, what) for each kind."""

    def __init__(self, dut, core: Params, rng: np.random.Generator, idle: float) -> None:
        self.dut, self.core, self.rng, self.idle = dut, core, rng, idle
        size = core.block
        jobs = [job(size, 3), job(size + 1, 9, 1, -5), job(size, 2), job(2 * size, 5), job(1, 1), job(3, 0)]
        self.steps = drain_steps(jobs, core)
        places = {(s["block"], s["slot"], s["column"]): s["void"] for s in self.steps}
        self.queries = {place: random_query(rng, core) for place in places}
        self.memories = Memories(core, {place: self.queries[place] for place, void in places.items() if not void})
        self.sent: list[int] = []
        self.log: list[dict[str, int]] = []

    async def play(self, finished) -> None:
        """Until `finished` says so."""
        names = ("room", "drained", "drained_slot", "drain_columns", "drain_rows", "drain_address", "poisoned")
        names += ("result_address", "o__valid", "lse__valid")
        latency = drain_latency(self.core)
        reads = [[0] * self.core.config.out_beat for _ in range(latency)]
        while not finished():
            # Room is known early in the cycle, and a step may follow from it in the same one.
            await FallingEdge(self.dut.clk)
            self.dut.step.value = self.next_step(bool(self.dut.room.value))
            await ReadOnly()
            cycle = {name: int(getattr(self.dut, name).value) for name in names}
            self.log.append(cycle)
            results = [self.memories.result(lane, cycle["result_address"]) for lane in range(self.core.lanes)]
            reads.append(self.memories.values(*(cycle[f"drain_{name}"] for name in ("columns", "rows", "address"))))
            if cycle["drained"]:
                self.memories.drain(cycle["drained_slot"])
            await RisingEdge(self.dut.clk)
            for lane, result in enumerate(results):
                getattr(self.dut, f"result__{lane}").value = result
            for i, value in enumerate(reads[-latency]):
                getattr(self.dut, f"drain__{i}").value = value & (1 << self.core.config.accumulator_bits) - 1

    def next_step(self, room: bool) -> int:
        if not room or len(self.sent) == len(self.steps) or self.rng.random() < self.idle:
            return 0
        step = self.steps[len(self.sent)]
        if not step["void"] and not self.memories.holds(step["block"], step["slot"]):
            return 0
        self.sent.append(len(self.log))
        return bits_of(step_layout(self.core), {"valid": 1} | {name: step[name] for name in STEP})

    def query(self, step: Fields) -> Query:
        return self.queries[step["block"], step["slot"], step["column"]]

    def o_beats(self) -> list[int]:
        """All of O."""
        c, layout, beats = self.core.config, output_beat(self.core), []
        for step in self.steps:
            first = step["fold"] * c.rows_f + step["group"] * c.out_beat
            codes = self.query(step).codes(self.core, step["void"])[first : first + c.out_beat]
            word = {"data": pack(codes, self.core.output.bits), "last": step["last"], "job_last": step["job_last"]}
            beats.append(bits_of(layout, word))
        return beats

    def times(self, name: str) -> list[int]:
        return [t for t, cycle in enumerate(self.log) if cycle[name]]

    def check_reads(self) -> None:
        """Values are asked for behind the reciprocal, a slot is given back with its last ones; poison is told once."""
        late = read_latency(self.core)
        reads, drained, poisoned = {}, {}, []
        for t, step in zip(self.sent, self.steps, strict=True):
            if not step["void"]:
                address = step["slot"] << self.core.fold_f_bits | step["fold"]
                reads[t + late] = (1 << step["column"], address)
                drained |= {t + late: step["slot"]} if step["slot_last"] else {}
                poisoned += [t + RECORD_LATENCY] if step["first"] and self.query(step).result["poisoned"] else []
        log = self.log
        assert {t: (log[t]["drain_columns"], log[t]["drain_address"]) for t in self.times("drain_columns")} == reads
        assert {t: log[t]["drained_slot"] for t in self.times("drained")} == drained and drained
        assert self.times("poisoned") == poisoned and poisoned


@cocotb.test()
async def rows_are_divided_and_rounded(dut) -> None:
    core = params(os.environ["CORE"])
    idle, o_stall, lse_stall = (float(os.environ[name]) for name in ("IDLE", "O_STALL", "LSE_STALL"))
    player = Player(dut, core, np.random.default_rng(int(os.environ["SEED"])), idle)
    await start(dut)
    firsts = [step for step in player.steps if step["first"]]
    o = cocotb.start_soon(Sink(dut, "o", o_stall, seed=5).receive(len(player.steps)))
    lse = cocotb.start_soon(Sink(dut, "lse", lse_stall, seed=6).receive(len(firsts)))
    await player.play(lambda: o.done() and lse.done())
    assert o.result() == player.o_beats()
    assert [unpack(lse_beat(core), word) for word in lse.result()] == [player.query(s).lse(s["void"]) for s in firsts]
    player.check_reads()
    if o_stall == lse_stall == 0:
        starts = [t for t, step in zip(player.sent, player.steps, strict=True) if step["first"]]
        assert player.times("o__valid") == [t + output_latency(core) for t in player.sent]
        assert player.times("lse__valid") == [t + LSE_LATENCY for t in starts]
        assert all(cycle["room"] for cycle in player.log)
    # A consumer that hardly takes anything is noticed by the walker.
    assert max(o_stall, lse_stall) < 0.9 or not all(cycle["room"] for cycle in player.log)
