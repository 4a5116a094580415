"""Energy and area: everything is counted, nothing twice, and what is counted is what the circuits have."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Fragment, Shape
from amaranth.hdl._mem import MemoryInstance

from golden.exact import Shape as Sizes
from hwgen.accelerator import Accelerator
from hwgen.array.score_array import ScoreArray
from hwgen.array.value_array import ValueArray
from hwgen.errors import ConfigError
from hwgen.model import registers
from hwgen.model.actions import Operation, Store, added, one_register_file, published_actions, published_parts
from hwgen.model.area import MM2, area, machine_area, published_area
from hwgen.model.cost_reader import load_table
from hwgen.model.energy import PICO, energy, machine_actions, machine_energy, operations, totals
from hwgen.model.hardware import machine_parts, units
from hwgen.model.machine import Prediction, predict
from hwgen.model.memories import banks, memory_bits
from hwgen.model.work import Work
from hwgen.params import Params
from hwgen.part import Part
from hwgen.presets import PRESETS, preset
from hwgen.softmax.group import LaneGroup

FUSEMAX, HOROWITZ = load_table("fusemax2024"), load_table("horowitz2014")
CONFIGS = {name: PRESETS[name].config for name in ("tiny", "sim", "ecp5")}
CONFIGS["fp16"] = replace(CONFIGS["tiny"], in_format="fp16", out_format="fp16", slots=3, score_frac=16, exp_segments=64)
UNEVEN = replace(CONFIGS["tiny"], rows_e=2, rows_f=8, cols=6, head_e=8, head_f=24, lanes=3, out_beat=4)
CONFIGS["uneven"] = UNEVEN
CELLS = 256 * 256
FILES = {"rf_2d": CELLS, "rf_1d": 256}


@cache
def random_runs() -> list[tuple[Params, Work, Prediction]]:
    """Seed 11: problems on small and large machines."""
    rng, runs = random.Random(11), []
    for _ in range(12):
        params = Params(rng.choice((preset("tiny"), preset("demo"), preset("sim"), UNEVEN)))
        c, kv_heads = params.config, rng.randint(1, 2)
        sizes = [rng.randint(1, 2), kv_heads * rng.randint(1, 2), kv_heads]
        sizes += [rng.randint(1, 30), rng.randint(1, 30), rng.randint(1, c.head_e), rng.randint(1, c.head_f)]
        work = Work(shape=Sizes(*sizes), causal=rng.random() < 0.5, lse=rng.random() < 0.5)
        runs.append((params, work, predict(params, work)))
    return runs


@pytest.mark.parametrize("name", ("tiny", "fp16", "uneven"))
def test_flip_flops_are_those_of_the_circuits(name: str) -> None:
    """Each distinct part counted once comes to what the whole circuit has."""
    params = Params(CONFIGS[name])
    counted = registers.register_bits(params)
    for component, part in (("score_array", ScoreArray), ("value_array", ValueArray)):
        assert counted[component] == registers.clocked_bits(Fragment.get(part(params), None))
    lanes = registers.clocked_bits(Fragment.get(LaneGroup(params), None))
    assert counted["lanes"] == params.lanes * lanes


def test_the_whole_machine_against_its_circuit() -> None:
    """Memories are exactly those there are; of the flip-flops only control is estimated."""
    params, found = Params(preset("tiny")), Counter[tuple[int, int]]()
    accelerator = Fragment.get(Accelerator(params), None)

    def walk(fragment: Any) -> None:
        if isinstance(fragment, MemoryInstance):
            found[Shape.cast(fragment._data.shape).width, fragment._data.depth] += 1
        for child, *_ in fragment.subfragments:
            walk(child)

    walk(accelerator)
    told = Counter[tuple[int, int]]()
    for bank in banks(params):
        told[bank.width, bank.depth] += bank.count
    assert told == found
    assert sum(registers.register_bits(params).values()) == pytest.approx(registers.clocked_bits(accelerator), rel=0.05)


def test_memories_of_the_measured_machine() -> None:
    """What `make bench` counts in the Verilog of preset sim, for every number of keys."""
    text = (Path(__file__).parents[2] / "docs" / "results" / "README.md").read_text()
    told = re.findall(r"^\| [\d,]+ \| ([\d,]+) \| [\d,]+ \|$", text, re.MULTILINE)
    assert told and {int(bits.replace(",", "")) for bits in told} == {sum(memory_bits(Params(preset("sim"))).values())}


def test_actions_of_the_arrays_follow_from_what_is_issued() -> None:
    for params, work, prediction in random_runs():
        c, shape, counters = params.config, work.shape, prediction.counters
        actions = machine_actions(params, prediction, work)
        multiplied = actions["score_array", "multiply"], actions["value_array", "multiply"]
        assert multiplied == (
            counters["score_busy"] * c.rows_e * c.cols,
            counters["value_busy"] * c.rows_f * c.cols,
        )
        assert sum(multiplied) >= work.pairs * (shape.E + shape.F), (c, work)
        assert actions["score_array", "add"] == multiplied[0]
        assert actions["value_array", "add"] == actions["value_array", "shift"] == multiplied[1]
        scores = actions["lanes", "chord"]
        assert scores * math.ceil(shape.E / c.rows_e) == counters["score_busy"] * c.cols
        assert scores >= work.pairs
        assert actions["accumulators", "read"] == multiplied[1] * c.accumulator_bits
        assert actions["query_operands", "read"] == multiplied[0] * c.operand_bits


def test_nothing_is_multiplied_in_vain_where_all_is_full() -> None:
    params = Params(preset("sim"))
    work = Work(shape=Sizes(1, 4, 2, 64, 100, 64, 64))
    actions = machine_actions(params, predict(params, work), work)
    multiplied = actions["score_array", "multiply"] + actions["value_array", "multiply"]
    assert multiplied == work.pairs * (64 + 64)
    # As many weights as pairs, and an output each query and head dimension.
    assert actions["lanes", "chord"] == work.pairs
    assert actions["normaliser", "estimate"] == 4 * 64 * 64


def test_memories_act_once_for_everything() -> None:
    """By hand: one head, a block of 128 queries, 100 keys, F=24 on 16 rows; bf16 elements become 18 bits."""
    params = Params(preset("sim"))
    work = Work(shape=Sizes(1, 1, 1, 128, 100, 64, 24))
    actions = machine_actions(params, predict(params, work), work)
    folded = 2 * 16
    assert actions["results", "read"] == actions["results", "write"] == 128 * folded * 48
    assert actions["query_operands", "write"] == 128 * 64 * 18
    assert actions["key_buffer", "write"] == 100 * 64 * 18
    assert actions["value_buffer", "write"] == 100 * 24 * 18
    assert actions["converters", "shift"] == 128 * 64 + 100 * (64 + 24)
    assert actions["converters_memory", "read"] == 16 * actions["converters", "shift"]
    # A score needs its query's exponent and flag, writes two references with two flags, and the denominator.
    scores = 128 * 100
    assert actions["lane_state", "write"] == scores * (2 * 14 + 2 + 46)
    assert actions["lane_state", "read"] == scores * (8 + 1) + actions["lane_state", "write"]
    assert actions["exp_table", "read"] == scores * (26 + 18)
    assert actions["normaliser", "newton_add"] == 128 * 3 * units(params)["normaliser", "newton_add"]


def test_traffic_is_the_prediction_s() -> None:
    for params, work, prediction in random_runs():
        actions = machine_actions(params, prediction, work)
        for tensor, count in prediction.bytes.items():
            action = "write" if tensor in ("o", "lse") else "read"
            assert actions[f"dram_{tensor}", action] == 8 * count
        assert {name for name, _ in actions if name.startswith("dram_")} == {f"dram_{t}" for t in prediction.bytes}
        assert actions["queues", "read"] == actions["queues", "write"] == 8 * sum(prediction.bytes.values())


def test_every_flip_flop_takes_every_clock() -> None:
    for params, work, prediction in random_runs():
        actions = machine_actions(params, prediction, work)
        clocked = {name: count for (name, action), count in actions.items() if action == "clock"}
        bits = registers.register_bits(params)
        assert clocked == {name: prediction.cycles * count for name, count in bits.items()}


@pytest.mark.parametrize("name", ("horowitz2014", "fusemax2024", "tpuv4i2021"))
def test_every_component_of_ours_acts_and_costs(name: str) -> None:
    params, table = Params(preset("tiny")), load_table(name)
    work = Work(shape=Sizes(1, 2, 1, 9, 17, 8, 8), lse=True)
    prediction = predict(params, work)
    parts, actions = machine_parts(params), machine_actions(params, prediction, work)
    assert set(operations(parts)) == {key for key in actions if not isinstance(parts[key[0]], Store)}
    joule = machine_energy(params, prediction, work, table)
    assert set(joule) == set(parts) - {"control_memory"}
    assert all(value > 0 for value in joule.values())
    assert sum(totals(joule).values()) == pytest.approx(sum(joule.values()), rel=1e-12)
    assert set(totals(joule)) == {"arrays", "softmax", "memories", "control", "dram"}


def test_energy_is_a_sum() -> None:
    parts = published_parts(16 << 20)
    one = {("array_2d", "mac"): 5.0, ("array_2d", "add"): 2.0, ("rf_2d", "read"): 160.0, ("dram", "write"): 64.0}
    joule = energy(one, FUSEMAX, parts)
    assert joule["array_2d"] == pytest.approx((5 * 17.1645 + 2 * 8.3395) * PICO, rel=1e-12)
    assert joule["rf_2d"] == pytest.approx(10 * 2.194 * PICO, rel=1e-12)
    assert joule["dram"] == pytest.approx(249.6 * PICO, rel=1e-12)
    other = {("array_2d", "mac"): 1.0, ("buffer", "read"): 4096.0}
    both = energy(added((one, other)), FUSEMAX, parts)
    assert both["array_2d"] == pytest.approx(joule["array_2d"] + 17.1645 * PICO, rel=1e-12)
    assert both["buffer"] == pytest.approx(12512.8 * PICO, rel=1e-12)


def test_register_files_of_one_element_or_of_all() -> None:
    """The published accounting divides what is counted by the number of elements, and nothing else."""
    parts = published_parts(16 << 20)
    actions = published_actions(
        {("2d", "mac"): 1e6}, {("rf_2d", "read"): 4e6, ("rf_1d", "write"): 3e3, ("dram", "read"): 10.0}
    )
    assert actions["rf_2d", "read"] == 64e6 and actions["array_2d", "mac"] == 1e6
    full = energy(actions, FUSEMAX, parts)
    one = energy(actions, FUSEMAX, parts, register_files="one PE", instances=FILES)
    assert one == energy(one_register_file(actions, FILES), FUSEMAX, parts)
    assert (one["rf_2d"] * CELLS, one["rf_1d"] * 256) == pytest.approx((full["rf_2d"], full["rf_1d"]), rel=1e-12)
    assert {name: one[name] for name in ("array_2d", "dram")} == {name: full[name] for name in ("array_2d", "dram")}


def test_published_share_of_the_array() -> None:
    """BERT at 1K, batch 64: FuseMax's 1.951 J are nearly all in the 2-D array, 6 macs for an exponential."""
    points = 64 * 12 * 1024**2
    actions = {("2d", "mac"): points * (64 + 64 + 6), ("2d", "add"): 2 * points, ("2d", "max"): points}
    joule = energy(published_actions({k: float(v) for k, v in actions.items()}, {}), FUSEMAX, published_parts(16 << 20))
    assert 0.956 <= joule["array_2d"] / 1.951 <= 0.969


