"""What a score program makes of keys on their way from the issuer to the score array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal

from golden.scoremod import evaluate
from golden.scoremod.program import INDEX_BITS
from hwgen.array.feeder import key_address
from hwgen.control.key_score import KeyScore
from hwgen.control.tags import score_tag_layout
from hwgen.describe import latencies
from hwgen.params import Params
from hwgen.scoremod.schedule import schedule
from hwgen.softmax.pair import KeptWeight, pair_latency
from hwgen.tests.bench import clocked, run, tiny
from hwgen.tests.pairs import PROGRAMS, random_arguments, writes
from hwgen.timing import key_latency

NAMES = [name for name, program in PROGRAMS.items() if tiny(score=program).has_key_score]
OUTPUTS = ("tag", "address", "tag.valid")
VISITS = 60


def random_visit(rng: np.random.Generator, params: Params) -> dict[str, Any]:
    """Any tag, with or without a visit, any address and any key."""
    layout = score_tag_layout(params)
    bits = int.from_bytes(rng.bytes(layout.size // 8 + 1), "little") & ((1 << layout.size) - 1)
    indices = {name: int(rng.integers(1 << INDEX_BITS[name])) for name in ("kv", "b")}
    address = int(rng.integers(1 << key_address(params).width))
    return {"tag_in": layout.from_bits(bits), "address_in": address, **indices}


@pytest.mark.parametrize("name", NAMES)
def test_tags_come_with_what_the_program_makes_of_the_key(name: str) -> None:
    params, rng = tiny(score=PROGRAMS[name]), np.random.default_rng(1)
    part, layout, latency = params.partition.key, score_tag_layout(params), key_latency(params)
    arguments = random_arguments(rng, PROGRAMS[name])
    start = [*writes(PROGRAMS[name], arguments), *[{}] * schedule(part).settling]
    visits = [random_visit(rng, params) for _ in range(VISITS)]
    seen = clocked(KeyScore(params), [*start, *visits], OUTPUTS, latency)
    # Nothing but the first reset says that there is no visit.
    assert not any(valid for _, _, valid in seen[: len(start) + latency])
    made = evaluate(part, {key: np.array([v[key] for v in visits]) for key in ("kv", "b")}, arguments)
    for i, visit in enumerate(visits):
        bits, address, valid = seen[len(start) + latency + i]
        tag, before = layout.from_bits(bits), visit["tag_in"]
        assert {key: int(tag.visit.key[key]) for key in made} == {key: int(codes[i]) for key, codes in made.items()}
        assert (address, valid) == (visit["address_in"], before.valid)
        # All else is as it was.
        others = [(field, span) for field, span in layout["visit"].shape if field != "key"]
        assert [tag.visit[field] for field, _ in others] == [before.visit[field] for field, _ in others]
        assert all(tag[field] == before[field] for field, _ in layout if field != "visit")
    assert all(len(set(codes.tolist())) > 1 for codes in made.values()) and made


@pytest.mark.parametrize("name", NAMES)
def test_a_reset_takes_visits_away(name: str) -> None:
    params, reset = tiny(score=PROGRAMS[name]), Signal()
    latency, dut = key_latency(params), KeyScore(params)
    seen = []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.tag_in.valid, 1)
        for cycle in range(3 * latency + 2):
            ctx.set(reset, int(cycle == 2 * latency))
            seen.append(ctx.get(dut.tag.valid))
            await ctx.tick()

    run(ResetInserter(reset)(dut), drive)
    assert seen == [0] * latency + [1] * (latency + 1) + [0] * latency + [1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_reported_is_so_much_later(name: str) -> None:
    """Keys wait for their numbers in front of the array, scores for the program in the lanes; nothing else waits."""
    params = tiny(score=PROGRAMS[name])
    assert (key_latency(params) > 0) == (name in NAMES) and key_latency(tiny()) == 0
    plain, reported = latencies(tiny()), latencies(params)
    lane = pair_latency(params) - pair_latency(tiny()) + KeptWeight.LATENCY * params.has_dropout
    later = {"key_to_score": key_latency(params), "key_to_value": key_latency(params) + lane, "softmax_lane": lane}
    assert {what: cycles - plain[what] for what, cycles in reported.items()} == dict.fromkeys(plain, 0) | later


def test_some_programs_look_at_keys() -> None:
    assert {"key", "everything"} <= set(NAMES) < set(PROGRAMS)
