"""A machine around the issuer that lets it wait for all it can wait for, and the visits that there have to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.hdl import Value

from hwgen.control.causes import BUSY, Cause
from hwgen.control.issuer import Issuer, VisitIssuer
from hwgen.control.job import geometry
from hwgen.control.visit_queue import ahead
from hwgen.params import Params
from hwgen.tests.bench import member, run
from hwgen.tests.jobs import Fields, all_blocks, slot_queries, visible
from hwgen.timing import hazard_distance, key_rows, row_bits

VISIT = ("slot", "bank", "first", "last", "block_last", "key_last", "skip", "width", "ek", "ev", "bad", "row")
OTHERS = ("address", "cause", "pairs", "advance", "block_last", "keep", "finishing", "finishing_slot")
OTHERS += ("block_done", "empty_done", "bank", "visiting")
TAG = ("valid", "fold", "first_fold", "last_fold")
WITH_TAG = ("address", "kv", "batch")
OUTPUTS = (*(f"tag.visit.{name}" for name in VISIT), *(f"tag.{name}" for name in TAG), *OTHERS, "block.ready")


def key_facts(row: int, bits: int) -> Fields:
    """What the key buffer says of its row-th row."""
    return {"row": row % (1 << bits), "exponent": 1 + row * 7 % 200, "poisoned": int(row % 5 == 0)}


def value_facts(row: int, bits: int) -> Fields:
    """What the value buffer says of its row-th row."""
    return {"row": row % (1 << bits), "exponent": 1 + row * 11 % 200, "poisoned": int(row % 7 == 0)}


def loop_nest(jobs: list[Fields], params: Params) -> list[Fields]:
    """All visits: block, key, slot; a slot is visited if one of its queries sees the key.

    Blocks that keep their rows start from the same one.
    """
    visits, start = [], 0
    for i, (work, block) in enumerate(all_blocks(jobs, params)):
        for row, key in enumerate(range(block["keys"]), start):
            k, v = key_facts(row, key_bits(params)), value_facts(row, row_bits(params))
            for slot in range(block["slots"] + 1):
                queries = slot_queries(block, slot, params)
                seeing = [q for q in queries if key < visible(work, q)]
                if not seeing:
                    continue
                visits.append(
                    {
                        "slot": slot,
                        "bank": i % 2,
                        "first": int(key == 0),
                        "last": int(not any(key + 1 < visible(work, q) for q in queries)),
                        "block_last": int(key + 1 == block["keys"] and slot == block["slots"]),
                        "key_end": int(slot == block["slots"]),
                        "key_last": int(slot == block["slots"] and not block["keep"]),
                        "skip": len(queries) - len(seeing),
                        "width": len(queries),
                        "ek": k["exponent"],
                        "ev": v["exponent"],
                        "bad": k["poisoned"] | v["poisoned"],
                        "row": v["row"],
                        "key": key,
                        "at_end": int(key + 1 == block["keys"]),
                        "key_row": k["row"],
                        "block": i,
                    }
                )
        start += 0 if block["keep"] else block["keys"]
    return visits


def key_bits(params: Params) -> int:
    """Width of a row number in the key buffer."""
    return (key_rows(params) - 1).bit_length()


class Machine:
    """Everything around the issuer; with a seed, everything is late now and then. `log` has an entry a cycle."""

    outputs: tuple[str, ...] = OUTPUTS

    def __init__(
        self, jobs: list[Fields], params: Params, dimensions: Fields, seed: int | None, dut: Any = None
    ) -> None:
        self.dut, self.params, self.geometry = dut or Issuer(params), params, dimensions
        self.blocks = [block for _, block in all_blocks(jobs, params)]
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.offered = self.loaded_blocks = self.done = self.row = self.start = 0
        # What buffers tell of a row is a cycle late.
        self.told = 0
        self.valid = self.running = self.busy = False
        self.loaded, self.ending = [False, False], False
        self.waiting = {"key": 0, "value": 0}
        self.pending = [False] * params.config.slots
        self.log: list[Fields] = []

    def chance(self, probability: float) -> bool:
        return self.rng is None or bool(self.rng.random() < probability)

    def before(self) -> dict[str, Any]:
        """Inputs of the cycle."""
        self.busy = self.done < len(self.blocks) and (self.busy or self.chance(0.3))
        self.valid = self.busy and self.offered < len(self.blocks) and (self.valid or self.chance(0.3))
        if self.loaded_blocks < min(len(self.blocks), self.done + 2) and self.chance(0.1):
            self.loaded[self.loaded_blocks % 2] = True
            self.loaded_blocks += 1
        for name in self.waiting:
            self.waiting[name] += self.waiting[name] < 3 and self.chance(0.3)
        heads = {
            "key": key_facts(self.told, key_bits(self.params)),
            "value": value_facts(self.told, row_bits(self.params)),
        }
        return {
            "geometry": self.geometry,
            "block.valid": int(self.valid),
            "block.payload": self.blocks[min(self.offered, len(self.blocks) - 1)],
            "loaded": self.loaded[0] | self.loaded[1] << 1,
            **{name: {"ready": int(self.waiting[name] > 0), **facts} for name, facts in heads.items()},
            "pending": sum(bit << i for i, bit in enumerate(self.pending)),
            "more": int(self.offered < len(self.blocks)),
            "running": int(self.running),
            "busy": int(self.busy or self.ending),
        }

    def after(self, cycle: Fields) -> None:
        """What the outputs of the cycle change in the next."""
        for slot in range(len(self.pending)):
            self.pending[slot] = self.pending[slot] and not self.chance(0.05)
        if cycle["finishing"]:
            self.pending[cycle["finishing_slot"]] = True
        self.told = self.row
        if cycle["advance"]:
            self.advance(cycle["block_last"], cycle["keep"])
        if cycle["block_done"]:
            self.loaded[cycle["bank"]] = False
            self.done += 1
        if cycle["block.ready"]:
            self.offered += self.valid
            self.valid = False
        self.running = self.running or bool(cycle["visiting"])

    def advance(self, block_last: int, keep: int) -> None:
        """The next row; behind the block's last one, if they are kept, its first one again."""
        self.row += 1
        if block_last and not keep:
            self.start = self.row
        back = self.row - self.start if block_last else 0
        self.row -= back
        self.waiting = {name: count - 1 + back for name, count in self.waiting.items()}

    async def drive(self, ctx: Any) -> None:
        outputs = {name: Value.cast(member(self.dut, name)) for name in self.outputs}
        rest = 2 + VisitIssuer.LATENCY
        while rest:
            taken = self.offered
            inputs = self.before()
            for name, value in inputs.items():
                ctx.set(member(self.dut, name), value)
            cycle = {name: ctx.get(signal) for name, signal in outputs.items()}
            cycle |= {name: inputs[name] for name in ("pending", "more", "running", "busy")}
            cycle |= {name: inputs[name]["ready"] for name in ("key", "value")}
            cycle |= {"taken": taken, "loaded": inputs["loaded"]}
            self.log.append(cycle)
            self.after(cycle)
            rest -= self.done == len(self.blocks)
            # The last results are on their way.
            self.ending = rest == 1 + VisitIssuer.LATENCY
            await ctx.tick()


