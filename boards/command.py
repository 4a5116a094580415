"""`hwgen synth`: from a board's name to a bitstream. Only the standard library is imported before it runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hwgen import doctor
from hwgen.command_line import GENERATOR, PICTURE, Commands, add_verb


def add(commands: Commands) -> None:
    """Add the verb."""
    command = add_verb(
        commands,
        "synth",
        "make a bitstream for a board with open tools, and say what it takes of the device and how fast it is",
        (
            "hwgen synth --board ulx3s-85f",
            "hwgen synth --board icepi-zero --set slots=2 --json",
            "hwgen synth --list",
        ),
        _run,
    )
    command.add_argument("--board", metavar="NAME", help="one of those of --list")
    command.add_argument("--list", action="store_true", help="list the boards and what is built for them")
    command.add_argument("--preset", metavar="NAME", help="another configuration of `hwgen presets` than the board's")
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change parameters of the preset"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N", help="of place and route (default 1)")
    text = "where to put bitstream, summary and floorplan (default build/boards/BOARD)"
    command.add_argument("-o", dest="folder", type=Path, metavar="DIR", help=text)
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def _run(arguments: argparse.Namespace) -> int:
    doctor.require(*GENERATOR, *PICTURE)
    if arguments.list:
        return _list()
    if arguments.board is None:
        from hwgen.command_line import UsageError

        raise UsageError("--board is missing; `hwgen synth --list` shows what there is")
    return _synth(arguments)


def _list() -> int:
    from boards.catalogue import BOARDS
    from hwgen import table

    header = ("board", "name", "machine", "clock", "memory")
    rows = [
        (b.name, b.title, b.preset, f"{b.clock_hz / 1e6:g} MHz", f"{b.memory_bytes >> 10} KiB") for b in BOARDS.values()
    ]
    print(table.columns(header, rows, left=header))
    return 0


def _synth(arguments: argparse.Namespace) -> int:
    from boards.catalogue import board_named
    from boards.flow.build import build, make_design
    from boards.report import floorplan, summary
    from hwgen.request import configured
    from hwgen.writing import replacing, write_text

    board = board_named(arguments.board)
    params = configured(arguments.preset or board.preset, arguments.set)
    design = make_design(board, params, arguments.seed)
    folder = build(design, lambda line: print(line, file=sys.stderr, flush=True))
    found = summary.summarise(folder, board, params, design.family)
    out = arguments.folder or Path("build/boards") / board.name
    bitstream = out / f"{board.name}{Path(design.family.bitstream).suffix}"
    with replacing(bitstream) as part:
        part.write_bytes((folder / design.family.bitstream).read_bytes())
    write_text(out / "summary.json", json.dumps(found, indent=2) + "\n")
    with replacing(out / "floorplan.png") as part:
        floorplan.draw(folder / "placed.json", part, f"{board.title}, preset {board.preset}")
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    print(summary.text(found))
    print(f"\nwritten  {bitstream}, {out / 'summary.json'}, {out / 'floorplan.png'}")
    return 0
