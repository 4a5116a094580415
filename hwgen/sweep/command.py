"""`hwgen sweep`."""

from __future__ import annotations

import argparse
from pathlib import Path

from hwgen import doctor
from hwgen.command_line import GENERATOR, PICTURE, Commands, UsageError, add_verb, number

MOST_WORKERS = 256


def add(commands: Commands) -> None:
    command = add_verb(
        commands,
        "sweep",
        "evaluate many configurations with the model, by a grid or a search, and find those that no other beats",
        (
            "hwgen sweep hwgen/sweep/examples/grid.yaml",
            "hwgen sweep hwgen/sweep/examples/search.yaml --workers 4",
            "hwgen sweep mine.yaml --dask tcp://cluster:8786 --axes cycles,energy",
        ),
        _sweep,
    )
    text = "what to explore: machine, parameters, works, objectives, constraints (docs/exploration.md)"
    command.add_argument("spec", type=Path, metavar="SPEC.yaml", help=text)
    text = "folder for results (default build/sweep/SPEC); a sweep that was stopped goes on with those found there"
    command.add_argument("-o", dest="folder", type=Path, metavar="DIR", help=text)
    command.add_argument("--again", action="store_true", help="forget the results in the folder")
    where = command.add_mutually_exclusive_group()
    text = "processes on this machine (default 1); more than one need Dask"
    where.add_argument("--workers", type=workers, default=1, metavar="N", help=text)
    where.add_argument("--dask", metavar="ADDRESS", help="a Dask cluster's scheduler, as tcp://host:port")
    text = "the two metrics of the picture (default the first two objectives)"
    command.add_argument("--axes", metavar="X,Y", help=text)
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def workers(text: str) -> int:
    return number(text, 1, MOST_WORKERS)


def _sweep(arguments: argparse.Namespace) -> int:
    doctor.require(*GENERATOR, *PICTURE, "yaml")
    from hwgen.sweep import sweep

    if arguments.dask is not None and "://" not in arguments.dask:
        raise UsageError(f"expected an address as tcp://host:port, not {arguments.dask!r}")
    return sweep.run(
        arguments.spec,
        folder=arguments.folder,
        again=arguments.again,
        workers=arguments.workers,
        address=arguments.dask,
        axes=arguments.axes,
        json_wanted=arguments.json,
    )
