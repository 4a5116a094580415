"""Counters around the core against counting in Python."""

import numpy as np
import pytest

from hwgen.control.register_map import ACCELERATOR_COUNTERS
from hwgen.control.traffic import PLAIN_READERS, WRITERS, TrafficCounters, readers
from hwgen.params import GROUP_BITS, Params
from hwgen.tests.bench import clocked, tiny
from hwgen.tests.scores import scored

PULSES = ("read_wait", "write_wait", "descriptor", "poisoned_row", "job", "clear")


def counted(totals: dict[str, int], now: dict[str, int], params: Params) -> dict[str, int]:
    """The counters after a cycle."""
    if now["clear"]:
        return dict.fromkeys(totals, 0)
    size = params.bus_bytes
    read = {name: now["read"] >> i & 1 for i, name in enumerate(readers(params))}
    written = {name: now["written"] >> i & 1 for i, name in enumerate(WRITERS)}
    steps = {f"read_bytes_{name}": size * read[name] for name in ("q", "k", "v")}
    # At most one word comes in a cycle.
    steps["read_bytes_other"] = size * sum(bit for name, bit in read.items() if name not in ("q", "k", "v"))
    steps |= {f"written_bytes_{name}": size * written[name] for name in WRITERS}
    steps |= {"read_wait": now["read_wait"], "write_wait": now["write_wait"], "descriptors": now["descriptor"]}
    steps |= {"heads": now["group"] * now["job"], "poisoned_rows": now["poisoned_row"]}
    assert steps.keys() == totals.keys()
    return {name: totals[name] + step for name, step in steps.items()}


def test_readers() -> None:
    assert readers(tiny()) == PLAIN_READERS
    assert readers(scored(bias=True)) == (*PLAIN_READERS, "score", "bias")
    assert readers(scored(words=3, block_list=True)) == (*PLAIN_READERS, "score", "segments")


@pytest.mark.parametrize(
    "params", [tiny(bus_bits=32), tiny(bus_bits=512), scored(bias=True, block_list=True)], ids=["32", "512", "score"]
)
def test_everything_is_counted(params: Params) -> None:
    rng = np.random.default_rng(params.config.bus_bits)
    totals = dict.fromkeys(ACCELERATOR_COUNTERS, 0)
    cycles, expected = [], []
    for _ in range(600):
        now = {name: int(rng.random() < 0.4) for name in PULSES} | {"clear": int(rng.random() < 0.01)}
        now |= {"read": int(rng.choice([0, *(1 << i for i in range(len(readers(params))))]))}
        now |= {"written": int(rng.integers(4))}
        now |= {"group": int(rng.integers(1, 1 << GROUP_BITS))}
        cycles.append(now)
        expected.append(tuple(totals.values()))
        totals = counted(totals, now, params)
    dut = TrafficCounters(params)
    # `member` finds fields of a layout by their names too.
    assert clocked(dut, cycles, [f"counters.{name}" for name in totals]) == expected
    assert all(max(values) > 20 for values in zip(*expected, strict=True))
