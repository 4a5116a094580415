"""What surrounds a run of the accelerator: the memory's file, the host's plan, and how failures are told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwgen.control.descriptor import Descriptor
from hwgen.control.faults import Fault
from hwgen.control.register_map import MAGIC, counter_names
from hwgen.errors import InputError, SimulationError
from hwgen.sim import system
from hwgen.sim.layout import Image
from hwgen.sim.system import (
    RULES,
    FaultReport,
    MemoryTraits,
    QueueRun,
    SystemBuild,
    SystemResult,
    cycle_limit,
    memory_bits_for,
    quiet_limit,
    read_memory,
    run_system,
    write_memory,
)
from hwgen.sim.system_entry import Host, HostError
from hwgen.tests.bench import tiny
from hwgen.timing import reset_cycles

DESCRIPTOR = Descriptor(
    in_format=0,
    out_format=0,
    batches=2,
    query_heads=4,
    kv_heads=2,
    queries=10,
    keys=100,
    head_e=8,
    head_f=8,
    scale_mantissa=1,
    scale_exponent=0,
    q_address=0,
    k_address=0,
    v_address=0,
    o_address=0,
    q_strides=(0, 0, 16),
    k_strides=(0, 0, 16),
    v_strides=(0, 0, 16),
    o_strides=(640, 160, 16),
)


def build(folder: Path, **changes: Any) -> SystemBuild:
    return SystemBuild(folder, tiny(**changes), memory_bits=12)


@pytest.mark.parametrize("bus_bits", [32, 128, 512])
def test_the_memory_file(tmp_path: Path, bus_bits: int) -> None:
    one = build(tmp_path, bus_bits=bus_bits)
    content = np.random.default_rng(1).integers(0, 256, 1001, dtype=np.uint8)
    path = tmp_path / "memory.hex"
    write_memory(path, content, one)
    words = path.read_text().split()
    size = bus_bits // 8
    assert len(words) == -(-1001 // size)
    # The lowest address in the lowest bits.
    for i, word in enumerate(words[:-1]):
        assert int(word, 16) == int.from_bytes(content[i * size : (i + 1) * size].tobytes(), "little")
    np.testing.assert_array_equal(read_memory(path, 1001, one), content)
    path.write_text("// what a simulator writes\n@0\n" + "\n".join(words).upper() + "\n")
    np.testing.assert_array_equal(read_memory(path, 7, one), content[:7])


def test_a_memory_that_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=re.escape("4097 bytes do not fit a memory of 2^12")):
        write_memory(tmp_path / "memory.hex", np.zeros(4097, np.uint8), build(tmp_path))


def test_few_sizes_of_memory() -> None:
    assert [memory_bits_for(size) for size in (1, 1 << 20, (1 << 20) + 1, 1 << 25, 1 << 30)] == [20, 20, 22, 26, 30]
    with pytest.raises(InputError, match="take 1073741825 bytes of a simulated memory, which holds 1073741824"):
        memory_bits_for((1 << 30) + 1)


def test_plus_arguments() -> None:
    traits = MemoryTraits(latency=7, bandwidth=128, stall={"ar": 3}, lite_stall=4, seed=9, faults={"early_last": 2})
    assert set(traits.plusargs()) == {
        "+latency=7",
        "+bandwidth=128",
        "+stall_ar=3",
        "+lite_stall=4",
        "+aw_waits=0",
        "+seed=9",
        "+early_last=2",
    }
    assert {f"+stall_{name}=50" for name in ("aw", "w", "b", "ar", "r")} < set(MemoryTraits(stall=50).plusargs())
    known = "".join((system.HERE / f"{name}.sv").read_text() for name in ("system", "axi_memory"))
    for argument in (*traits.plusargs(), *MemoryTraits(stall=1, aw_waits=True).plusargs()):
        name = argument.strip("+").partition("=")[0]
        assert f'$value$plusargs("{name}=%d"' in known, name


def test_limits_grow_with_all_that_takes_time() -> None:
    params = tiny()
    base = cycle_limit(params, DESCRIPTOR, MemoryTraits())
    # Every visit and every row, B Hkv times.
    assert base > 2 * 2 * (20 / params.block) * 100 * params.config.slots * 4
    for traits in (MemoryTraits(latency=500), MemoryTraits(bandwidth=128), MemoryTraits(stall={"w": 128})):
        assert cycle_limit(params, DESCRIPTOR, traits) >= 1.5 * base
    assert cycle_limit(params, DESCRIPTOR, MemoryTraits(bandwidth=128, stall=128)) == pytest.approx(4 * base, abs=4)
    assert quiet_limit(params, MemoryTraits(latency=5000)) > quiet_limit(params, MemoryTraits()) + 4 * 4900 - 1
    assert quiet_limit(tiny(buffer_rows=1024, slots=64), MemoryTraits()) > 1024 * 64 * 4


def test_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the host needs, and what it reports back."""
    one = build(tmp_path, bus_bits=64)
    image = Image(one.params, base=0x10000)
    seen: dict[str, Any] = {}

    def launch(folder: Path, top: str, module: str, work: Path, **options: Any) -> None:
        seen.update(options, folder=folder, top=top, module=module)
        plan = seen["plan"] = json.loads((work / "plan.json").read_text())
        content = read_memory(work / "memory.hex", 4096, one)
        seen["ring"] = content[plan["ring_base"] - image.base :][: 2 * 256].tobytes()
        content[3] ^= 1
        write_memory(work / "after.hex", content, one)
        (work / "activity.txt").write_text("3 2 0 1\n9 0 1 1\n")
        run = {"head": 2, "cycles": 77, "faults": [[12, 1, 0x1234]], "errors": 1, "status": 0b1110}
        counters = {name: i for i, name in enumerate(counter_names())}
        report = {"runs": [run | {"counters": counters}], "failure": None, "traffic": {"read_beats": 5}, "seconds": 0.5}
        Path(plan["report"]).write_text(json.dumps(report))

    monkeypatch.setattr(system, "launch", launch)
    result = run_system(one, image, [DESCRIPTOR, DESCRIPTOR], tails=[1, 3], trace=True, memory=MemoryTraits(latency=9))
    plan = seen["plan"]
    assert plan["identity"]["MAGIC"] == MAGIC and plan["identity"]["CONFIG_HASH"] == int(one.params.config.hash(), 16)
    assert plan["registers"]["QUEUE_TAIL"] == [0x1C, 1] and plan["registers"]["QUEUE_BASE"] == [0x10, 2]
    assert (plan["tails"], plan["ring_size"], plan["reset_cycles"]) == ([1, 3], 2, reset_cycles(one.params))
    assert plan["limit"] > 3 * cycle_limit(one.params, DESCRIPTOR, MemoryTraits(latency=9))
    assert seen["ring"][:4] == b"\x01\x41\x57\x48" and seen["ring"][:256] == seen["ring"][256:]
    assert {"+base=10000", "+latency=9", "+trace"} < set(seen["plusargs"])
    assert result.memory[3] == image.content()[3] ^ 1
    assert result.activity == [(3, 2, 0, 1), (9, 0, 1, 1)] and result.traffic == {"read_beats": 5}
    assert result.last.faults == [FaultReport(Fault.READ_RESPONSE, 1, 0x1234)]
    assert (result.last.saturated, result.last.poisoned, result.last.cycles) == (True, True, 77)
    assert result.last.counters[counter_names()[3]] == 3
    with pytest.raises(SimulationError, match=re.escape("fault READ_RESPONSE (descriptor 1, address 0x1234)")):
        result.require_faultless()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("report", "text"), [({"failure": "AXI rule X"}, "AXI rule X"), (None, "without a report")])
