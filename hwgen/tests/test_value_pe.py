"""The value array's cell: accumulation, results, and the distances in cycles it states."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from hwgen.array.value_pe import ValuePE
from hwgen.control.tags import value_tag_layout
from hwgen.params import Params
from hwgen.tests.bench import clocked, tiny

LOOP = ValuePE.LOOP
IDLE = {"tag_in.valid": 0}


def visit(slot: int, fold: int, v: int, weight: int, shift: int, first: int = 0, last: int = 0) -> dict[str, Any]:
    """Inputs of one cycle."""
    tag = {"valid": 1, "first": first, "last": last, "slot": slot, "fold": fold}
    return {"tag_in": tag, "v_in": v, "weight_in": weight, "shift_in": shift}


def reading(address: int) -> list[dict[str, Any]]:
    """Inputs that read a result: the select, the address a cycle later."""
    return [{"drain_select": 1}, {"drain_select": 0, "drain_address": address}]


def address_of(params: Params, slot: int, fold: int) -> int:
    """Where a slot's fold lies: fold lowest."""
    return slot << params.fold_f_bits | fold


def drained(params: Params, cycles: list[dict[str, Any]], addresses: Iterable[int]) -> list[int]:
    """The results at some addresses after all cycles, when the last of them may be read."""
    settle = [IDLE] * (1 + ValuePE.RESULT_LATENCY)
    reads = [inputs for address in addresses for inputs in reading(address)]
    got = clocked(ValuePE(params), [*cycles, *settle, *reads], ["drain"], ValuePE.DRAIN_LATENCY)
    start = len(cycles) + len(settle) + ValuePE.DRAIN_LATENCY
    # Where nothing is selected zeros leave: the array merges a row's cells by OR.
    assert not any(drain for (drain,) in got[:start])
    return [drain for (drain,) in got[start::2]]


class Model:
    """Accumulators and results as dictionaries."""

    def __init__(self, params: Params) -> None:
        self.drop = params.numerics.drop
        self.accumulators: dict[int, int] = {}
        self.results: dict[int, int] = {}

    def visit(self, address: int, cycle: dict[str, Any]) -> None:
        tag = cycle["tag_in"]
        before = 0 if tag["first"] else self.accumulators[address]
        total = (before >> cycle["shift_in"]) + (cycle["weight_in"] * cycle["v_in"] >> self.drop)
        self.accumulators[address] = total
        if tag["last"]:
            self.results[address] = total


def random_visits(seed: int, params: Params, count: int) -> Iterator[dict[str, Any]]:
    """Visits in any order, no accumulator more often than once in LOOP cycles, with idle cycles in between."""
    rng = np.random.default_rng(seed)
    most, weight = 2 ** (params.config.operand_bits - 1) - 1, 2**params.config.weight_bits - 1
    places = [(s, f) for s in range(params.config.slots) for f in range(params.folds_f)]
    ready = dict.fromkeys(places, 0)
    fresh = set(places)
    for t in range(count):
        free = [place for place in places if ready[place] <= t]
        if not free or rng.random() < 0.2:
            yield IDLE
            continue
        place = free[int(rng.integers(len(free)))]
        ready[place] = t + LOOP
        first, last = int(place in fresh), int(rng.random() < 0.2)
        v, w = (int(rng.choice([0, high, *rng.integers(high, size=4)])) for high in (most, weight))
        shift = int(rng.choice([0, 0, 1, 2, 3, 7, rng.integers(64)]))
        yield visit(*place, int(rng.choice([-1, 1])) * v, w, shift, first, last)
        (fresh.add if last else fresh.discard)(place)


def watched(cycles: list[dict[str, Any]], addresses: list[int], selects: list[int], params: Params) -> list[int]:
    """What leaves if `addresses` are read all the while, those of selected cycles only."""
    model, memory, want = Model(params), [0] * params.acc_depth, []
    for t, (address, select) in enumerate(zip(addresses, selects, strict=True)):
        source = t - 1 - ValuePE.RESULT_LATENCY
        if source >= 0 and cycles[source] is not IDLE:
            tag = cycles[source]["tag_in"]
            model.visit(address_of(params, tag["slot"], tag["fold"]), cycles[source])
            for place, result in model.results.items():
                memory[place] = result
        want.append(memory[address] if select else 0)
    return want


