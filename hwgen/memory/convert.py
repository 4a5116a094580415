"""Block conversion of a stream of float rows."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, Signature
from amaranth.utils import ceil_log2

from hwgen.params import Params
from hwgen.part import Part, place
from hwgen.pipeline import unreset
from hwgen.queue import LandingQueue


def raw_beat(params: Params) -> data.StructLayout:
    """`beat` float codes of a row, element 0 lowest; last: last beat of the row."""
    elements = data.ArrayLayout(unsigned(params.input.bits), params.config.beat)
    return data.StructLayout({"elements": elements, "last": unsigned(1)})


def converted_beat(params: Params) -> data.StructLayout:
    """`beat` elements in block fixed point with what belongs to their row.

    exponent: the row's largest exponent field, at least 1; poisoned: the row holds NaN or Inf; last: last beat of the
              row
    """
    return data.StructLayout(
        {
            "elements": data.ArrayLayout(signed(params.config.operand_bits), params.config.beat),
            "exponent": unsigned(params.input.exponent_bits),
            "poisoned": unsigned(1),
            "last": unsigned(1),
        }
    )


def converted_rows(params: Params) -> Signature:
    """Converted beats that nobody can stop: there is one in every cycle with `valid`."""
    return Signature({"valid": Out(1), "payload": Out(converted_beat(params))})


class ElementShift(Part):
    """One element: significand shifted right by its distance to the row's exponent, nearest even, saturated, signed.

    Structure: distance; shift by its two lowest bits beside the limit of the others; shift by those; and an adder that
    rounds and changes the sign at once: `-(f + 1) = ~f`, `-f = ~f + 1`.

    Latency LATENCY cycles, throughput 1.
    """

    LATENCY = 4

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "code": In(unsigned(params.input.bits)),
                "exponent": In(unsigned(params.input.exponent_bits)),
                "element": Out(signed(params.config.operand_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt = self._params.input
        magnitude_bits = self._params.config.operand_bits - 1
        digits = fmt.mantissa_bits + 1
        excess = max(0, digits - magnitude_bits)
        mantissa, field, sign = (
            self.code[: fmt.mantissa_bits],
            self.code[fmt.mantissa_bits : -1],
            self.code[-1],
        )
        width = max(digits, magnitude_bits)
        # So many steps of four places, or more, leave nothing of the significand and of the guard bit below it.
        steps = (-(-(width + 1) // 4)).bit_length()
        digit, value = Signal(digits, reset_less=True), Signal(width + 1)
        distance = Signal(fmt.exponent_bits + 1, reset_less=True)
        near, below = Signal(width + 1, reset_less=True), Signal(reset_less=True)
        amount = Signal(steps, reset_less=True)
        signs = [Signal(name=f"sign_{i}", reset_less=True) for i in (1, 2, 3)]
        # Bits: the significand left-aligned, below it one guard bit and one sticky bit.
        floor, guard, sticky = (
            Signal(bits, name=name, reset_less=True)
            for name, bits in (("floor", magnitude_bits), ("guard", 1), ("sticky", 1))
        )
        shifted, up = Signal(width + 1), Signal()
        fine, far = distance[:2], distance[2 + steps :].any()
        lost = Cat(near[low : low + 4].any() & (amount > low // 4) for low in range(0, width + 1, 4)).any()
        # Rounding up what is all ones already would leave the range; it cannot be where digits are few.
        full = floor.all() if digits >= magnitude_bits else Const(0)
        m.d.comb += [
            value.eq(digit << (width + 1 - digits)),
            shifted.eq(near >> (amount << 2)),
            up.eq(guard & (sticky | floor[0]) & ~full),
        ]
        m.d.sync += [
            digit.eq(Cat(mantissa, field != 0)),
            distance.eq(self.exponent - (field | (field == 0)) + excess),
            near.eq(value >> fine),
            below.eq(Cat(bit & (fine > i) for i, bit in enumerate(value[:3])).any()),
            amount.eq(distance[2 : 2 + steps] | far.replicate(steps)),
            Cat(signs).eq(Cat(sign, *signs[:-1])),
            floor.eq(shifted >> 1),
            guard.eq(shifted[0]),
            sticky.eq(lost | below),
            unreset(m, self.element).eq((Cat(floor, 0) ^ signs[2].replicate(magnitude_bits + 1)) + (signs[2] ^ up)),
        ]
        return m


def maximum_latency(params: Params) -> int:
    """Cycles from the cycle in which a row's last beat is taken to that in which its exponent is in a register: a level
    of comparisons a cycle, and one with the beats before."""
    return ceil_log2(params.config.beat) + 1


def rows_converted(params: Params) -> int:
    """Rows whose exponents a BlockConverter may hold: one in each bank, and one in each register in front of the
    shifters."""
    return 2 + maximum_latency(params)


def converting_places(params: Params) -> int:
    """Beats that a BlockConverter has read back and that were not taken, where they may be stopped: enough to take one
    in every cycle."""
    return 1 << ceil_log2(conversion_latency(params) + 2)


class RowMaximum(Part):
    """Largest exponent fields of rows, in a queue for as many rows as a BlockConverter may hold.

    Latency maximum_latency + 1 from a row's last beat to `exponent`, throughput 1 beat a cycle.

    Members: valid, fields, last (a beat); exponent (of the oldest row, at least 1), poisoned (it is that of NaN and
    Inf), taken (forget it).
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        field = unsigned(params.input.exponent_bits)
        super().__init__(
            {"valid": In(1), "fields": In(data.ArrayLayout(field, params.config.beat)), "last": In(1)}
            | {"exponent": Out(field), "poisoned": Out(1), "taken": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        fields, valid, last = list(self.fields), self.valid, self.last
        for level in range(maximum_latency(self._params) - 1):
            fields = [
                _registered(m, f"level_{level}_{i}", _larger(*fields[i : i + 2]) if fields[i + 1 :] else fields[i])
                for i in range(0, len(fields), 2)
            ]
            facts = Signal(2, name=f"facts_{level}")
            m.d.sync += facts.eq(Cat(valid, last))
            valid, last = facts
        top, begun, done = Signal.like(fields[0], reset_less=True), Signal(), Signal()
        m.d.sync += done.eq(valid & last)
        with m.If(valid):
            m.d.sync += [top.eq(Mux(begun, _larger(fields[0], top), fields[0])), begun.eq(~last)]
        self._queue(m, top, done)
        return m

    def _queue(self, m: Module, top: Signal, done: Signal) -> None:
        layout = data.StructLayout({"exponent": self._params.input.exponent_bits, "poisoned": 1})
        m.submodules.rows = rows = Memory(shape=layout, depth=1 << ceil_log2(rows_converted(self._params)), init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(done),
            write.data.exponent.eq(Mux(top == 0, 1, top)),
            write.data.poisoned.eq(top == self._params.input.max_exponent_field),
            self.exponent.eq(read.data.exponent),
            self.poisoned.eq(read.data.poisoned),
        ]
        m.d.sync += [write.addr.eq(write.addr + done), read.addr.eq(read.addr + self.taken)]


def _larger(one: Value, other: Value) -> Value:
    return Mux(one > other, one, other)


def _registered(m: Module, name: str, value: Value) -> Signal:
    register = Signal(len(value), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def shifting_latency(params: Params) -> int:
    """Cycles from the one in which a beat may be read back to the one in which it leaves the shifters."""
    return 1 + maximum_latency(params) + ElementShift.LATENCY


def conversion_latency(params: Params) -> int:
    """Cycles from the one in which a beat may be read back to the one in which it is offered, where it may be
    stopped."""
    return shifting_latency(params) + LandingQueue.LATENCY


class BlockConverter(Part):
    """Rows of at most `dimension` float codes in, the same rows in block fixed point out.

    A row is collected, then read back and shifted; the next row is collected meanwhile. Its largest exponent is known
    some cycles behind its last beat, so what is read back waits as long in registers. Nothing that has been read back
    is ever stopped: it is read when there is a place for it at the end. That is a place of a queue for every beat or,
    with `rows`, one of so many places for rows, which `freed` gives back, and nobody can stop the output.

    Latency: a row's beats + conversion_latency, or with `rows` + shifting_latency, 2 from `freed` to a row that has
    waited for it; throughput 1 beat a cycle.
    """

    def __init__(self, params: Params, dimension: int, rows: int = 0) -> None:
        self._params, self._rows = params, rows
        self._beats = dimension // params.config.beat
        output = converted_rows(params) if rows else stream.Signature(converted_beat(params))
        members = {"input": In(stream.Signature(raw_beat(params))), "output": Out(output)}
        super().__init__(members | ({"freed": In(1)} if rows else {}))

    def elaborate(self, platform):
        m = Module()
        self._waits, self._maximum = maximum_latency(self._params), RowMaximum(self._params)
        place(m, "maximum", self._maximum)
        self._full, self._freed = Signal(2), Signal(2)
        bits = ceil_log2(self._beats)
        # The last beat of the row in each bank.
        self._ends = [Signal(bits, name=f"end_{i}") for i in range(2)]
        shape = raw_beat(self._params)["elements"].shape
        m.submodules.rows = rows = Memory(shape=shape, depth=2 << bits, init=[])
        self._collect(m, rows.write_port(), bits)
        self._read_back(m, rows.read_port(domain="sync"), bits)
        return m

    def _collect(self, m: Module, write, bits: int) -> None:
        """Write a row to a bank."""
        fmt, payload = self._params.input, self.input.payload
        bank, beat = Signal(), Signal(range(max(self._beats, 2)))
        ends = write.en & payload.last
        # Whether the bank will be free: known in a register, as `freed` is told a cycle before.
        free, freed = Signal(init=1), self._freed
        m.d.sync += free.eq(Mux(ends ^ bank, ~self._full[1] | freed[1], ~self._full[0] | freed[0]))
        m.d.comb += [
            self.input.ready.eq(free),
            write.en.eq(self.input.valid & self.input.ready),
            write.addr.eq(Cat(beat[:bits], bank)),
            write.data.eq(payload.elements),
            self._maximum.valid.eq(write.en),
            self._maximum.last.eq(payload.last),
        ]
        for field, code in zip(self._maximum.fields, payload.elements, strict=True):
            m.d.comb += field.eq(code[fmt.mantissa_bits : -1])
        with m.If(write.en):
            m.d.sync += beat.eq(beat + 1)
            for i in range(2):
                with m.If(bank == i):
                    m.d.sync += self._ends[i].eq(beat)
            with m.If(ends):
                m.d.sync += [beat.eq(0), bank.eq(~bank), self._full.bit_select(bank, 1).eq(1)]

    def _read_back(self, m: Module, read, bits: int) -> None:
        """Read full rows, as long as there is room behind the shifters."""
        bank, beat = Signal(), Signal(range(max(self._beats, 2)))
        step, present, last = Signal(), Signal(), Signal()
        room = self._rows_free(m, step, last) if self._rows else self._land(m, step)
        m.d.comb += [
            present.eq(Mux(bank, self._full[1], self._full[0])),
            step.eq(present & room),
            last.eq(beat[:bits] == Mux(bank, self._ends[1], self._ends[0])),
            read.addr.eq(Cat(beat[:bits], bank)),
            read.en.eq(1),
        ]
        with m.If(step):
            m.d.sync += beat.eq(beat + 1)
            with m.If(last):
                m.d.comb += self._freed.eq(Cat(~bank, bank))
                m.d.sync += [beat.eq(0), bank.eq(~bank), self._full.bit_select(bank, 1).eq(0)]
        # Until the row's exponent is known; what is read is in the first register already.
        codes, facts = read.data, Cat(step, last)
        for i in range(self._waits + 1):
            facts, before = Signal(2, name=f"waiting_{i}"), facts
            m.d.sync += facts.eq(before)
            if i:
                codes, codes_before = Signal.like(codes, name=f"codes_{i}", reset_less=True), codes
                m.d.sync += codes.eq(codes_before)
        m.d.comb += self._maximum.taken.eq(before.all())
        self._shift(m, codes, facts)

    def _land(self, m: Module, step: Signal) -> Value:
        """The queue at the end; whether it has a place for one more beat."""
        self._landing = landing = LandingQueue(converted_beat(self._params).size, converting_places(self._params))
        place(m, "landing", landing)
        m.d.comb += [
            landing.begin.eq(step),
            self.output.valid.eq(landing.output.valid),
            self.output.payload.eq(landing.output.payload),
            landing.output.ready.eq(self.output.ready),
        ]
        return landing.room

    def _rows_free(self, m: Module, step: Signal, last: Signal) -> Value:
        """Whether the row that is read has a place: a row that has begun has one until its end."""
        free, room, inside = Signal(range(self._rows + 1), init=self._rows), Signal(init=1), Signal()
        begins, freed = Signal(), Signal()
        m.d.comb += begins.eq(step & ~inside)
        m.d.sync += freed.eq(self.freed)
        with m.If(step):
            m.d.sync += inside.eq(~last)
        with m.If(begins != freed):
            m.d.sync += [free.eq(Mux(freed, free + 1, free - 1)), room.eq(freed | (free != 1))]
        return inside | room

    def _shift(self, m: Module, codes: Value, facts: Value) -> None:
        """Shift elements, with what belongs to their row beside them."""
        p, maximum = self._params, self._maximum
        out = Signal(converted_beat(p))
        side = data.StructLayout({"exponent": p.input.exponent_bits, "poisoned": 1})
        stages = [Signal(side, name=f"side_{i}", reset_less=True) for i in range(ElementShift.LATENCY + 1)]
        m.d.sync += [stages[0].exponent.eq(maximum.exponent), stages[0].poisoned.eq(maximum.poisoned)]
        for before, after in zip(stages, stages[1:], strict=False):
            m.d.sync += after.eq(before)
        for i in range(ElementShift.LATENCY):
            facts, earlier = Signal(2, name=f"shifting_{i}"), facts
            m.d.sync += facts.eq(earlier)
        for i, code in enumerate(codes):
            shift = ElementShift(p)
            place(m, f"shift_{i}", shift)
            m.d.comb += [
                shift.code.eq(code),
                shift.exponent.eq(stages[0].exponent),
                out.elements[i].eq(shift.element),
            ]
        valid, word = (
            (self.output.valid, self.output.payload) if self._rows else (self._landing.valid, self._landing.word)
        )
        m.d.comb += [
            Cat(valid, out.last).eq(facts),
            out.exponent.eq(stages[-1].exponent),
            out.poisoned.eq(stages[-1].poisoned),
            word.eq(out),
        ]
