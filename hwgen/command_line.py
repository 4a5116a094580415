"""What every verb of the command line is made of: its place in the help, its errors, the arguments several verbs take.

Only the standard library is imported here, so that `hwgen --help` and `hwgen doctor` work where all else is missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from hwgen.errors import HwgenError

GENERATOR = ("python", "amaranth", "yosys", "numpy")
SIMULATOR = (*GENERATOR, "cocotb", "libpython", "verilator", "g++", "make", "perl")
PICTURE = ("matplotlib",)


class UsageError(HwgenError):
    """The command line does not make sense."""


class Parser(argparse.ArgumentParser):
    """Reports a mistake as one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_verb(
    commands: Commands,
    name: str,
    text: str,
    examples: Sequence[str],
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """A verb with its one-line help, its examples and what runs it."""
    head = "example" if len(examples) == 1 else "examples"
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="\n  ".join((f"{head}:", *examples)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    return command


def add_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument("--preset", required=True, metavar="NAME", help="a configuration of `hwgen presets`")
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change parameters of the preset"
    )


def add_data(command: argparse.ArgumentParser) -> None:
    """What is to be computed."""
    data = command.add_argument_group("data")
    text = (
        "arrays q (B,Hq,L,E), k (B,Hkv,S,E), v (B,Hkv,S,F) of float16, float32 or bfloat16, rounded to the preset's "
        "input format if that is another; query head h uses key/value head h // (Hq / Hkv)"
    )
    data.add_argument("--input", type=Path, metavar="FILE.npz", help=text)
    data.add_argument("--shape", type=shape, metavar="B,H,L,S", help="size of random data if there is no --input")
    data.add_argument("--seed", type=seed, default=1, metavar="N", help="of random data and random pauses (default 1)")
    data.add_argument("--scale", type=float, metavar="X", help="factor on the scores (default 1/sqrt(E))")
    add_masks(data)


def add_masks(group: argparse._ArgumentGroup) -> None:
    """Which keys a query sees."""
    group.add_argument("--causal", action="store_true", help="query i sees keys j <= i + offset only")
    group.add_argument("--offset", type=int, default=0, metavar="N", help="of --causal, may be negative (default 0)")
    group.add_argument("--key-length", type=int, metavar="N", help="only the first N keys exist (default all)")


def add_memory(command: argparse.ArgumentParser, *, stall: bool = True) -> None:
    """How the memory behaves; `stall`: it may pause at random."""
    memory = command.add_argument_group("memory")
    text = "cycles from an address to its data, at least 2 (default 100)"
    memory.add_argument("--latency", type=latency, default=100, metavar="N", help=text)
    text = "data can move in N of 256 cycles (default all)"
    memory.add_argument("--bandwidth", type=bandwidth, default=256, metavar="N", help=text)
    if stall:
        memory.add_argument("--stall", type=pauses, default=0, metavar="N", help="channels pause in N of 256 cycles")


def check_data(arguments: argparse.Namespace) -> None:
    """Raises UsageError for arguments of `add_data` of which one makes another void."""
    if arguments.input and arguments.shape:
        raise UsageError("--shape is for random data; the arrays of --input have their own")


def picture(text: str) -> Path:
    """A file whose ending says how to draw it."""
    path = Path(text)
    if path.suffix not in (".svg", ".png"):
        raise argparse.ArgumentTypeError(f"expected a file .svg or .png, not {text!r}")
    return path


def shape(text: str) -> tuple[int, ...]:
    """Four sizes from 1 on."""
    sizes = tuple(int(word) if word.strip().isdecimal() else 0 for word in text.split(","))
    if len(sizes) != 4 or 0 in sizes:
        raise argparse.ArgumentTypeError(f"expected four sizes B,H,L,S from 1 on, not {text!r}")
    return sizes


def number(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number {least} .. {most}, not {text!r}")
    return int(text)


def pauses(text: str) -> int:
    """A number of cycles in 256; at 256 nothing would ever move."""
    return number(text, 0, 255)


def bandwidth(text: str) -> int:
    """A number of cycles in 256, at least one."""
    return number(text, 1, 256)


def latency(text: str) -> int:
    """Cycles; what any memory takes is far below."""
    return number(text, 2, 1 << 16)


def seed(text: str) -> int:
    """What NumPy and the simulated memory both take."""
    return number(text, 0, (1 << 31) - 1)
