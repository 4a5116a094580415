"""A machine around the segment issuer, and the visits that there have to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden.scoremod.program import INDEX_BITS
from hwgen.control.causes import BUSY, Cause
from hwgen.control.job import geometry
from hwgen.control.segment_issuer import SegmentIssuer
from hwgen.params import Params
from hwgen.scoremod.block_list import Segment
from hwgen.tests.bench import run
from hwgen.tests.issuing import Machine, Run, key_bits, key_facts, value_facts
from hwgen.tests.jobs import Fields, slot_queries
from hwgen.tests.segmenting import edge_of
from hwgen.timing import row_bits

Listed = list[tuple[Fields, list[Segment]]]


def issued(segment: Segment, block: Fields) -> Fields:
    """A segment as the issuer gets it."""
    names = ("first", "keys", "live", "last", "sink", "block_last")
    return {name: getattr(segment, name) for name in names} | {"edge": edge_of(block, segment)}


def hidden(block: Fields, slot: int, key: int, params: Params) -> int:
    """How many columns of a slot may not see a key, all of its block being causal."""
    before = key * block["group"] + block["edge"] - slot * params.config.cols
    return min(max(before, 0), len(slot_queries(block, slot, params))) if block["causal"] else 0


def visits_of(blocks: Listed, params: Params) -> list[Fields]:
    """All visits: block, segment, key, live slot."""
    visits, row = [], 0
    for i, (block, segments) in enumerate(blocks):
        met: set[int] = set()
        for segment in segments:
            slots = [slot for slot in range(params.config.slots) if segment.live >> slot & 1]
            for n in range(segment.keys):
                at = row % (1 << max(key_bits(params), row_bits(params)))
                k, v = key_facts(row, key_bits(params)), value_facts(row, row_bits(params))
                for slot in slots:
                    end, last_key = slot == slots[-1], n == segment.keys - 1
                    width = len(slot_queries(block, slot, params))
                    skip = 0 if segment.sink else hidden(block, slot, segment.first + n, params)
                    visits.append(
                        {
                            "slot": slot,
                            "bank": i % 2,
                            "first": int(slot not in met),
                            "last": int(last_key and segment.last >> slot & 1),
                            "block_last": int(last_key and end and segment.block_last),
                            "key_end": int(end and not segment.sink),
                            "key_last": int(end and not segment.sink),
                            "skip": skip,
                            "width": width,
                            "pairs": 0 if segment.sink else width - skip,
                            "ek": k["exponent"],
                            "ev": v["exponent"],
                            "bad": 0 if segment.sink else k["poisoned"] | v["poisoned"],
                            "row": v["row"],
                            "kv": segment.first + n,
                            "batch": block.get("batch", 0),
                            "sink": segment.sink,
                            "key_row": k["row"],
                            "block": i,
                            "at": at,
                        }
                    )
                    met.add(slot)
                row += 1 - segment.sink
    return visits


def void_masks(blocks: Listed) -> list[int]:
    """Of each block, the slots in use that no segment shows anything."""
    masks = []
    for block, segments in blocks:
        seen = 0
        for segment in segments:
            seen |= segment.live if segment.keys else 0
        masks.append((2 << block["slots"]) - 1 & ~seen)
    return masks


class SegmentMachine(Machine):
    """Gives the segments, maybe long before their block, maybe long after it."""

    def __init__(self, blocks: Listed, params: Params, dimensions: Fields, seed: int | None) -> None:
        super().__init__([], params, dimensions, seed, SegmentIssuer(params))
        self.blocks = [block for block, _ in blocks]
        # A block's segments are known from the cycle on in which it is offered.
        self.segments = [
            (i, issued(segment, block)) for i, (block, segments) in enumerate(blocks) for segment in segments
        ]
        self.sent, self.sending = 0, False

    outputs = (*Machine.outputs, "segment.ready", "void.valid", "void.mask")

    def before(self) -> dict[str, Any]:
        inputs = super().before()
        left = self.sent < len(self.segments)
        known = left and self.segments[self.sent][0] < self.offered + self.valid
        self.sending = bool(known and (self.sending or self.chance(0.3)))
        segment = self.segments[min(self.sent, len(self.segments) - 1)][1]
        return inputs | {"segment.valid": int(self.sending), "segment.payload": segment}

    def after(self, cycle: Fields) -> None:
        super().after(cycle)
        if self.sending and cycle["segment.ready"]:
            self.sent, self.sending = self.sent + 1, False


class SegmentRun(Run):
    """A simulation, as Run."""

    def __init__(
        self, blocks: Listed, params: Params, seed: int | None = None, head: tuple[int, int] | None = None
    ) -> None:
        dimensions = geometry(params, *(head or (params.config.head_e, params.config.head_f)))
        machine = SegmentMachine(blocks, params, dimensions, seed)
        scored = {"kv": INDEX_BITS["kv"], "batch": INDEX_BITS["b"]} if params.score is not None else {}
        machine.outputs += tuple(scored) + (("tag.visit.sink",) if params.has_sink else ())
        run(machine.dut, machine.drive)
        self.read(machine, dimensions, visits_of(blocks, params))
        self.voids = void_masks(blocks)
        self.names = (*self.names, "sink") if params.has_sink else self.names
        self.scored = tuple(scored)

    def check(self) -> None:
        """Causes are compared only where it is known whether a segment is there: when all is in time."""
        super().check()
        done = [cycle for cycle in self.log if cycle["void.valid"]]
        assert [cycle["void.mask"] for cycle in done] == self.voids
        # They are known before the block is issued.
        ends = [[t for t, cycle in enumerate(self.log) if cycle[name]] for name in ("void.valid", "block_done")]
        assert all(void < done for void, done in zip(*ends, strict=True))

    def check_cause(self, t: int, busy: set[int], under_way: set[int]) -> None:
        cause = self.log[t]["cause"]
        if t in under_way:
            assert cause == (BUSY if t in busy else Cause.PAD)
        else:
            assert cause not in (BUSY, Cause.PAD)

    def check_visit(self, i: int, start: int, visit: Fields) -> None:
        super().check_visit(i, start, visit)
        for cycle in self.log[start : start + self.visit]:
            assert {name: cycle[name] for name in self.scored} == {name: visit[name] for name in self.scored}

    def check_pulses(self) -> None:
        pulses = self.pulses()
        ends = [start + self.visit - 1 for start in self.starts]
        # Nothing stays: a block's end counts with its last row only, and the sink has none.
        assert not any(self.log[end]["keep"] for end in ends)
        for name in ("finishing", "advance", "block_last"):
            assert [t for t, cycle in enumerate(self.log) if cycle[name]] == pulses[name]
        pairs = {start: visit["pairs"] for start, visit in zip(self.starts, self.visits, strict=True)}
        assert [cycle["pairs"] for cycle in self.log] == [pairs.get(t, 0) for t in range(len(self.log))]
        empty = {t for t, c in enumerate(self.log) if c["empty_done"]}
        assert [t for t, c in enumerate(self.log) if c["block_done"]] == sorted({*pulses["block_last"]} | empty)


def random_blocks(seed: int, params: Params, count: int, causal: bool = False) -> Listed:
    """Blocks of random segments: any slots, long and short, some blocks without any."""
    rng = np.random.default_rng(seed)
    slots, cols = params.config.slots, params.config.cols
    made: Listed = []
    for _ in range(count):
        used = int(rng.integers(1, slots + 1))
        width = int(rng.integers(1, cols + 1))
        group = int(rng.choice([1, 3]))
        block = {
            "first_query": 0,
            "queries": (used - 1) * cols + width,
            "slots": used - 1,
            "width": width,
            "group": group,
            "keys": 99,
            "causal": int(causal),
            "edge": -int(rng.integers(-5, 90)) * group,
        }
        block |= {"batch": int(rng.integers(1 << 16))} if params.score is not None else {}
        made.append((block, random_segments(rng, used, params)))
    return made


def random_segments(rng: np.random.Generator, used: int, params: Params) -> list[Segment]:
    """Segments with live slots at random; `last` says of each slot when that is over."""
    lives = [int(rng.integers(1, 1 << used)) for _ in range(int(rng.integers(0, 5)))]
    if rng.random() < 0.5 and used > 1:
        lives = [live & ~(1 << int(rng.integers(used))) or 1 for live in lives]
    keys = [int(rng.choice([1, 1, 2, 5])) for _ in lives]
    firsts = [int(rng.integers(0, 1 << 20)) if rng.random() < 0.2 else int(rng.integers(60)) for _ in lives]
    sinks = [0] * len(lives)
    if params.has_sink:
        lives, keys, firsts, sinks = [(1 << used) - 1, *lives], [1, *keys], [0, *firsts], [1, *sinks]
    if not lives:
        return [Segment(0, 0, 0, 0, 0, 0, 1)]
    found = []
    for i, live in enumerate(lives):
        later = 0
        for following in lives[i + 1 :]:
            later |= following
        end = int(i == len(lives) - 1)
        found.append(Segment(firsts[i], keys[i], 0, live, live & ~later, sinks[i], end))
    return found
