"""The accelerator behind synthesis and packing, made of ECP5 cells, long delays in LUT RAM, against the integer model.

Run by `make board-netlist`: compiling the simulator takes minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.sim.netlist import build_netlist
from hwgen.compare import compare, golden_results
from hwgen.inputs import make_problem, random_tensors
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.layer import run_layer
from hwgen.sim.system import MemoryTraits

SMALL = {"address_bits": 32, "bus_bits": 32, "outstanding": 4, "queue_beats": 32, "burst_beats": 4}
NUMBERS = {"weight_bits": 18, "scale_bits": 17, "accumulator_bits": 44}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("stall", [0, 60])
def test_every_bit(causal: bool, stall: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    params = Params(preset("tiny").replace(SMALL | NUMBERS))
    folder: Path = tmp_path_factory.getbasetemp() / "netlist"
    built = [folder / name for name in ("netlist.v", "models.v", "multiplier.v")]
    build = build_netlist(params, folder, built if built[0].exists() else None)
    problem = make_problem(random_tensors((1, 2, 13, 21), 5, params), "seed 5", params, causal=causal)
    result = run_layer(build, problem, memory=MemoryTraits(seed=5, latency=7, stall=stall))
    found = compare(result, golden_results(problem.jobs(params), params), problem.shape.Hq, params)
    assert found.first is None, str(found.first)
    assert found.equal == found.bits > 4_000
