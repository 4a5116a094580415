"""The registers told to others: C header, Python module, SystemRDL and Markdown, all from `register_map`.

`python -m hwgen.control.register_exports > docs/registers.md` writes that page.
"""

from collections import Counter
from collections.abc import Iterator

from hwgen.control.faults import Fault
from hwgen.control.record import ARGUMENT_BYTES, HEADER_BYTES, record_bytes
from hwgen.control.register_map import (
    COUNTER_BYTES,
    COUNTERS_BASE,
    WORD_BITS,
    Access,
    Field,
    Register,
    counter_meanings,
    counter_names,
    meanings,
    register_map,
)
from hwgen.params import Params
from hwgen.presets import preset

NOTICE = "Registers of the accelerator, configuration {hash}. Made by hwgen; do not edit."

RDL_ACCESS = {
    Access.READ_WRITE: "sw = rw; hw = r;",
    Access.READ_ONLY: "sw = r; hw = w;",
    Access.CONSTANT: "sw = r; hw = na;",
    Access.CONFIGURED: "sw = r; hw = na;",
    Access.WRITE_SET: "sw = rw; hw = rw; onwrite = woset; hwclr;",
    Access.WRITE_CLEAR: "sw = rw; hw = r; onwrite = woclr; hwset;",
    Access.READ_CLEAR: "sw = r; hw = r; onread = rclr; hwset;",
    Access.PULSE: "sw = w; hw = r; singlepulse;",
}

PAGE = """\
# Registers

32-bit words behind AXI4-Lite, 4 KiB, write strobes honoured. A register of 64 bits is two words, the low one first. An
address without a register reads as 0, ignores what is written, and answers SLVERR; bits that are not named below read
as 0. Values called *configured* follow from the machine's configuration. `hwgen.control.register_exports` tells the
same to programs: `python_module`, `c_header`, `system_rdl`.

| address | register | |
|---|---|---|
{overview}

To run descriptors: write QUEUE_BASE and QUEUE_SIZE, once after a reset; write descriptors to the ring; write
QUEUE_TAIL. More can be added at any time as long as QUEUE_TAIL - QUEUE_HEAD, modulo 2^16, does not exceed QUEUE_SIZE.
All is done when QUEUE_HEAD has come to QUEUE_TAIL: CONTROL.idle may be 1 for moments between two descriptors.
`interrupt = GLOBAL_INTERRUPT_ENABLE & |(INTERRUPT_ENABLE & INTERRUPT_STATUS)`. A bit that the machine sets in the cycle
in which the host clears it stays set.

{registers}
## Counters

{bits} bits each, in the low bits of a 64-bit register; a snapshot from the end of the last descriptor. What is read
belongs together if QUEUE_HEAD did not change and STATUS.copying was 0 before and after.

| address | counter | counts |
|---|---|---|
{counters}

## Faults

What ERROR_CODE says, and in brackets what ERROR_ADDRESS is then.

| code | fault | meaning |
|---|---|---|
{faults}
"""


def plain(text: str) -> str:
    """A description without Markdown's marks."""
    return text.replace("`", "")


def fault_meanings() -> Iterator[tuple[Fault, str]]:
    texts = meanings(Fault)
    for fault in Fault:
        yield fault, texts.get(fault.name, "no fault")


def constants(register: Register) -> Iterator[tuple[str, str]]:
    """Name and number of what a program has to know of a register."""
    yield f"{register.name}_OFFSET", f"{register.address:#05x}"
    digits = register.width // 4 + 2
    yield f"{register.name}_RESET", f"{register.reset:#0{digits}x}"
    for field in register.fields:
        name = f"{register.name}_{field.name.upper()}"
        yield f"{name}_SHIFT", f"{field.lsb}"
        yield f"{name}_MASK", f"{field.mask:#0{digits}x}"


def argument_constants(params: Params) -> Iterator[tuple[str, float]]:
    """Name and number of what a program has to know to store the score program's parameters and tables; nothing if
    there are none. Of each argument the byte OFFSET in the score record, the SIZE in words, and of a number r, which is
    stored as the integer rint(r * FACTOR * 2^FRAC), the ends LOW and HIGH of that integer."""
    if params.score is None or not params.argument_words:
        return
    yield "SCORE_RECORD_BYTES", record_bytes(params)
    # A name is written in capitals unless that makes one of two.
    capitals = Counter(a.name.upper() for a in params.score.arguments)
    for a in params.score.arguments:
        name = a.name.upper() if capitals[a.name.upper()] == 1 else a.name
        offset = HEADER_BYTES + ARGUMENT_BYTES * params.score.argument_offset(a.name)
        numbers = {"OFFSET": offset, "SIZE": a.size, "FRAC": a.frac, "FACTOR": a.factor, "LOW": a.low, "HIGH": a.high}
        for what, number in numbers.items():
            yield f"ARGUMENT_{name}_{what}", number


ARGUMENTS = "Arguments of the score program: a number is stored as the integer rint(number * FACTOR * 2^FRAC)."


