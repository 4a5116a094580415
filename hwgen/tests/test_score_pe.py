"""The score array's cell: products, loads and the distances in cycles it states."""

from typing import Any

import numpy as np
import pytest

from hwgen.array.score_pe import ScorePE
from hwgen.params import Params
from hwgen.tests.bench import Inputs, clocked, tiny

PARAMS = [
    pytest.param(tiny(), id="two-folds"),
    pytest.param(tiny(slots=1, head_e=4, operand_bits=12), id="one-operand-a-bank"),
]
OUTPUTS = ("sum_out", "k_out", "operand_out")


def random_cycles(seed: int, params: Params, count: int) -> list[dict[str, Any]]:
    """Every input anew in every cycle; sums leave room for one more product."""
    rng = np.random.default_rng(seed)
    most = 2 ** (params.config.operand_bits - 1) - 1
    room = 2 ** (params.sum_bits - 1) - 1 - most**2

    def element() -> int:
        return int(rng.choice([-most, most, 0, rng.integers(-most, most + 1)]))

    return [
        {
            "k_in": element(),
            "operand_in": int(rng.integers(params.q_depth)),
            "sum_in": int(rng.integers(-room, room + 1)),
            "load_enable": int(rng.integers(2)),
            "load_operand": int(rng.integers(params.q_depth)),
            "load_data": element(),
        }
        for _ in range(count)
    ]


def operands_seen(cycles: list[dict[str, Any]], params: Params) -> list[int]:
    """The operand each cycle's `k_in` meets: loads enabled in earlier cycles, their data a cycle behind."""
    memory, seen = [0] * params.q_depth, []
    for before, cycle in zip([{"load_enable": 0}, *cycles], cycles, strict=False):
        if before["load_enable"]:
            memory[cycle["load_operand"]] = cycle["load_data"]
        seen.append(memory[cycle["operand_in"]])
    return seen


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("seed", range(2))
def test_sum_under_random_loads(seed: int, params: Params) -> None:
    cycles = random_cycles(seed, params, 400)
    got = [sum_out for sum_out, _, _ in clocked(ScorePE(params), cycles, OUTPUTS)]
    operands = operands_seen(cycles, params)
    # The sum from above arrives a cycle before the sum leaves, that is after its key.
    later = ScorePE.LATENCY - 1
    want = [cycles[t + later]["sum_in"] + operands[t] * cycles[t]["k_in"] for t in range(len(cycles) - ScorePE.LATENCY)]
    assert got[ScorePE.LATENCY :] == want


@pytest.mark.parametrize("params", PARAMS)
def test_keys_and_operands_go_right_after_a_cycle(params: Params) -> None:
    cycles = random_cycles(2, params, 50)
    got = clocked(ScorePE(params), cycles, OUTPUTS)
    assert [(k, operand) for _, k, operand in got[1:]] == [(c["k_in"], c["operand_in"]) for c in cycles[:-1]]


def test_largest_products_fill_the_sum() -> None:
    params = tiny()
    most, rows = 2 ** (params.config.operand_bits - 1) - 1, params.config.rows_e
    rest = (rows - 1) * most**2
    for sign in (1, -1):
        load: list[Inputs] = [{"load_enable": 1}, {"load_enable": 0, "load_data": sign * most}]
        seen = clocked(ScorePE(params), [*load, {"k_in": most, "sum_in": sign * rest}], ["sum_out"], ScorePE.LATENCY)
        assert seen[-1] == (sign * rows * most**2,)


def test_every_operand_has_a_place_of_its_own() -> None:
    params = tiny()
    depth = params.q_depth
    assert depth == 2 * params.config.slots * params.folds_e
    load = [{"load_enable": int(i < depth), "load_operand": max(i - 1, 0), "load_data": i} for i in range(depth + 1)]
    read = [{"k_in": 1, "operand_in": i} for i in range(depth)]
    seen = clocked(ScorePE(params), [*load, *read], ["sum_out"], ScorePE.LATENCY)
    assert [sum_out for (sum_out,) in seen[-depth:]] == list(range(1, depth + 1))
