"""The accelerator in simulation: its memory, a host that programs it, protocol checkers on both its ports."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from hwgen.control.descriptor import Descriptor, pack
from hwgen.control.faults import Fault
from hwgen.control.register_map import counter_names, register_map
from hwgen.emit import to_verilog
from hwgen.errors import InputError, SimulationError
from hwgen.params import Params
from hwgen.sim.build import HERE, Recipe, cached_build, content_key, control_file, make_arguments
from hwgen.sim.events import read_events
from hwgen.sim.files import read_lines
from hwgen.sim.launch import launch
from hwgen.sim.layout import Image
from hwgen.timing import key_rows, reset_cycles
from hwgen.writing import replacing

TOP = "system"
SHORT_BUILDS = "HWGEN_SHORT_BUILDS"
ENTRY = "hwgen.sim.system_entry"
TRAFFIC = ("read_bursts", "read_beats", "write_bursts", "write_beats", "open_reads", "open_writes")
IDENTITY = ("MAGIC", "VERSION", "CONFIG_HASH")
MAX_MEMORY_BITS = 30


def _rules() -> dict[int, str]:
    """The checker's rules by number, from the table at its head."""
    text = (HERE / "axi_checker.sv").read_text()
    return {int(number): name for number, name in re.findall(r"(?m)^// +(\d+) ([A-Z_]+) ", text)}


RULES = _rules()


@dataclass(frozen=True)
class SystemBuild:
    """A simulator: the folder with its binary, the accelerator's parameters, log2 of its memory's bytes."""

    folder: Path
    params: Params
    memory_bits: int


@dataclass(frozen=True, kw_only=True)
class MemoryTraits:
    """How the memory behaves.

    latency:    cycles from an address to its first data and from the last data to the response, at least 2
    bandwidth:  cycles of 256 in which data can move, each for reads and writes
    stall:      cycles of 256 in which a channel of the memory pauses: one number for all five, or some by their names
                aw, w, b, ar, r
    lite_stall: the same for the host on the register port
    aw_waits:   the memory takes an address only while data are offered
    faults:     plus arguments of axi_memory.sv under their names, for instance read_fault_beat=7
    """

    latency: int = 100
    bandwidth: int = 256
    stall: int | Mapping[str, int] = 0
    lite_stall: int = 0
    aw_waits: bool = False
    seed: int = 1
    faults: Mapping[str, int] = field(default_factory=dict)

    def plusargs(self) -> list[str]:
        channels = ("aw", "w", "b", "ar", "r")
        stalls = dict.fromkeys(channels, self.stall) if isinstance(self.stall, int) else self.stall
        numbers = {f"stall_{name}": value for name, value in stalls.items()} | dict(self.faults)
        numbers |= {"latency": self.latency, "bandwidth": self.bandwidth, "lite_stall": self.lite_stall}
        numbers |= {"aw_waits": int(self.aw_waits), "seed": self.seed}
        return [f"+{name}={value}" for name, value in numbers.items()]

    @property
    def slowness(self) -> float:
        """How much longer traffic may take than on the best memory."""
        worst = self.stall if isinstance(self.stall, int) else max(self.stall.values(), default=0)
        return 256 / (256 - worst) * 256 / self.bandwidth


@dataclass(frozen=True)
class FaultReport:
    """A fault the host read: its code, the queue's number of the descriptor, the address that goes with it."""

    code: Fault
    index: int
    address: int


@dataclass(frozen=True)
class QueueRun:
    """What the machine said when it had worked off what one doorbell had submitted.

    cycles:   from the doorbell's answer to the interrupt
    counters: since they were cleared, as they stood when the last descriptor was finished
    head:     descriptors finished since reset
    errors:   faults since reset, of which `faults` has those that the host saw
    """

    cycles: int
    counters: dict[str, int]
    head: int
    errors: int
    faults: list[FaultReport]
    saturated: bool
    poisoned: bool

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> QueueRun:
        faults = [FaultReport(Fault(code), index, address) for code, index, address in report["faults"]]
        saturated, poisoned = bool(report["status"] & 2), bool(report["status"] & 4)
        counts = report["cycles"], report["counters"], report["head"], report["errors"]
        return cls(*counts, faults, saturated, poisoned)


