"""The one description of the registers a host sees: hardware, C header, Python module, SystemRDL and documentation are
made from it."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from hwgen.control.causes import Cause
from hwgen.control.counters import CORE_COUNTERS, COUNTER_BITS
from hwgen.control.descriptor import DESCRIPTOR_BYTES, FORMAT_CODES
from hwgen.control.descriptor import MAGIC as DESCRIPTOR_MAGIC
from hwgen.control.faults import FAULT_BITS
from hwgen.params import Params

ADDRESS_BITS = 12
WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8

MAGIC = int.from_bytes(b"HWGN", "big")
MAP_VERSION = (1, 0)
"""Major number: what a host relied on has changed; minor: something was added."""

DESCRIPTOR_VERSION = DESCRIPTOR_MAGIC & 0xFF
DESCRIPTOR_SHIFT = DESCRIPTOR_BYTES.bit_length() - 1

QUEUE_BITS = 16
"""Width of the numbers that count descriptors in the queue."""

COUNTERS_BASE = 0x200
COUNTER_BYTES = 8

ACCELERATOR_COUNTERS = {
    "read_bytes_q": "bytes of all bus words read for Q",
    "read_bytes_k": "bytes of all bus words read for K",
    "read_bytes_v": "bytes of all bus words read for V",
    "read_bytes_other": "bytes of all bus words read for descriptors, key lengths and what a score program needs",
    "written_bytes_o": "bytes of all bus words written for O, whichever of them had their strobe set",
    "written_bytes_lse": "bytes of all bus words written for LSE, whichever of them had their strobe set",
    "read_wait": "cycles in which a read burst was in flight and no word of it came",
    "write_wait": "cycles in which a write address or word was offered and not taken",
    "descriptors": "descriptors finished without a fault",
    "heads": "(batch, query head) pairs worked on",
    "poisoned_rows": "rows of O that are NaN, as they depend on NaN or infinity",
}
"""What is counted around the core; the core's own counters are in `hwgen.control.counters`."""


class Access(Enum):
    """Who changes a field, and how.

    READ_WRITE:  the host
    READ_ONLY:   the machine
    CONSTANT:    nobody, it is the same in every machine
    CONFIGURED:  nobody, it follows from the machine's configuration
    WRITE_SET:   the host sets it by writing 1, the machine clears it; writing 0 does nothing
    WRITE_CLEAR: the machine sets it, the host clears it by writing 1; writing 0 does nothing
    READ_CLEAR:  the machine sets it, reading its register clears it
    PULSE:       writing 1 acts once; reads as 0
    """

    READ_WRITE = "read/write"
    READ_ONLY = "read only"
    CONSTANT = "constant"
    CONFIGURED = "configured"
    WRITE_SET = "write 1 to set"
    WRITE_CLEAR = "write 1 to clear"
    READ_CLEAR = "cleared by reading"
    PULSE = "write 1 to act"


@dataclass(frozen=True)
class Field:
    """Bits `lsb .. lsb + width - 1` of a register, and what they hold after reset."""

    name: str
    lsb: int
    width: int
    access: Access
    doc: str
    reset: int = 0

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return ((1 << self.width) - 1) << self.lsb

    def part(self, word: int) -> tuple[slice, slice] | None:
        """Which of its bits lie in a word of the register, and where there; None if none do."""
        low = max(self.lsb, word * WORD_BITS)
        high = min(self.lsb + self.width, (word + 1) * WORD_BITS)
        if low >= high:
            return None
        return slice(low - self.lsb, high - self.lsb), slice(low - word * WORD_BITS, high - word * WORD_BITS)


@dataclass(frozen=True)
class Register:
    """One or two words of the address space; bits that no field has read as 0 and ignore what is written."""

    name: str
    address: int
    doc: str
    fields: tuple[Field, ...]
    words: int = 1

    @property
    def width(self) -> int:
        return self.words * WORD_BITS

    @property
    def reset(self) -> int:
        return sum(field.reset << field.lsb for field in self.fields)


def meanings(enum: type[IntEnum]) -> dict[str, str]:
    """What the enumeration's docstring says of each member: `NAME: text` on lines of their own."""
    # Python 3.13 takes the indentation away, those before leave it.
    text = inspect.cleandoc(enum.__doc__ or "")
    found = re.findall(r"(?ms)^ *([A-Z_]+): +(.*?)(?=\n *[A-Z_]+: |\n\s*\n|\s*\Z)", text)
    return {name: " ".join(text.split()) for name, text in found}


def counter_meanings() -> dict[str, str]:
    """Every counter and what it counts, in the order of their registers: the core's, then those around it."""
    core = {
        "cycles": "cycles in which the machine worked",
        "score_busy": "cycles in which the score array got work",
        "value_busy": "cycles in which the value array got work",
        "pairs": "allowed (query, key) pairs",
        "jobs": "(batch, key/value head) pairs finished",
    }
    causes = meanings(Cause)
    for array in ("score", "value"):
        core |= {f"{array}_idle_{name.lower()}": f"{array} array idle: {text}" for name, text in causes.items()}
    return {name: core[name] for name in CORE_COUNTERS} | ACCELERATOR_COUNTERS


