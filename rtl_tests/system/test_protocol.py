"""The accelerator between a bus master and a memory that others wrote (cocotbext-axi), both of which pause at random.

A queue of random layers for every data width, every bit equal to the golden model; the protocol is checked on both
ports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.accelerator import Accelerator
from hwgen.control.descriptor import Descriptor, pack
from hwgen.control.register_map import register_map
from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.sim import system
from hwgen.sim.build import Recipe, cached_build, content_key, make_arguments
from hwgen.sim.launch import launch
from hwgen.sim.layout import Image
from hwgen.sim.system import IDENTITY, RULES, QueueRun
from hwgen.timing import reset_cycles
from rtl_tests.harness.configurations import accelerator
from rtl_tests.harness.layers import Layer, assert_layer, layer

TOP = "protocol"
HARNESS = Path(__file__).parent.parent / "harness"
CHANNELS = ("aw", "w", "b", "ar", "r")
LAYERS = 25
LARGEST = 8
CYCLES = 200_000


@dataclass(frozen=True)
class Rhythm:
    """Share of cycles in which the channels AW, W, B, AR, R pause, of the memory and of the host; the longest pause
    that is decided at once."""

    memory: tuple[float, ...]
    host: tuple[float, ...]
    longest: int

    def plan(self) -> dict[str, Any]:
        pauses = {"m_axi": self.memory, "s_axi": self.host}
        return {
            "pauses": {bus: dict(zip(CHANNELS, rates, strict=True)) for bus, rates in pauses.items()},
            "longest": self.longest,
        }


CASES = {
    "bus of 32": Rhythm((0.1, 0.05, 0.2, 0.1, 0.02), (0.2, 0.2, 0.2, 0.2, 0.2), 1),
    "bus of 64": Rhythm((0.5, 0.3, 0.1, 0.3, 0.2), (0.5, 0.1, 0.4, 0.3, 0.6), 3),
    "bus of 128": Rhythm((0.2, 0.5, 0.5, 0.2, 0.4), (0.1, 0.5, 0.2, 0.6, 0.1), 8),
    "bus of 512": Rhythm((0.4, 0.4, 0.3, 0.6, 0.5), (0.3, 0.3, 0.6, 0.1, 0.4), 20),
}


def build(core: Params) -> Path:
    """The simulator's folder."""
    ours = [system.HERE / "axi_checker.sv", HARNESS / f"{TOP}.sv"]

    def sources(folder: Path) -> list[Path]:
        (folder / "hwgen_accelerator.v").write_text(to_verilog(Accelerator(core), "hwgen_accelerator"))
        return [folder / "hwgen_accelerator.v", *ours]

    c = core.config
    control = f'`verilator_config\npublic_flat_rw -module "{TOP}" -port "*"\n'
    parameters = {"ADDRESS": c.address_bits, "BUS": c.bus_bits, "OUTSTANDING": c.outstanding}
    key = content_key(TOP, c.hash(), ours[-1].read_text(), control, make_arguments(fast=False))
    return cached_build(key, sources, Recipe(TOP, control, parameters, fast=False))


def run(
    core: Params, image: Image, descriptors: Sequence[Descriptor], seed: int, rhythm: Rhythm, folder: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, Any]]:
    """All descriptors as one queue: the memory before and after, and the report."""
    before, ring = image.with_ring([pack(descriptor) for descriptor in descriptors])
    before = np.pad(before, (0, -len(before) % core.bus_bytes))
    registers = {register.name: register for register in register_map(core)}
    plan = {
        "registers": {register.name: (register.address, register.words) for register in registers.values()},
        "identity": {name: registers[name].reset for name in IDENTITY},
        "counters": ["descriptors", "pairs"],
        "rules": RULES,
        "traffic": ["open_reads", "open_writes"],
        "reset_cycles": reset_cycles(core),
        "ring_base": ring,
        "ring_size": len(descriptors),
        "limit": CYCLES,
        "base": image.base,
        "seed": seed,
    }
    (folder / "plan.json").write_text(json.dumps(plan | rhythm.plan()))
    (folder / "before.bin").write_bytes(before.tobytes())
    # What the foreign models use of cocotb that is to go would fill the log.
    settings = {"HWGEN_FOLDER": folder, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    launch(build(core), TOP, "rtl_tests.system.cocotb_protocol", folder, settings=settings)
    after = np.frombuffer((folder / "after.bin").read_bytes(), dtype=np.uint8)
    return before, after, json.loads((folder / "report.json").read_text())


def assert_report(report: Mapping[str, Any], result: QueueRun, layers: list[Layer], rhythm: Rhythm) -> None:
    """No fault, all work done, every channel has paused about as often as asked, both checkers were awake."""
    assert (result.faults, result.errors, report["strays"]) == ([], 0, [])
    assert result.head == len(layers)
    assert result.counters == {"descriptors": len(layers), "pairs": sum(one.pairs for one in layers)}
    wanted = {f"{bus}_{name}": rate for bus, rates in rhythm.plan()["pauses"].items() for name, rate in rates.items()}
    assert report["pauses"] == pytest.approx(wanted, rel=0.3)
    assert [(port, RULES[rule]) for port, rule in report["breaches"]] == [(1, "B_EARLY"), (2, "RESET")]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [41])
def test_random_layers_between_foreign_models(seed: int, name: str, tmp_path: Path) -> None:
    """Repeat one with: pytest rtl_tests/system/test_protocol.py -k 'SEED-NAME'."""
    print(f"repeat with seed {seed}, {name}, {CASES[name]}")
    core = accelerator(name)
    rng = np.random.default_rng([seed, core.config.bus_bits])
    layers = [layer(rng, core, largest=LARGEST) for _ in range(LAYERS)]
    image = Image(core)
    placed = [one.place(image) for one in layers]
    before, after, report = run(core, image, [p.descriptor for p in placed], seed, CASES[name], tmp_path)
    result = QueueRun.of(report)
    assert_report(report, result, layers, CASES[name])
    image.require_untouched(after)
    behind = len(image.content())
    np.testing.assert_array_equal(after[behind:], before[behind:], "the ring has changed")
    golden = [one.golden(core) for one in layers]
    for i, (place, want) in enumerate(zip(placed, golden, strict=True)):
        assert_layer(place, after, want, f"layer {i} ({layers[i]})")
    for flag in ("saturated", "poisoned"):
        assert getattr(result, flag) == any(bool(getattr(want, flag).any()) for want in golden), flag


def test_the_queues_are_long_and_cover_the_widths() -> None:
    assert LAYERS * len(CASES) >= 100
    assert {accelerator(name).config.bus_bits for name in CASES} == {32, 64, 128, 512}
