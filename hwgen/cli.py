"""The command line: what can be asked for, and how errors look.

Only the standard library is imported here; what a verb needs is checked for and then imported when the verb runs, so
that `hwgen doctor` works where everything else is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from hwgen import __version__, doctor
from hwgen.cascade import command as cascade
from hwgen.command_line import (
    GENERATOR,
    PICTURE,
    SIMULATOR,
    Commands,
    Parser,
    add_configuration,
    add_data,
    add_memory,
    add_verb,
    check_data,
    picture,
)
from hwgen.errors import HwgenError
from hwgen.evaluation import command as evaluation
from hwgen.model import command as model
from hwgen.report import command as report
from hwgen.sweep import command as sweep

SCORE_NAMES = "an example of the library's function (hwgen.scoremod.library), or file.py:function for your own one"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status.

    0: done;  1: the simulation failed or disagreed with the golden model;  2: wrong usage, configuration or input, or a
    missing tool;  130: interrupted. `--help` and `--version` end the program themselves.
    """
    try:
        arguments = _parser().parse_args(argv)
        return int(arguments.run(arguments))
    except HwgenError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except MemoryError:
        return _fail("not enough memory", 2)
    except BrokenPipeError:
        # Whoever read the output has left; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 2)


def _fail(text: str, status: int) -> int:
    for line in text.splitlines():
        print(f"hwgen: {line}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="hwgen",
        description="Generator of a streaming one-pass attention accelerator, checked bit for bit in simulation.",
        epilog="example:\n  hwgen demo\n\nEach command explains itself: hwgen sim --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hwgen {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_generate,
        _add_sim,
        report.add,
        model.add,
        _add_score,
        _add_demo,
        _add_demo_minilm,
        _add_bench,
        evaluation.add,
        cascade.add,
        sweep.add,
        _add_presets,
        _add_doctor,
    ):
        add(commands)
    # Rooms that hwgen cannot import bring verbs of their own.
    for entry in sorted(entry_points(group="hwgen.verbs"), key=lambda entry: entry.name):
        entry.load()(commands)
    return parser


def _add_generate(commands: Commands) -> None:
    command = add_verb(
        commands,
        "generate",
        "write an accelerator as Verilog, with its registers for C, Python and others, and its figures as JSON",
        (
            "hwgen generate --preset sim -o build",
            "hwgen generate --preset sim --set cols=8 slots=16 -o build",
            "hwgen generate --preset sim --score mine.py:my_score --block-list -o build",
        ),
        _generate,
    )
    add_configuration(command)
    command.add_argument("-o", dest="folder", type=Path, required=True, metavar="DIR", help="folder for all files")
    text = "the accelerator behind AXI ports (default), or its core with streams"
    command.add_argument("--top", choices=("accelerator", "core"), default="accelerator", help=text)
    command.add_argument("--score", metavar="NAME", help=f"what becomes of scores: {SCORE_NAMES} (default nothing)")
    text = "which keys a block of queries sees may be listed in memory, as block masks and paged keys need it"
    command.add_argument("--block-list", action="store_true", help=text)