def counter_names() -> tuple[str, ...]:
    """All counters in the order of their registers."""
    return tuple(counter_meanings())


def register_map(params: Params) -> tuple[Register, ...]:
    """All registers in ascending order of addresses. `params` decides about the values of identification registers
    and the width of addresses."""
    return (*_control(), *_queue(params), *_status(params), *_identification(params), *_counters())


def words(registers: tuple[Register, ...]) -> Iterator[tuple[int, Register, int]]:
    """Every word of the address space that holds something: its number, its register, and which of its words it is."""
    for register in registers:
        for word in range(register.words):
            yield register.address // WORD_BYTES + word, register, word


def _control() -> Iterator[Register]:
    flags = (
        Field("start", 0, 1, Access.WRITE_SET, "look at the queue; reads as 1 until that happens"),
        Field("done", 1, 1, Access.READ_CLEAR, "the queue was worked off, or halted, since the last reading"),
        Field("idle", 2, 1, Access.READ_ONLY, "no descriptor is being worked on and no start waits", reset=1),
        Field("ready", 3, 1, Access.READ_CLEAR, "a start was taken up since the last reading"),
        Field("abort", 4, 1, Access.PULSE, "end the descriptor at hand, as fault ABORTED, and halt until a start"),
        Field("soft_reset", 5, 1, Access.PULSE, "registers but counters to their reset values, the machine to idle"),
        Field("clear_counters", 6, 1, Access.PULSE, "counters, `saturated` and `poisoned` to zero"),
        Field("auto_restart", 7, 1, Access.CONSTANT, "there is none"),
    )
    yield Register("CONTROL", 0x000, "Start, stop and what came of it, in the manner of ap_ctrl_hs.", flags)
    events = (("done", 0, "`CONTROL.done` was set"), ("error", 1, "a fault was recorded in `ERROR_CODE`"))
    enable = (Field("enable", 0, 1, Access.READ_WRITE, "let the interrupt out"),)
    yield Register("GLOBAL_INTERRUPT_ENABLE", 0x004, "Switches the interrupt as a whole.", enable)
    enables = tuple(Field(name, lsb, 1, Access.READ_WRITE, f"interrupt when {doc}") for name, lsb, doc in events)
    yield Register("INTERRUPT_ENABLE", 0x008, "Which events interrupt.", enables)
    status = tuple(Field(name, lsb, 1, Access.WRITE_CLEAR, doc) for name, lsb, doc in events)
    text = "What happened, enabled or not. The interrupt is high while an enabled bit is 1. Clearing `error` clears"
    yield Register("INTERRUPT_STATUS", 0x00C, f"{text} `ERROR_CODE`, `ERROR_INDEX` and `ERROR_ADDRESS`.", status)


def _queue(params: Params) -> Iterator[Register]:
    def number(name: str, access: Access, doc: str) -> tuple[Field, ...]:
        return (Field(name, 0, QUEUE_BITS, access, doc),)

    width = params.config.address_bits - DESCRIPTOR_SHIFT
    base = Field("base", DESCRIPTOR_SHIFT, width, Access.READ_WRITE, f"address / {DESCRIPTOR_BYTES}")
    text = f"Address of the ring of descriptors, a multiple of {DESCRIPTOR_BYTES}."
    yield Register("QUEUE_BASE", 0x010, text, (base,), words=2)
    size = number("size", Access.READ_WRITE, f"descriptors in the ring, 1 .. {(1 << QUEUE_BITS) - 1}")
    text = f"Size of the ring: descriptor i lies at base + (i mod size) * {DESCRIPTOR_BYTES}."
    yield Register("QUEUE_SIZE", 0x018, text, size)
    tail = number("tail", Access.READ_WRITE, "descriptors submitted so far, modulo 2^16")
    yield Register("QUEUE_TAIL", 0x01C, "The doorbell: writing it is a start.", tail)
    head = number("head", Access.READ_ONLY, "descriptors finished so far, well or with a fault, modulo 2^16")
    yield Register("QUEUE_HEAD", 0x020, "How far the queue is worked off.", head)


