"""Builds one part of the machine alone and runs a cocotb module on it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.emit import to_verilog
from hwgen.part import Part
from hwgen.sim.build import Recipe, cached_build, content_key, environment

TOP = "unit"


def run_unit(
    part: type[Part],
    arguments: Sequence[Any],
    module: str,
    folder: Path,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Emit `part(*arguments)` as module `unit`, verilate it with its ports visible, run the cocotb tests in `module`.

    settings reach the tests as environment variables. Fails if one of the tests fails or none ran.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    def sources(work: Path) -> list[Path]:
        (work / "unit.v").write_text(to_verilog(part(*arguments), TOP))
        return [work / "unit.v"]

    control = f'`verilator_config\npublic_flat_rw -module "{TOP}" -port "*"\n'
    build = cached_build(content_key(part.__qualname__, *arguments), sources, Recipe(TOP, control, {}, fast=False))
    results = folder / "results.xml"
    extra = {name: str(value) for name, value in (settings or {}).items()}
    with environment(), contextlib.redirect_stdout(io.StringIO()):
        try:
            get_runner("verilator").test(
                test_module=module,
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=build,
                test_dir=folder,
                results_xml=str(results),
                extra_env={"COCOTB_LOG_LEVEL": "WARNING", **extra},
                log_file=folder / "run.log",
            )
        except SystemExit as error:
            raise AssertionError((folder / "run.log").read_text()) from error
    tests, failures = get_results(results)
    assert tests > 0 and failures == 0, (folder / "run.log").read_text()
