"""A board in simulation, used as a real one is: its results are the golden model's, whatever happens on the line."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boards
import hwgen
from boards.host.board import Board
from boards.host.bus import BoardError, LinkError
from boards.host.driver import Accelerator
from boards.host.link import Link
from boards.sim import Faults, SimulatedBoard
from boards.sim.utilisation import LoadedBoard
from boards.tests.board_machine import CONFIG, MEMORY_BASE, MEMORY_BYTES, board, golden, require_equal, tensors
from hwgen.backends import place_task
from hwgen.errors import InputError
from hwgen.params import Params

ROOT = Path(boards.__file__).parent.parent
LINE: dict[str, Any] = {"timeout": 0.1, "block": 64, "attempts": 12}
"""Of a link over a bad line: small blocks, little patience."""


@pytest.fixture(scope="module")
def shared() -> Any:
    """A board that several tests use, one after the other."""
    with board() as made:
        yield made


@pytest.mark.parametrize(
    "options", [{}, {"is_causal": True, "causal_offset": 2}, {"kv_lengths": [3, 11], "scale": 0.5}], ids=str
)
def test_attention(shared: SimulatedBoard, options: dict[str, Any]) -> None:
    """Through the backend's name; with counters."""
    arrays = tensors()
    got = hwgen.attention(
        *arrays, preset=CONFIG, backend=f"board:{shared.port}", return_lse=True, return_stats=True, **options
    )
    require_equal(got, golden(arrays, **options))
    stats = got[2]
    keys = np.broadcast_to(np.asarray(options.get("kv_lengths", 11)), (2,))
    most = options.get("causal_offset", 11) + 1 + np.arange(9)[:, None]
    assert stats["pairs"] == 4 * np.minimum(most, keys).sum()
    assert stats["utilisation"] == stats["pairs"] * 14 / (stats["cycles"] * Params(CONFIG).macs)
    assert (stats["descriptors"], stats["heads"], stats["jobs"]) == (1, 8, 4)
    assert stats["written_bytes_lse"] == 2 * 4 * 9 * 8 and not stats["saturated"] and stats["seconds"] > 0


def test_one_board_many_times(shared: SimulatedBoard) -> None:
    with Board(shared.port, CONFIG) as device:
        for seed in range(3):
            arrays = tensors(seed, length=3 + seed)
            require_equal(device.attention(*arrays, return_lse=True), golden(arrays))


BAD_LINES = [
    {"drop": 0.003},
    {"flip": 0.003},
    {"twice": 0.003},
    {"late": 0.05},
    {"drop": 0.001, "flip": 0.001, "twice": 0.001, "late": 0.01, "seed": 2},
]


@pytest.mark.parametrize("faults", BAD_LINES, ids=str)
def test_bad_line(faults: dict[str, Any]) -> None:
    arrays = tensors(5, length=5, keys=6, heads=(2, 1))
    with board(Faults(**faults)) as made:
        with Board(made.port, CONFIG, **LINE) as device:
            require_equal(device.attention(*arrays, return_lse=True), golden(arrays))
            statistics = device.link.statistics
    assert statistics.frames > 20 and (statistics.retries > 0 or "late" in faults)


HOST = """
import sys
from boards.host.board import Board
from boards.tests.board_machine import CONFIG, tensors
with Board(sys.argv[1], CONFIG) as device:
    print("working", flush=True)
    while True:
        device.attention(*tensors(7), return_lse=True)
"""


def start_host(port: str) -> subprocess.Popen[str]:
    command, environment = [sys.executable, "-c", HOST, port], os.environ | {"PYTHONPATH": str(ROOT)}
    host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert host.stdout is not None and host.stdout.readline() == "working\n"
    return host


def test_host_killed_and_started_again(shared: SimulatedBoard) -> None:
    """In the middle of whatever it was at: a frame, an answer, the accelerator's work."""
    arrays, delays = tensors(3), np.random.default_rng(8).uniform(0, 0.5, 4)
    for delay in delays:
        host = start_host(shared.port)
        time.sleep(delay)
        host.kill()
        host.communicate()
        with Board(shared.port, CONFIG) as device:
            require_equal(device.attention(*arrays, return_lse=True), golden(arrays))


def test_half_a_frame_and_stale_answers(shared: SimulatedBoard) -> None:
    """A host begins anew although the one before was in the middle of a frame and has not read its last answers."""
    with Link(shared.port) as link:
        link.write_memory(MEMORY_BASE, bytes(range(100)))
        port = link._serial
        frame = bytes((0x7E, 4, (link._sequence + 1) % 256)) + bytes(9)
        port.write(frame)
        port.flush()
    with Link(shared.port) as link:
        assert link.read_memory(MEMORY_BASE, 100) == bytes(range(100))


