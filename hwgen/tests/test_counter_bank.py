"""The bank of counters against sums in Python."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.control.counter_bank import EVENTS, CounterBank, all_events_layout
from hwgen.control.counters import COUNTER_BITS
from hwgen.control.register_map import counter_names
from hwgen.control.traffic import unit
from hwgen.tests.bench import clocked, tiny

NAMES = counter_names()
COUNT = len(NAMES)
PARAMS = tiny(cols=3, bus_bits=64)
WIDTHS = {name: shape.width for name, shape in all_events_layout(PARAMS).members.items()}

Cycle = dict[str, int]


def history(seed: int, cycles: int, density: float) -> list[Cycle]:
    """What happens in every cycle; `density` of all events do, as large as they can be in every other cycle."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(cycles):
        largest = rng.random() < 0.5
        sizes = {name: (1 << width) - 1 if largest else int(rng.integers(1 << width)) for name, width in WIDTHS.items()}
        found.append({name: size if rng.random() < density else 0 for name, size in sizes.items()})
    return found


def watch(cycles: list[Cycle], clears: set[int]) -> list[tuple[int, int]]:
    """`number` and `value` in every cycle; an event of cycle t is told in cycle t + EVENTS, `clear` in its own."""
    told = [*[dict[str, int]()] * EVENTS, *[{f"events.{name}": step for name, step in now.items()} for now in cycles]]
    inputs = [now | {"clear": int(t in clears)} for t, now in enumerate(told)]
    return clocked(CounterBank(PARAMS), inputs, ["number", "value"], rest=0)


def expected(cycles: list[Cycle], clears: set[int]) -> list[Cycle]:
    """The counters behind every cycle. The cycle of `clear` counts no more than those before."""
    totals, found = dict.fromkeys(NAMES, 0), []
    for t, now in enumerate(cycles):
        totals = {name: (totals[name] + unit(PARAMS, name) * now[name]) % (1 << COUNTER_BITS) for name in NAMES}
        if t in clears:
            totals = dict.fromkeys(NAMES, 0)
        found.append(totals)
    return found


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_values_are_the_sums_of_what_happened(density: float) -> None:
    """Also with clears at all places of a turn, some of them close to each other."""
    cycles = history(1, 1500, density)
    clears = {300, 333, 334, 340, 700, 701 + COUNT, 705 + 2 * COUNT}
    sums = expected(cycles, clears)
    seen = watch(cycles, clears)
    # Told EVENTS cycles later, shown LATENCY cycles behind that.
    lag = EVENTS + CounterBank.LATENCY
    shown = list(enumerate(seen))[lag + COUNT :]
    for t, (number, value) in shown:
        # What is under way when counters are cleared has left before the next turn.
        if not any(clear < t <= clear + lag for clear in clears):
            assert value == sums[t - lag][NAMES[number]], (t, NAMES[number])
    assert [number for _, (number, _) in shown] == [(shown[0][1][0] + i) % COUNT for i in range(len(shown))]
    assert density == 0 or all(sums[-1].values())