def _add_sim(commands: Commands) -> None:
    command = add_verb(
        commands,
        "sim",
        "run attention on the simulated accelerator and compare every bit with the golden model",
        (
            "hwgen sim --preset tiny --shape 1,2,16,40 --causal --offset 24",
            "hwgen sim --preset demo --input heads.npz --picture heads.png",
            "hwgen sim --preset tiny --shape 1,2,16,40 --trace build/trace.json",
        ),
        _sim,
    )
    add_configuration(command)
    add_data(command)
    add_memory(command)
    results = command.add_argument_group("results")
    results.add_argument("--waves", type=Path, metavar="FILE", help="write all signals as a VCD file (slow, large)")
    text = "write what all units did as a trace for Perfetto, 1 us being 1 cycle"
    results.add_argument("--trace", type=Path, metavar="FILE.json", help=text)
    results.add_argument("--picture", type=Path, metavar="FILE.png", help="draw activity and the first head's weights")
    results.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def _add_score(commands: Commands) -> None:
    command = add_verb(
        commands,
        "score",
        "show the hardware that a score function becomes: operations, cycles, registers, multipliers, tables",
        ("hwgen score alibi", "hwgen score mine.py:my_score -o build/my_score.svg"),
        _score,
    )
    command.add_argument("name", metavar="NAME", help=SCORE_NAMES)
    text = "a configuration of `hwgen presets`, whose numerics and lanes are used (default sim)"
    command.add_argument("--preset", default="sim", metavar="NAME", help=text)
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change parameters of the preset"
    )
    command.add_argument("-o", dest="picture", type=picture, metavar="FILE", help="draw the graph (.svg or .png)")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def _add_demo(commands: Commands) -> None:
    command = add_verb(
        commands,
        "demo",
        "generate, simulate and check a small accelerator on 72 attention heads of a trained sentence encoder",
        ("hwgen demo",),
        _demo,
    )
    default = Path("build/demo")
    command.add_argument("-o", dest="folder", type=Path, default=default, metavar="DIR", help=f"default {default}")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def _add_demo_minilm(commands: Commands) -> None:
    add_verb(
        commands,
        "demo-minilm",
        "send sentences through the whole all-MiniLM-L6-v2 with all attention on the simulated accelerator",
        ("hwgen demo-minilm",),
        _demo_minilm,
    )


def _add_bench(commands: Commands) -> None:
    command = add_verb(
        commands,
        "bench",
        "measure utilisation, simulation speed and emission against their targets",
        ("hwgen bench -o build/bench.json", "hwgen bench --quick"),
        _bench,
    )
    default = Path("build/bench.json")
    command.add_argument("-o", dest="file", type=Path, default=default, metavar="FILE", help=f"default {default}")
    command.add_argument("--quick", action="store_true", help="small presets and short sequences, no targets")


def _add_presets(commands: Commands) -> None:
    command = add_verb(commands, "presets", "list the supported configurations", ("hwgen presets",), _presets)
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")


def _add_doctor(commands: Commands) -> None:
    text = "look for the tools hwgen uses and say how to get those that are missing"
    command = add_verb(commands, "doctor", text, ("hwgen doctor",), _doctor)
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")


def _generate(arguments: argparse.Namespace) -> int:
    doctor.require(*GENERATOR)
    from hwgen import commands

    return commands.generate(
        arguments.preset,
        arguments.set,
        arguments.folder,
        arguments.top,
        score=arguments.score,
        block_list=arguments.block_list,
    )


def _sim(arguments: argparse.Namespace) -> int:
    check_data(arguments)
    doctor.require(*SIMULATOR, *(PICTURE if arguments.picture else ()))
    from hwgen import commands

    return commands.sim(commands.SimRequest.of(arguments))


def _score(arguments: argparse.Namespace) -> int:
    doctor.require(*GENERATOR, *(PICTURE if arguments.picture else ()))
    from hwgen.request import configured
    from hwgen.scoremod.report import run

    params = configured(arguments.preset, arguments.set)
    return run(arguments.name, arguments.preset, params, json_wanted=arguments.json, picture=arguments.picture)


def _demo(arguments: argparse.Namespace) -> int:
    doctor.require(*SIMULATOR, *PICTURE)
    from hwgen import commands

    return commands.demo(arguments.folder, arguments.json)


def _demo_minilm(arguments: argparse.Namespace) -> int:
    doctor.require(*SIMULATOR)
    from hwgen import demo_minilm

    return demo_minilm.run()


def _bench(arguments: argparse.Namespace) -> int:
    doctor.require(*SIMULATOR)
    from hwgen import bench

    return bench.run(arguments.file, arguments.quick)


def _presets(arguments: argparse.Namespace) -> int:
    doctor.require("python", "amaranth", "numpy")
    from hwgen import commands

    return commands.presets(arguments.json)


def _doctor(arguments: argparse.Namespace) -> int:
    return doctor.report(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
