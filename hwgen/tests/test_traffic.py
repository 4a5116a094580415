"""Events around the core against counting in Python."""

import numpy as np
import pytest

from hwgen.control.counter_bank import all_events_layout
from hwgen.control.counters import CORE_COUNTERS
from hwgen.control.register_map import ACCELERATOR_COUNTERS, counter_names
from hwgen.control.traffic import PLAIN_READERS, WRITERS, TrafficEvents, readers, unit
from hwgen.params import GROUP_BITS, Params
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.scores import scored

PULSES = ("read_wait", "write_wait", "descriptor", "poisoned_row", "job")


def counted(now: dict[str, int], params: Params) -> dict[str, int]:
    """What a cycle adds to the counters."""
    size = params.bus_bytes
    read = {name: now["read"] >> i & 1 for i, name in enumerate(readers(params))}
    written = {name: now["written"] >> i & 1 for i, name in enumerate(WRITERS)}
    steps = {f"read_bytes_{name}": size * read[name] for name in ("q", "k", "v")}
    # At most one word comes in a cycle.
    steps["read_bytes_other"] = size * sum(bit for name, bit in read.items() if name not in ("q", "k", "v"))
    steps |= {f"written_bytes_{name}": size * written[name] for name in WRITERS}
    steps |= {"read_wait": now["read_wait"], "write_wait": now["write_wait"], "descriptors": now["descriptor"]}
    return steps | {"heads": now["group"] * now["job"], "poisoned_rows": now["poisoned_row"]}


def test_readers() -> None:
    assert readers(tiny()) == PLAIN_READERS
    assert readers(scored(bias=True)) == (*PLAIN_READERS, "score", "bias")
    assert readers(scored(words=3, block_list=True)) == (*PLAIN_READERS, "score", "segments")


def test_events_have_the_order_of_the_registers() -> None:
    assert tuple(all_events_layout(tiny()).members) == counter_names() == (*CORE_COUNTERS, *ACCELERATOR_COUNTERS)


@pytest.mark.parametrize(
    "params", [tiny(bus_bits=32), tiny(bus_bits=512), scored(bias=True, block_list=True)], ids=["32", "512", "score"]
)
def test_everything_is_told_a_latency_later(params: Params) -> None:
    rng = np.random.default_rng(params.config.bus_bits)
    cycles, expected = [], [tuple(dict.fromkeys(ACCELERATOR_COUNTERS, 0).values())] * TrafficEvents.LATENCY
    for _ in range(600):
        now = {name: int(rng.random() < 0.4) for name in PULSES}
        now |= {"read": int(rng.choice([0, *(1 << i for i in range(len(readers(params))))]))}
        now |= {"written": int(rng.integers(4))}
        now |= {"group": int(rng.integers(1, 1 << GROUP_BITS))}
        cycles.append(now)
        steps = counted(now, params)
        assert steps.keys() == ACCELERATOR_COUNTERS.keys()
        expected.append(tuple(steps[name] // unit(params, name) for name in ACCELERATOR_COUNTERS))
    dut = TrafficEvents(params)
    # `member` finds fields of a layout by their names too.
    seen = clocked(dut, cycles, [f"events.{name}" for name in ACCELERATOR_COUNTERS], rest=TrafficEvents.LATENCY)
    assert seen == expected
    assert all(sum(values) > 20 for values in zip(*expected, strict=True))
