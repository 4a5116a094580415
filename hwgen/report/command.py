"""`hwgen report`: a run as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from hwgen import doctor
from hwgen.command_line import (
    PICTURE,
    SIMULATOR,
    Commands,
    add_configuration,
    add_data,
    add_memory,
    add_verb,
    check_data,
)


def add(commands: Commands) -> None:
    """The verb's place on the command line."""
    command = add_verb(
        commands,
        "report",
        "run attention on the simulated accelerator and tell of it on one HTML page",
        (
            "hwgen report --preset tiny --shape 1,2,16,40 --causal --offset 24 -o build/tiny.html",
            "hwgen report --preset demo --input heads.npz --latency 300 -o build/heads.html",
        ),
        run,
    )
    add_configuration(command)
    add_data(command)
    add_memory(command)
    results = command.add_argument_group("results")
    text = "the page; nothing on it has to be fetched from elsewhere"
    results.add_argument("-o", dest="file", type=page_file, required=True, metavar="FILE.html", help=text)
    results.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def page_file(text: str) -> Path:
    """Where the page goes."""
    path = Path(text)
    if path.suffix != ".html":
        raise argparse.ArgumentTypeError(f"expected a file .html, not {text!r}")
    return path


def run(arguments: argparse.Namespace) -> int:
    """Simulate, compare, write the page; raises SimulationError behind all that if a bit differs."""
    check_data(arguments)
    doctor.require(*SIMULATOR, *PICTURE, "jinja2")
    from hwgen import table
    from hwgen.checked import as_json, run_checked, table_rows
    from hwgen.commands import to_json
    from hwgen.progress import step
    from hwgen.report.page import page
    from hwgen.request import RunRequest
    from hwgen.writing import write_text

    request = RunRequest.of(arguments)
    params = request.params
    problem = request.problem(params)
    checked = run_checked(request.preset, params, problem, memory=request.memory, trace=True)
    with step("drawing the page"):
        text = page(checked, request, ["-o", arguments.file.as_posix()])
        write_text(arguments.file, text)
    if arguments.json:
        print(to_json(as_json(checked)), end="")
    else:
        print(table.pairs([*table_rows(checked), ("written", str(arguments.file))]))
    checked.require_equal()
    return 0
