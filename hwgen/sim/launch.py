"""Starts a built simulator with a cocotb module in it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwgen.errors import SimulationError
from hwgen.sim.build import environment


def launch(
    build: Path,
    top: str,
    module: str,
    folder: Path,
    *,
    plusargs: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    waves: bool = False,
) -> None:
    """Run the cocotb tests in `module` on the simulator in folder `build`; everything written goes into `folder`.

    settings reach the tests as environment variables. Raises SimulationError with the end of the log unless there are
    tests and all of them pass.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    log, results = folder / "run.log", folder / "results.xml"
    extra = {name: str(value) for name, value in (settings or {}).items()}
    with environment(), contextlib.redirect_stdout(io.StringIO()):
        try:
            get_runner("verilator").test(
                test_module=module,
                hdl_toplevel=top,
                hdl_toplevel_lang="verilog",
                build_dir=build,
                test_dir=folder,
                results_xml=str(results),
                plusargs=plusargs,
                extra_env={"COCOTB_LOG_LEVEL": "WARNING", **extra},
                waves=waves,
                log_file=log,
            )
        except (SystemExit, RuntimeError) as error:
            raise SimulationError(f"the simulator stopped: {error}\n{tail(log)}") from error
    tests, failures = get_results(results) if results.exists() else (0, 0)
    if tests == 0 or failures:
        raise SimulationError(f"{failures} of {tests} tests failed in the simulator\n{tail(log)}")


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a text file; nothing if there is none."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