def _status(params: Params) -> Iterator[Register]:
    flags = (
        Field("busy", 0, 1, Access.READ_ONLY, "a descriptor is being worked on"),
        Field("saturated", 1, 1, Access.READ_ONLY, "a score left its range since the counters were cleared"),
        Field("poisoned", 2, 1, Access.READ_ONLY, "NaN or infinity reached a result since the counters were cleared"),
        Field("error", 3, 1, Access.READ_ONLY, "a fault is recorded: `INTERRUPT_STATUS.error`"),
        Field("copying", 4, 1, Access.READ_ONLY, "counters are being copied to where they can be read"),
    )
    yield Register("STATUS", 0x024, "What the machine is doing and has seen.", flags)
    code = Field("code", 0, FAULT_BITS, Access.READ_ONLY, "see the table of faults")
    yield Register("ERROR_CODE", 0x028, "The first fault since `INTERRUPT_STATUS.error` was cleared.", (code,))
    index = Field("index", 0, QUEUE_BITS, Access.READ_ONLY, "its number in the queue, modulo 2^16")
    yield Register("ERROR_INDEX", 0x02C, "The descriptor that was worked on at that fault.", (index,))
    address = Field("address", 0, params.config.address_bits, Access.READ_ONLY, "what it is depends on the fault")
    yield Register("ERROR_ADDRESS", 0x030, "The address that goes with that fault.", (address,), words=2)
    count = Field("count", 0, WORD_BITS, Access.READ_ONLY, "modulo 2^32")
    yield Register("ERROR_COUNT", 0x038, "Faults since the last reset.", (count,))


def _identification(params: Params) -> Iterator[Register]:
    c = params.config
    magic = Field("magic", 0, WORD_BITS, Access.CONSTANT, "the letters HWGN, the first in the highest byte", MAGIC)
    yield Register("MAGIC", 0x040, "Says that this is such an accelerator.", (magic,))
    version = (
        Field("minor", 0, 16, Access.CONSTANT, "something was added", MAP_VERSION[1]),
        Field("major", 16, 16, Access.CONSTANT, "what a host relied on has changed", MAP_VERSION[0]),
    )
    yield Register("VERSION", 0x044, "Version of these registers.", version)
    digest = Field("hash", 0, 64, Access.CONFIGURED, "first digit in the highest bits", int(c.hash(), 16))
    yield Register("CONFIG_HASH", 0x048, "The configuration's hash.", (digest,), words=2)

    def halves(name: str, address: int, doc: str, *facts: tuple[str, int, str]) -> Register:
        bits = WORD_BITS // len(facts)
        kinds = [Field(n, i * bits, bits, Access.CONFIGURED, text, value) for i, (n, value, text) in enumerate(facts)]
        return Register(name, address, doc, tuple(kinds))

    e, f = ("rows_e", c.rows_e, "of the score array"), ("rows_f", c.rows_f, "of the value array")
    yield halves("ROWS", 0x050, "Rows of the arrays.", e, f)
    slots = ("slots", c.slots, "query contexts a column holds")
    yield halves("COLUMNS", 0x054, "Columns of the arrays.", ("cols", c.cols, "of both arrays"), slots)
    beat = ("out_beat", c.out_beat, "normaliser lanes")
    yield halves("LANES", 0x058, "What the arrays share.", ("lanes", params.lanes, "softmax lanes"), beat)
    e, f = ("head_e", c.head_e, "largest of Q and K"), ("head_f", c.head_f, "largest of V")
    yield halves("HEADS", 0x05C, "Head dimensions.", e, f)
    codes = [(f"{side}_format", FORMAT_CODES[getattr(c, f"{side}_format")]) for side in ("in", "out")]
    names = ", ".join(f"{name} {code}" for name, code in FORMAT_CODES.items())
    formats = [(name, code, f"{of}: {names}") for (name, code), of in zip(codes, ("Q, K, V", "O"), strict=True)]
    yield halves("FORMATS", 0x060, "Number formats in memory.", *formats)
    address = ("address_bits", c.address_bits, "width of its addresses")
    yield halves("BUS", 0x064, "The memory bus.", ("bus_bits", c.bus_bits, "width of its data"), address)
    layout = (("version", DESCRIPTOR_VERSION, "of its layout"), ("bytes", DESCRIPTOR_BYTES, "its size"))
    yield halves("DESCRIPTOR_LAYOUT", 0x068, "The descriptors that are understood.", *layout)
    numbers = [(name, getattr(c, name), "see docs/numbers.md") for name in ("operand_bits", "weight_bits")]
    numbers += [(name, getattr(c, name), "see docs/numbers.md") for name in ("score_frac", "scale_bits")]
    yield halves("NUMERICS", 0x06C, "What a host needs to encode a scale and to decode LSE.", *numbers)
    size = ("bytes", COUNTER_BYTES, "from one counter to the next")
    yield halves("COUNTERS_LAYOUT", 0x070, "The counters.", ("total", len(counter_names()), "how many there are"), size)


def _counters() -> Iterator[Register]:
    for i, (name, doc) in enumerate(counter_meanings().items()):
        value = (Field("value", 0, COUNTER_BITS, Access.READ_ONLY, doc),)
        yield Register(f"COUNTER_{name.upper()}", COUNTERS_BASE + i * COUNTER_BYTES, f"Counts {doc}.", value, words=2)
