"""Flip-flops of a machine without a score program, counted in its circuits, each distinct part once.

Arrays, lanes and normaliser are counted exactly as their circuits are written (a tool may find that some bits are never
read). What is left, control and the way to memory, depends on little else than the bus and is estimated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from amaranth.hdl import Fragment, Module

from hwgen.array.score_array import ScoreArray
from hwgen.array.value_array import ValueArray
from hwgen.memory.convert import maximum_latency
from hwgen.params import Params
from hwgen.part import Part, current_library
from hwgen.softmax.group import LaneGroup
from hwgen.softmax.normaliser import NormaliserLane
from hwgen.softmax.reciprocal import Reciprocal

CONTROL, OF_BUS, OF_ADDRESS = 8_000, 60, 45
"""Sequencer, descriptors, registers, counters, bus engines: bits that no choice changes much, and registers as wide as
a word of the bus and as an address."""


class Tally:
    """Stands where Verilog's library of parts would: counts a part when it meets it for the first time."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], int] = {}
        self._total = 0

    def instance(self, part: Part, domain: str) -> Module:
        """Add a part to the total; nothing needs to stand in its place."""
        self._total += self.count(part)
        return Module()

    def count(self, part: Part) -> int:
        """Bits that the part's circuit, with all in it, drives with a clock."""
        part._MustUse__used = True  # counted, not built
        if part.identity not in self._known:
            outer, self._total = self._total, 0
            here = clocked_bits(Fragment.get(part, None))
            self._known[part.identity] = here + self._total
            self._total = outer
        return self._known[part.identity]


def clocked_bits(fragment: Any) -> int:
    """Bits that a fragment and those below it drive with a clock."""
    clocked = (found for domain, found in fragment.statements.items() if domain != "comb")
    here = sum(len(signal) for statements in clocked for signal in statements._lhs_signals())
    return here + sum(clocked_bits(child) for child, *_ in fragment.subfragments)


@lru_cache(maxsize=256)
def register_bits(params: Params) -> dict[str, int]:
    """By component: score_array, value_array, lanes, normaliser, and control (estimated)."""
    tally = Tally()
    token = current_library.set(tally)
    try:
        groups, lanes = params.lanes, params.config.out_beat
        return {
            "score_array": tally.count(ScoreArray(params)),
            "value_array": tally.count(ValueArray(params)),
            "lanes": groups * tally.count(LaneGroup(params)),
            "normaliser": lanes * tally.count(NormaliserLane(params)) + tally.count(Reciprocal(params)),
            "control": control(params),
        }
    finally:
        current_library.reset(token)


def control(params: Params) -> int:
    """All else, estimated: what is fixed, words of the bus and addresses, and elements on their way."""
    c = params.config
    raw = 1 + maximum_latency(params)
    words = OF_BUS * c.bus_bits + OF_ADDRESS * c.address_bits
    return CONTROL + words + 3 * c.beat * (raw * params.input.bits + 3 * c.operand_bits)
