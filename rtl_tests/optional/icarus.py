"""The emitted Verilog in Icarus Verilog, another simulator than everyday's, where what is not known is X: before the
first reset all registers, on the bus what is not valid, in memory what nobody placed. Run by `make icarus`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log2
from pathlib import Path

import numpy as np

from hwgen.accelerator import Accelerator
from hwgen.control.descriptor import pack
from hwgen.control.register_map import counter_names, register_map
from hwgen.emit import to_verilog
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.sim.layout import Image, Placed
from hwgen.timing import reset_cycles
from rtl_tests.harness.layers import Layer, assert_layer, stack

BENCH = Path(__file__).with_name("icarus.v")
NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
TINY = Params(preset("tiny"))
WRITE, READ, WAIT, RESET, PASS = 1, 2, 3, 4, 5


def without_initial_values(text: str) -> str:
    """Verilog whose registers and memories begin as X; but the constants that make yosys' processes run once."""
    text = re.sub(rf"(?m)^(  reg (?:\[[^]]*\] )?(?!\\\$auto)(?:{NAME})) = [^;]*;$", r"\1;", text)
    return re.sub(r"(?m)^  initial begin\n(?:    .*\n)*?  end\n", "", text)


def reset_registers(module: str) -> list[str]:
    """Names of a module's registers that have a reset value."""
    follows = dict(re.findall(rf"(?m)^    ({NAME})\s*<= ({NAME})\s*;$", module))
    reset = set()
    for process in re.findall(r"(?ms)^  always @\*.*?^  end$", module):
        last = process[process.rfind("\n    if (") :]
        if held := re.search(r"(?ms)^    if \((?:rst|\\\S+ )\) begin\n(.*?)^    end$", last):
            reset |= set(re.findall(rf"(?m)^      ({NAME})\s*= [0-9]+'[hdb]", held[1]))
    return sorted(name.rstrip() for name, source in follows.items() if source in reset)


def handshakes(module: str) -> list[str]:
    """Names of a module's nets that say whether something moves or is written, and of its state machines' registers."""
    kinds = r"(?:valid|ready|_en|_rdy|fsm_state)"
    found = re.findall(rf"(?m)^  (?:wire|reg) (?:\[[^]]*\] )?((?:\\\S*|\w*){kinds}) *(?:= [^;]*)?;$", module)
    return sorted(set(found))


def with_eyes(text: str) -> str:
    """Verilog that tells of every X behind the reset in a handshake or a state, and of every register with a reset
    value that is X when all is done."""

    def looks(names: Sequence[str], when: str) -> list[str]:
        lines = [f"    if (icarus_bench.{when}) begin"]
        for name in names:
            told = name.strip("\\")
            lines.append(f'      if (^{name} === 1\'bx) $display("X %m.{told} in cycle %0d", icarus_bench.cycle);')
        return [*lines, "    end"]

    def watched(found: re.Match[str]) -> str:
        module = found[0]
        # A module without a clock looks at the testbench's.
        clock = next((name for name in ("aclk", "clk") if f"\n  input {name};" in module), "icarus_bench.clk")
        eyes = [*looks(handshakes(module), "watching"), *looks(reset_registers(module), "finishing")]
        eye = "\n".join([f"  always @(negedge {clock}) begin", *eyes, "  end"])
        return module.removesuffix("endmodule") + f"{eye}\nendmodule"

    return re.sub(r"(?ms)^module .*?^endmodule", watched, text)


@dataclass(frozen=True)
class Run:
    """What a run left: the memory, the registers that were read, and every line that was printed."""

    memory: np.ndarray
    answers: list[str]
    lines: list[str]

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.lines if not line.startswith(("END", "WARNING"))]


