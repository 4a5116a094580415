"""Short episodes of a host and the accelerator: what is in memory, what the host does, what has to come of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from golden.bitexact.attention import Result
from hwgen.control.descriptor import DESCRIPTOR_BYTES, Descriptor, pack
from hwgen.control.faults import Fault
from hwgen.control.register_map import COUNTERS_BASE, counter_names, register_map
from hwgen.params import Params
from hwgen.sim.bare import link_loop
from hwgen.sim.layout import Image, Placed
from hwgen.sim.system import MemoryTraits, SystemBuild, quiet_limit, read_memory, write_memory
from hwgen.timing import reset_cycles
from rtl_tests.harness.layers import assert_layer

PROGRAM = Path(__file__).parent / "bare_host.cpp"

ENDS = {0: "lived", 10: "register", 11: "time", 12: "protocol", 13: "memory"}
"""What the exit status of the program says of a run that is compared."""


@dataclass(frozen=True)
class Episode:
    """What one start of the simulator does.

    script:  lines for bare_host.cpp
    goods:   layers that must be right in every bit in the end, and what they give
    faults:  (code, descriptor's number, address) that the host must be told, in this order; None if nobody says
    """

    name: str
    core: Params
    image: Image
    descriptors: list[Descriptor]
    script: list[str]
    memory: MemoryTraits
    goods: list[tuple[Placed, Result]] = field(default_factory=list)
    faults: list[tuple[int, int, int]] | None = None


class Script:
    """Lines for the host, registers by their names."""

    def __init__(self, core: Params) -> None:
        self.core, self.lines = core, [f"reset {reset_cycles(core)}"]
        self._registers = {register.name: register for register in register_map(core)}

    def read(self, *names: str) -> Script:
        for name in names:
            register = self._registers[name]
            self.lines += [f"read {register.address + 4 * word}" for word in range(register.words)]
        return self

    def write(self, name: str, value: int, strobe: int = 15) -> Script:
        register = self._registers[name]
        for word in range(register.words):
            self.lines.append(f"write {register.address + 4 * word} {value >> 32 * word & 0xFFFFFFFF} {strobe}")
        return self

    def add(self, *lines: str) -> Script:
        self.lines += lines
        return self

    def prepare(self, ring: int, size: int) -> Script:
        """The ring of descriptors, and interrupts for everything."""
        self.write("QUEUE_BASE", ring).write("QUEUE_SIZE", size)
        return self.write("INTERRUPT_ENABLE", 3).write("GLOBAL_INTERRUPT_ENABLE", 1)

    def counters(self) -> Script:
        return self.read(*(f"COUNTER_{name.upper()}" for name in counter_names())).add("traffic")

    def serve(self, tails: Iterable[int]) -> Script:
        """Ring for each of the numbers, and read what was counted."""
        for tail in tails:
            self.add(f"serve {tail}").counters()
        return self


def ring_of(image: Image, descriptors: Sequence[Descriptor]) -> int:
    return image.with_ring([pack(one) for one in descriptors])[1]


def queue(
    name: str,
    core: Params,
    image: Image,
    descriptors: list[Descriptor],
    memory: MemoryTraits,
    tails: Sequence[int] | None = None,
    places: int | None = None,
    **known: object,
) -> Episode:
    """All descriptors of a ring of so many places, or just enough, submitted up to each of the `tails`."""
    script = Script(core).prepare(ring_of(image, descriptors), places or len(descriptors))
    script.serve(tails or [len(descriptors)])
    return Episode(name, core, image, descriptors, script.lines, memory, **known)  # type: ignore[arg-type]


def behind_resets(
    name: str,
    core: Params,
    image: Image,
    descriptors: list[Descriptor],
    memory: MemoryTraits,
    size: int,
    **known: object,
) -> Episode:
    """So many descriptors at a time, each time behind a reset."""
    ring, lines = ring_of(image, descriptors), []
    for first in range(0, len(descriptors), size):
        lines += Script(core).prepare(ring + DESCRIPTOR_BYTES * first, size).serve([size]).lines
    return Episode(name, core, image, descriptors, lines, memory, **known)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Prepared:
    """An episode in files, and how it ends on the machine as it should be.

    arguments: for the program, behind the names of script and log
    log:       all that the host was told
    cycles:    how long it took
    """

    episode: Episode
    folder: Path
    arguments: list[str]
    log: list[str]
    cycles: int


def prepare(build: SystemBuild, episode: Episode, folder: Path) -> Prepared:
    """Run an episode for the first time. What came of it is still to be judged: see `judge`."""
    folder.mkdir(parents=True)
    content, _ = episode.image.with_ring([pack(one) for one in episode.descriptors])
    write_memory(folder / "memory.hex", content, build)
    (folder / "script.txt").write_text("\n".join(episode.script) + "\n")
    used = -(-len(content) // episode.core.bus_bytes)
    arguments = [
        f"+base={episode.image.base:x}",
        f"+used={used}",
        f"+quiet={quiet_limit(episode.core, episode.memory)}",
    ]
    arguments += episode.memory.plusargs()
    command = [
        link_loop(build.folder, PROGRAM),
        folder / "script.txt",
        folder / "log.txt",
        f"+dir={folder}",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{episode.name}: {ENDS.get(done.returncode, done.stderr)} behind {done.stdout} cycles")
    shutil.copy(folder / "after.hex", folder / "expected.hex")
    log = (folder / "log.txt").read_text().splitlines()
    return Prepared(episode, folder, arguments, log, int(done.stdout))


def judge(build: SystemBuild, prepared: Prepared) -> None:
    """What the model and the episode know of its end: bits of all good layers, nothing else changed, faults."""
    episode = prepared.episode
    content, _ = episode.image.with_ring([pack(one) for one in episode.descriptors])
    memory = read_memory(prepared.folder / "expected.hex", len(content), build)
    for number, (place, want) in enumerate(episode.goods):
        assert_layer(place, memory, want, f"{episode.name}, good layer {number}")
    episode.image.require_untouched(memory)
    if episode.faults is not None:
        assert reported(prepared) == episode.faults, episode.name
    assert np.all([line.endswith(" 0") for line in prepared.log if line.startswith("2") and len(line.split()[0]) == 3])


def reported(prepared: Prepared) -> list[tuple[int, int, int]]:
    """The faults the host was told."""
    registers = {register.name: f"{register.address:03x}" for register in register_map(prepared.episode.core)}
    found, lines = [], [line.split() for line in prepared.log]
    for i, words in enumerate(lines):
        if words[0] == registers["ERROR_CODE"] and int(words[1]):
            index, low, high = (int(lines[i + j][1]) for j in (1, 2, 3))
            found.append((Fault(int(words[1])), index, low | high << 32))
    return found


def replay(program: Path, prepared: Prepared, folder: Path, *extra: str) -> str:
    """Run it again on another machine and compare: how it ended, see ENDS. `folder` is for what is written."""
    home, limit = prepared.folder, 2 * prepared.cycles + 5000
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "memory.hex").exists():
        (folder / "memory.hex").symlink_to(home / "memory.hex")
    files = [home / "script.txt", folder / "log.txt", home / "log.txt", home / "expected.hex"]
    command = [program, *files, f"+dir={folder}", f"+limit={limit}", *prepared.arguments, *extra]
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(folder)
    return ENDS.get(done.returncode, "crash")


def last_counters(prepared: Prepared) -> dict[str, int]:
    """The counters as the host read them last."""
    words = {line.split()[0]: int(line.split()[1]) for line in prepared.log}
    places = {name: COUNTERS_BASE + 8 * i for i, name in enumerate(counter_names())}
    return {name: words[f"{at:03x}"] | words[f"{at + 4:03x}"] << 32 for name, at in places.items()}
