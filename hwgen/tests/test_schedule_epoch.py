"""The notation of epochs, and which orders are allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from golden.exact import Shape
from hwgen.schedule import arrays, epoch, legality
from hwgen.schedule.cost import evaluate
from hwgen.schedule.fusemax import fusemax
from hwgen.schedule.parts import Phase, Schedule, ScheduleError, Stage

SHAPE = Shape(1, 2, 2, 1024, 1024, 64, 64)


def schedule(**orders: str) -> Schedule:
    """FuseMax with another epoch; `two`, `one`: orders of its 2-D and 1-D array."""
    built = fusemax(arrays.FUSEMAX, SHAPE)
    (stage,) = built.phases[0].stages
    changed = Stage({"2d": orders.get("two", stage.order["2d"]), "1d": orders.get("one", stage.order["1d"])})
    return replace(built, phases=(replace(built.phases[0], stages=(changed,)),))


def phase(**orders: str) -> Phase:
    return schedule(**orders).phases[0]


def test_an_order_is_groups_one_after_the_other() -> None:
    assert epoch.order("(SLNV[b] | QK[d]) -> LM[d]") == [[("SLNV", 1), ("QK", 3)], [("LM", 3)]]
    assert epoch.order("QK -> AV") == [[("QK", 0)], [("AV", 0)]]


@pytest.mark.parametrize("text", ["", "QK ->", "QK[dd]", "QK LM", "(QK | LM", "QK[d"])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="expected STEP"):
        epoch.order(text)


def test_a_step_has_one_place_on_its_own_unit() -> None:
    with pytest.raises(ScheduleError, match="no step 'SPVN'; did you mean 'SPNV'"):
        epoch.places(phase(two="SPVN[b]"))
    with pytest.raises(ScheduleError, match="leaves out LM, SLN, SLD"):
        epoch.places(phase(two="SLNV[b] | QK[d]"))
    with pytest.raises(ScheduleError, match="QK stands twice"):
        epoch.places(phase(two="QK[d] -> QK[d] -> LM[d] -> SLN[c] -> SLD[c] -> SLNV[b]"))
    with pytest.raises(ScheduleError, match="RM runs on 1d, but stands in the order of 2d"):
        epoch.places(phase(two="RM[c] -> QK[d]"))


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ({"two": "(SLNV[b] | QK[c]) -> LM[d] -> SLN[c] -> SLD[c]"}, "LM works on a later tile than QK"),
        ({"two": "(SLNV[b] | QK[d]) -> SLN[d] -> LM[d] -> SLD[c]"}, "SLN works on a later tile than RM"),
        ({"two": "LM[d] -> (SLNV[b] | QK[d]) -> SLN[c] -> SLD[c]"}, "LM stands before QK"),
        ({"two": "(SLNV[c] | QK[d]) -> LM[d] -> SLN[c] -> SLD[c]"}, "SLNV stands before SLN"),
        ({"one": "(SPNV[a] | RNV[a] | RM[c]) -> RD[a] -> SPD[c] -> PRM[c] -> AV[a]"}, "SPD stands before PRM"),
    ],
)
def test_nothing_is_read_before_it_is_there(orders: dict[str, str], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        evaluate(schedule(**orders), arrays.FUSEMAX, SHAPE)


@pytest.mark.parametrize(
    ("one", "least"),
    [
        ("(SPNV[a] | RNV[a] | RM[c]) -> RD[a] -> PRM[c] -> SPD[c] -> AV[a]", 2),
        ("(SPNV[a] | RNV[a] | RM[c]) -> PRM[c] -> SPD[c] -> RD[a] -> AV[a]", 3),
    ],
)
def test_state_needs_as_many_tiles_of_queries_as_the_epoch_spreads_over(one: str, least: int) -> None:
    """The published epoch corrects tile c's sum in the epoch that adds to tile a's, before it or behind it."""
    for tiles in (1, 2, 3, 4):
        shape = SHAPE._replace(L=256 * tiles)
        (block,) = (replace(phase(one=one), block={"M": 256, "P": 256 * tiles}),)
        if tiles >= least:
            epoch.check_dependences(block, legality.tiles_in_flight(block, arrays.FUSEMAX, shape))
            continue
        with pytest.raises(ScheduleError, match=f"SPD needs RD .* 2 tiles later: at least {least} .* are {tiles}"):
            epoch.check_dependences(block, legality.tiles_in_flight(block, arrays.FUSEMAX, shape))


def test_interleaving_costs_what_one_after_the_other_does() -> None:
    apart = schedule(two="SLNV[b] -> QK[d] -> LM[d] -> SLN[c] -> SLD[c]")
    costs = [evaluate(s, arrays.FUSEMAX, SHAPE) for s in (schedule(), apart)]
    assert costs[0].cycles == costs[1].cycles
