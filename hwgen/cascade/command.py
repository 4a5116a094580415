"""The verb `hwgen passes`."""

from __future__ import annotations

import argparse

from hwgen import doctor
from hwgen.command_line import PICTURE, Commands, UsageError, add_verb, picture
from hwgen.errors import InputError

TOOLS = ("python", "numpy", "yaml")


def add(commands: Commands) -> None:
    command = add_verb(
        commands,
        "passes",
        "count the passes of a cascade of Einsums over a rank, with reasons, footprints and operations",
        (
            "hwgen passes",
            "hwgen passes attention-3-pass --sizes M=4096 P=4096 -o build/passes.svg",
            "hwgen passes mine.yaml --rank M --json",
        ),
        _run,
    )
    text = "a cascade of the library, or a file (docs/cascades.md); without it the library is listed"
    command.add_argument("name", nargs="?", metavar="NAME|FILE", help=text)
    command.add_argument("--rank", metavar="RANK", help="which rank to go through (default: the one the cascade names)")
    text = "sizes of ranks, for numbers beside the formulas (default: those of the file)"
    command.add_argument("--sizes", nargs="+", action="extend", default=[], metavar="RANK=N", help=text)
    command.add_argument("-o", dest="picture", type=picture, metavar="FILE", help="draw the graph (.svg or .png)")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.name is None and (arguments.rank or arguments.sizes or arguments.picture):
        raise UsageError("--rank, --sizes and -o are for one cascade: name one of those that `hwgen passes` lists")
    doctor.require(*TOOLS, *(PICTURE if arguments.picture else ()))
    from golden.cascade.errors import CascadeError
    from hwgen.cascade import report

    try:
        return report.run(
            arguments.name,
            rank=arguments.rank,
            sizes=sizes(arguments.sizes),
            picture=arguments.picture,
            json_wanted=arguments.json,
        )
    except CascadeError as error:
        raise InputError(str(error)) from None


def sizes(words: list[str]) -> dict[str, int]:
    """Sizes of `RANK=N` words; several may stand in one, with commas between."""
    found: dict[str, int] = {}
    for word in ",".join(words).split(",") if words else []:
        rank, equals, number = word.partition("=")
        if not equals or not rank or not number.isdecimal() or int(number) < 1:
            raise UsageError(f"expected RANK=N with a whole number from 1 on, not {word!r}")
        found[rank] = int(number)
    return found