class Run:
    """A simulation: the log of all cycles, in which of them a visit starts, and the visits there have to be."""

    names = VISIT

    def __init__(
        self, jobs: list[Fields], params: Params, seed: int | None = None, head: tuple[int, int] | None = None
    ) -> None:
        dimensions = geometry(params, *(head or (params.config.head_e, params.config.head_f)))
        machine = Machine(jobs, params, dimensions, seed)
        run(machine.dut, machine.drive)
        self.read(machine, dimensions, loop_nest(jobs, params))

    def read(self, machine: Machine, dimensions: Fields, visits: list[Fields]) -> None:
        """What a machine's log says, tags told of in the cycle in which their visit starts or goes on."""
        self.params, self.blocks = machine.params, machine.blocks
        late = VisitIssuer.LATENCY
        assert not any(cycle["tag.valid"] for cycle in machine.log[:late])
        for cycle in machine.log:
            # It counts with a claim only; a block may end without one.
            assert not cycle["advance"] or cycle["block_last"] == (cycle["block_done"] and not cycle["empty_done"])
            cycle["block_last"] = int(cycle["block_done"] and not cycle["empty_done"])
        self.log = [
            cycle | {name: tag[name] for name in tag if name.startswith("tag.") or name in WITH_TAG}
            for cycle, tag in zip(machine.log, machine.log[late:], strict=False)
        ]
        self.folds, self.visit = dimensions["last_fold_e"] + 1, dimensions["last_step"] + 1
        self.starts = [t for t, c in enumerate(self.log) if c["tag.valid"] and c["tag.first_fold"]]
        self.visits = visits
        self.read_queue()

    def read_queue(self) -> None:
        """Before each cycle: visits, and blocks without any, that were described and that had their turn; in each
        whether a block is there that is not wholly described."""
        # The block and the visit of each turn.
        self.order: list[tuple[int, Fields | None]] = []
        known = [0]
        for i, block in enumerate(self.blocks):
            mine = [visit for visit in self.visits if visit["block"] == i]
            self.order += [(i, visit) for visit in mine] if block["keys"] else [(i, None)]
            known.append(len(self.order))
        ends = {start + self.visit - 1 for start in self.starts}
        described = turns = 0
        self.described, self.turns = [0], [0]
        for t, cycle in enumerate(self.log):
            cycle["active"] = described < known[cycle["taken"]]
            described += cycle["active"] and described - turns < ahead(self.params)
            turns += t in ends or cycle["empty_done"]
            self.described.append(described)
            self.turns.append(turns)

    def cause(self, t: int) -> int:
        """The first thing missing in a cycle in which no visit is under way."""
        cycle, turn = self.log[t], self.turns[t]
        if not cycle["busy"]:
            return Cause.NO_JOB
        if not cycle["running"]:
            return Cause.FILL
        if self.described[t] == turn:
            return Cause.SETUP if cycle["active"] or cycle["more"] else Cause.DRAIN
        block, visit = self.order[turn]
        if not self.loaded(t, block):
            return Cause.WAIT_Q
        if visit is None:
            return Cause.SETUP
        for name, cause in (("key", Cause.WAIT_K), ("value", Cause.WAIT_V)):
            if not cycle[name]:
                return cause
        if self.met(t, visit):
            return Cause.HAZARD
        if self.drains(t, visit):
            return Cause.WAIT_OUT
        # It was not fit in the cycle before. Nothing else may hold a visit up.
        before = t - 1
        assert self.described[before] <= turn or not self.loaded(before, block) or self.drains(before, visit)
        return Cause.SETUP

    def loaded(self, t: int, block: int) -> bool:
        """A block's queries are, in a cycle."""
        return bool(self.log[t]["loaded"] >> block % 2 & 1)

    def met(self, t: int, visit: Fields) -> bool:
        """Its slot was visited a short while before a cycle."""
        count = sum(start < t for start in self.starts)
        recent = [i for i in range(count) if self.starts[i] > t - hazard_distance(self.params)]
        return any(self.visits[i]["slot"] == visit["slot"] for i in recent)

    def drains(self, t: int, visit: Fields) -> bool:
        """Its slot's previous result has no place to go, in a cycle."""
        return bool(visit["last"] and self.log[t]["pending"] >> visit["slot"] & 1)

    def check(self) -> None:
        """Everything that has to hold in any run."""
        assert len(self.starts) == len(self.visits)
        for i, (start, visit) in enumerate(zip(self.starts, self.visits, strict=True)):
            self.check_visit(i, start, visit)
        under_way = {start + step for start in self.starts for step in range(self.visit)}
        assert len(under_way) == len(self.starts) * self.visit
        busy = {start + fold for start in self.starts for fold in range(self.folds)}
        assert [t for t, cycle in enumerate(self.log) if cycle["tag.valid"]] == sorted(busy)
        for t in range(len(self.log)):
            self.check_cause(t, busy, under_way)
        self.check_pulses()

    def check_cause(self, t: int, busy: set[int], under_way: set[int]) -> None:
        """What is said of a cycle: work, padding, or what is missing."""
        assert self.log[t]["cause"] == (BUSY if t in busy else Cause.PAD if t in under_way else self.cause(t))

    def check_visit(self, i: int, start: int, visit: Fields) -> None:
        """All folds of a visit, its distance to the slot's visit before, and that its result has a place."""
        folds = self.folds
        for fold, cycle in enumerate(self.log[start : start + folds]):
            assert {n: cycle[f"tag.visit.{n}"] for n in self.names} == {n: visit[n] for n in self.names}
            assert cycle["address"] == visit["key_row"] << self.params.fold_e_bits | fold
            flags = (fold, int(fold == 0), int(fold == folds - 1))
            assert tuple(cycle[f"tag.{name}"] for name in TAG[1:]) == flags
        before = [s for s, v in zip(self.starts[:i], self.visits, strict=False) if v["slot"] == visit["slot"]]
        assert not before or start - before[-1] >= hazard_distance(self.params)
        assert not (visit["last"] and self.log[start]["pending"] >> visit["slot"] & 1)

    def pulses(self) -> dict[str, list[int]]:
        """Cycles in which something is told."""
        ends = [start + self.visit - 1 for start in self.starts]
        pairs = list(zip(self.starts, ends, self.visits, strict=True))
        return {
            "finishing": [start for start, _, visit in pairs if visit["last"]],
            "advance": [end for _, end, visit in pairs if visit["key_end"]],
            "block_last": [end for _, end, visit in pairs if visit["block_last"]],
        }

    def check_pulses(self) -> None:
        """What is told in single cycles."""
        # Where visits last, the next block is taken when no other is there.
        assert self.params.group == 1 or all(cycle["block.ready"] != cycle["active"] for cycle in self.log)
        ends = [start + self.visit - 1 for start in self.starts]
        pairs = list(zip(self.starts, ends, self.visits, strict=True))
        pulses = self.pulses()
        for name, cycles in pulses.items():
            assert [t for t, cycle in enumerate(self.log) if cycle[name]] == cycles
        assert all(self.log[start]["finishing_slot"] == visit["slot"] for start, _, visit in pairs if visit["last"])
        # A block is told to stay with its last row.
        kept = [self.blocks[visit["block"]]["keep"] for _, _, visit in pairs if visit["block_last"]]
        assert [self.log[end]["keep"] for end in pulses["block_last"]] == kept
        allowed = {start: visit["width"] - visit["skip"] for start, _, visit in pairs}
        assert [cycle["pairs"] for cycle in self.log] == [allowed.get(t, 0) for t in range(len(self.log))]
        done = {end for _, end, visit in pairs if visit["block_last"]}
        empty = {t for t, c in enumerate(self.log) if c["empty_done"]}
        assert [t for t, cycle in enumerate(self.log) if cycle["block_done"]] == sorted(done | empty)
        assert len(empty) == sum(not block["keys"] for block in self.blocks)
