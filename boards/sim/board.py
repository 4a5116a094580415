"""From a machine to a simulated board that a host can talk to."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from boards.link.bank import LANE_BYTES, bank_words
from boards.link.top import BoardTop
from hwgen.emit import to_verilog
from hwgen.errors import InputError, SimulationError
from hwgen.params import Params
from hwgen.sim.bare import link_loop
from hwgen.sim.build import Recipe, cached_build, content_key, make_arguments

HERE = Path(__file__).parent
TOP = "board_top"
CLOCKS_PER_BIT = 4

ZEROS = re.compile(r"  initial begin\n(?:    memory\[\d+\] = \d+'h0+;\n)+  end\n")
"""What Verilog says of a memory that is zero at first."""

LOADED = """  reg [4095:0] folder;
  initial
    if ($value$plusargs("load=%s", folder)) $readmemh($sformatf("%0s/%m.hex", folder), memory);
"""
"""In place of that, in the banks of the memory's lanes."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Probabilities with which a byte, either way, is lost, has a bit flipped, comes twice, comes late."""

    drop: float = 0.0
    flip: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    seed: int = 1

    def plusargs(self) -> list[str]:
        return [f"+{name}={value}" for name, value in asdict(self).items()]


def board_verilog(params: Params, memory_bytes: int, clocks_per_bit: int) -> str:
    """The board's Verilog with memories that are quick to start with; the boards' memory may come from files."""
    text = to_verilog(BoardTop(params, memory_bytes=memory_bytes, clocks_per_bit=clocks_per_bit), TOP)
    modules = re.split(r"(?m)^(?=module )", text)
    return "".join(
        LOADED.join(ZEROS.split(part)) if part.startswith("module bank") else ZEROS.sub("", part) for part in modules
    )


def build_board(params: Params, *, memory_bytes: int, clocks_per_bit: int, fast: bool = True) -> Path:
    """The simulator's program, built unless it is in the cache. Raises ConfigError, MissingTool or SimulationError."""

    def sources(folder: Path) -> list[Path]:
        (folder / f"{TOP}.v").write_text(board_verilog(params, memory_bytes, clocks_per_bit))
        return [folder / f"{TOP}.v"]

    c = params.config
    cells = [f'no_inline -module "{name}"' for name in ("score_pe", "value_pe") if c.cols * c.rows_e >= 64]
    recipe = Recipe(TOP, "\n".join(["`verilator_config", *cells]) + "\n", {}, fast=fast)
    key = content_key(TOP, c.hash(), memory_bytes, clocks_per_bit, own_key(), make_arguments(fast))
    return link_loop(cached_build(key, sources, recipe), HERE / "loop.cpp")


def own_key() -> str:
    """Changes with what the boards' part of a simulator is made from."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.parent.glob("*.py"), *HERE.parent.glob("link/*.py"), *HERE.glob("*")]):
        if path.suffix in (".py", ".cpp"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def write_lanes(folder: Path, content: bytes, params: Params, memory_bytes: int) -> None:
    """What the boards' memory holds at first, a file for a bank of a lane."""
    size = params.bus_bytes
    words = np.frombuffer(content + bytes(memory_bytes - len(content)), dtype=np.uint8).reshape(-1, size)
    start = 0
    for bank, depth in enumerate(bank_words(memory_bytes, size)):
        for lane in range(size // LANE_BYTES):
            part = words[start : start + depth, lane * LANE_BYTES : (lane + 1) * LANE_BYTES][:, ::-1]
            lines = "\n".join(row.tobytes().hex() for row in np.ascontiguousarray(part))
            (folder / f"TOP.{TOP}.memory.lane{lane}.bank{bank}.hex").write_text(lines + "\n")
        start += depth


class SimulatedBoard:
    """A board that runs inside of `with`; `port` is where a host finds it. Raises what `build_board` raises.

    preload: what its memory holds at first, zeros behind it; with faults the line is a bad one.
    """

    def __init__(
        self,
        params: Params,
        *,
        memory_bytes: int,
        clocks_per_bit: int = CLOCKS_PER_BIT,
        faults: Faults | None = None,
        preload: bytes = b"",
        fast: bool = True,
    ) -> None:
        if len(preload) > memory_bytes:
            raise InputError(f"{len(preload)} bytes do not fit the board's memory of {memory_bytes}")
        program = build_board(params, memory_bytes=memory_bytes, clocks_per_bit=clocks_per_bit, fast=fast)
        self.params, self.memory_bytes = params, memory_bytes
        self._command = [str(program), f"+clocks={clocks_per_bit}", *(faults or Faults()).plusargs()]
        self._preload, self._folder = preload, ""
        self._process: subprocess.Popen[str] | None = None
        self.port = ""

    def __enter__(self) -> SimulatedBoard:
        command = list(self._command)
        if self._preload:
            self._folder = tempfile.mkdtemp(prefix="board-")
            write_lanes(Path(self._folder), self._preload, self.params, self.memory_bytes)
            command.append(f"+load={self._folder}")
        self._process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()
        if not self.port:
            self.__exit__(None, None, None)
            raise SimulationError("the simulated board did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            # It ends with its input.
            self._process.communicate()
            self._process = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""