def memory_words(image: Image, descriptors: Sequence[bytes], width: int) -> list[str]:
    """Bus words in hexadecimal digits, the first byte last; what belongs to nothing that is read is x."""
    address, ring = image.ring(descriptors)
    size = -(-(address - image.base + len(ring)) // width) * width
    digits = ["xx"] * size
    for first, raw in [*image.inputs(), (address, ring)]:
        digits[first - image.base : first - image.base + len(raw)] = [f"{byte:02x}" for byte in raw]
    return ["".join(digits[i : i + width][::-1]) for i in range(0, size, width)]


def run(folder: Path, verilog: str, params: Params, image: Image, placed: Sequence[Placed], **settings: int) -> Run:
    """Descriptors in Icarus Verilog: reset, a part of the work, reset again, then all of it."""
    raw = [pack(place.descriptor) for place in placed]
    words = memory_words(image, raw, params.bus_bytes)
    (folder / "memory.hex").write_text("\n".join(words) + "\n")
    steps = host_steps(params, image.ring(raw)[0], len(placed))
    (folder / "host.hex").write_text("\n".join(f"{a:x}{b:03x}{c:08x}" for a, b, c in steps) + "\n")
    (folder / "accelerator.v").write_text(verilog)
    numbers = {"ADDRESS": params.config.address_bits, "BUS": params.config.bus_bits, "WORDS": len(words)}
    numbers |= {"SHIFT": int(log2(params.bus_bytes)), "STEPS": len(steps), **settings}
    options = [f"-Picarus_bench.{name}={value}" for name, value in numbers.items()]
    options.append(f"-Picarus_bench.BASE=64'h{image.base:x}")
    compiled = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", "icarus_bench", "-o", "bench.vvp", *options]
    call(folder, [*compiled, "accelerator.v", str(BENCH)])
    lines = call(folder, ["vvp", "-n", "bench.vvp"]).splitlines()
    left = folder / "after.hex"
    after = [line for line in left.read_text().splitlines() if line[0] not in "@/"] if left.exists() else []
    return Run(as_bytes(after), (folder / "answers.txt").read_text().split(), lines)


def host_steps(params: Params, ring: int, count: int) -> list[tuple[int, int, int]]:
    """What the host does, as the testbench has it."""
    registers = {register.name: register for register in register_map(params)}

    def access(what: int, name: str, value: int = 0) -> list[tuple[int, int, int]]:
        register = registers[name]
        return [(what, register.address + 4 * word, value >> 32 * word & 0xFFFFFFFF) for word in range(register.words)]

    begin = [(RESET, 0, reset_cycles(params)), *access(READ, "MAGIC"), *access(READ, "CONFIG_HASH")]
    begin += [*access(WRITE, "QUEUE_BASE", ring), *access(WRITE, "QUEUE_SIZE", count)]
    begin += [*access(WRITE, "INTERRUPT_ENABLE", 3), *access(WRITE, "GLOBAL_INTERRUPT_ENABLE", 1)]
    begin += access(WRITE, "QUEUE_TAIL", count)
    names = ["INTERRUPT_STATUS", "QUEUE_HEAD", "STATUS", "ERROR_CODE", "ERROR_COUNT"]
    names += [f"COUNTER_{name.upper()}" for name in counter_names()]
    end = [step for name in names for step in access(READ, name)]
    # Broken off in the midst of the work, the machine must do it from the beginning.
    return [*begin, (PASS, 0, 900), *begin, (WAIT, 0, 0), (PASS, 0, 200), *end]


def call(folder: Path, command: Sequence[str]) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def as_bytes(words: Sequence[str]) -> np.ndarray:
    """The memory; where it is X still, 0."""
    return np.frombuffer(b"".join(bytes.fromhex(word.replace("x", "0"))[::-1] for word in words), dtype=np.uint8)


@cache
def verilog() -> str:
    return to_verilog(Accelerator(TINY), "hwgen_accelerator")


def layers() -> list[Layer]:
    """Two of ragged shapes, causal, with LSE; heads in groups, key lengths, a tensor beside another of its bus word."""
    rng = np.random.default_rng(7)

    def tensors(*shapes: tuple[int, ...]) -> list[np.ndarray]:
        return [stack(rng, shape, TINY) for shape in shapes]

    grouped = tensors((1, 4, 7, 5), (1, 2, 9, 5), (1, 2, 9, 7))
    shared = tensors((1, 2, 11, 8), (1, 1, 13, 8), (1, 1, 13, 8))
    lengths = np.array([10])
    return [
        Layer(*grouped, scale=0.4, causal=True, offset=2),
        Layer(*shared, scale=0.4, causal=True, offset=-3, lengths=lengths),
    ]


def checked(folder: Path, text: str, stall: int) -> Run:
    """A run of which every bit of O and LSE is right and nothing beside them has changed."""
    image, work = Image(TINY), layers()
    placed = [layer.place(image) for layer in work]
    done = run(folder, text, TINY, image, placed, STALL=stall)
    assert done.lines[-1].startswith("END"), done.lines[-5:]
    for place, layer in zip(placed, work, strict=True):
        assert_layer(place, done.memory, layer.golden(TINY), str(layer))
    # 32 bits a word: the magic number is read twice, and of all that follows the second run's first words are these.
    magic, config = done.answers[0], "".join(reversed(done.answers[1:3]))
    assert (magic, config) == ("4857474e", TINY.config.hash())
    status, head, _, code, errors = done.answers[6:11]
    assert [int(word, 16) for word in (status, head, code, errors)] == [1, len(work), 0, 0]
    assert not any(set(word) & set("xz") for word in done.answers)
    return done


def test_the_emitted_verilog_computes_the_same(tmp_path: Path) -> None:
    assert checked(tmp_path, verilog(), stall=0).complaints == []


def test_no_x_reaches_what_matters(tmp_path: Path) -> None:
    text = with_eyes(without_initial_values(verilog()))
    assert "initial begin" not in text and text.count("icarus_bench.watching") > 50
    late = {
        line.split()[1].removeprefix("icarus_bench.accelerator.") for line in checked(tmp_path, text, 60).complaints
    }
    # What is told of a fault is X while there is none; that there is none is among the handshakes.
    assert late <= {"read_engine.fault", "write_engine.fault"}


def test_an_x_is_seen(tmp_path: Path) -> None:
    """Flags without their reset value."""
    text = without_initial_values(verilog())
    broken = re.sub(r"(?m)^(    if \(rst\) begin\n      \S+ *)= 1'h0;\n(?=    end\n  end\n)", r"\1= 1'hx;\n", text)
    assert broken != text
    image = Image(TINY)
    placed = [layer.place(image) for layer in layers()]
    told = run(tmp_path, with_eyes(broken), TINY, image, placed, LIMIT=100).complaints
    assert any("handshakes" in line for line in told) and any(
        line.startswith("X icarus_bench.accelerator") for line in told
    )