@pytest.mark.parametrize("choices", [{}, {"slots": 5, "head_f": 12}, {"head_f": 4, "weight_bits": 18}], ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_random_visits(seed: int, choices: dict[str, int]) -> None:
    params = tiny(**choices)
    cycles = list(random_visits(seed, params, 500))
    rng = np.random.default_rng(seed)
    # The select comes a cycle before its address.
    addresses = [int(rng.integers(params.acc_depth)) for _ in cycles]
    selects = [int(rng.random() < 0.8) for _ in cycles]
    inputs = [
        {**cycle, "drain_select": select, "drain_address": address}
        for cycle, select, address in zip(cycles, [*selects[1:], 0], addresses, strict=True)
    ]
    got = [drain for (drain,) in clocked(ValuePE(params), inputs, ["drain"], 1)]
    want = watched(cycles, addresses, selects, params)
    assert len(set(want)) > 20 and min(want) < 0 < max(want)
    # In the first cycle the select of the cycle before is not there.
    assert got[ValuePE.DRAIN_LATENCY :] == want[1:]


def twice(distance: int, shift: int) -> int:
    """The result of two visits of one accumulator, `distance` cycles apart, each worth 1000."""
    params = tiny(operand_bits=12, weight_bits=14, accumulator_bits=46)
    assert params.numerics.drop == 0
    visits = [visit(1, 1, 10, 100, 0, first=1), *[IDLE] * (distance - 1), visit(1, 1, 10, 100, shift, last=1)]
    return drained(params, visits, [address_of(params, 1, 1)])[0]


def test_loop_is_as_long_as_stated() -> None:
    for shift in (0, 3):
        assert [twice(distance, shift) for distance in (LOOP, LOOP + 1)] == [1000 + (1000 >> shift)] * 2
    # A cycle sooner the first visit's total is not there yet: what was there before is zero.
    assert twice(LOOP - 1, 0) == 1000


def test_all_slots_in_turn_at_the_least_distance() -> None:
    params = tiny(slots=LOOP, head_f=4, cols=1)
    rng = np.random.default_rng(3)
    model, cycles = Model(params), []
    for key in range(30):
        for slot in range(LOOP):
            v, weight, shift = (int(rng.integers(low, high)) for low, high in ((-99999, 99999), (0, 2**26), (0, 4)))
            cycles.append(visit(slot, 0, v, weight, shift, first=int(key == 0), last=int(key == 29)))
            model.visit(slot, cycles[-1])
    assert drained(params, cycles, range(LOOP)) == [model.results[slot] for slot in range(LOOP)]


def test_result_and_drain_latency() -> None:
    params = tiny(operand_bits=12, weight_bits=14, accumulator_bits=46)
    cycles = [visit(0, 0, 1, 7, 0, first=1, last=1), {**IDLE, "drain_select": 1, "drain_address": 0}]
    got = clocked(ValuePE(params), cycles, ["drain", "tag_out.valid"], 12)
    passed = [valid for _, valid in got].index(1)
    # Selected without a pause: the result's first appearance is the first read of it, DRAIN_LATENCY behind its select.
    appeared = [drain for drain, _ in got].index(7)
    assert passed == 1
    assert appeared == passed + ValuePE.RESULT_LATENCY + ValuePE.DRAIN_LATENCY - 1
    assert [drain for drain, _ in got[appeared:]] == [7] * (len(got) - appeared)


def test_drain_follows_its_select() -> None:
    params = tiny(operand_bits=12, weight_bits=14, accumulator_bits=46)
    cycles = [visit(0, 0, 1, 7, 0, first=1, last=1), *[IDLE] * 8, *reading(0)]
    got = [drain for (drain,) in clocked(ValuePE(params), cycles, ["drain"], 6)]
    selected = 9
    assert [t for t, drain in enumerate(got) if drain] == [selected + ValuePE.DRAIN_LATENCY]


def test_results_stay_while_the_next_block_accumulates() -> None:
    params = tiny(operand_bits=12, weight_bits=14, accumulator_bits=46)
    cycles = [visit(2, 1, 3, 11, 0, 1, 1), *[IDLE] * LOOP, visit(2, 1, 5, 13, 0, 1)]
    assert drained(params, cycles, [address_of(params, 2, 1)]) == [33]


def test_a_bubble_changes_nothing() -> None:
    params = tiny(operand_bits=12, weight_bits=14, accumulator_bits=46)
    bubble = visit(0, 0, 9, 9, 5, 1, 1)
    bubble["tag_in"]["valid"] = 0
    pause = [IDLE] * LOOP
    cycles = [visit(0, 0, 3, 5, 0, 1), *pause, bubble, *pause, visit(0, 0, 1, 1, 0, last=1), *pause, bubble]
    assert drained(params, cycles, [0]) == [16]


def test_operands_pass_on_after_a_cycle() -> None:
    params = tiny()
    rng = np.random.default_rng(4)
    names = ("v", "tag", "weight", "shift")
    limits = (2**17, 2 ** value_tag_layout(params).size, 2**26, 64)
    rows = [tuple(int(rng.integers(limit)) for limit in limits) for _ in range(40)]
    cycles = [{f"{name}_in": value for name, value in zip(names, row, strict=True)} for row in rows]
    got = clocked(ValuePE(params), cycles, [f"{name}_out" for name in names])
    assert got[1:] == rows[:-1]
