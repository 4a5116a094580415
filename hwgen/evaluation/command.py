"""The verb `results`: everything in docs/results that comes from code, made again."""

from __future__ import annotations

import argparse
from pathlib import Path

from hwgen import doctor
from hwgen.command_line import PICTURE, Commands, add_verb

FOLDER = Path("docs/results")


def add(commands: Commands) -> None:
    command = add_verb(
        commands,
        "results",
        "make the tables and pictures of the evaluation again, published and reproduced, from nothing but code",
        ("hwgen results", "hwgen results -o build/results"),
        _results,
    )
    command.add_argument("-o", dest="folder", type=Path, default=FOLDER, metavar="DIR", help=f"default {FOLDER}")
    command.add_argument("--json", action="store_true", help="print all means as one JSON object instead of the table")


def _results(arguments: argparse.Namespace) -> int:
    doctor.require("python", "amaranth", "numpy", *PICTURE)
    from hwgen.evaluation import generate

    return generate.run(arguments.folder, json_wanted=arguments.json)
