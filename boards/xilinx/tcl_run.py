"""Runs a script for Vivado without Vivado: its commands are there, and only write down how they are called."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError, MissingTool

# fmt: off
COMMANDS = (
    "add_files", "apply_bd_automation", "assign_bd_address", "close_project", "connect_bd_intf_net",
    "connect_bd_net", "create_bd_cell", "create_bd_design", "create_project", "current_fileset", "current_project",
    "generate_target", "get_bd_addr_segs", "get_bd_addr_spaces", "get_bd_intf_pins", "get_bd_pins",
    "get_board_parts", "get_files", "get_ports", "get_property", "get_runs", "get_timing_paths", "create_clock",
    "launch_runs", "make_wrapper", "opt_design", "phys_opt_design", "place_design", "read_verilog", "read_xdc",
    "report_methodology", "report_timing_summary", "report_utilization", "route_design", "save_bd_design",
    "set_property", "synth_design", "update_compile_order", "update_ip_catalog", "validate_bd_design",
    "wait_on_run", "write_checkpoint", "ipx::add_address_block", "ipx::add_address_space",
    "ipx::add_bus_interface", "ipx::add_bus_parameter", "ipx::add_memory_map", "ipx::add_port_map",
    "ipx::check_integrity", "ipx::create_xgui_files", "ipx::current_core", "ipx::package_project",
    "ipx::remove_all_address_space", "ipx::remove_all_bus_interface", "ipx::remove_all_memory_map",
    "ipx::save_core", "ipx::update_checksums",
)
# fmt: on
"""Vivado's commands that scripts may use (UG835); any other word is an error, as a misspelt one would be there."""

ANSWERS = {"PROGRESS": "100%", "STATUS": "complete", "STATS.WNS": "0.1", "SLACK": "0.1"}
"""What `get_property` says of a run that went well."""

HARNESS = """
set recorded {}
proc record {words} {
    global recorded
    set line {}
    foreach word $words { lappend line [binary encode hex [encoding convertto utf-8 $word]] }
    lappend recorded [join $line ,]
}
# An object is its name, below the object that it is made in.
proc answer {name words} {
    global answers products
    set last [lindex $words end]
    switch -glob -- $name {
        get_property {
            set key [lindex $words 0]
            return [expr {[dict exists $answers $key] ? [dict get $answers $key] : ""}]
        }
        get_board_parts { return [dict get $answers board_parts] }
        ipx::current_core { return core }
        ipx::add_* { return $last/[lindex $words 0] }
        wait_on_run {
            foreach file $products { file mkdir [file dirname $file]; close [open $file w] }
        }
        create_bd_cell - get_* - current_* { return $last }
    }
    return ""
}
namespace eval ipx {}
foreach name $commands {
    proc $name {args} [format {record [linsert $args 0 %1$s]; answer %1$s $args} $name]
}
set failed [catch {source $script} message options]
foreach line $recorded { puts "call:$line" }
if {$failed} {
    puts stderr "[dict get $options -errorinfo]"
    exit 1
}
"""


class ScriptError(HwgenError):
    """A Tcl script does not run."""

    exit_status = 1


@dataclass(frozen=True)
class Call:
    """A command and its words."""

    name: str
    words: tuple[str, ...]

    @property
    def target(self) -> str:
        """The last word: mostly what the command works on."""
        return self.words[-1] if self.words else ""

    def option(self, name: str) -> str | None:
        """The word behind an option."""
        return self.words[self.words.index(name) + 1] if name in self.words else None


def interpreter() -> list[str]:
    """A program that runs a Tcl file: tclsh, else the Tcl that Python may have. Raises MissingTool."""
    found = shutil.which("tclsh")
    if found is not None:
        return [found]
    if importlib.util.find_spec("_tkinter") is None:
        raise MissingTool("no Tcl to check scripts with: apt-get install tcl")
    return [sys.executable, "-c", "import sys, tkinter; tkinter.Tcl().evalfile(sys.argv[1])"]


def run_script(
    script: Path,
    *,
    arguments: Sequence[str] = (),
    answers: Mapping[str, str] | None = None,
    products: Sequence[Path] = (),
) -> list[Call]:
    """The calls of Vivado's commands in a script that is run in its folder, in their order.

    arguments: of the script;  answers: to `get_property` and, as `board_parts`, to `get_board_parts`;  products: files
    that an implementation would leave. Raises ScriptError with Tcl's message, MissingTool.
    """
    known = {"board_parts": "board:part0:1.0"} | ANSWERS | dict(answers or {})
    values = {
        "commands": COMMANDS,
        "argv": arguments,
        "script": [str(script)],
        "products": [str(path) for path in products],
        "answers": [word for pair in known.items() for word in pair],
    }
    lines = [f"set {name} [list {' '.join(_braced(word) for word in words)}]" for name, words in values.items()]
    lines.append("set script [lindex $script 0]")
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder) / "harness.tcl"
        harness.write_text("\n".join(lines) + HARNESS)
        done = subprocess.run(
            [*interpreter(), str(harness)], cwd=script.parent, capture_output=True, text=True, env=os.environ
        )
    if done.returncode:
        raise ScriptError(f"{script.name}: {done.stderr.strip().splitlines()[0] if done.stderr else 'failed'}")
    calls = [line.removeprefix("call:") for line in done.stdout.splitlines() if line.startswith("call:")]
    return [Call(*_decoded(line)) for line in calls]


def _braced(word: str) -> str:
    if "{" in word or "}" in word or word.endswith("\\"):
        raise ValueError(f"no plain word for Tcl: {word!r}")
    return "{" + word + "}"


def _decoded(line: str) -> tuple[str, tuple[str, ...]]:
    name, *words = (bytes.fromhex(word).decode() for word in line.split(","))
    return name, tuple(words)
