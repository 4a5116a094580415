"""What keeps queues and result memories from being overrun: credits and pending slots."""

import gc
from typing import Any

import numpy as np
import pytest

from hwgen.control.drain import Credits, PendingSlots
from hwgen.tests.bench import clocked, run, tiny


@pytest.mark.parametrize("depth", [2, 3, 5, 32])
@pytest.mark.parametrize("seed", range(2))
def test_room_as_long_as_two_places_were_left(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    used, given, inputs, room = 0, 0, [], []
    # Phases in which takers or givers prevail reach both ends; nobody takes without room or gives what was not taken.
    for t in range(40 * depth):
        eager = (t // (4 * depth)) % 2
        take = int(used < depth and rng.random() < (0.8 if eager else 0.2))
        give = int(used > 0 and rng.random() < (0.2 if eager else 0.8))
        inputs.append({"take": take, "give": give})
        # What is given counts a cycle later.
        room.append(int(used + given < depth - 1))
        used, given = used + take - give, give
    assert set(room) == {0, 1}
    seen = clocked(Credits(depth), inputs, ["room"])
    assert [value for (value,) in seen] == room


@pytest.mark.parametrize("depth", [2, 3, 32])
def test_a_writer_that_goes_on_while_there_is_room_fills_all_places(depth: int) -> None:
    """It is a cycle ahead of what it says that it has taken."""
    dut, taken = Credits(depth), [0]

    async def write(ctx: Any) -> None:
        for _ in range(depth + 3):
            ctx.set(dut.take, taken[-1])
            taken.append(ctx.get(dut.room))
            await ctx.tick()

    run(dut, write)
    assert taken[1:] == [1] * depth + [0] * 3


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_one_place_is_too_few() -> None:
    with pytest.raises(ValueError, match="2 at least, not 1"):
        Credits(1)
    # A part that was refused goes while its warning is ignored.
    gc.collect()


@pytest.mark.parametrize("slots", [1, 4, 5])
@pytest.mark.parametrize("seed", range(2))
def test_a_slot_is_pending_from_its_finish_to_its_drain(seed: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    pending: set[int] = set()
    inputs, want = [], []
    # Drained, but not known to be in the cycle that comes.
    late: list[int | None] = [None] * (PendingSlots.LATENCY - 1)
    for _ in range(200):
        want.append(sum(1 << slot for slot in pending))
        free = [slot for slot in range(slots) if slot not in pending]
        finish = int(rng.choice(free)) if free and rng.random() < 0.5 else None
        there = sorted(pending - {*late})
        drain = int(rng.choice(there)) if there and rng.random() < 0.5 else None
        # The slot's number means nothing without its pulse.
        inputs.append(
            {
                "finishing": int(finish is not None),
                "finishing_slot": int(rng.integers(slots)) if finish is None else finish,
                "drained": int(drain is not None),
                "drained_slot": int(rng.integers(slots)) if drain is None else drain,
            }
        )
        pending |= {finish} - {None}
        late.append(drain)
        pending -= {late.pop(0)}
    assert max(want) == (1 << slots) - 1 and min(want) == 0
    seen = clocked(PendingSlots(tiny(slots=slots)), inputs, ["pending"])
    assert [value for (value,) in seen] == want