def test_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Any, text: str) -> None:
    def launch(*arguments: Any, **_: Any) -> None:
        if report is not None:
            (arguments[3] / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(system, "launch", launch)
    one = build(tmp_path)
    with pytest.raises(SimulationError, match=text):
        run_system(one, Image(one.params), [DESCRIPTOR])


def test_a_run_without_faults() -> None:
    run = QueueRun(1, {}, 1, 0, [], saturated=False, poisoned=False)
    SystemResult(np.zeros(0, np.uint8), [run], {}, 0.0).require_faultless()


def pins(**values: int) -> Any:
    return SimpleNamespace(**{name: SimpleNamespace(value=value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("violated", "text"),
    [
        (1, "AXI rule PAGE was broken on the memory port in cycle 123"),
        (2, "AXI rule B_STABLE was broken on the register port in cycle 9"),
        (3, "AXI rule PAGE was broken on the memory port in cycle 123"),
    ],
)
def test_a_broken_rule_is_named(violated: int, text: str) -> None:
    plan = {"registers": {}, "rules": {str(number): name for number, name in RULES.items()}}
    rules = {name: number for number, name in RULES.items()}
    values = {"memory_rule": rules["PAGE"], "memory_since": 123, "lite_rule": rules["B_STABLE"], "lite_since": 9}
    Host(pins(violated=0, **values), plan).look()
    with pytest.raises(HostError, match=text):
        Host(pins(violated=violated, **values), plan).look()


def test_rules_are_numbered_without_a_gap() -> None:
    assert list(RULES) == list(range(1, 20)) and len(set(RULES.values())) == 19