def test_published_areas() -> None:
    """13.03 and 13.92 cm2, ratio 0.936; FLAT's register file is smaller by 1 in 700, which the table does not tell."""
    fusemax = sum(published_area(CELLS, 256, 16 << 20, FUSEMAX, max_in_cells=True, exp_unit=False).values()) / 100
    flat = sum(published_area(CELLS, 256, 32 << 20, FUSEMAX, max_in_cells=False, exp_unit=True).values()) / 100
    assert round(fusemax, 2) == 13.03
    assert flat == pytest.approx(13.92, rel=0.001)
    assert fusemax / flat == pytest.approx(0.936, abs=0.001)


@pytest.mark.parametrize("name", CONFIGS)
def test_area_is_the_sum_of_its_parts(name: str) -> None:
    params = Params(CONFIGS[name])
    mm2, parts = machine_area(params, HOROWITZ), machine_parts(params)
    one = {key: HOROWITZ.operation(operation, "area_um2").value for key, operation in operations(parts).items()}
    logic = sum(count * one[key] for key, count in units(params).items()) * MM2
    kept = (
        sum(bank.count * HOROWITZ.storage(Store("memory", bank.bits, bank.width)).value for bank in banks(params)) * MM2
    )
    assert sum(mm2.values()) == pytest.approx(logic + kept + mm2["exp_table"], rel=1e-12)
    assert set(units(params)) == set(operations(parts))
    c = params.config
    flops = registers.register_bits(params)["score_array"]
    array = c.rows_e * c.cols * (one["score_array", "multiply"] + one["score_array", "add"])
    foot = c.cols * one["score_array", "fold"]
    assert mm2["score_array"] == pytest.approx((array + foot + flops * one["score_array", "clock"]) * MM2, rel=1e-12)


