"""Block walker and block fork as emitted, with a job source that pauses and consumers that refuse."""

from pathlib import Path

import pytest

from hwgen.control.block_fork import BlockFork
from hwgen.control.block_walker import BlockWalker
from rtl_tests.harness.configurations import params
from rtl_tests.harness.unit import run_unit

TRAFFIC = [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.5, 0.5)]
WAYS = 4


@pytest.mark.parametrize("name", ["five_slots_three_columns"])
@pytest.mark.parametrize("seed,traffic", list(enumerate(TRAFFIC)), ids=str)
def test_block_walker(name: str, seed: int, traffic: tuple[float, float], tmp_path: Path) -> None:
    idle, stall = traffic
    settings = {"CORE": name, "SEED": seed, "IDLE": idle, "STALL": stall}
    run_unit(BlockWalker, (params(name),), "rtl_tests.unit.cocotb_block_walker", tmp_path, settings)


# Pauses of the source; refusals of each output.
FORKS = [
    (0.0, "0 0 0 0"),
    (0.6, "0 0 0 0"),
    (0.0, "0 0 0.3 0.9"),
    (0.3, "0.2 0.7 0.5 0.4"),
]


@pytest.mark.parametrize("seed,idle,stalls", [(i, *case) for i, case in enumerate(FORKS)])
def test_block_fork(seed: int, idle: float, stalls: str, tmp_path: Path) -> None:
    assert len(stalls.split()) == WAYS
    settings = {"CORE": "base", "SEED": seed, "IDLE": idle, "STALLS": stalls}
    run_unit(BlockFork, (params("base"), WAYS), "rtl_tests.unit.cocotb_block_fork", tmp_path, settings)
