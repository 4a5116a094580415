"""`python -m boards.xilinx`: estimates and projects for AMD/Xilinx devices."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from boards.xilinx.devices import BOARDS, DEVICES, board, device
from hwgen.command_line import Commands, Parser, add_verb
from hwgen.config import parse_assignments
from hwgen.errors import HwgenError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status, as `hwgen.cli` has them."""
    parser = Parser(
        prog="python -m boards.xilinx",
        description="Estimates and projects for AMD/Xilinx devices; nothing here needs Vivado.",
        epilog="example:\n  python -m boards.xilinx estimate --device xc7z020 --preset ecp5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_estimate, _add_project, _add_lint):
        add(commands)
    try:
        arguments = parser.parse_args(argv)
        return int(arguments.run(arguments))
    except HwgenError as error:
        print(f"boards.xilinx: {error}", file=sys.stderr)
        return error.exit_status


def _add_machine(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("--preset", metavar="NAME", help=f"a configuration of `hwgen presets` (default {default})")
    text = "score PEs with their registers placed as a DSP48 has them, for tools that keep hierarchy"
    command.add_argument("--cells", action="store_true", help=text)
    text = "change parameters of the preset"
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=text)


def _add_estimate(commands: Commands) -> None:
    command = add_verb(
        commands,
        "estimate",
        "what an accelerator takes of a device, synthesised with yosys (minutes; kept for the next time)",
        (
            "python -m boards.xilinx estimate --device xc7z020 --preset ecp5",
            "python -m boards.xilinx estimate --device xck26 --preset demo --set cols=4 --json",
        ),
        _estimate,
    )
    command.add_argument("--device", required=True, metavar="NAME", help=f"one of {', '.join(DEVICES)}")
    _add_machine(command, "that of the device's board")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def _add_project(commands: Commands) -> None:
    command = add_verb(
        commands,
        "project",
        "write a folder from which Vivado makes an IP, reports and a bitstream",
        ("python -m boards.xilinx project --board pynq-z2 -o build/pynq-z2",),
        _project,
    )
    command.add_argument("--board", required=True, metavar="NAME", help=f"one of {', '.join(BOARDS)}")
    _add_machine(command, "the board's own")
    command.add_argument("-o", dest="folder", type=Path, required=True, metavar="DIR", help="folder for all files")
    text = "only count multipliers, instead of synthesising the machine to see whether it fits"
    command.add_argument("--quick", action="store_true", help=text)


def _add_lint(commands: Commands) -> None:
    command = add_verb(
        commands,
        "lint",
        "run a project's scripts with Vivado's commands replaced, and check what they ask for",
        ("python -m boards.xilinx lint --board pynq-z2 build/pynq-z2",),
        _lint,
    )
    command.add_argument("--board", required=True, metavar="NAME", help=f"one of {', '.join(BOARDS)}")
    command.add_argument("folder", type=Path, metavar="DIR", help="the folder that `project` wrote")


def _estimate(arguments: argparse.Namespace) -> int:
    from boards.xilinx.estimate import estimate

    chosen = device(arguments.device)
    fitted = next(b for b in BOARDS.values() if b.device is chosen)
    found = estimate(fitted.params(arguments.preset, parse_assignments(arguments.set)), chosen, cells=arguments.cells)
    print(json.dumps(found.as_json(), indent=2) if arguments.json else found.as_table())
    return 0


def _project(arguments: argparse.Namespace) -> int:
    from boards.xilinx.project import write_project

    chosen = board(arguments.board)
    params = chosen.params(arguments.preset, parse_assignments(arguments.set))
    written = write_project(
        chosen,
        params,
        arguments.folder,
        name=arguments.preset or chosen.preset,
        cells=arguments.cells,
        check=(lambda *_: None) if arguments.quick else None,
    )
    print("\n".join(map(str, written)))
    return 0


def _lint(arguments: argparse.Namespace) -> int:
    from boards.xilinx.tcl_check import check_project

    complaints = check_project(arguments.folder.absolute(), board(arguments.board))
    print("\n".join(complaints) or "nothing is wrong; Vivado itself was not run")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