def test_units_are_those_that_are_placed() -> None:
    """Cells, lanes, and as many lanes of the normaliser as a beat of O has numbers; a converter each for Q, K and V."""
    for name in CONFIGS:
        params = Params(CONFIGS[name])
        c, count = params.config, units(params)
        assert count["score_array", "multiply"] == c.rows_e * c.cols
        assert count["value_array", "multiply"] == count["value_array", "shift"] == c.rows_f * c.cols
        assert count["score_array", "fold"] == c.cols
        assert count["lanes", "scale"] == count["lanes", "chord"] == params.lanes
        assert count["lanes", "weight_shift"] == 2 * params.lanes
        assert count["normaliser", "estimate"] == count["normaliser", "back"] == c.out_beat
        assert count["normaliser", "divisor"] == 1
        assert count["converters", "shift"] == 3 * c.beat


def test_more_of_anything_is_more_area() -> None:
    base = preset("sim")
    least = sum(machine_area(Params(base), HOROWITZ).values())
    for changes in (
        {"cols": 32},
        {"slots": 16},
        {"lanes": 16},
        {"weight_bits": 27},
        {"buffer_rows": 64},
        {"out_beat": 16},
    ):
        assert sum(machine_area(Params(replace(base, **changes)), HOROWITZ).values()) > least, changes