@dataclass(frozen=True)
class SystemResult:
    """All a run left.

    memory:   the image afterwards, byte by byte
    runs:     one for each doorbell
    traffic:  bursts and beats the memory saw
    seconds:  processor time from reset to the last answer, without start-up
    activity: (cycle, cause, value_busy, active) at every change, if traced
    events:   by their names in system.sv the lines (N, numbers) of what happened, if traced; cycles since reset
    """

    memory: NDArray[np.uint8]
    runs: list[QueueRun]
    traffic: dict[str, int]
    seconds: float
    activity: list[tuple[int, int, int, int]] = field(default_factory=list)
    events: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def last(self) -> QueueRun:
        return self.runs[-1]

    def require_faultless(self) -> None:
        """Raises SimulationError with the first fault if there was one."""
        for run in self.runs:
            for fault in run.faults:
                where = f"descriptor {fault.index}, address {fault.address:#x}"
                raise SimulationError(f"the accelerator reported fault {fault.code.name} ({where})")


def build_system(
    params: Params,
    *,
    memory_bits: int = 20,
    waves: bool = False,
    fast: bool | None = None,
    netlist: Sequence[Path] = (),
    options: tuple[str, ...] = (),
) -> SystemBuild:
    """The simulator for an accelerator with 2^memory_bits bytes of memory, built unless it is in the cache.

    `fast`: compile for speed rather than for a short build; by default so unless the environment variable SHORT_BUILDS
    is set. `netlist`: files in which the accelerator is written down otherwise than the generator does, for instance
    behind synthesis. `options`: more of them for Verilator. Raises ConfigError, MissingTool or SimulationError.
    """
    from hwgen.accelerator import Accelerator

    if fast is None:
        fast = not os.environ.get(SHORT_BUILDS)

    def sources(folder: Path) -> list[Path]:
        machine = [Path(shutil.copy(path, folder)) for path in netlist]
        if not machine:
            machine = [folder / "hwgen_accelerator.v"]
            machine[0].write_text(to_verilog(Accelerator(params), "hwgen_accelerator"))
        ours = [HERE / f"{name}.sv" for name in ("axi_memory", "axi_checker", "stretch_log", TOP)]
        return [*machine, *ours]

    c = params.config
    parameters = {"ADDRESS": c.address_bits, "BUS": c.bus_bits, "OUTSTANDING": c.outstanding}
    parameters["WORDS"] = memory_bits - ceil_log2(params.bus_bytes)
    texts = [path.read_text() for path in netlist]
    key = content_key(TOP, c.hash(), memory_bits, waves, make_arguments(fast), *options, *texts)
    recipe = Recipe(TOP, _control(params), parameters, waves, fast, options)
    return SystemBuild(cached_build(key, sources, recipe), params, memory_bits)


def _control(params: Params) -> str:
    """Verilator's configuration: only the top's ports are visible; what helps the core helps here too."""
    cells = [line for line in control_file(params).splitlines() if line.startswith("no_inline")]
    return "\n".join(["`verilator_config", f'public_flat_rw -module "{TOP}" -port "*"', *cells]) + "\n"


def memory_bits_for(size: int) -> int:
    """log2 of a memory for an image of so many bytes, one of few so that simulators are built seldom.

    Raises InputError if there is none that large.
    """
    bits = next((bits for bits in range(20, MAX_MEMORY_BITS + 1, 2) if size <= 1 << bits), None)
    if bits is None:
        raise InputError(f"the tensors take {size} bytes of a simulated memory, which holds {1 << MAX_MEMORY_BITS}")
    return bits