def test_another_machine(shared: SimulatedBoard) -> None:
    other = CONFIG.replace({"buffer_rows": 8})
    hashes = f"its CONFIG_HASH is {CONFIG.hash()}, that of the one that is wanted is"
    with Board(shared.port, other) as device:
        with pytest.raises(BoardError, match=f"the board has another machine: {hashes} {other.hash()}"):
            device.attention(*tensors())
    with Board(shared.port) as device:
        with pytest.raises(
            BoardError, match=f"CONFIG_HASH {CONFIG.hash()}, is none of the presets tiny, .*by `preset`"
        ):
            device.attention(*tensors())
    with Board(shared.port, CONFIG) as device:
        with pytest.raises(BoardError, match="the board has another machine"):
            device.attention(*(array.astype(np.float32) for array in tensors()))


def test_too_large(shared: SimulatedBoard) -> None:
    """Refused before a byte of memory or a register is written."""
    with Board(shared.port, CONFIG) as device:
        written: list[int] = []
        device.link.write_register = device.link.write_memory = lambda *what: written.append(1)  # type: ignore
        with pytest.raises(InputError, match=rf"takes \d+ bytes of the board's memory, which has {MEMORY_BYTES}"):
            device.attention(*tensors(length=100, keys=100))
        assert not written


def placed(arrays: Any) -> Any:
    """The image and place of a problem, for the driver itself."""
    seen: list[Any] = []

    class Keep:
        config = CONFIG

        def run(self, task: Any, lse: bool) -> Any:
            seen.append(place_task(task, lse, MEMORY_BASE))
            return np.zeros(1), np.zeros(1), {}

    hwgen.attention(*arrays, backend=Keep())
    return seen[0]


def test_faults_are_named(shared: SimulatedBoard) -> None:
    arrays = tensors(4, length=3, keys=4, heads=(1, 1))
    image, place = placed(arrays)
    with Link(shared.port) as link:
        accelerator = Accelerator(link, Params(CONFIG))
        bad = {
            "VERSION": {"magic": 1},
            "DIMENSION": {"queries": 0},
            "READ_RESPONSE": {"q_address": MEMORY_BASE + MEMORY_BYTES},
            "WRITE_RESPONSE": {"o_address": MEMORY_BASE + (1 << 20)},
        }
        for name, change in bad.items():
            spoilt = dataclasses.replace(place, descriptor=dataclasses.replace(place.descriptor, **change))
            with pytest.raises(BoardError, match=rf"reported fault {name} \(descriptor 0, address 0x"):
                accelerator.run(image, spoilt)
        # So long that it is still at work when the host looks for the first time.
        with pytest.raises(BoardError, match="is not done: 0 of 1 descriptors; aborted"):
            accelerator.run(*placed(tensors(length=32, keys=60, heads=(2, 1))), timeout=-1)
        outputs = accelerator.run(image, place).outputs
    assert outputs.out.tobytes() == golden(arrays)[0].tobytes()


def test_nobody_answers(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        with pytest.raises(
            LinkError, match=r"no answer on port '/dev/pts/\d+' to HELLO, sent 3 times; is the board on"
        ):
            Link(os.ttyname(slave), timeout=0.02, attempts=3)
    finally:
        os.close(master)
        os.close(slave)
    with pytest.raises(LinkError, match="cannot be opened"):
        hwgen.attention(*tensors(), backend=f"board:{tmp_path}/nothing")


def test_what_is_not_there(shared: SimulatedBoard) -> None:
    with Link(shared.port) as link:
        with pytest.raises(LinkError, match="READ_MEMORY of 8 bytes at 0xd000 goes beyond what the board has"):
            link.read_memory(MEMORY_BASE + MEMORY_BYTES, 8)
        with pytest.raises(LinkError, match="READ_REGISTERS of 4 bytes at 0xffc goes beyond"):
            link.read_register(0xFFC)
        with pytest.raises(LinkError, match="refuses READ_REGISTERS of 4 bytes at 0x41"):
            link.read_register(0x41)
        assert link.memory_size == MEMORY_BYTES and link.memory_base == MEMORY_BASE


@pytest.mark.parametrize("argument", ["/dev/null@", "/dev/null@fast", "/dev/null@0"])
def test_speeds_that_are_none(argument: str) -> None:
    with pytest.raises(InputError, match="expected board:PORT or board:PORT@BAUD"):
        hwgen.attention(*tensors(), backend=f"board:{argument}")


def test_memory_from_a_file() -> None:
    """Every byte of every bank is where it belongs."""
    content = np.random.default_rng(2).bytes(MEMORY_BYTES)
    with board(preload=content) as made, Link(made.port) as link:
        assert link.read_memory(MEMORY_BASE, MEMORY_BYTES) == content
        link.write_memory(MEMORY_BASE + 4093, b"across")
        assert link.read_memory(MEMORY_BASE + 4090, 12) == content[4090:4093] + b"across" + content[4099:4102]
    arrays = tensors(6)
    got = hwgen.attention(*arrays, backend=LoadedBoard(CONFIG, MEMORY_BYTES), return_lse=True)
    require_equal(got, golden(arrays))


ORPHAN = """
import time
from boards.tests.board_machine import board
with board() as made:
    print(made._process.pid, flush=True)
    time.sleep(600)
"""


def test_ends_with_its_parent() -> None:
    command, environment = [sys.executable, "-c", ORPHAN], os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (stat := Path(f"/proc/{pid}/stat")).exists():
        if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