def test_area_makes_no_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep asks for the area of hundreds of machines: each comes from its parameters alone."""

    def none(*_: object, **__: object) -> None:
        raise AssertionError("hardware was made")

    monkeypatch.setattr(Fragment, "get", none)
    monkeypatch.setattr(Part, "__new__", none)
    with pytest.raises(AssertionError, match="hardware was made"):
        Accelerator(Params(preset("sim")))
    assert all(area > 0 for area in machine_area(Params(preset("sim")), HOROWITZ).values())


def test_what_there_is_not() -> None:
    parts = published_parts(1 << 20)
    bad: tuple[tuple[str, Callable[[], object]], ...] = (
        (
            "unknown component 'array2d'; did you mean 'array_2d'",
            lambda: energy({("array2d", "mac"): 1}, FUSEMAX, parts),
        ),
        (
            "array_2d has no action 'macs'; did you mean 'mac'",
            lambda: energy({("array_2d", "macs"): 1}, FUSEMAX, parts),
        ),
        ("read or written, not 'mac'", lambda: energy({("dram", "mac"): 1}, FUSEMAX, parts)),
        (
            "unknown register_files 'one'; did you mean 'one PE'",
            lambda: energy({}, FUSEMAX, parts, register_files="one"),
        ),
        ("unknown component 'rf'; ", lambda: area({("rf", "store"): 1}, FUSEMAX, parts)),
        ("array_1d has no action 'store'; ", lambda: area({("array_1d", "store"): 1}, FUSEMAX, parts)),
        ("of the memory buffer 'store' has an area, not 'read'", lambda: area({("buffer", "read"): 1}, FUSEMAX, parts)),
        ("gives no area of any operation", lambda: machine_area(Params(preset("tiny")), load_table("tpuv4i2021"))),
    )
    for text, call in bad:
        with pytest.raises(ConfigError, match=re.escape(text)):
            call()


def test_our_arithmetic_has_the_contract_s_widths() -> None:
    params = Params(preset("ecp5"))
    found = operations(machine_parts(params))
    assert found["score_array", "multiply"] == Operation("multiply", "int", (16, 16))
    assert found["score_array", "add"].bits == (params.sum_bits,) == (35,)
    assert found["score_array", "fold"].bits == (params.qk_bits,) == (37,)
    assert found["value_array", "multiply"].bits == (16, 18)
    assert found["value_array", "shift"].bits == (36, 6)
    wide = operations(machine_parts(Params(preset("sim"))))
    assert wide["value_array", "multiply"].bits == (18, 26)


def test_the_documentation_s_example(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "energy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    assert capsys.readouterr().out.endswith(f"{sum(machine_area(found['params'], HOROWITZ).values())} mm2\n")
