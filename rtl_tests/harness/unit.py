"""Builds one part of the machine alone and runs a cocotb module on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.emit import to_verilog
from hwgen.part import Part
from hwgen.sim.build import Recipe, cached_build, content_key
from hwgen.sim.launch import launch

TOP = "unit"


def run_unit(
    part: type[Part],
    arguments: Sequence[Any],
    module: str,
    folder: Path,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Emit `part(*arguments)` as module `unit`, verilate it with its ports visible, run the cocotb tests in `module`.

    settings reach the tests as environment variables. Raises SimulationError if one of the tests fails or none ran.
    """

    def sources(work: Path) -> list[Path]:
        (work / "unit.v").write_text(to_verilog(part(*arguments), TOP))
        return [work / "unit.v"]

    control = f'`verilator_config\npublic_flat_rw -module "{TOP}" -port "*"\n'
    build = cached_build(content_key(part.__qualname__, *arguments), sources, Recipe(TOP, control, {}, fast=False))
    launch(build, TOP, module, folder, settings=settings)
