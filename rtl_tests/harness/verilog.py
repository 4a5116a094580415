"""Builds a Verilog file of the simulation alone and runs a cocotb module on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hwgen.sim import launch
from hwgen.sim.build import HERE, Recipe, cached_build, content_key


def run_verilog(
    top: str,
    module: str,
    folder: Path,
    *,
    parameters: Mapping[str, int] | None = None,
    plusargs: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
) -> None:
    """Verilate module `top` of hwgen/sim/TOP.sv with its ports visible and run the cocotb tests in `module`.

    Fails if one of the tests fails or none ran.
    """
    chosen = dict(parameters or {})
    control = f'`verilator_config\npublic_flat_rw -module "{top}" -port "*"\n'
    recipe = Recipe(top, control, chosen, fast=False)
    build = cached_build(content_key(top, sorted(chosen.items())), lambda _: [HERE / f"{top}.sv"], recipe)
    launch.launch(build, top, module, folder, plusargs=plusargs, settings=settings)
