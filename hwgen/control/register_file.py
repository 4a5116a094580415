"""The registers a host sees, behind AXI4-Lite."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hwgen.control.axi_lite import (
    RegisterReads,
    RegisterWrites,
    address_layout,
    read_answer_layout,
    write_answer_layout,
    write_data_layout,
)
from hwgen.control.choice import choose
from hwgen.control.register_map import (
    COUNTERS_BASE,
    QUEUE_BITS,
    WORD_BITS,
    WORD_BYTES,
    Access,
    Field,
    Register,
    counter_names,
    register_map,
    words,
)
from hwgen.memory.axi import fault_layout
from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import unreset


def counter_address_bits() -> int:
    """Width of a counter's number and, below it, which half of the counter is meant."""
    return ceil_log2(2 * len(counter_names()))


class RegisterFile(Part):
    """The registers of `hwgen.control.register_map`: `interrupt = enable & |(INTERRUPT_ENABLE & INTERRUPT_STATUS)`.

    An address without a register reads as 0, ignores what is written, and answers SLVERR. What the machine sets wins
    over the host's clearing it in the same cycle; a soft reset wins over both.

    Latency 3 cycles from a write, 4 from a read, to its answer; throughput one write every 3 cycles and one read every
    5. What a write changes is seen by the machine in the cycle of its answer, a soft reset and all that it changes one
    cycle later. What is told on the bus obeys the part's reset in the same cycle, all else is reset in the next one but
    one, which is before the first access can write or read it.

    Members:
    aw, w, b, ar, r: the five channels of AXI4-Lite, each with its signals in the payload
    start:           pulse: CONTROL.start was set or QUEUE_TAIL written, whose new value is there;
    pending:         from then on until `ready`, which is CONTROL.start
    abort, soft_reset, clear_counters: pulses
    queue_base, queue_size, queue_tail: what the host wrote;  queue_head: what it reads
    busy, copying, saturated, poisoned: for STATUS; CONTROL.idle is neither `busy` nor `pending`, a cycle ago
    ready, done:     pulses: a start has been taken up; the queue has been worked off or has halted
    fault:           pulse: the first is kept with its `fault_index` until the host clears it, all are counted
    interrupt:       level
    counter_address, counter_data: read port of a `CounterSnapshot`; data a cycle later
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        self._registers = register_map(params)
        self._named = {register.name: register for register in self._registers}
        super().__init__(
            {
                "aw": In(stream.Signature(address_layout)),
                "w": In(stream.Signature(write_data_layout)),
                "b": Out(stream.Signature(write_answer_layout)),
                "ar": In(stream.Signature(address_layout)),
                "r": Out(stream.Signature(read_answer_layout)),
                "start": Out(1),
                "pending": Out(1),
                "abort": Out(1),
                "soft_reset": Out(1),
                "clear_counters": Out(1),
                "queue_base": Out(params.config.address_bits),
                "queue_size": Out(QUEUE_BITS),
                "queue_tail": Out(QUEUE_BITS),
                "queue_head": In(QUEUE_BITS),
                "busy": In(1),
                "copying": In(1),
                "saturated": In(1),
                "poisoned": In(1),
                "ready": In(1),
                "done": In(1),
                "fault": In(fault_layout(params)),
                "fault_index": In(QUEUE_BITS),
                "interrupt": Out(1),
                "counter_address": Out(counter_address_bits()),
                "counter_data": In(WORD_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The bus's reset is far, and this one goes to much.
        self._clear = Signal(reset_less=True)
        self._bus(m)
        self._hold(m)
        self._write(m)
        self._read(m)
        self._machine(m)
        self._errors(m)
        reset = ResetSignal(allow_reset_less=True)
        m.d.sync += self._clear.eq(self._ones("CONTROL", "soft_reset") | reset)
        with m.If(self._clear):
            m.d.sync += [signal.eq(signal.init) for signal in self._held.values()]
        return m

    def _bus(self, m: Module) -> None:
        self._writes, self._reads = RegisterWrites(), RegisterReads()
        place(m, "writes", self._writes)
        place(m, "reads", self._reads)
        for part, names in ((self._writes, ("aw", "w", "b")), (self._reads, ("ar", "r"))):
            for name in names:
                outer, inner = getattr(self, name), getattr(part, name)
                source, sink = (inner, outer) if name in "br" else (outer, inner)
                m.d.comb += [sink.valid.eq(source.valid), sink.payload.eq(source.payload), source.ready.eq(sink.ready)]

    def _hold(self, m: Module) -> None:
        """A signal for every field that is not a constant, a pulse or a counter."""
        self._held = {
            (register.name, field.name): Signal(
                field.width, init=field.reset, reset_less=True, name=f"{register.name}_{field.name}"
            )
            for register in self._registers
            for field in register.fields
            if register.address < COUNTERS_BASE
            if field.access not in (Access.CONSTANT, Access.CONFIGURED, Access.PULSE, Access.READ_ONLY)
        }
        for name in ("code", "index", "address", "count"):
            register = self._named[f"ERROR_{name.upper()}"]
            self._held[register.name, name] = Signal(register.fields[0].width, reset_less=True, name=register.name)

    def _written(self, register: Register, word: int) -> Value:
        return self._writes.write & (self._writes.word == register.address // WORD_BYTES + word)

    def _ones(self, name: str, field_name: str) -> Value:
        """Whether the host is writing 1 to a field of one bit."""
        register = self._named[name]
        field = next(f for f in register.fields if f.name == field_name)
        return self._written(register, 0) & (self._writes.data & self._writes.mask)[field.lsb]

    def _write(self, m: Module) -> None:
        """What the host does to fields."""
        w = self._writes
        with m.Switch(w.word):
            with m.Case(*[number for number, _, _ in words(self._registers)]):
                m.d.comb += w.error.eq(0)
            with m.Default():
                m.d.comb += w.error.eq(1)
        for _, register, word in words(self._registers):
            for field in register.fields:
                part = field.part(word)
                if field.access is Access.READ_WRITE and part:
                    kept, data, mask = self._held[register.name, field.name][part[0]], w.data[part[1]], w.mask[part[1]]
                    low = part[1].start % 8
                    # Bytes are enabled as a whole.
                    bounds = [0, *range(8 - low, len(kept), 8), len(kept)]
                    for i, j in pairwise(bounds):
                        with m.If(self._written(register, word) & mask[i]):
                            m.d.sync += kept[i:j].eq(data[i:j])
                elif field.access is Access.WRITE_CLEAR:
                    with m.If(self._ones(register.name, field.name)):
                        m.d.sync += self._held[register.name, field.name].eq(0)
                elif field.access is Access.READ_CLEAR:
                    with m.If(self._reads.read & (self._reads.word == register.address // WORD_BYTES + word)):
                        m.d.sync += self._held[register.name, field.name].eq(0)

    def _value(self, register: Register, field: Field) -> Value:
        """What the host reads in a field."""
        if field.access in (Access.CONSTANT, Access.CONFIGURED, Access.PULSE):
            return Const(field.reset, field.width)
        shown = {
            ("CONTROL", "idle"): ~self._working,
            ("QUEUE_HEAD", "head"): self.queue_head,
            ("STATUS", "error"): self._held["INTERRUPT_STATUS", "error"],
        }
        shown |= {("STATUS", name): getattr(self, name) for name in ("saturated", "poisoned", "copying")}
        shown["STATUS", "busy"] = self._busy
        shown |= self._held
        return shown[register.name, field.name]

    def _read(self, m: Module) -> None:
        """What the host reads: a register as it is in the cycle after `read`, a counter from the snapshot."""
        reads = self._reads
        known = {number: (register, index) for number, register, index in words(self._registers)}
        first = COUNTERS_BASE // WORD_BYTES
        assert first & (first - 1) == 0
        # The queue's state has come a long way, and leaves no gap behind a start.
        self._busy, self._working = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [self._busy.eq(self.busy), self._working.eq(self.busy | self.pending)]
        found, word = Signal(WORD_BITS, reset_less=True), Signal(WORD_BITS, reset_less=True)
        hit, high = Signal(), Signal()
        counter, error = Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            self.counter_address.eq(reads.word - first),
            high.eq(reads.word >= first),
            reads.data.eq(word),
            reads.error.eq(error),
        ]
        with m.Switch(reads.word):
            with m.Case(*known):
                m.d.comb += hit.eq(1)
        shown = [self._word(*known[number]) if number in known else Const(0) for number in range(first)]
        m.d.sync += [
            counter.eq(high & hit),
            found.eq(Mux(high, 0, choose(shown, reads.word))),
            error.eq(~hit),
            word.eq(Mux(counter, self.counter_data, found)),
        ]

    def _word(self, register: Register, index: int) -> Value:
        """What the host reads in one word of a register."""
        word: list[Value] = []
        for field in sorted(register.fields, key=lambda field: field.lsb):
            if part := field.part(index):
                word += [Const(0, part[1].start - len(Cat(word))), self._value(register, field)[part[0]]]
        return Cat(word)

    def _machine(self, m: Module) -> None:
        """What the host asks of the machine, and what the machine answers. Sets come last: they win."""
        held, w = self._held, self._writes
        doorbell = self._written(self._named["QUEUE_TAIL"], 0) & w.mask[:QUEUE_BITS].any()
        start = doorbell | (self._ones("CONTROL", "start") & ~self._ones("CONTROL", "soft_reset"))
        pulses = {name: self._ones("CONTROL", name) for name in ("abort", "clear_counters")}
        later = Signal(reset_less=True)
        m.d.sync += later.eq(self._ones("CONTROL", "soft_reset"))
        pulses |= {"start": start, "soft_reset": later}
        for name, pulse in pulses.items():
            port = getattr(self, name)
            m.d.sync += unreset(m, port).eq(pulse)
        for name, event in (("done", self.done), ("ready", self.ready)):
            with m.If(event):
                m.d.sync += held["CONTROL", name].eq(1)
        with m.If(self.done):
            m.d.sync += held["INTERRUPT_STATUS", "done"].eq(1)
        with m.If(self.ready):
            m.d.sync += held["CONTROL", "start"].eq(0)
        with m.If(start):
            m.d.sync += held["CONTROL", "start"].eq(1)
        base = held["QUEUE_BASE", "base"]
        enabled = [held["INTERRUPT_ENABLE", name] & held["INTERRUPT_STATUS", name] for name in ("done", "error")]
        m.d.comb += [
            self.pending.eq(held["CONTROL", "start"]),
            self.queue_base.eq(base.shift_left(len(self.queue_base) - len(base))),
            self.queue_size.eq(held["QUEUE_SIZE", "size"]),
            self.queue_tail.eq(held["QUEUE_TAIL", "tail"]),
            self.interrupt.eq(held["GLOBAL_INTERRUPT_ENABLE", "enable"] & Cat(enabled).any()),
        ]

    def _errors(self, m: Module) -> None:
        """The first fault since the host cleared the last one, and how many there were."""
        held = self._held
        recorded, count = held["INTERRUPT_STATUS", "error"], held["ERROR_COUNT", "count"]
        record = (("code", self.fault.code), ("index", self.fault_index), ("address", self.fault.address))
        clear = self._ones("INTERRUPT_STATUS", "error")
        with m.If(clear):
            m.d.sync += [held[f"ERROR_{name.upper()}", name].eq(0) for name, _ in record]
        with m.If(self.fault.valid):
            m.d.sync += count.eq(count + 1)
            with m.If(clear | ~recorded):
                m.d.sync += recorded.eq(1)
                m.d.sync += [held[f"ERROR_{name.upper()}", name].eq(value) for name, value in record]