def run_system(
    build: SystemBuild,
    image: Image,
    descriptors: Sequence[Descriptor],
    *,
    memory: MemoryTraits | None = None,
    tails: Sequence[int] | None = None,
    trace: bool = False,
    waves: Path | None = None,
    module: str = ENTRY,
    settings: Mapping[str, object] | None = None,
) -> SystemResult:
    """Run descriptors, which lie in a ring of their number, on an accelerator behind an image of its memory.

    tails:   how many descriptors have been submitted with each ring of the doorbell, which waits for those before; by
             default all are submitted at once. Number i is descriptor i modulo their number.
    waves:   write a VCD file there (the build must have been made for it)
    module:  cocotb module to run instead of the usual one, with `settings` as environment variables
    Raises SimulationError if the run does not end, a protocol is broken, or the machine is not the one of `build`.
    Faults that the machine reports are in the result.
    """
    traits = memory or MemoryTraits()
    content, ring = image.with_ring([pack(descriptor) for descriptor in descriptors])
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=build.folder))
    try:
        write_memory(folder / "memory.hex", content, build)
        plan = _plan(build, descriptors, list(tails or [len(descriptors)]), traits)
        plan |= {"ring_base": ring, "report": str(folder / "report.json")}
        (folder / "plan.json").write_text(json.dumps(plan))
        words = -(-len(content) // build.params.bus_bytes)
        plusargs = [f"+dir={folder}", f"+base={image.base:x}", f"+used={words}", f"+quiet={plan['quiet']}"]
        plusargs += [*traits.plusargs(), *(["+trace"] if trace else [])]
        environment = {"HWGEN_PLAN": folder / "plan.json", **(settings or {})}
        launch(build.folder, TOP, module, folder, plusargs=plusargs, settings=environment, waves=waves is not None)
        if waves is not None:
            with replacing(waves) as part:
                shutil.move(folder / "dump.vcd", part)
        return _collect(folder, build, len(content))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _plan(
    build: SystemBuild, descriptors: Sequence[Descriptor], tails: list[int], traits: MemoryTraits
) -> dict[str, Any]:
    """What the cocotb side has to know."""
    work = sum(cycle_limit(build.params, descriptors[i % len(descriptors)], traits) for i in range(tails[-1]))
    registers = register_map(build.params)
    values = {register.name: register.reset for register in registers}
    return {
        "registers": {register.name: (register.address, register.words) for register in registers},
        "identity": {name: values[name] for name in IDENTITY},
        "counters": counter_names(),
        "rules": RULES,
        "traffic": TRAFFIC,
        "reset_cycles": reset_cycles(build.params),
        "ring_size": len(descriptors),
        "tails": tails,
        "limit": 100_000 + work,
        "quiet": quiet_limit(build.params, traits),
    }


def cycle_limit(params: Params, descriptor: Descriptor, traits: MemoryTraits) -> int:
    """Cycles after which a descriptor must be done: every visit and every row's way one after the other, four times."""
    d, c = descriptor, params.config
    group = max(1, d.query_heads // max(1, d.kv_heads))
    blocks = math.ceil(d.queries * group / params.block)
    visits = blocks * d.keys * c.slots * max(params.visit, 4)
    rows = 3 * d.queries * group + (2 + params.has_bias) * blocks * d.keys
    elements = c.head_e + c.head_f + params.block * params.has_bias
    beats = 4 * elements * 4 // params.bus_bytes + 4
    cycles = d.batches * d.kv_heads * (visits + rows * (beats + traits.latency)) + params.argument_words
    return int(4 * cycles * traits.slowness)


def quiet_limit(params: Params, traits: MemoryTraits) -> int:
    """Cycles in which nothing moves on the bus although all is well: all buffered keys are worked on meanwhile."""
    visits = (key_rows(params) + 2) * params.config.slots * max(params.visit, 4)
    return int((10_000 + 4 * traits.latency + 4 * visits) * traits.slowness)


def write_memory(path: Path, content: NDArray[np.uint8], build: SystemBuild) -> None:
    """Bytes as bus words, the lowest address in the lowest bits."""
    if len(content) > 1 << build.memory_bits:
        raise SimulationError(f"{len(content)} bytes do not fit a memory of 2^{build.memory_bits}")
    size = build.params.bus_bytes
    padded = np.pad(content, (0, -len(content) % size))
    text = np.ascontiguousarray(padded.reshape(-1, size)[:, ::-1]).tobytes().hex()
    path.write_text("\n".join(text[i : i + 2 * size] for i in range(0, len(text), 2 * size)) + "\n")


def read_memory(path: Path, size: int, build: SystemBuild) -> NDArray[np.uint8]:
    """The first `size` bytes of what the memory wrote."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "@/"]
    words = np.frombuffer(bytes.fromhex("".join(lines)), dtype=np.uint8).reshape(-1, build.params.bus_bytes)
    return np.ascontiguousarray(words[:, ::-1]).reshape(-1)[:size]


def _collect(folder: Path, build: SystemBuild, size: int) -> SystemResult:
    report_file = folder / "report.json"
    if not report_file.exists():
        raise SimulationError("the simulator ended without a report")
    report = json.loads(report_file.read_text())
    if report["failure"]:
        raise SimulationError(report["failure"])
    lines = read_lines(folder / "activity.txt")
    return SystemResult(
        read_memory(folder / "after.hex", size, build),
        [QueueRun.of(run) for run in report["runs"]],
        report["traffic"],
        report["seconds"],
        [tuple(map(int, line.split())) for line in lines],  # type: ignore[misc]
        read_events(read_lines(folder / "events.txt")),
    )