def c_header(params: Params, declarations: str = "") -> str:
    """Offsets in bytes, reset values, shifts and masks (in place) as macros, faults as an enumeration, and what a
    driver has to know of the score program's arguments.

    `declarations` is C text that is put behind them.
    """
    lines = [
        f"/* {NOTICE.format(hash=params.config.hash())} */",
        "#ifndef HWGEN_REGISTERS_H",
        "#define HWGEN_REGISTERS_H",
    ]
    for register in register_map(params):
        lines += ["", f"/* {plain(register.doc)} */"]
        suffix = "u" if register.words == 1 else "ull"
        for name, number in constants(register):
            wide = name.endswith(("_MASK", "_RESET"))
            lines.append(f"#define HWGEN_{name} {number}{suffix if wide else 'u'}")
    arguments = list(argument_constants(params))
    lines += ["", f"/* {ARGUMENTS} */"] if arguments else []
    for name, value in arguments:
        unsigned = name.endswith(("_BYTES", "_OFFSET", "_SIZE"))
        lines.append(f"#define HWGEN_{name} {f'{value}u' if unsigned else f'({value})'}")
    lines += ["", "/* Values of ERROR_CODE. */", "enum hwgen_fault {"]
    lines += [f"    HWGEN_FAULT_{fault.name} = {fault.value}, /* {text} */" for fault, text in fault_meanings()]
    lines += ["};", ""]
    if declarations:
        lines += [declarations.strip("\n"), ""]
    return "\n".join([*lines, "#endif", ""])


def python_module(params: Params) -> str:
    """The C header's macros without their prefix, a table of the counters' offsets by name, and the faults."""
    lines = [f'"""{NOTICE.format(hash=params.config.hash())}"""', "", "from enum import IntEnum"]
    for register in register_map(params):
        lines += ["", f"# {plain(register.doc)}"]
        lines += [f"{name} = {number}" for name, number in constants(register)]
    arguments = [f"{name} = {value}" for name, value in argument_constants(params)]
    lines += ["", f"# {ARGUMENTS}", *arguments] if arguments else []
    lines += ["", "COUNTERS = {"]
    lines += [f'    "{name}": COUNTER_{name.upper()}_OFFSET,' for name in counter_names()]
    lines += ["}", "", "", "class Fault(IntEnum):", '    """Values of ERROR_CODE."""', ""]
    lines += [f"    {fault.name} = {fault.value}  # {text}" for fault, text in fault_meanings()]
    return "\n".join([*lines, ""])


def system_rdl(params: Params) -> str:
    """An address map in SystemRDL 2.0."""
    lines = [f"// {NOTICE.format(hash=params.config.hash())}", "addrmap hwgen_registers {"]
    lines += [f"    default accesswidth = {WORD_BITS};"]
    for register in register_map(params):
        lines += ["    reg {", f'        desc = "{plain(register.doc)}";', f"        regwidth = {register.width};"]
        for field in register.fields:
            place = f"[{field.lsb + field.width - 1}:{field.lsb}] = {field.width}'h{field.reset:x}"
            properties = f'desc = "{plain(field.doc)}"; {RDL_ACCESS[field.access]}'
            lines.append(f"        field {{ {properties} }} {field.name}{place};")
        lines.append(f"    }} {register.name} @ {register.address:#05x};")
    return "\n".join([*lines, "};", ""])


def markdown(params: Params) -> str:
    """The page docs/registers.md."""
    registers = [register for register in register_map(params) if register.address < COUNTERS_BASE]
    overview = [f"| {r.address:#05x} | [{r.name}](#{r.name.lower()}) | {r.doc} |" for r in registers]
    last = COUNTERS_BASE + COUNTER_BYTES * (len(counter_names()) - 1)
    overview.append(f"| {COUNTERS_BASE:#05x} .. {last:#05x} | [counters](#counters) | What was measured. |")
    counters = [
        f"| {COUNTERS_BASE + i * COUNTER_BYTES:#05x} | `{name}` | {text} |"
        for i, (name, text) in enumerate(counter_meanings().items())
    ]
    faults = [f"| {fault.value} | {fault.name} | {text} |" for fault, text in fault_meanings()]
    bits = next(r.fields[0].width for r in register_map(params) if r.address == COUNTERS_BASE)
    return PAGE.format(
        overview="\n".join(overview),
        registers="\n".join(_section(register) for register in registers),
        bits=bits,
        counters="\n".join(counters),
        faults="\n".join(faults),
    )


def _section(register: Register) -> str:
    size = "" if register.words == 1 else f", {register.width} bits"
    lines = [f"## {register.name}", "", f"{register.address:#05x}{size}. {register.doc}", ""]
    lines += ["| bits | field | access | reset | meaning |", "|---|---|---|---|---|"]
    lines += [_row(field) for field in register.fields]
    return "\n".join([*lines, ""])


def _row(field: Field) -> str:
    bits = str(field.lsb) if field.width == 1 else f"{field.lsb + field.width - 1}:{field.lsb}"
    reset = "configured" if field.access is Access.CONFIGURED else f"{field.reset:#x}" if field.reset else "0"
    return f"| {bits} | `{field.name}` | {field.access.value} | {reset} | {field.doc} |"


if __name__ == "__main__":
    print(markdown(Params(preset("sim"))), end="")
